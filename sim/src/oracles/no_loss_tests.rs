//! NOLOSS on constructed traces: each violation, and the nearest legal trace.

use super::{
    Oracle, Violation,
    facts::{block_of, proposes, seen},
    no_loss::NoLoss,
    testing::judge,
    truthful::{seen_block, with_facts},
};
use crate::{
    model,
    plan::{CommitteePlan, Member, Plan},
    trace::{
        Entry, ProcessId, WorldEvent,
        testing::{
            durable, executor, follows, node, opened, power_lost, stored, submitted, transaction,
            world_event,
        },
    },
    witness::{Durability, Fact, SeenBlock},
};
use metanode_core::types::Epoch;
use std::sync::Arc;

/// The example's faults end at 10 s, and 20 s are given.
const FAULTS_END_MS: u64 = 10_000;

/// Node 1 accepts the transaction of block 1 at 5 s, then `entries` follow, until `end_ms`. It proposes after faults
/// ended.
fn ends_at(plan: &Plan, end_ms: u64, entries: Vec<Entry>) -> (NoLoss, Option<Box<Violation>>) {
    let mut trace = vec![
        node(0, 1, opened(0, 0)),
        world_event(5_000, ProcessId::Node(1), submitted(1)),
    ];
    trace.extend(entries);
    let ended = world_event(FAULTS_END_MS, ProcessId::World, WorldEvent::FaultsEnded);
    let proposes = proposes(11_000, plan, 0, 9, 1);
    for entry in [ended, proposes] {
        let until_then = trace.partition_point(|earlier| earlier.at <= entry.at);
        trace.insert(until_then, entry);
    }
    trace.push(executor(end_ms, 0, durable(90)));
    let mut oracle = NoLoss::new(plan);
    for entry in with_facts(&trace) {
        oracle.observe(&entry).unwrap();
    }
    (oracle, judge(NoLoss::new(plan), &trace))
}

fn verdict(entries: Vec<Entry>) -> Option<Box<Violation>> {
    ends_at(&Plan::example(), 30_000, entries).1
}

/// The model derives the block, and the executor makes it durable.
fn executes(at_ms: u64, n: u16, block: u64) -> Vec<Entry> {
    vec![
        node(at_ms, 2, stored(block)),
        executor(at_ms, n, durable(block)),
    ]
}

#[test]
fn a_transaction_that_is_never_executed_is_lost() {
    let also = vec![
        world_event(6_000, ProcessId::Node(1), submitted(2)),
        world_event(7_000, ProcessId::Node(2), submitted(3)),
    ];
    let violation = verdict(also).unwrap();
    assert_eq!(violation.process, ProcessId::Node(1));
    let expected = format!(
        "not executed of node-1: 2, the first of them {}, accepted at 5.000s",
        model::hash(&transaction(1))
    );
    assert!(
        violation.message.ends_with(&expected),
        "{}",
        violation.message
    );
    let evidence = [
        world_event(5_000, ProcessId::Node(1), submitted(1)),
        world_event(6_000, ProcessId::Node(1), submitted(2)),
        world_event(FAULTS_END_MS, ProcessId::World, WorldEvent::FaultsEnded),
    ];
    assert_eq!(violation.evidence, evidence);
}

#[test]
fn a_queued_transaction_is_not_lost() {
    let with = |n, executed_ms| {
        let accepted = world_event(6_000, ProcessId::Node(n), submitted(2));
        verdict([vec![accepted], executes(executed_ms, 0, 2)].concat())
    };
    assert!(with(1, 12_000).is_some(), "a later one was executed");
    assert_eq!(with(1, 29_000), None, "at the last moment: it may be next");
    assert!(with(2, 29_000).is_some(), "its own node does nothing");
}

#[test]
fn what_a_node_accepts_again_is_owed_from_the_first_time_on() {
    let again = |at_ms, of| world_event(at_ms, ProcessId::Node(1), submitted(of));
    assert!(verdict(vec![again(10_500, 1)]).is_some());
    let queued = [
        vec![again(6_000, 2), again(7_000, 1)],
        executes(12_000, 0, 1),
    ];
    assert_eq!(verdict(queued.concat()), None, "2 is behind the first 1");
}

#[test]
fn what_another_node_proposed_overtakes_nothing() {
    let accepted = |at_ms, n, of| world_event(at_ms, ProcessId::Node(n), submitted(of));
    let copied = |n| {
        let accepted = vec![
            accepted(5_500, n, 2),
            accepted(6_000, n, 3),
            accepted(6_000, 1, 3),
        ];
        [executes(5_200, 0, 1), accepted, executes(12_000, 0, 3)].concat()
    };
    assert_eq!(verdict(copied(2)), None, "node-1 has proposed it");
    assert!(verdict(copied(1)).is_some());
}

#[test]
fn an_executor_that_lags_behind_may_still_execute_it() {
    let committed = |of| verdict(vec![node(12_000, 2, stored(of))]);
    assert!(committed(90).is_some(), "the executor is at 90");
    assert_eq!(committed(91), None);
}

