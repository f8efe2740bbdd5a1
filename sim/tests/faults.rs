//! Faults have their described effects: each in a small cluster, checked in the trace.

#![cfg(madsim)]

use metanode_core::{
    env::{Event, ExecutorEvent, NodeEvent},
    executor::bind::IN_USE,
};
use metanode_sim::{
    disk::DiskFailure,
    faults::{
        Channel, ClockFault, DiskFault, ExecutorFault, Fault, NetworkFault, PlannedFault,
        ProcessFault, Replies, SocketFault, Trigger,
    },
    net::{Cut, Hijack, Side},
    plan::{Guard, Plan},
    run::{Outcome, RunOptions, Verdict, run},
    trace::{ProcessId, What, WorldEvent},
};

const NODE: ProcessId = ProcessId::Node(0);
const EXECUTOR: ProcessId = ProcessId::Executor(0);

/// Runs the example with these faults, each at its time. It must pass.
fn passes(faults: Vec<(u64, Fault)>) -> Outcome {
    plan_passes(Plan::example(), faults)
}

fn plan_passes(mut plan: Plan, faults: Vec<(u64, Fault)>) -> Outcome {
    plan.duration_ms = 6_000;
    plan.max_faulty = Some(1);
    let planned = faults.into_iter().map(|(at_ms, fault)| PlannedFault {
        trigger: Trigger::at_ms(at_ms),
        fault,
    });
    plan.faults = planned.collect();
    let outcome = run(plan, &RunOptions::KEEP_ALL);
    assert_eq!(
        (outcome.verdict, &outcome.violations[..], &outcome.panic),
        (Verdict::Passed, &[][..], &None)
    );
    outcome
}

fn count(outcome: &Outcome, is: impl Fn(ProcessId, &What) -> bool) -> usize {
    let entries = outcome.entries.iter();
    entries
        .filter(|entry| is(entry.process, &entry.what))
        .count()
}

fn rpc_failures(outcome: &Outcome) -> usize {
    count(outcome, |process, what| {
        process == NODE
            && matches!(
                what,
                What::Process(Event::Node(NodeEvent::RpcFailed { .. }))
            )
    })
}

/// How often node 0 lost its block stream.
fn streams_lost(outcome: &Outcome) -> usize {
    count(outcome, |process, what| {
        process == NODE
            && matches!(
                what,
                What::Process(Event::Node(NodeEvent::StreamLost { .. }))
            )
    })
}

#[test]
fn a_request_without_a_reply_is_repeated() {
    for how in [Replies::Silent, Replies::Late { ms: 1_500 }] {
        let silent = Fault::Executor(ExecutorFault::Replies {
            executors: vec![0],
            how,
            for_ms: Some(2_500),
        });
        assert!(rpc_failures(&passes(vec![(1_000, silent)])) > 0, "{how:?}");
    }
    assert_eq!(rpc_failures(&passes(vec![])), 0);
}

#[test]
fn a_late_reply_closes_its_connection() {
    let late = Fault::Socket(SocketFault::DelayReply {
        hosts: vec![0],
        channel: Channel::Rpc,
        extra_ms: 1_500,
    });
    assert_eq!(rpc_failures(&passes(vec![(1_000, late)])), 1);
}

#[test]
fn an_executor_that_stops_reading_receives_nothing() {
    let stop_reading = Fault::Executor(ExecutorFault::StopReading {
        executors: vec![0],
        for_ms: Some(2_000),
    });
    let outcome = passes(vec![(1_000, stop_reading)]);
    let received = outcome.entries.iter().filter(|entry| {
        let received = matches!(
            entry.what,
            What::Process(Event::Executor(ExecutorEvent::Received { .. }))
        );
        entry.process == EXECUTOR && received && (1_001..3_000).contains(&entry.at.as_ms())
    });
    assert_eq!(received.count(), 0);
}

#[test]
fn a_process_whose_disk_fails_ends_and_restarts() {
    for (process, how) in [
        (NODE, DiskFailure::Sync),
        (NODE, DiskFailure::SyncAfterWrite),
        (NODE, DiskFailure::Full),
        (EXECUTOR, DiskFailure::Sync),
        (EXECUTOR, DiskFailure::SyncAfterWrite),
        (EXECUTOR, DiskFailure::Full),
    ] {
        let fails = Fault::Disk(DiskFault::DiskFails {
            processes: vec![process],
            how,
            for_ms: Some(1_000),
        });
        let outcome = passes(vec![(1_000, fails)]);
        let gave_up = count(&outcome, |of, what| {
            let failed = matches!(
                what,
                What::Process(
                    Event::Node(NodeEvent::Failed { .. })
                        | Event::Executor(ExecutorEvent::Failed { .. })
                )
            );
            failed && of == process
        });
        assert!(gave_up > 0, "{process} {how:?}");
    }
}

