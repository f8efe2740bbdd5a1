//! EPOCH on constructed traces: each violation, and the nearest legal trace.

use super::{
    Violation,
    epoch::{Epochs, is_due, must_end},
    facts::{proposes, seen},
    testing::{judge, judge_facts},
    truthful::with_facts,
};
use crate::{
    clock::ORIGIN_MS,
    faults::{ClockFault, Fault, PlannedFault, Trigger},
    plan::{ByzantinePlan, ByzantineStrategy, Plan, Topology},
    trace::{
        Entry, ProcessId, SimTime, What, WorldEvent,
        testing::{
            advanced, boundary_committed, drained, entered, executor, node, opened, world_event,
        },
    },
    witness::{ChangeStep as SeenStep, EpochRecord, Fact},
};
use metanode_core::{
    env::NodeEvent,
    types::{ChangeStep, Epoch, TimestampMs},
};
use std::sync::Arc;

fn verdict(topology: Topology, trace: &[Entry]) -> Option<Box<Violation>> {
    let plan = Plan {
        topology,
        ..Plan::example()
    };
    judge(Epochs::new(&plan), trace)
}

fn fires(trace: &[Entry], about: &str) {
    let violation = verdict(Topology::MasterPerNode, trace).expect(about);
    assert!(violation.message.contains(about), "{}", violation.message);
    assert_eq!(
        violation.evidence.last(),
        with_facts(trace).iter().rev().find(|entry| is_fact(entry))
    );
}

fn is_fact(entry: &Entry) -> bool {
    matches!(entry.what, What::Seen(_))
}

fn passes(trace: &[Entry]) {
    assert_eq!(verdict(Topology::MasterPerNode, trace), None);
}

/// An older backup of an executor is restored.
fn restored(n: u16) -> Entry {
    let taken = SimTime::from_ms(0);
    world_event(
        0,
        ProcessId::Executor(n),
        WorldEvent::DiskRestored {
            taken,
            copied_from: None,
        },
    )
}

/// Node 0 and its executor go from epoch 0, which ends with GEI 10, to epoch 1.
fn change() -> Vec<Entry> {
    vec![
        node(0, 0, opened(0, 0)),
        node(1, 0, boundary_committed(0, 10)),
        node(2, 0, drained(0, 10)),
        executor(3, 0, entered(1, 10)),
        node(4, 0, advanced(0, 10)),
        node(5, 0, opened(1, 10)),
    ]
}

fn after_change(entries: Vec<Entry>) -> Vec<Entry> {
    [change(), entries].concat()
}

#[test]
fn every_node_records_the_same_change() {
    let others = [
        node(6, 1, opened(0, 0)),
        node(7, 1, boundary_committed(0, 10)),
        node(8, 1, drained(0, 10)),
        executor(9, 1, entered(1, 10)),
        node(10, 1, advanced(0, 10)),
        node(11, 1, opened(1, 10)),
    ];
    passes(&after_change(others.to_vec()));
}

#[test]
fn an_epoch_has_one_base() {
    let later = |entry: Entry| after_change(vec![node(6, 1, opened(0, 0)), entry]);
    fires(&later(node(7, 1, opened(1, 11))), "found GEI 11");
    fires(&later(executor(7, 1, entered(1, 9))), "found GEI 9");
    fires(
        &later(node(7, 1, boundary_committed(0, 11))),
        "expected epoch 1 to begin after GEI 10",
    );
}

