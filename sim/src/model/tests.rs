//! Whole chains, with results derived by hand.

use super::{
    Derived,
    testing::{Chain, Rounds, commits, derive, transfer},
};
use crate::witness::SeenBlock;
use metanode_core::types::{
    AuthorityIndex, BlockRef, ChainId, CommitDigest, CommitIndex, Epoch, GlobalExecIndex, Round,
    TimestampMs,
};
use std::{collections::BTreeSet, sync::Arc};

const ALL: [u16; 4] = [0, 1, 2, 3];

fn full(rounds: u32) -> Rounds {
    let mut dag = Rounds::of(4);
    (0..rounds).for_each(|_| dag.round(&ALL));
    dag
}

/// The rounds of the leaders of these results' commits.
fn leader_rounds(derived: &[Derived]) -> Vec<u32> {
    let commits = commits(derived);
    commits.iter().map(|(c, _)| c.leader.round.0).collect()
}

#[test]
fn in_a_full_dag_the_leader_of_every_round_is_committed() {
    let dag = full(20);
    let mut model = dag.chain.model(50, 1);
    let mut derived = vec![];
    for block in &dag.blocks {
        let new = derive(&mut model, [block]);
        // Three of four certificates are a quorum.
        let is_third = block.reference.author == AuthorityIndex(2);
        let expected = usize::from(is_third && block.reference.round >= Round(4));
        assert_eq!(new.len(), expected, "{:?}", block.reference);
        derived.extend(new);
    }
    assert_eq!(leader_rounds(&derived), (2..=18).collect::<Vec<_>>());

    let mut previous = CommitDigest::default();
    for ((commit, frame), n) in commits(&derived).into_iter().zip(1..) {
        let round = n + 1;
        let leader = dag.chain.leader(round);
        assert_eq!((commit.epoch, commit.index), (Epoch(0), CommitIndex(n)));
        assert_eq!(commit.leader, dag.at(round, leader));
        assert_eq!(commit.previous, previous);
        previous = commit.digest;
        // The median of four is that of authority 1.
        let timestamp_ms = TimestampMs(u64::from(round - 1) * 1000 + 1);
        assert_eq!(commit.timestamp_ms, timestamp_ms);
        assert_eq!(commit.epoch_began_ms, TimestampMs(1001));
        assert_eq!(commit.ending, []);
        let mut blocks = dag.rounds[round as usize - 1].clone();
        if n > 1 {
            let committed = dag.at(round - 1, dag.chain.leader(round - 1));
            blocks.retain(|block| *block != committed);
        }
        blocks.push(commit.leader);
        assert_eq!(commit.blocks, blocks);

        assert_eq!(frame.gei, GlobalExecIndex(u64::from(n)));
        assert_eq!((frame.epoch, frame.commit), (Epoch(0), commit.index));
        assert_eq!(frame.timestamp_ms, timestamp_ms);
        assert_eq!(frame.leader, AuthorityIndex(leader));
        assert_eq!(frame.leader_address, [leader as u8; 20]);
        let transfer =
            |block: &BlockRef| transfer(block.author.0 as u8, 9, 1, u64::from(block.round.0 - 1));
        let transactions: Vec<_> = blocks.iter().map(transfer).collect();
        assert_eq!(frame.transactions, transactions);
    }
    let Derived::Commit { applied, .. } = &derived[0] else {
        panic!("{:?}", derived[0]);
    };
    assert_eq!(applied.len(), 5, "each block has the next nonce");
}

#[test]
fn the_order_of_blocks_does_not_matter() {
    let dag = full(20);
    let expected = derive(&mut dag.chain.model(6, 2), &dag.blocks);
    assert_eq!(expected.len(), 2 * 17);
    let reversed = dag.blocks.iter().rev();
    let twice = || dag.blocks.iter().chain(&dag.blocks);
    assert_eq!(derive(&mut dag.chain.model(6, 2), reversed), expected);
    assert_eq!(derive(&mut dag.chain.model(6, 2), twice()), expected);
    for step in [3, 7, 37, 71] {
        let shuffled = (0..80).map(|i| &dag.blocks[(i * step + 11) % 80]);
        assert_eq!(derive(&mut dag.chain.model(6, 2), shuffled), expected);
    }
}