#[test]
fn a_restored_backup_lowers_the_watermark() {
    let restore = Fault::Disk(DiskFault::Restore {
        processes: vec![ProcessId::Executor(0)],
        taken_ms: 1_000,
        down_ms: Some(100),
    });
    let outcome = passes(vec![(3_000, restore)]);
    let mut found = outcome.entries.iter().filter_map(|entry| match entry.what {
        What::Process(Event::Executor(ExecutorEvent::Started { watermark, .. }))
            if entry.process == EXECUTOR =>
        {
            Some(watermark)
        }
        _ => None,
    });
    let before = outcome.entries.iter().filter_map(|entry| match entry.what {
        What::Process(Event::Executor(ExecutorEvent::Durable { watermark }))
            if entry.process == EXECUTOR && entry.at.as_ms() < 3_000 =>
        {
            Some(watermark)
        }
        _ => None,
    });
    let (_, found) = (found.next(), found.next());
    let (found, before) = (
        found.expect("a second start"),
        before.max().expect("blocks"),
    );
    assert!(found < before && found.0 > 0, "{found} of {before}");
}

#[test]
fn a_fault_that_takes_down_too_many_is_skipped() {
    let kill = |n| {
        Fault::Process(ProcessFault::Kill {
            processes: vec![ProcessId::Node(n)],
            down_ms: Some(500),
        })
    };
    let outcome = passes(vec![(1_000, kill(0)), (1_200, kill(1)), (2_000, kill(2))]);
    let killed = |n| {
        count(&outcome, |process, what| {
            process == ProcessId::Node(n) && *what == What::World(WorldEvent::Killed)
        })
    };
    assert_eq!([killed(0), killed(1), killed(2)], [1, 0, 1]);
    let skipped = count(&outcome, |_, what| {
        matches!(what, What::World(WorldEvent::FaultSkipped { .. }))
    });
    assert_eq!(skipped, 1);
}

#[test]
fn link_socket_and_clock_faults_are_survived() {
    let hosts = || vec![0, 2];
    let for_ms = Some(1_000);
    let outcome = passes(vec![
        (
            500,
            Fault::Network(NetworkFault::Partition {
                hosts: vec![1],
                cut: Cut::Outgoing,
                for_ms,
            }),
        ),
        (
            1_000,
            Fault::Network(NetworkFault::SlowLinks {
                hosts: hosts(),
                extra_ms: 300,
                for_ms,
            }),
        ),
        (
            1_500,
            Fault::Socket(SocketFault::ShortWrites {
                hosts: hosts(),
                max_bytes: 3,
                for_ms,
            }),
        ),
        (
            3_000,
            Fault::Socket(SocketFault::Reset {
                hosts: hosts(),
                channel: Channel::Any,
            }),
        ),
        (
            3_500,
            Fault::Socket(SocketFault::Truncate {
                hosts: hosts(),
                channel: Channel::BlockStream,
                after_bytes: 20_000,
            }),
        ),
        (
            4_000,
            Fault::Clock(ClockFault::JumpClock {
                hosts: vec![3],
                by_ms: -60_000,
            }),
        ),
    ]);
    assert!(streams_lost(&outcome) > 0, "the reset ends a stream");
}

#[test]
fn a_fault_of_zero_duration_ends_when_it_begins() {
    let stall = Fault::Executor(ExecutorFault::Stall {
        executors: vec![0],
        for_ms: Some(0),
    });
    let outcome = passes(vec![(1_000, stall)]);
    let of_executor = |event: WorldEvent| {
        count(&outcome, |process, what| {
            process == EXECUTOR && *what == What::World(event.clone())
        })
    };
    assert_eq!(
        [WorldEvent::Stalled, WorldEvent::Unstalled].map(of_executor),
        [1, 1]
    );
}