#[test]
fn an_epoch_has_one_start_committee_and_last_commit() {
    let mut other_start = opened(1, 10);
    let mut other_committee = opened(1, 10);
    let mut other_commit = boundary_committed(0, 10);
    if let NodeEvent::EpochOpened {
        start_timestamp_ms, ..
    } = &mut other_start
    {
        start_timestamp_ms.0 += 1;
    }
    if let NodeEvent::EpochOpened { committee, .. } = &mut other_committee {
        committee.0[0] += 1;
    }
    if let NodeEvent::ChangeRecorded {
        step: ChangeStep::BoundaryCommitted(boundary),
        ..
    } = &mut other_commit
    {
        boundary.commit.digest.0[0] += 1;
    }
    let later = |event| after_change(vec![node(6, 1, opened(0, 0)), node(7, 1, event)]);
    fires(&later(other_start), "expected epoch 1 to begin");
    fires(&later(other_committee), "expected the committee of epoch 1");
    fires(&later(other_commit), "expected epoch 0 to end with commit");
}

/// Node 0 writes this record of epoch 0, which ends with GEI 10.
fn writes(at_ms: u64, change: impl Fn(&mut EpochRecord)) -> Entry {
    let facts = with_facts(&[node(at_ms, 0, opened(0, 0))]);
    let mut facts = facts.into_iter().filter_map(|entry| match entry.what {
        What::Seen(Fact::EpochRecorded { record }) => Some(record),
        _ => None,
    });
    let mut record = EpochRecord::clone(&facts.next().unwrap());
    change(&mut record);
    let record = Arc::new(record);
    seen(at_ms, ProcessId::Node(0), Fact::EpochRecorded { record })
}

#[test]
fn no_step_of_a_change_is_skipped_or_repeated() {
    let without = |position: usize| {
        let mut trace = change();
        trace.truncate(5);
        trace.remove(position);
        trace
    };
    fires(&without(1)[..2], "does not follow running");
    fires(&without(2), "does not follow boundary committed");
    // The record may be written again as it is.
    passes(&[&change()[..3], &change()[2..]].concat());
    for last in 2..5 {
        let mut trace = change();
        trace.truncate(last + 1);
        trace.push(node(6, 0, boundary_committed(0, 10)));
        fires(&trace, "boundary committed, boundary");
    }
    let back = after_change(vec![writes(6, |record| record.step = SeenStep::Running)]);
    let violation = verdict(Topology::MasterPerNode, &back).unwrap();
    assert_eq!(violation.clause, "change-of-another-epoch");
    let back = [
        &change()[..3],
        &[writes(6, |record| record.step = SeenStep::Running)],
    ]
    .concat();
    fires(&back, "running does not follow executor drained");
}

#[test]
fn a_crash_between_two_steps_does_not_repeat_steps() {
    for crash in 1..5 {
        let mut trace = change();
        let start = [
            world_event(0, ProcessId::Node(0), WorldEvent::Killed),
            world_event(0, ProcessId::Node(0), WorldEvent::Started { start: 2 }),
            node(0, 0, opened(0, 0)),
        ];
        trace.splice(crash..crash, start);
        passes(&trace);
    }
    let again = vec![
        world_event(6, ProcessId::Node(0), WorldEvent::Started { start: 2 }),
        node(7, 0, opened(1, 10)),
        node(8, 0, boundary_committed(0, 10)),
    ];
    fires(&after_change(again), "which it is not in");
}

#[test]
fn only_a_node_that_does_not_deliver_skips_a_step() {
    let watches = [
        node(0, 1, opened(0, 0)),
        node(1, 1, boundary_committed(0, 10)),
        executor(2, 0, entered(1, 10)),
        node(3, 1, advanced(0, 10)),
    ];
    assert_eq!(verdict(Topology::SingleMaster, &watches), None);
    fires(&watches, "does not follow");
}

#[test]
fn a_node_may_find_its_executor_in_a_later_epoch() {
    let mut trace = change();
    trace.remove(4);
    passes(&trace);
    passes(&after_change(vec![node(6, 1, opened(1, 10))]));
}

#[test]
fn an_executor_enters_one_epoch_after_the_other() {
    fires(&[executor(0, 0, entered(2, 10))], "expected epoch 1");
    fires(
        &after_change(vec![executor(6, 0, entered(1, 10))]),
        "expected epoch 2 after epoch 1, entered 1",
    );
    passes(&after_change(vec![executor(6, 0, entered(2, 20))]));
    passes(&after_change(vec![
        restored(0),
        executor(6, 0, entered(1, 10)),
    ]));
    fires(
        &after_change(vec![restored(1), executor(6, 0, entered(1, 10))]),
        "entered 1",
    );
}

