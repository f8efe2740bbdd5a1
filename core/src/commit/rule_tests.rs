//! Tests of the commit rule with four authorities, A to D, of which three are a quorum.

use super::{CommitRule, Decision, LeaderSchedule, LeaderSlot};
use crate::{dag::test_dag::TestDag, types::Round};

/// Four authorities with these leaders from the first round with leaders on. The round before is full.
fn led_by(leaders: &str) -> TestDag {
    let mut test_dag = TestDag::led_by(4, &format!("A {leaders}"));
    test_dag.full_rounds(1);
    test_dag
}

const fn slot(round: u32, offset: u32) -> LeaderSlot {
    LeaderSlot {
        round: Round(round),
        offset,
    }
}

fn decide_after(test_dag: &TestDag, leaders: u32, last_decided: LeaderSlot) -> Vec<Decision> {
    let schedule = LeaderSchedule::new(test_dag.committee.clone());
    CommitRule::new(schedule, leaders).decide(&test_dag.dag(), last_decided)
}

fn decide(test_dag: &TestDag) -> Vec<Decision> {
    decide_after(test_dag, 1, LeaderSlot::GENESIS)
}

const fn skip(slot: LeaderSlot, direct: bool) -> Decision {
    Decision::Skip { slot, direct }
}

fn commit(test_dag: &TestDag, slot: LeaderSlot, leader: &str, direct: bool) -> Decision {
    Decision::Commit {
        slot,
        leader: test_dag.get(leader),
        direct,
    }
}

#[test]
fn a_leader_is_committed_by_certificates_of_a_quorum() {
    let mut test_dag = led_by("A B C");
    test_dag.full_rounds(2).round("A B C");
    assert_eq!(
        decide(&test_dag),
        [commit(&test_dag, slot(2, 0), "A2", true)]
    );
    test_dag.round("A B C");
    assert_eq!(
        decide(&test_dag),
        [
            commit(&test_dag, slot(2, 0), "A2", true),
            commit(&test_dag, slot(3, 0), "B3", true)
        ]
    );
}

#[test]
fn fewer_certificates_than_a_quorum_leave_a_leader_undecided() {
    let mut test_dag = led_by("A");
    test_dag.full_rounds(2).round("A B");
    assert_eq!(decide(&test_dag), []);

    // Three blocks, but D4 has only two of the three votes among its ancestors.
    let mut test_dag = led_by("A");
    test_dag
        .full_rounds(1)
        .round("A B C D:-A")
        .round("A B D:-C");
    assert_eq!(decide(&test_dag), []);
}

#[test]
fn a_leader_is_skipped_by_blames_of_a_quorum() {
    let mut test_dag = led_by("A");
    test_dag.full_rounds(1).round("A B:-A C:-A D:-A");
    let skipped = skip(slot(2, 0), true);
    assert_eq!(decide(&test_dag), std::slice::from_ref(&skipped));

    let mut test_dag = led_by("A");
    test_dag.round("B C D").round("B C D");
    assert_eq!(decide(&test_dag), [skipped]);

    let mut test_dag = led_by("A");
    test_dag.full_rounds(1).round("A B C:-A D:-A");
    assert_eq!(decide(&test_dag), []);
}

/// A2 has three votes and a single certificate, A4.
fn one_certificate(leaders: &str) -> TestDag {
    let mut test_dag = led_by(leaders);
    test_dag
        .full_rounds(1)
        .round("A B C D:-A")
        .round("A:ABC B:BCD C:ACD D:ABD");
    test_dag
}

#[test]
fn a_certificate_in_the_history_of_the_anchor_commits_the_leader() {
    let mut test_dag = one_certificate("A B C D");
    test_dag.full_rounds(2);
    assert_eq!(decide(&test_dag), [], "the anchor D5 is not decided");
    test_dag.full_rounds(1);
    assert_eq!(
        decide(&test_dag)[0],
        commit(&test_dag, slot(2, 0), "A2", false)
    );
}

#[test]
fn a_certificate_outside_the_history_of_the_anchor_does_not_count() {
    let mut test_dag = one_certificate("A B C D");
    test_dag.round("A B C D:-A").full_rounds(2);
    assert_eq!(decide(&test_dag)[0], skip(slot(2, 0), false));
}

#[test]
fn a_skipped_leader_cannot_be_the_anchor() {
    let mut test_dag = one_certificate("A B C D B");
    test_dag.round("A B C").full_rounds(2);
    assert_eq!(decide(&test_dag), [], "the anchor B6 is not decided");
    test_dag.full_rounds(1);
    let decisions = decide(&test_dag);
    assert_eq!(decisions[0], commit(&test_dag, slot(2, 0), "A2", false));
    assert_eq!(decisions[3], skip(slot(5, 0), true));
    assert_eq!(decisions[4], commit(&test_dag, slot(6, 0), "B6", true));
}

