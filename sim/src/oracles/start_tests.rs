//! START on constructed traces: each violation, and the nearest legal trace.

use super::{Violation, start::Start, testing::judge};
use crate::{
    disk::DiskFailure,
    faults::{Channel, ClockFault, DiskFault, Fault, PlannedFault, SocketFault, Trigger},
    net::Hijack,
    plan::{ByzantinePlan, ByzantineStrategy, Plan},
    trace::{
        Entry, ProcessId, SimTime, What, WorldEvent,
        testing::{executor, found, node, stored, world_event},
    },
    witness::{Fact, Reply},
};
use metanode_core::{
    env::{ExecutorEvent, NodeEvent, RpcKind},
    executor::bind::IN_USE,
    types::{Epoch, GlobalExecIndex, TimestampMs},
};
use std::sync::Arc;

const NODE: ProcessId = ProcessId::Node(1);

/// Node 1 starts at 0, then `entries` follow, and the run ends at 30 s; the example's patience is 20 s.
fn start_then(entries: Vec<Entry>) -> Option<Box<Violation>> {
    let mut trace = vec![world_event(0, NODE, WorldEvent::Started { start: 1 })];
    trace.extend(entries);
    trace.push(node(30_000, 0, stored(1)));
    judge(Start::new(&Plan::example()), &trace)
}

/// Node 1 has read this reply.
fn told(reply: Reply) -> Entry {
    let reply = Arc::new(reply);
    let fact = Fact::ReplyRead {
        connection: 1,
        number: 1,
        reply,
    };
    Entry {
        what: What::Seen(fact),
        ..asks(2_000)
    }
}

#[test]
fn a_start_waits_only_for_what_it_was_not_told() {
    let epoch = || told(Reply::CurrentEpoch(Epoch(1)));
    let boundary = |boundary| {
        told(Reply::EpochBoundaryData {
            epoch: Epoch(1),
            start_ms: TimestampMs(0),
            boundary: GlobalExecIndex(boundary),
            validators: vec![],
        })
    };
    let watermark = || told(Reply::LastBlockNumber(GlobalExecIndex(7)));
    let then = |replies: Vec<Entry>| {
        let end = [waiting(3_000), node(4_000, 1, NodeEvent::Ready)];
        start_then(replies.into_iter().chain(end).collect())
    };
    let violation = then(vec![waiting(1), epoch(), boundary(7), watermark()]).unwrap();
    assert_eq!(violation.clause, "waits-for-nothing");
    assert_eq!(violation.evidence, [waiting(1), waiting(3_000)]);
    assert_eq!(then(vec![epoch(), boundary(7)]), None);
    assert_eq!(then(vec![epoch(), watermark()]), None);
    assert_eq!(then(vec![boundary(7), watermark()]), None);
    // The executor lacks a block before the boundary: the epoch before is asked for, too.
    assert_eq!(then(vec![epoch(), boundary(8), watermark()]), None);
    // An attempt asks everything anew.
    assert_eq!(
        then(vec![epoch(), boundary(7), waiting(2_500), watermark()]),
        None
    );
}

#[test]
fn a_wait_is_stated_again() {
    let pause = Plan::example().node.rpc.start_retry_max_ms;
    let until_end = 20_000 + pause;
    assert_eq!(start_then(vec![waiting(30_000 - until_end)]), None);
    let violation = start_then(vec![waiting(29_999 - until_end)]).unwrap();
    assert!(violation.message.contains("not stated again"));
}

fn waiting(at_ms: u64) -> Entry {
    let reason = "the executor does not answer".to_owned();
    node(at_ms, 1, NodeEvent::Waiting { attempt: 2, reason })
}

/// An event that ends a wait.
fn asks(at_ms: u64) -> Entry {
    let sent = NodeEvent::RpcSent {
        connection: 1,
        request: 1,
        kind: RpcKind::GetCurrentEpoch,
    };
    node(at_ms, 1, sent)
}

#[test]
fn a_start_that_hangs_is_found_at_the_end() {
    assert!(start_then(vec![]).is_some());
    assert!(start_then(vec![asks(25_000)]).is_some());
    let violation = start_then(vec![waiting(8_000), asks(9_000)]).unwrap();
    assert_eq!(
        (violation.process, violation.at),
        (NODE, SimTime::from_ms(30_000))
    );
    assert_eq!(violation.evidence, [asks(9_000)]);
}