/// Node 0 proposes in this epoch.
fn proposed(at_ms: u64, epoch: u64) -> Entry {
    proposes(at_ms, &Plan::example(), epoch, at_ms as u32, 0)
}

#[test]
fn a_node_goes_back_with_its_executor_and_repeats_the_change() {
    let again = [vec![restored(0)], change()].concat();
    passes(&after_change(again));
    fires(&after_change(change()[1..2].to_vec()), "which it is not in");
    fires(
        &after_change([vec![restored(1)], change()[1..2].to_vec()].concat()),
        "which it is not in",
    );
    let of_all = [
        vec![
            node(0, 2, opened(0, 0)),
            node(0, 2, boundary_committed(0, 10)),
        ],
        vec![node(1, 2, advanced(0, 10)), node(2, 2, opened(1, 10))],
        vec![restored(0), node(6, 2, boundary_committed(0, 10))],
    ];
    assert_eq!(verdict(Topology::SingleMaster, &of_all.concat()), None);
}

#[test]
fn a_node_proposes_in_an_older_epoch_only_after_its_executor_was_restored() {
    let proposals = |entries: &[Entry]| [&[proposed(6, 0), proposed(7, 1)], entries].concat();
    passes(&proposals(&[proposed(8, 1), proposed(9, 2)]));
    fires(&proposals(&[proposed(8, 0)]), "lost nothing");
    fires(&proposals(&[restored(1), proposed(8, 0)]), "lost nothing");
    // A reply from before the backup may be used once.
    let fell = [
        restored(0),
        proposed(8, 1),
        proposed(9, 0),
        proposed(10, 0),
        proposed(11, 1),
    ];
    passes(&proposals(&fell));
    let twice = [&fell[..], &[proposed(12, 0)]].concat();
    fires(&proposals(&twice), "lost nothing");
    passes(&proposals(
        &[&fell[..], &[restored(0), proposed(12, 0)]].concat(),
    ));
    // Blocks of others do not count.
    let mut of_another = proposals(&[proposes(8, &Plan::example(), 0, 8, 3)]);
    of_another[2].process = ProcessId::Node(0);
    passes(&of_another);
}

#[test]
fn one_backup_allows_one_return() {
    let returned = [vec![restored(0)], change()[1..].to_vec()].concat();
    passes(&after_change(returned.clone()));
    let epoch_1 = vec![node(6, 0, boundary_committed(1, 20))];
    passes(&after_change([returned.clone(), epoch_1.clone()].concat()));
    let twice = [returned.clone(), epoch_1, change()[1..2].to_vec()].concat();
    fires(&after_change(twice), "which it is not in");
}

#[test]
fn a_change_begins_again_after_its_store_was_removed() {
    let removed = |removed: bool| {
        let mut trace = change()[..3].to_vec();
        if removed {
            let event = NodeEvent::EpochRemoved { epoch: Epoch(0) };
            trace.push(node(6, 0, event));
        }
        trace.push(writes(7, |record| record.step = SeenStep::Running));
        trace
    };
    passes(&removed(true));
    fires(&removed(false), "running does not follow");
    let changes = [removed(true), vec![node(8, 0, boundary_committed(0, 10))]].concat();
    passes(&changes);
}

#[test]
fn one_backup_allows_one_repeated_change() {
    let drained_for_nothing = vec![
        node(0, 0, opened(0, 0)),
        node(1, 0, boundary_committed(0, 10)),
        restored(0),
        node(2, 0, drained(0, 10)),
        node(3, 0, boundary_committed(0, 10)),
        node(4, 0, drained(0, 10)),
    ];
    passes(&drained_for_nothing);
    let again = vec![node(5, 0, boundary_committed(0, 10))];
    fires(&[drained_for_nothing, again].concat(), "does not follow");
}