#[test]
fn leaders_inside_the_wave_cannot_be_the_anchor() {
    // B3 and C4 are committed, but are in the wave of A2.
    let mut test_dag = one_certificate("A B C D");
    test_dag.full_rounds(2);
    assert_eq!(decide(&test_dag), []);
    let after = decide_after(&test_dag, 1, slot(2, 0));
    assert!(
        matches!(after.last(), Some(Decision::Commit { slot: s, direct: true, .. }) if *s == slot(4, 0)),
        "{after:?}"
    );
}

#[test]
fn only_the_certified_block_of_an_equivocating_leader_is_committed() {
    let mut test_dag = led_by("A");
    test_dag
        .round("A A B C D")
        .round("B:A'BCD C:A'BCD D:A'BCD")
        .round("B C D");
    assert_eq!(
        decide(&test_dag),
        [commit(&test_dag, slot(2, 0), "A2'", true)]
    );

    let mut test_dag = led_by("A B C D");
    test_dag
        .round("A A B C D")
        .round("A:ABCD B:ABCD C:A'BCD D:A'BCD")
        .full_rounds(3);
    assert_eq!(decide(&test_dag), [], "two votes each");
    test_dag.full_rounds(1);
    assert_eq!(decide(&test_dag)[0], skip(slot(2, 0), false));
}

#[test]
fn of_two_certified_blocks_of_one_leader_none_is_committed() {
    let mut test_dag = led_by("A B C");
    test_dag.round("A A:-D B C D");
    test_dag.round("B:ABC C:ABC D:ABC B:A'BC C:A'BC D:A'BC");
    test_dag.round("B:BCD C:BCD D:BCD");
    assert_eq!(
        decide(&test_dag),
        [commit(&test_dag, slot(2, 0), "A2", true)]
    );
    let mut test_dag = led_by("A B C");
    test_dag.round("A A:-D B C D");
    test_dag.round("B:ABC C:ABC D:ABC B:A'BC C:A'BC D:A'BC");
    test_dag.round("B:BCD C:BCD D:BCD B:B'C'D' C:B'C'D' D:B'C'D'");
    let certified = ["A2", "A2'"].map(|name| test_dag.get(name).reference());
    let found = decide(&test_dag);
    let [
        Decision::Conflict {
            slot: of,
            certified: found,
        },
    ] = &found[..]
    else {
        panic!("{found:?}");
    };
    assert_eq!(*of, slot(2, 0));
    assert_eq!(
        std::collections::BTreeSet::from(*found),
        std::collections::BTreeSet::from(certified)
    );
}

#[test]
fn an_equivocating_authority_counts_once() {
    // The votes A3, A3' and B3 are of two authorities.
    let mut test_dag = led_by("A");
    test_dag
        .full_rounds(1)
        .round("A A B C:-A D:-A")
        .full_rounds(1);
    assert_eq!(decide(&test_dag), []);

    // The certificates A4, A4' and B4 are of two authorities.
    let mut test_dag = led_by("A");
    test_dag.full_rounds(2).round("A A B");
    assert_eq!(decide(&test_dag), []);

    // The blames D3, D3' and C3 are of two authorities.
    let mut test_dag = led_by("A");
    test_dag.full_rounds(1).round("A B C:-A D:-A D:-A");
    assert_eq!(decide(&test_dag), []);
}

#[test]
fn the_leaders_of_a_round_are_decided_in_the_order_of_their_offsets() {
    let mut test_dag = led_by("AB CD");
    test_dag
        .full_rounds(1)
        .round("A B:-A C:-A D:-A")
        .round("A B C D");
    let both = [
        skip(slot(2, 0), true),
        commit(&test_dag, slot(2, 1), "B2", true),
    ];
    assert_eq!(decide_after(&test_dag, 2, LeaderSlot::GENESIS), both);
    assert_eq!(decide_after(&test_dag, 2, slot(2, 0)), both[1..]);
    assert_eq!(decide_after(&test_dag, 2, slot(2, 1)), []);

    // B2 would be committed, but the slot before it is undecided.
    let mut test_dag = led_by("AB CD");
    test_dag
        .full_rounds(1)
        .round("A B C:-A D:-A")
        .round("A B C D");
    assert_eq!(decide_after(&test_dag, 2, LeaderSlot::GENESIS), []);
    assert_eq!(
        decide_after(&test_dag, 2, slot(2, 0)),
        [commit(&test_dag, slot(2, 1), "B2", true)]
    );
}

#[test]
fn the_number_of_leaders_is_limited_to_the_size_of_the_committee() {
    let mut test_dag = TestDag::of(1);
    test_dag.full_rounds(5);
    let decisions = decide_after(&test_dag, 3, LeaderSlot::GENESIS);
    assert_eq!(
        decisions,
        [
            commit(&test_dag, slot(2, 0), "A2", true),
            commit(&test_dag, slot(3, 0), "A3", true)
        ]
    );
}
