//! NOLOSS on constructed traces: each violation, and the nearest legal trace.

use super::{
    Oracle, Violation,
    facts::{block_of, proposes, seen},
    no_loss::NoLoss,
    testing::judge,
    truthful::{seen_block, with_facts},
};
use crate::{
    plan::{CommitteePlan, Member, Plan},
    trace::{
        Entry, ProcessId, SimTime, What, WorldEvent,
        testing::{
            durable, executor, follows, node, opened, power_lost, stored, taken, transaction,
            world_event,
        },
    },
    witness::{Durability, Fact, hash},
};
use metanode_core::types::Epoch;

/// The example's faults end at 10 s, and 20 s are given.
const FAULTS_END_MS: u64 = 10_000;

/// Node 1 accepts the transaction of block 1 at 5 s, then `entries` follow, until `end_ms`. It proposes after faults
/// ended.
fn ends_at(plan: &Plan, end_ms: u64, entries: Vec<Entry>) -> (NoLoss, Option<Box<Violation>>) {
    let mut trace = vec![node(0, 1, opened(0, 0)), taken(5_000, 1, 1)];
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
    let also = vec![taken(6_000, 1, 2), taken(7_000, 2, 3)];
    let violation = verdict(also).unwrap();
    assert_eq!(violation.process, ProcessId::Node(1));
    let expected = format!(
        "not executed of node-1: 2, the first of them {}, taken at 5.000s",
        hash(&transaction(1))
    );
    assert!(
        violation.message.ends_with(&expected),
        "{}",
        violation.message
    );
    let evidence = [
        taken(5_000, 1, 1),
        taken(6_000, 1, 2),
        world_event(FAULTS_END_MS, ProcessId::World, WorldEvent::FaultsEnded),
    ];
    assert_eq!(violation.evidence, evidence);
}

#[test]
fn a_queued_transaction_is_not_lost() {
    let with = |n, executed_ms| {
        let accepted = taken(6_000, n, 2);
        verdict([vec![accepted], executes(executed_ms, 0, 2)].concat())
    };
    assert!(with(1, 12_000).is_some(), "a later one was executed");
    assert_eq!(with(1, 29_000), None, "at the last moment: it may be next");
    assert!(with(2, 29_000).is_some(), "its own node does nothing");
}

#[test]
fn what_a_node_accepts_again_is_owed_from_the_first_time_on() {
    let again = |at_ms, of| taken(at_ms, 1, of);
    assert!(verdict(vec![again(10_500, 1)]).is_some());
    let queued = [
        vec![again(6_000, 2), again(7_000, 1)],
        executes(12_000, 0, 1),
    ];
    assert_eq!(verdict(queued.concat()), None, "2 is behind the first 1");
}

#[test]
fn what_another_node_proposed_overtakes_nothing() {
    let accepted = |at_ms, n, of| taken(at_ms, n, of);
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
    let accepted = taken(5_000, 2, 2);
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
    later.push(taken(10_001, 1, 2));
    assert_eq!(verdict(later), None);
}

#[test]
fn what_was_promised_survives_its_process() {
    let ends = [WorldEvent::Killed, WorldEvent::Exited, power_lost(3)];
    for end in ends {
        let ended = world_event(6_000, ProcessId::Node(1), end);
        assert!(verdict(vec![ended]).is_some());
    }
}

#[test]
fn what_was_promised_after_the_backup_of_a_restored_disk_is_excused() {
    let restored = |taken_ms| {
        let restored = WorldEvent::DiskRestored {
            taken: SimTime::from_ms(taken_ms),
            copied_from: None,
        };
        verdict(vec![world_event(6_000, ProcessId::Node(1), restored)])
    };
    assert!(restored(5_001).is_some());
    assert_eq!(restored(5_000), None);
}

/// The verdict on these facts of node 1 and executor 1.
fn at_once(facts: Vec<Entry>) -> Option<&'static str> {
    let mut oracle = NoLoss::new(&Plan::example());
    let judged = facts.iter().map(|entry| oracle.observe(entry));
    judged
        .filter_map(Result::err)
        .map(|violation| violation.clause)
        .next()
}

fn journal(at_ms: u64, fact: Fact) -> Entry {
    seen(at_ms, ProcessId::Node(1), fact)
}

