//! QUORUM on constructed traces: each violation, and the nearest legal trace.

use super::{
    Violation,
    facts::{block_of, derived, proposes, seen},
    quorum::Quorum,
    testing::judge_facts,
    truthful::{frame, seen_block, seen_commit},
};
use crate::{
    model::Derived,
    plan::{ByzantinePlan, ByzantineStrategy, Plan},
    trace::{
        Entry, ProcessId,
        testing::{block, gei},
    },
    witness::{
        ChangeStep, ContentHash, Durability, EpochRecord, Fact, Frame, Member, SeenBoundary,
        SeenCommit, StateRoot,
    },
};
use metanode_core::types::{
    AuthorityIndex, BlockRef, CommitDigest, CommitIndex, CommitRef, Epoch, TimestampMs,
};
use std::sync::Arc;

/// Changes, and what is said about them.
type Changes<T> = &'static [(fn(&mut T), &'static str)];

fn committee(epoch: u64) -> Vec<Member> {
    vec![Member {
        authority_key: vec![1],
        protocol_key: [2; 32],
        stake: 1 + epoch,
        address: vec![3; 20],
    }]
}

fn began(epoch: u64, base: u64) -> Entry {
    let result = Derived::EpochBegan {
        epoch: Epoch(epoch),
        base: gei(base),
        start_ms: TimestampMs(base),
        committee: committee(epoch).into(),
    };
    derived(0, result)
}

fn commit(epoch: u64, index: u32) -> SeenCommit {
    let reference = CommitRef {
        index: CommitIndex(index),
        digest: CommitDigest([index as u8; 32]),
    };
    SeenCommit::clone(&seen_commit(Epoch(epoch), reference, block(index, 0), 2))
}

fn commits(epoch: u64, index: u32, at_gei: u64) -> Entry {
    let result = Derived::Commit {
        commit: Arc::new(commit(epoch, index)),
        frame: frame(gei(at_gei), Epoch(epoch), CommitIndex(index)),
        transactions: [].into(),
        state_root: StateRoot([0; 32]),
        applied: [].into(),
    };
    derived(0, result)
}

/// The model derives epoch 0 with three commits, and epoch 1 with one.
fn model() -> Vec<Entry> {
    vec![
        began(0, 0),
        commits(0, 1, 1),
        commits(0, 2, 2),
        commits(0, 3, 3),
        began(1, 3),
        commits(1, 1, 4),
    ]
}

fn verdict(facts: impl IntoIterator<Item = Entry>) -> Option<Box<Violation>> {
    let trace: Vec<Entry> = model().into_iter().chain(facts).collect();
    judge_facts(Quorum::new(&Plan::example()), &trace)
}

fn passes(fact: Entry) {
    assert_eq!(verdict([fact]), None);
}

fn fires(fact: Entry, clause: &str, about: &str) {
    let violation = verdict([fact.clone()]).expect(about);
    assert_eq!(violation.clause, clause);
    assert!(violation.message.contains(about), "{}", violation.message);
    assert_eq!(violation.evidence.last(), Some(&fact));
}

fn of_node(fact: Fact) -> Entry {
    seen(5, ProcessId::Node(1), fact)
}

fn stores(commit: SeenCommit) -> Entry {
    of_node(Fact::CommitStored {
        commit: Arc::new(commit),
        durability: Durability::Synced,
    })
}

#[test]
fn a_stored_commit_is_decided() {
    passes(stores(commit(0, 2)));
    passes(stores(commit(1, 1)));
    // After the boundary, it must not be delivered.
    passes(stores(commit(0, 4)));
    fires(stores(commit(1, 2)), "commit-not-decided", "commit 2");
    fires(stores(commit(2, 1)), "commit-not-decided", "of epoch 2");
}

#[test]
fn a_commit_is_not_stored_before_it_is_decided() {
    let mut trace = model();
    let early = [trace[0].clone(), stores(commit(0, 1)), trace.remove(1)];
    let violation = judge_facts(Quorum::new(&Plan::example()), &early).unwrap();
    assert_eq!(violation.clause, "commit-not-decided");
}

