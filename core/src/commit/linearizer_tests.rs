//! Tests of the linearizer on small DAGs: order and timestamps of commits, adoption, the boundary.

use super::{AdoptError, Linearizer};
use crate::{
    dag::{Dag, test_dag::TestDag},
    types::{AuthorityIndex, CommitIndex, Epoch, Round, SubDag, TimestampMs, VerifiedBlock},
};

fn linearize(test_dag: &TestDag, dag: &mut Dag, leaders: &[&str]) -> Vec<SubDag> {
    let leaders = leaders.iter().map(|name| test_dag.get(name)).collect();
    Linearizer::new(test_dag.committee.clone(), TimestampMs(0), u32::MAX).linearize(dag, leaders)
}

fn names(sub_dag: &SubDag) -> String {
    let name = |block: &VerifiedBlock| {
        format!("{}{}", char::from(b'A' + block.author.0 as u8), block.round)
    };
    sub_dag
        .blocks
        .iter()
        .map(name)
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn a_commit_contains_the_history_of_its_leader_in_order_with_the_leader_last() {
    let mut test_dag = TestDag::of(4);
    test_dag.full_rounds(1).round("C:-D B:-A A").full_rounds(1);
    let commits = linearize(&test_dag, &mut test_dag.dag(), &["B2", "A3"]);
    assert_eq!(names(&commits[0]), "B1 C1 D1 B2");
    assert_eq!(names(&commits[1]), "A1 A2 C2 A3");
    assert_eq!(commits[1].commit.previous, commits[0].reference.digest);
}

#[test]
fn blocks_at_or_below_the_gc_round_of_the_leader_are_left_out_for_ever() {
    let mut test_dag = TestDag::of(4);
    test_dag
        .full_rounds(1)
        .round("A:-D B:-D C:-D")
        .round("A B C");
    // With D4 the first block of D becomes part of the history.
    let d1 = test_dag.get("D1").reference();
    let mut ancestors: Vec<_> = ["A3", "B3", "C3"]
        .map(|name| test_dag.get(name).reference())
        .into();
    ancestors.push(d1);
    test_dag.block(Round(4), AuthorityIndex(3), ancestors, TimestampMs(4000));
    for (gc_depth, expected) in [(3, "C3 D4"), (4, "D1 C3 D4")] {
        let mut dag = Dag::new(test_dag.committee.clone(), gc_depth);
        for block in &test_dag.blocks {
            dag.insert(block.clone());
        }
        let commits = linearize(&test_dag, &mut dag, &["A2", "B3", "A3", "D4"]);
        assert_eq!(names(&commits[3]), expected, "depth {gc_depth}");
        assert_eq!(dag.gc_round(), Round(4 - gc_depth));
    }
}

#[test]
fn a_timestamp_is_the_lower_median_of_the_parents_by_stake_and_never_decreases() {
    let mut test_dag = TestDag::with_stakes(Epoch(0), &[1, 1, 1, 4]);
    for (round, timestamps_ms) in [(1, [10, 11, 12, 50]), (2, [60, 61, 62, 40]), (3, [0; 4])] {
        let round = Round(round);
        let parents: Vec<_> = test_dag
            .dag()
            .blocks_at_round(round.prev())
            .map(VerifiedBlock::reference)
            .collect();
        for (author, timestamp_ms) in (0..).map(AuthorityIndex).zip(timestamps_ms) {
            test_dag.block(round, author, parents.clone(), TimestampMs(timestamp_ms));
        }
    }
    let commits = linearize(&test_dag, &mut test_dag.dag(), &["A1", "A2", "A3"]);
    let times: Vec<_> = commits.iter().map(|c| c.commit.timestamp_ms.0).collect();
    assert_eq!(
        times,
        [0, 50, 50],
        "expected genesis, then the timestamp of D, which has most of the stake, then no decrease to 40"
    );
}

#[test]
fn only_the_next_commit_of_the_same_sequence_can_be_adopted() {
    let mut test_dag = TestDag::of(4);
    test_dag.full_rounds(3);
    let commits = linearize(&test_dag, &mut test_dag.dag(), &["A1", "B2", "C3"]);
    let other = linearize(&test_dag, &mut test_dag.dag(), &["B1", "B2"]);

    let mut dag = Dag::new(test_dag.committee.clone(), 2);
    let mut linearizer = Linearizer::new(test_dag.committee.clone(), TimestampMs(0), u32::MAX);
    let early = linearizer.adopt(&mut dag, &commits[1]);
    assert!(matches!(
        early,
        Err(AdoptError::NotNext {
            expected: CommitIndex(1),
            ..
        })
    ));
    assert_eq!(
        linearizer.adopt(&mut dag, &commits[0]),
        Ok(commits[0].blocks.clone())
    );
    let foreign = linearizer.adopt(&mut dag, &other[1]);
    assert!(matches!(foreign, Err(AdoptError::Diverged { .. })));
    let mut incomplete = commits[1].clone();
    incomplete.blocks.pop();
    let incomplete = linearizer.adopt(&mut dag, &incomplete);
    assert!(matches!(incomplete, Err(AdoptError::OtherBlocks { .. })));
    let mut elsewhere = commits[1].clone();
    elsewhere.commit.epoch = Epoch(7);
    let elsewhere = linearizer.adopt(&mut dag, &elsewhere);
    assert!(matches!(
        elsewhere,
        Err(AdoptError::WrongEpoch {
            found: Epoch(7),
            ..
        })
    ));

    assert_eq!(linearizer.last_commit(), Some(commits[0].reference));
    dag.insert(test_dag.get("B1"));
    let added = linearizer.adopt(&mut dag, &commits[1]).unwrap();
    assert!(!added.contains(&test_dag.get("B1")), "B1 is not new");
    assert_eq!(added.len() + 1, commits[1].blocks.len());
    assert!(dag.is_committed(&test_dag.get("B1").reference()));
}

/// Six rounds; from the third on these authors set the end-of-epoch mark.
fn ending_epoch(markers: &[u16]) -> TestDag {
    let mut test_dag = TestDag::of(4);
    test_dag
        .full_rounds(2)
        .epoch_ends_for(markers)
        .full_rounds(4);
    test_dag
}

const LEADERS: [&str; 6] = ["A1", "A2", "A3", "A4", "A5", "A6"];

#[test]
fn the_first_commit_with_marks_of_a_quorum_is_the_last_of_the_epoch() {
    let test_dag = ending_epoch(&[0, 2, 3]);
    let commits = linearize(&test_dag, &mut test_dag.dag(), &LEADERS);
    let ending = |i: usize| {
        commits[i]
            .commit
            .ending
            .iter()
            .map(|a| a.0)
            .collect::<Vec<_>>()
    };
    // The commit of A3 contains only its own mark; the other blocks of round 3 are in the commit of A4.
    assert_eq!(commits.len(), 4);
    assert_eq!(
        [ending(1), ending(2), ending(3)],
        [vec![], vec![0], vec![0, 2, 3]]
    );

    let test_dag = ending_epoch(&[0, 2]);
    let commits = linearize(&test_dag, &mut test_dag.dag(), &LEADERS);
    assert_eq!(commits.len(), 6, "two of four authorities are not a quorum");
}

#[test]
fn no_commit_is_adopted_after_the_boundary_also_after_a_restart() {
    let test_dag = ending_epoch(&[0, 2, 3]);
    let commits = linearize(&test_dag, &mut test_dag.dag(), &LEADERS);
    let stored: Vec<_> = commits.iter().map(|c| c.commit.clone()).collect();
    let mut dag = Dag::new(test_dag.committee.clone(), 2);
    let mut linearizer = Linearizer::recover(
        test_dag.committee.clone(),
        TimestampMs(0),
        u32::MAX,
        &mut dag,
        &stored,
    );
    let boundary = commits[3].reference;
    assert_eq!(linearizer.boundary(), Some(boundary));
    assert_eq!(
        linearizer
            .linearize(&mut dag, vec![test_dag.get("A5")])
            .len(),
        0
    );
    let mut beyond = commits[3].clone();
    beyond.commit.index = beyond.commit.index.next();
    let refused = linearizer.adopt(&mut dag, &beyond);
    assert!(
        matches!(refused, Err(AdoptError::AfterBoundary { boundary: of, .. }) if of == boundary)
    );
}

#[test]
fn no_commit_is_earlier_than_the_start_of_the_epoch() {
    let mut test_dag = TestDag::of(4);
    test_dag.full_rounds(2);
    let start = TimestampMs(1_000_000);
    let mut linearizer = Linearizer::new(test_dag.committee.clone(), start, u32::MAX);
    let commits = linearizer.linearize(&mut test_dag.dag(), vec![test_dag.get("A1")]);
    assert_eq!(commits[0].commit.timestamp_ms, start);
}

#[test]
fn what_does_not_fit_into_a_commit_is_left_to_later_ones() {
    let mut test_dag = TestDag::of(4);
    test_dag.full_rounds(4);
    let of_one = test_dag.get("A1").delivered_bytes();
    let commit = |max_bytes: usize| {
        let max_bytes = u32::try_from(max_bytes).unwrap();
        let mut linearizer = Linearizer::new(test_dag.committee.clone(), TimestampMs(0), max_bytes);
        let leaders = ["B2", "C3", "D4"].map(|name| test_dag.get(name)).into();
        let commits = linearizer.linearize(&mut test_dag.dag(), leaders);
        commits.iter().map(names).collect::<Vec<_>>()
    };
    assert_eq!(commit(2 * of_one), ["B1 C1", "A1 D1", "A2 D2"]);
    assert_eq!(commit(2 * of_one - 1), ["B1", "C1", "D1"]);
    assert_eq!(commit(1), ["B1", "C1", "D1"], "the first in any case");
    assert_eq!(
        commit(5 * of_one),
        ["A1 B1 C1 D1 B2", "A2 C2 D2 C3", "A3 B3 D3 D4"]
    );
}