#[test]
fn a_ready_or_waiting_start_passes() {
    assert_eq!(start_then(vec![waiting(10_000)]), None);
    assert_eq!(start_then(vec![waiting(8_000), asks(11_000)]), None);
    assert_eq!(start_then(vec![node(1, 1, NodeEvent::Ready)]), None);
    let of_executor = [
        world_event(0, ProcessId::Executor(0), WorldEvent::Started { start: 1 }),
        executor(1, 0, found(0)),
        node(30_000, 0, stored(1)),
    ];
    assert_eq!(judge(Start::new(&Plan::example()), &of_executor), None);
}

#[test]
fn only_the_node_of_a_byzantine_validator_need_not_start() {
    let mut plan = Plan::example();
    let byzantine = |validator| ByzantinePlan {
        validator,
        strategy: ByzantineStrategy::Silent,
        program: vec![],
    };
    let mut verdict = |process, validator| {
        plan.byzantine = vec![byzantine(validator)];
        let trace = [
            world_event(0, process, WorldEvent::Started { start: 1 }),
            node(30_000, 0, stored(1)),
        ];
        judge(Start::new(&plan), &trace)
    };
    assert_eq!(verdict(NODE, 1), None);
    assert!(verdict(NODE, 2).is_some());
    assert!(verdict(ProcessId::Executor(1), 1).is_some());
}

#[test]
fn a_hanging_start_is_found_when_the_process_ends() {
    let killed_at = |at_ms| start_then(vec![world_event(at_ms, NODE, WorldEvent::Killed)]);
    assert!(killed_at(20_001).is_some());
    assert_eq!(killed_at(20_000), None);
}

#[test]
fn a_paused_process_is_not_judged() {
    let paused = world_event(1, NODE, WorldEvent::Paused);
    assert_eq!(start_then(vec![paused.clone()]), None);
    assert_eq!(
        start_then(vec![paused, world_event(15_000, NODE, WorldEvent::Resumed)]),
        None
    );
}

/// The verdict on executor 0, which ends with this error while the second fault of the plan is active.
fn gives_up(fault: impl Into<Fault>, reason: &str) -> Option<Box<Violation>> {
    let jump = ClockFault::JumpClock {
        hosts: vec![0],
        by_ms: 1,
    };
    let planned = |fault| PlannedFault {
        trigger: Trigger::default(),
        fault,
    };
    let mut plan = Plan::example();
    plan.faults = vec![planned(jump.into()), planned(fault.into())];
    let began = WorldEvent::FaultBegan {
        number: 1,
        description: String::new(),
    };
    let reason = reason.to_owned();
    let trace = [
        world_event(0, ProcessId::World, began),
        executor(1, 0, ExecutorEvent::Failed { reason }),
    ];
    judge(Start::new(&plan), &trace)
}

#[test]
fn errors_that_an_active_fault_explains_are_accepted() {
    let failing = |executor| DiskFault::DiskFails {
        processes: vec![ProcessId::Executor(executor)],
        how: DiskFailure::Full,
        for_ms: None,
    };
    let hijacked = |how| SocketFault::HijackSocket {
        executors: vec![0],
        channel: Channel::Rpc,
        how,
        for_ms: None,
    };
    let full = DiskFailure::Full.reason();
    assert_eq!(gives_up(failing(0), full), None);
    assert!(gives_up(failing(1), full).is_some());
    assert_eq!(gives_up(hijacked(Hijack::Silent), IN_USE), None);
    assert!(gives_up(hijacked(Hijack::Refuses), IN_USE).is_some());
}

#[test]
fn errors_and_panics_fire_at_any_time() {
    let ready = node(1, 1, NodeEvent::Ready);
    let reason = "address in use".to_owned();
    let failed = node(2, 1, NodeEvent::Failed { reason });
    let message = "index out of bounds".to_owned();
    let panicked = world_event(2, NODE, WorldEvent::Panicked { message });
    assert!(
        start_then(vec![failed])
            .unwrap()
            .message
            .contains("address in use")
    );
    assert!(
        start_then(vec![ready, panicked])
            .unwrap()
            .message
            .contains("out of bounds")
    );
}