#[test]
fn a_stored_commit_is_that_of_the_model() {
    let changes: Changes<SeenCommit> = &[
        (|c| c.leader.round.0 += 1, "expected leader "),
        (|c| c.timestamp_ms.0 += 1, "expected timestamp "),
        (|c| c.blocks.truncate(1), "expected blocks ["),
        (|c| c.ending.push(AuthorityIndex(1)), "end-of-epoch marks"),
        (|c| c.epoch_began_ms.0 += 1, "the epoch's first commit"),
        (|c| c.previous.0[0] += 1, "expected previous commit"),
        (|c| c.digest.0[0] += 1, "expected digest"),
    ];
    for (change, about) in changes {
        let mut other = commit(0, 2);
        change(&mut other);
        fires(stores(other.clone()), "commit-differs", about);
        let evidence = verdict([stores(other)]).unwrap().evidence;
        assert_eq!(evidence[0], model()[2]);
    }
}

fn sends(frame: Frame) -> Entry {
    of_node(Fact::FrameSent {
        connection: 1,
        frame: Arc::new(frame),
    })
}

fn makes_durable(frames: Vec<Frame>) -> Entry {
    let fact = Fact::Durable {
        watermark: frames.last().map_or(gei(0), |last| last.gei),
        state_root: StateRoot([0; 32]),
        blocks: frames.into_iter().map(Arc::new).collect(),
    };
    seen(5, ProcessId::Executor(1), fact)
}

fn delivered(at_gei: u64, epoch: u64, index: u32) -> Frame {
    Frame::clone(&frame(gei(at_gei), Epoch(epoch), CommitIndex(index)))
}

#[test]
fn a_delivered_block_is_decided() {
    passes(sends(delivered(2, 0, 2)));
    passes(makes_durable(vec![delivered(3, 0, 3), delivered(4, 1, 1)]));
    let beyond = [
        sends(delivered(5, 1, 2)),
        makes_durable(vec![delivered(4, 1, 1), delivered(5, 1, 2)]),
    ];
    for fact in beyond {
        fires(fact, "block-not-decided", "block 5: commit 2 of epoch 1");
    }
}

#[test]
fn a_delivered_block_is_that_of_the_model() {
    let changes: Changes<Frame> = &[
        (|f| f.epoch.0 += 1, "expected epoch"),
        (|f| f.commit.0 += 1, "expected commit"),
        (|f| f.timestamp_ms.0 += 1, "expected timestamp"),
        (|f| f.leader.0 += 1, "expected leader"),
        (
            |f| f.leader_address.push(1),
            "expected address of the leader",
        ),
        (
            |f| f.transactions.push(bytes::Bytes::new()),
            "expected number of transactions 0, found 1",
        ),
        (|f| f.content = ContentHash(9), "expected transactions"),
    ];
    for (change, about) in changes {
        let mut other = delivered(2, 0, 2);
        change(&mut other);
        fires(sends(other.clone()), "block-differs", about);
        let durable = makes_durable(vec![delivered(1, 0, 1), other]);
        fires(durable.clone(), "block-differs", about);
        assert_eq!(verdict([durable]).unwrap().evidence[0], model()[2]);
    }
}

fn record(epoch: u64, base: u64, step: ChangeStep) -> EpochRecord {
    EpochRecord {
        epoch: Epoch(epoch),
        base: gei(base),
        start_ms: TimestampMs(base),
        committee: committee(epoch),
        step,
    }
}

fn records(record: EpochRecord) -> Entry {
    let record = Arc::new(record);
    of_node(Fact::EpochRecorded { record })
}

#[test]
fn a_recorded_epoch_is_that_of_the_model() {
    let of_epoch = |epoch, base| record(epoch, base, ChangeStep::Running);
    passes(records(of_epoch(0, 0)));
    passes(records(of_epoch(1, 3)));
    fires(records(of_epoch(2, 4)), "epoch-not-begun", "before 2");
    let changes: Changes<EpochRecord> = &[
        (|r| r.base.0 += 1, "expected base"),
        (|r| r.start_ms.0 += 1, "expected start"),
        (|r| r.committee[0].stake += 1, "expected committee"),
    ];
    for (change, about) in changes {
        let mut other = of_epoch(1, 3);
        change(&mut other);
        fires(records(other), "epoch-differs", about);
    }
}