#[test]
fn an_epoch_is_due_by_the_clocks_of_a_quorum() {
    let mut plan = Plan::example();
    plan.epochs.duration_ms = Some(100);
    let start = TimestampMs(ORIGIN_MS);
    let due = |plan: &Plan| is_due(plan, Epoch(0), start, SimTime::from_ms(1));
    plan.clock_skew_ms = vec![100, 99, 98, 99];
    assert!(due(&plan));
    plan.clock_skew_ms[1] = 98;
    assert!(!due(&plan));
    // A Byzantine member may mark it, and need not.
    plan.clock_skew_ms = vec![100, 99, 98, 99];
    let ends = |plan: &Plan| must_end(plan, Epoch(0), start, SimTime::from_ms(1), |_| true);
    assert!(ends(&plan));
    let byzantine = |validator| ByzantinePlan {
        validator,
        strategy: ByzantineStrategy::Lying,
        program: vec![],
    };
    plan.byzantine.push(byzantine(3));
    assert!(due(&plan) && !ends(&plan));
    plan.byzantine[0] = byzantine(2);
    assert!(due(&plan) && ends(&plan));
    plan.stays_down.push(0);
    assert!(due(&plan) && !ends(&plan));
}

#[test]
fn an_epoch_does_not_end_before_it_is_due() {
    let mut plan = Plan::example();
    plan.epochs.duration_ms = Some(100);
    let ends = |at_ms: u64| {
        let mut trace = with_facts(&[
            node(0, 0, opened(0, 0)),
            node(at_ms, 0, boundary_committed(0, 10)),
        ]);
        trace.retain(is_fact);
        for entry in &mut trace {
            if let What::Seen(Fact::EpochRecorded { record }) = &mut entry.what {
                Arc::make_mut(record).start_ms = TimestampMs(ORIGIN_MS + 50);
            }
        }
        judge_facts(Epochs::new(&plan), &trace)
    };
    assert_eq!(ends(149).unwrap().clause, "ended-too-early");
    assert_eq!(ends(150), None);
}

/// The epochs began in 1970, so they are due by all clocks.
#[test]
fn an_epoch_lasts_however_late_it_begins() {
    let mut plan = Plan::example();
    plan.epochs.duration_ms = Some(100);
    let ends = |first_ms, second_ms| {
        [
            node(0, 0, opened(0, 0)),
            node(first_ms, 0, boundary_committed(0, 10)),
            node(first_ms, 0, drained(0, 10)),
            node(first_ms, 0, advanced(0, 10)),
            node(first_ms, 0, opened(1, 10)),
            node(second_ms, 0, boundary_committed(1, 20)),
        ]
    };
    let judged = |plan: &Plan, trace: &[Entry]| judge(Epochs::new(plan), trace);
    assert_eq!(judged(&plan, &ends(100, 200)), None);
    for (first, second) in [(90, 300), (150, 240)] {
        let violation = judged(&plan, &ends(first, second)).unwrap();
        assert_eq!(violation.clause, "lasted-too-short");
    }
    // A Byzantine validator can move the median by at most the difference of honest clocks.
    plan.clock_skew_ms = vec![-7, 13, 0, 900];
    plan.byzantine.push(ByzantinePlan {
        validator: 3,
        strategy: ByzantineStrategy::Lying,
        program: vec![],
    });
    assert_eq!(judged(&plan, &ends(80, 160)), None);
    assert!(judged(&plan, &ends(70, 300)).is_some());
    // Clocks that jump are not judged.
    let trigger = Trigger::default();
    let fault = Fault::Clock(ClockFault::JumpClock {
        hosts: vec![1],
        by_ms: 5,
    });
    plan.faults.push(PlannedFault { trigger, fault });
    assert_eq!(judged(&plan, &ends(1, 2)), None);
}