#[test]
fn a_hijacked_path_is_unreachable_until_it_is_restored() {
    let hijack = |channel, how| {
        Fault::Socket(SocketFault::HijackSocket {
            executors: vec![0],
            channel,
            how,
            for_ms: Some(2_500),
        })
    };
    let reset = |channel| {
        Fault::Socket(SocketFault::Reset {
            hosts: vec![0],
            channel,
        })
    };
    for how in [Hijack::Removed, Hijack::Refuses, Hijack::Silent] {
        let hijacked = hijack(Channel::Rpc, how);
        let outcome = passes(vec![(1_000, hijacked), (1_001, reset(Channel::Rpc))]);
        let answered = outcome.entries.iter().filter(|entry| {
            let answered = matches!(
                entry.what,
                What::Process(Event::Node(NodeEvent::RpcAnswered { .. }))
            );
            entry.process == NODE && answered && (1_010..3_500).contains(&entry.at.as_ms())
        });
        assert_eq!(answered.count(), 0, "{how:?}");
        let hijacked = hijack(Channel::BlockStream, how);
        let outcome = passes(vec![
            (1_000, hijacked),
            (1_001, reset(Channel::BlockStream)),
        ]);
        assert!(streams_lost(&outcome) > 1, "{how:?}");
    }
    // Open connections are not affected.
    let outcome = passes(vec![(1_000, hijack(Channel::BlockStream, Hijack::Silent))]);
    assert_eq!(streams_lost(&outcome), 0);
}

#[test]
fn an_executor_does_not_take_a_path_on_which_a_process_answers() {
    let hijack = Fault::Socket(SocketFault::HijackSocket {
        executors: vec![0],
        channel: Channel::Any,
        how: Hijack::Silent,
        for_ms: Some(2_000),
    });
    let kill = Fault::Process(ProcessFault::Kill {
        processes: vec![EXECUTOR],
        down_ms: Some(100),
    });
    let outcome = passes(vec![(1_000, hijack), (1_200, kill)]);
    let refused = count(&outcome, |process, what| {
        let What::Process(Event::Executor(ExecutorEvent::Failed { reason })) = what else {
            return false;
        };
        process == EXECUTOR && reason.contains(IN_USE)
    });
    assert!(refused > 0);
}

#[test]
fn a_half_closed_connection_is_replaced() {
    for side in [Side::Client, Side::Server] {
        let half = |channel| {
            Fault::Socket(SocketFault::HalfClose {
                hosts: vec![0],
                channel,
                side,
            })
        };
        let stream = passes(vec![(1_000, half(Channel::BlockStream))]);
        assert_eq!(streams_lost(&stream), 1, "{side:?}");
        let _ = passes(vec![
            (1_000, half(Channel::Peers)),
            (2_000, half(Channel::Rpc)),
            (3_000, half(Channel::Any)),
        ]);
    }
}

/// The connection of each block that executor 0 received, in order.
fn received(outcome: &Outcome) -> Vec<u64> {
    let entries = outcome.entries.iter();
    entries
        .filter_map(|entry| match entry.what {
            What::Process(Event::Executor(ExecutorEvent::Received { connection, .. }))
                if entry.process == EXECUTOR =>
            {
                Some(connection)
            }
            _ => None,
        })
        .collect()
}

#[test]
fn late_frames_of_the_previous_connection_interleave() {
    for guard in [Guard::Strict, Guard::SkipLow] {
        let mut plan = Plan::example();
        plan.executors[0].guard = guard;
        let executors = vec![0];
        let both = Fault::Executor(ExecutorFault::ServeBoth {
            executors: executors.clone(),
            for_ms: None,
        });
        // The node reconnects while frames on the previous connection are unread.
        let stop_reading = Fault::Executor(ExecutorFault::StopReading {
            executors,
            for_ms: Some(2_500),
        });
        let reset = Fault::Socket(SocketFault::Reset {
            hosts: vec![0],
            channel: Channel::BlockStream,
        });
        let outcome = plan_passes(
            plan,
            vec![(500, both), (1_000, stop_reading), (1_500, reset)],
        );
        let late = received(&outcome).windows(2).any(|pair| pair[0] > pair[1]);
        assert!(late, "{guard:?}: {:?}", received(&outcome));
    }
}

#[test]
fn a_torn_write_is_dropped_completely() {
    let torn = |at| {
        let fault = Fault::Process(ProcessFault::PowerLoss {
            hosts: vec![0],
            torn: true,
            down_ms: Some(10),
        });
        (at, fault)
    };
    let outcome = passes((1..40).map(|n| torn(n * 137)).collect());
    let found = outcome.probes["start over a torn write"];
    assert!(found > 0);
}

#[test]
fn damaged_commits_are_restored() {
    let stall = Fault::Executor(ExecutorFault::Stall {
        executors: vec![0],
        for_ms: None,
    });
    let flip = Fault::Disk(DiskFault::FlipBits {
        nodes: vec![0],
        blocks: 0,
        commits: 40,
    });
    let kill = Fault::Process(ProcessFault::Kill {
        processes: vec![NODE],
        down_ms: Some(100),
    });
    let outcome = passes(vec![(500, stall), (3_000, flip), (3_100, kill)]);
    assert!(outcome.probes["log ended before a damaged commit"] > 0);
}