#[test]
fn an_epoch_is_left_with_synced_votes_of_a_quorum() {
    let votes = |authors: &[u16]| {
        of_node(Fact::BoundaryVotes {
            epoch: Epoch(0),
            commit: CommitIndex(3),
            authors: authors.iter().copied().map(AuthorityIndex).collect(),
        })
    };
    passes(votes(&[0]));
    fires(votes(&[]), "left-without-votes", "of stake 0 of 1");
    fires(votes(&[1]), "left-without-votes", "of stake 0 of 1");
}

#[test]
fn a_recorded_boundary_is_that_of_the_model() {
    let boundary = SeenBoundary {
        commit: CommitIndex(3),
        digest: commit(0, 3).digest,
        gei: gei(3),
        timestamp_ms: TimestampMs(3),
    };
    let steps: [fn(SeenBoundary) -> ChangeStep; 3] = [
        ChangeStep::BoundaryCommitted,
        ChangeStep::Drained,
        ChangeStep::Advanced,
    ];
    let changes: [fn(&mut SeenBoundary); 4] = [
        |b| b.commit.0 -= 1,
        |b| b.digest.0[0] += 1,
        |b| b.gei.0 += 1,
        |b| b.timestamp_ms.0 += 1,
    ];
    for step in steps {
        passes(records(record(0, 0, step(boundary))));
        for change in changes {
            let mut other = boundary;
            change(&mut other);
            let fact = records(record(0, 0, step(other)));
            fires(fact, "boundary-differs", "to end with GEI 3 at 3 ms");
        }
    }
    let of_running = SeenBoundary {
        commit: CommitIndex(1),
        digest: commit(1, 1).digest,
        gei: gei(4),
        timestamp_ms: TimestampMs(4),
    };
    let fact = records(record(1, 3, ChangeStep::Drained(of_running)));
    fires(fact, "boundary-differs", "expected epoch 1 not to end yet");
}

fn stores_block(n: u16, block: BlockRef) -> Entry {
    let fact = Fact::BlockStored {
        block: seen_block(Epoch(0), block),
        durability: Durability::Buffered,
    };
    seen(5, ProcessId::Node(n), fact)
}

#[test]
fn no_node_stores_an_invalid_block() {
    let plan = Plan::example();
    let reference = block_of(&plan, 0, 1, 0);
    let invalid = Derived::InvalidBlock {
        block: reference,
        reason: "for a test".to_owned(),
    };
    let own = || proposes(4, &plan, 0, 1, 0);
    passes(own());
    let violation = verdict([derived(3, invalid.clone()), own()]).unwrap();
    assert_eq!(violation.clause, "invalid-block-stored");
    // Of an author that need not store it.
    let mut plan = plan.clone();
    plan.byzantine.push(ByzantinePlan {
        validator: 0,
        strategy: ByzantineStrategy::Invalid,
        program: vec![],
    });
    let judged = |trace: &[Entry]| judge_facts(Quorum::new(&plan), trace);
    assert_eq!(judged(&[stores_block(1, reference)]), None);
    let violation = judged(&[derived(3, invalid), stores_block(1, reference)]).unwrap();
    assert_eq!(violation.clause, "invalid-block-stored");
}

#[test]
fn a_block_of_an_honest_author_is_stored_by_it_first() {
    let mut plan = Plan::example();
    let reference = block_of(&plan, 0, 1, 0);
    let own = proposes(4, &plan, 0, 1, 0);
    assert_eq!(verdict([own, stores_block(1, reference)]), None);
    fires(
        stores_block(1, reference),
        "block-not-of-its-author",
        "node-0 is honest and never stored",
    );
    let other = proposes(4, &plan, 0, 2, 0);
    assert!(verdict([other, stores_block(1, reference)]).is_some());
    plan.byzantine.push(ByzantinePlan {
        validator: 0,
        strategy: ByzantineStrategy::Forging,
        program: vec![],
    });
    let forged = [stores_block(1, reference)];
    assert_eq!(judge_facts(Quorum::new(&plan), &forged), None);
}