fn written(at_ms: u64, of: u64, durability: Durability) -> Entry {
    let transactions = vec![hash(&transaction(of))];
    journal(
        at_ms,
        Fact::JournalWritten {
            transactions,
            durability,
        },
    )
}

#[test]
fn a_reply_before_the_sync_is_a_broken_promise() {
    let promised = Some("promised-before-synced");
    let (buffered, synced) = (Durability::Buffered, Durability::Synced);
    assert_eq!(at_once(vec![taken(2, 1, 4)]), promised);
    assert_eq!(
        at_once(vec![written(1, 4, buffered), taken(2, 1, 4)]),
        promised
    );
    assert_eq!(at_once(vec![written(1, 4, synced), taken(2, 1, 4)]), None);
    assert_eq!(
        at_once(vec![written(1, 4, synced), taken(2, 2, 4)]),
        promised
    );
    let synced_by_another = vec![
        written(1, 4, buffered),
        written(1, 5, synced),
        taken(2, 1, 4),
    ];
    assert_eq!(at_once(synced_by_another), None);
    let found = |of| {
        journal(
            1,
            Fact::JournalFound {
                transactions: vec![hash(&transaction(of))],
            },
        )
    };
    assert_eq!(at_once(vec![found(4), taken(2, 1, 4)]), None);
    let lost = vec![written(0, 4, synced), found(5), taken(2, 1, 4)];
    assert_eq!(at_once(lost), promised);
}

#[test]
fn a_start_finds_what_was_promised() {
    let starts_with = |of| {
        let transactions = vec![hash(&transaction(of))];
        let found = journal(3, Fact::JournalFound { transactions });
        at_once(vec![
            written(1, 4, Durability::Synced),
            taken(2, 1, 4),
            found,
        ])
    };
    assert_eq!(starts_with(4), None);
    assert_eq!(starts_with(5), Some("lost-from-the-journal"));
}

#[test]
fn what_is_executed_may_be_promised_and_leave_the_journal() {
    let with = |mut facts: Vec<Entry>, last: Entry| {
        facts.push(last);
        at_once(
            with_facts(&facts)
                .into_iter()
                .filter(|entry| !matches!(entry.what, What::Process(_)))
                .collect(),
        )
    };
    let removed = || {
        journal(
            9,
            Fact::JournalRemoved {
                transactions: vec![hash(&transaction(1))],
            },
        )
    };
    let early = Some("removed-before-executed");
    assert_eq!(with(vec![], removed()), early);
    assert_eq!(with(vec![node(2, 2, stored(1))], removed()), early);
    assert_eq!(
        with(executes(2, 0, 1), removed()),
        early,
        "another executor"
    );
    assert_eq!(with(executes(2, 1, 1), removed()), None);
    let again = with(
        executes(2, 0, 1),
        journal(
            3,
            Fact::JournalFound {
                transactions: vec![],
            },
        ),
    );
    assert_eq!(again, None);
}

#[test]
fn a_node_that_stays_down_owes_nothing() {
    let mut plan = Plan::example();
    assert!(ends_at(&plan, 30_000, vec![]).1.is_some());
    plan.stays_down.push(1);
    assert_eq!(ends_at(&plan, 30_000, vec![]).1, None);
}

#[test]
fn a_node_without_a_seat_hands_over_what_it_promised() {
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
    assert!(verdict.is_some());
    assert!(!oracle.is_satisfied());
    let takes = [follows.clone(), vec![taken(13_000, 2, 1)]].concat();
    let (oracle, verdict) = ends_at(&plan, 30_000, takes);
    assert_eq!(verdict, None);
    assert!(oracle.is_satisfied());
    let sent = Fact::BatchSent {
        connection: 99,
        number: 1,
        transactions: 1,
        bytes: 1,
    };
    let refused = Fact::BatchAnswered {
        connection: 99,
        number: 1,
        success: false,
        for_good: false,
        taken: [].into(),
        bytes: 1,
    };
    let refused = vec![
        seen(13_000, ProcessId::Node(1), sent),
        seen(13_000, ProcessId::Node(2), refused),
    ];
    let refused = [follows.clone(), refused].concat();
    assert_eq!(ends_at(&plan, 30_000, refused).1, None);
    let again = [follows, vec![node(14_000, 1, opened(2, 20))]].concat();
    let (oracle, verdict) = ends_at(&plan, 30_000, again);
    assert!(verdict.is_some());
    assert!(!oracle.is_satisfied());
}