#[test]
fn leaders_that_are_silent_are_skipped() {
    let mut dag = Rounds::of(4);
    let silent = dag.chain.leader(5);
    let authors: Vec<_> = ALL.into_iter().filter(|a| *a != silent).collect();
    (0..20).for_each(|_| dag.round(&authors));
    let mut model = dag.chain.model(50, 1);
    let derived = derive(&mut model, &dag.blocks);
    let expected: Vec<u32> = (2..=18)
        .filter(|round| dag.chain.leader(*round) != silent)
        .collect();
    assert!(expected.len() < 17);
    assert_eq!(leader_rounds(&derived), expected);
    let mut earlier = BTreeSet::new();
    for (commit, _) in commits(&derived) {
        let round = commit.leader.round.0 as usize;
        let mut history: BTreeSet<_> = dag.rounds[1..round].iter().flatten().copied().collect();
        history.insert(commit.leader);
        let blocks: Vec<_> = history.difference(&earlier).copied().collect();
        assert_eq!(commit.blocks, blocks);
        assert_eq!(commit.blocks.last(), Some(&commit.leader));
        earlier = history;
    }
}

/// A full DAG in which the leader of round 5 makes two blocks, and these authors name the second one.
fn equivocation(naming_second: &[u16]) -> (Rounds, [BlockRef; 2]) {
    let mut dag = full(5);
    let leader = dag.chain.leader(5);
    let parents = dag.rounds[4].clone();
    let twins = [dag.at(5, leader), dag.block(leader, &parents, 1)];
    let round = dag.rounds[5].clone();
    dag.round_with(&ALL, |author| {
        let other = twins[usize::from(!naming_second.contains(&author))];
        round.iter().copied().filter(|b| *b != other).collect()
    });
    (0..8).for_each(|_| dag.round(&ALL));
    (dag, twins)
}

#[test]
fn neither_block_of_a_split_vote_is_committed_as_leader() {
    let (dag, twins) = equivocation(&[2, 3]);
    let mut model = dag.chain.model(50, 1);
    let before_anchor = (dag.blocks.iter()).filter(|b| b.reference.round <= Round(9));
    let derived = derive(&mut model, before_anchor);
    assert_eq!(leader_rounds(&derived), [2, 3, 4], "round 5 is undecided");
    let rest = (dag.blocks.iter()).filter(|b| b.reference.round > Round(9));
    let rest = derive(&mut model, rest);
    assert_eq!(leader_rounds(&rest), [6, 7, 8, 9, 10, 11, 12]);
    // The blocks of round 7 name both voters, so both twins are in the history of its leader.
    let committed: Vec<_> = commits(&rest)
        .iter()
        .flat_map(|(commit, _)| commit.blocks.clone())
        .filter(|block| twins.contains(block))
        .collect();
    assert_eq!(committed.len(), 2);
    assert_ne!(committed[0], committed[1]);
}

#[test]
fn of_two_blocks_of_a_leader_the_one_with_a_quorum_of_votes_is_committed() {
    for (naming_second, chosen) in [([3].as_slice(), 0), (&[0, 1, 2], 1), (&ALL, 1)] {
        let (dag, twins) = equivocation(naming_second);
        let derived = derive(&mut dag.chain.model(50, 1), &dag.blocks);
        assert_eq!(leader_rounds(&derived), (2..=12).collect::<Vec<_>>());
        let commits = commits(&derived);
        assert_eq!(commits[3].0.leader, twins[chosen]);
        let all: Vec<_> = commits.iter().flat_map(|(c, _)| &c.blocks).collect();
        let other = all.iter().filter(|b| ***b == twins[1 - chosen]).count();
        assert_eq!(
            other,
            usize::from(naming_second.len() < 4),
            "once if it is named"
        );
    }
}