#[test]
fn a_node_that_does_not_propose_loses_nothing() {
    let accepted = world_event(5_000, ProcessId::Node(2), submitted(2));
    let pressed = [vec![accepted], executes(6_000, 0, 1)].concat();
    assert_eq!(verdict(pressed.clone()), None);
    let of_another = seen_block(Epoch(0), block_of(&Plan::example(), 0, 9, 3));
    let stored = |block| {
        let durability = Durability::Buffered;
        let fact = Fact::BlockStored { block, durability };
        seen(12_000, ProcessId::Node(2), fact)
    };
    assert_eq!(
        verdict([pressed.clone(), vec![stored(of_another)]].concat()),
        None
    );
    let own = seen_block(Epoch(0), block_of(&Plan::example(), 0, 9, 2));
    assert!(verdict([pressed, vec![stored(own)]].concat()).is_some());
}

#[test]
fn what_a_node_proposed_in_an_epoch_that_others_have_left_is_still_queued() {
    let others_go_on = |at_ms| vec![node(at_ms, 2, opened(1, 4))];
    assert!(verdict(vec![]).is_some());
    assert_eq!(verdict(others_go_on(12_000)), None);
    let it_follows = [others_go_on(12_000), vec![node(20_000, 1, opened(1, 4))]].concat();
    assert!(verdict(it_follows).is_some());
}

#[test]
fn any_executor_may_execute_it_until_the_end() {
    assert_eq!(verdict(executes(6_000, 0, 1)), None);
    assert_eq!(verdict(executes(29_999, 3, 1)), None);
    assert!(verdict(executes(29_999, 3, 2)).is_some());
}

#[test]
fn it_is_executed_when_a_block_that_applies_it_is_durable() {
    let only_committed = |end_ms| {
        let plan = Plan::example();
        let trace = vec![node(6_000, 2, stored(91))];
        ends_at(&plan, end_ms, trace).0.is_satisfied()
    };
    assert!(!only_committed(30_000));
    let durable_before = vec![executor(6_000, 0, durable(0)), node(6_000, 2, stored(1))];
    let (oracle, _) = ends_at(&Plan::example(), 30_000, durable_before);
    assert!(oracle.is_satisfied(), "durable with block 90");
}

#[test]
fn a_run_that_ends_before_the_time_is_up_proves_nothing() {
    let plan = Plan::example();
    let (oracle, early) = ends_at(&plan, 29_999, vec![]);
    assert_eq!(early, None);
    assert!(!oracle.is_satisfied());
    assert!(
        ends_at(&plan, 29_999, executes(6_000, 0, 1))
            .0
            .is_satisfied()
    );
}

#[test]
fn transactions_accepted_after_faults_ended_are_not_judged() {
    let mut later = executes(6_000, 0, 1);
    later.push(world_event(10_001, ProcessId::Node(1), submitted(2)));
    assert_eq!(verdict(later), None);
}

#[test]
fn transactions_in_memory_are_lost_with_their_process() {
    let ends = [
        WorldEvent::Killed,
        power_lost(0),
        WorldEvent::Panicked {
            message: String::new(),
        },
    ];
    for end in ends {
        let of = |n| verdict(vec![world_event(6_000, ProcessId::Node(n), end.clone())]);
        assert_eq!(of(1), None);
        assert!(of(2).is_some());
    }
    let next_incarnation = vec![
        world_event(6_000, ProcessId::Node(1), WorldEvent::Killed),
        world_event(6_500, ProcessId::Node(1), WorldEvent::Started { start: 2 }),
        world_event(7_000, ProcessId::Node(1), submitted(2)),
    ];
    assert!(verdict(next_incarnation).is_some());
}

#[test]
fn a_transaction_in_a_synced_own_block_survives_its_process() {
    let lost = |author: u16, durability| {
        let reference = block_of(&Plan::example(), 0, 5, author);
        let mut block = SeenBlock::clone(&seen_block(Epoch(0), reference));
        block.transactions = vec![transaction(1)];
        let block = Arc::new(block);
        let fact = Fact::BlockStored { block, durability };
        verdict(vec![
            seen(5_500, ProcessId::Node(1), fact),
            world_event(6_000, ProcessId::Node(1), WorldEvent::Killed),
        ])
        .is_some()
    };
    assert!(lost(1, Durability::Synced));
    assert!(!lost(1, Durability::Buffered));
    assert!(!lost(2, Durability::Synced), "of another node");
}

#[test]
fn a_node_that_stays_down_owes_nothing() {
    let mut plan = Plan::example();
    assert!(ends_at(&plan, 30_000, vec![]).1.is_some());
    plan.stays_down.push(1);
    assert_eq!(ends_at(&plan, 30_000, vec![]).1, None);
}

#[test]
fn a_node_that_is_not_a_member_is_not_judged() {
    let mut plan = Plan::example();
    let members_from = |epoch, members: &[u16]| CommitteePlan {
        from_epoch: Epoch(epoch),
        members: members.iter().copied().map(Member::plain).collect(),
    };
    plan.epochs.committees = vec![
        members_from(0, &[0, 1, 2, 3]),
        members_from(1, &[0, 2, 3]),
        members_from(2, &[0, 1, 2, 3]),
    ];
    let follows = vec![node(12_000, 1, follows(1, 10))];
    let (oracle, verdict) = ends_at(&plan, 30_000, follows.clone());
    assert_eq!(verdict, None);
    assert!(oracle.is_satisfied());
    let again = [follows, vec![node(14_000, 1, opened(2, 20))]].concat();
    let (oracle, verdict) = ends_at(&plan, 30_000, again);
    assert!(verdict.is_some());
    assert!(!oracle.is_satisfied());
}