#[test]
fn a_single_certificate_in_the_history_of_the_anchor_commits_a_leader() {
    for certificates in [0, 1] {
        let mut dag = full(5);
        let leader = dag.chain.leader(5);
        let [against, a, b] = [1, 2, 3].map(|n| (leader + n) % 4);
        // Votes of the leader, a and b.
        let round = dag.rounds[5].clone();
        dag.round_with(&ALL, |author| {
            let names = |block: &BlockRef| author != against || block.author.0 != leader;
            round.iter().copied().filter(names).collect()
        });
        // Two votes and the blame are parents, except in the certificate.
        let votes = dag.rounds[6].clone();
        dag.round_with(&ALL, |author| {
            let left_out = match author {
                _ if author == a && certificates == 1 => against,
                _ if author == b || author == against => a,
                _ => b,
            };
            let parents = votes.iter().copied();
            parents.filter(|p| p.author.0 != left_out).collect()
        });
        (0..4).for_each(|_| dag.round(&ALL));
        let (until_anchor, rest): (Vec<&Arc<SeenBlock>>, Vec<_>) =
            (dag.blocks.iter()).partition(|b| b.reference.round <= Round(9));
        let mut model = dag.chain.model(50, 1);
        let derived = derive(&mut model, until_anchor);
        assert_eq!(leader_rounds(&derived), [2, 3, 4], "round 5 is undecided");
        let rest = leader_rounds(&derive(&mut model, rest));
        assert_eq!(rest.contains(&5), certificates == 1, "{rest:?}");
        assert!(rest.ends_with(&[8, 9]), "{rest:?}");
    }
}

#[test]
fn what_is_too_old_belongs_to_no_commit() {
    let mut dag = full(2);
    // Authority 3 is late: nobody names its block of round 2 before round 9.
    let late = dag.at(2, 3);
    let three: Vec<_> = dag.rounds[2]
        .iter()
        .copied()
        .filter(|b| *b != late)
        .collect();
    dag.round_with(&[0, 1, 2], |_| three.clone());
    (0..5).for_each(|_| dag.round(&[0, 1, 2]));
    let mut ancestors = dag.rounds[8].clone();
    ancestors.push(late);
    dag.round_with(&[0, 1, 2, 3], |_| ancestors.clone());
    (0..6).for_each(|_| dag.round(&ALL));
    for (gc_depth, is_committed) in [(50, true), (4, false)] {
        let derived = derive(&mut dag.chain.model(gc_depth, 1), &dag.blocks);
        let commits = commits(&derived);
        let mut blocks = commits.iter().flat_map(|(c, _)| &c.blocks);
        assert_eq!(blocks.any(|b| *b == late), is_committed);
        for (commit, _) in &commits {
            let oldest = commit.blocks[0].round.0;
            assert!(oldest + gc_depth > commit.leader.round.0);
        }
        // It is waited for only as long as a commit may contain it.
        let without = dag.blocks.iter().filter(|b| b.reference != late);
        let without = derive(&mut dag.chain.model(gc_depth, 1), without);
        assert_eq!(without == derived, !is_committed);
    }
}

#[test]
fn an_epoch_ends_with_marks_of_a_quorum_and_the_next_one_continues() {
    let mut dag = full(4);
    dag.is_ending = true;
    (0..8).for_each(|_| dag.round(&ALL));
    let mut next = Rounds::in_epoch(Chain::new(4), Epoch(1));
    (0..5).for_each(|_| next.round(&ALL));
    let mut model = dag.chain.model(50, 1);
    assert_eq!(
        derive(&mut model, &next.blocks),
        [],
        "epoch 1 has not begun"
    );

    let derived = derive(&mut model, &dag.blocks);
    // The leader of round 6 brings in the marks of round 5.
    assert_eq!(leader_rounds(&derived), [2, 3, 4, 5, 6, 2, 3]);
    let Derived::EpochBegan {
        epoch,
        base,
        start_ms,
        committee,
    } = &derived[5]
    else {
        panic!("expected the next epoch, found {}", derived[5]);
    };
    let begin = (*epoch, *base, *start_ms, committee.len());
    assert_eq!(begin, (Epoch(1), GlobalExecIndex(5), TimestampMs(5001), 4));
    let commits = commits(&derived);
    let leader = AuthorityIndex(dag.chain.leader(5));
    assert_eq!(commits[3].0.ending, [leader]);
    assert_eq!(commits[4].0.ending, ALL.map(AuthorityIndex));
    let (first, frame) = &commits[5];
    assert_eq!((first.epoch, first.index), (Epoch(1), CommitIndex(1)));
    assert_eq!(first.previous, CommitDigest::default());
    assert_eq!(frame.gei, GlobalExecIndex(6));
    assert_eq!(
        first.timestamp_ms,
        TimestampMs(5001),
        "not before the start"
    );
    assert_eq!(first.epoch_began_ms, TimestampMs(5001));
    assert_eq!(derive(&mut model, &dag.blocks), [], "epoch 0 is over");
}

#[test]
fn an_invalid_block_is_reported_once_in_any_epoch() {
    let mut dag = full(2);
    for epoch in [0, 3, u64::MAX] {
        dag.epoch = Epoch(epoch);
        dag.rounds.push(vec![]);
        let parents = dag.rounds[2][..2].to_vec();
        dag.block(0, &parents, 0);
        dag.rounds.pop();
    }
    let mut model = dag.chain.model(50, 1);
    let derived = derive(&mut model, dag.blocks.iter().chain(&dag.blocks));
    assert_eq!(derived.len(), 3, "{derived:?}");
    for (derived, block) in derived.iter().zip(&dag.blocks[8..]) {
        assert!(matches!(derived, Derived::InvalidBlock { block: b, .. } if *b == block.reference));
    }
}

#[test]
fn memory_is_bounded_by_the_rounds_that_commits_can_contain() {
    let mut dag = full(300);
    let junk = |dag: &Rounds, n: u64| {
        let round = Round(u32::MAX - n as u32);
        let parents = ALL.map(|author| dag.chain.unknown(round.0 - 1, author));
        let block = dag.chain.block(round, 0, &parents);
        dag.chain
            .seen(&block.sign(&dag.chain.keys[0], ChainId::default()))
    };
    let mut model = dag.chain.model(10, 1);
    for n in 0..2000 {
        assert_eq!(model.add(&junk(&dag, n)), []);
    }
    let derived = derive(&mut model, &dag.blocks);
    assert_eq!(derived.len(), 297);
    let (accepted, waiting) = model.running.dag.sizes();
    assert!(accepted <= 4 * 12 && waiting == 256, "{accepted} {waiting}");

    dag.epoch = Epoch(7);
    dag.blocks.clear();
    (0..1500).for_each(|_| dag.round(&[0, 1, 2]));
    assert_eq!(derive(&mut model, &dag.blocks), []);
    assert_eq!(model.later.len(), super::MOST_OF_LATER_EPOCHS);
}

#[test]
fn what_does_not_fit_into_a_commit_is_left_to_later_ones() {
    let mut dag = full(20);
    dag.chain.max_commit_bytes = 1;
    let derived = derive(&mut dag.chain.model(50, 1), &dag.blocks);
    assert_eq!(leader_rounds(&derived), (2..=18).collect::<Vec<_>>());
    let commits = commits(&derived);
    let mut left: Vec<_> = dag.rounds.iter().skip(1).flatten().copied().collect();
    for (commit, _) in commits {
        let first = commit.leader.author;
        left.sort_by_key(|block| (block.round, block.author < first, *block));
        assert_eq!(commit.blocks, [left.remove(0)]);
    }
}
