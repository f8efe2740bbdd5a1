//! What a node does after a start: one run for each row of the table of contract §6.3 that an executor can cause, in both
//! topologies, and the example of contract §6 in full (scenario `resume_at_8_of_10`): 10 commits are stored and the
//! executor is durable at 7 when both are killed; after the restart the node writes exactly 8, 9 and 10, once and in
//! order.
//!
//! The row `W < B` has no run here: an executor enters an epoch only when everything of the previous one is durable
//! (contract §7), so only a backup that is restored between two answers causes it, as in `swarm_epochs` 5071. The plan
//! for it is in `replay_plan.rs`.
#![cfg(madsim)]

use metanode_core::{
    env::{CrashPoint, Event, ExecutorEvent, NodeEvent},
    types::{CommitIndex, GlobalExecIndex},
};
use metanode_sim::{
    faults::{
        DiskFault, DurableAt, ExecutorFault, Fault, PlannedFault, ProcessFault, Reached, StoredAt,
        Trigger,
    },
    plan::{Backend, Plan, Topology},
    run::{Outcome, RunOptions, Verdict, run},
    trace::{Entry, ProcessId, What, WorldEvent},
};
use std::fmt::Write;

const SCENARIO: &str = "resume_at_8_of_10";
const NODE: ProcessId = ProcessId::Node(0);
const EXECUTOR: ProcessId = ProcessId::Executor(0);

fn outcome(seed: u64, store: Backend) -> Outcome {
    let named = metasim::catalog::scenario(SCENARIO).expect("it is built in");
    let plan = named.scenario.draw(SCENARIO, seed, store);
    let outcome = run(plan, &RunOptions::KEEP_ALL);
    assert_eq!(
        outcome.verdict,
        Verdict::Passed,
        "seed {seed}: {:?} {:?}",
        outcome.violations,
        outcome.panic
    );
    outcome
}

/// The trace entries of a process, by incarnation.
fn incarnations(process: ProcessId, entries: &[Entry]) -> Vec<Vec<&Entry>> {
    let mut incarnations = vec![];
    for entry in entries.iter().filter(|entry| entry.process == process) {
        if matches!(entry.what, What::World(WorldEvent::Started { .. })) {
            incarnations.push(vec![]);
        }
        let last: &mut Vec<_> = incarnations.last_mut().expect("a start comes first");
        last.push(entry);
    }
    incarnations
}

/// The GEIs of the written frames, in order.
fn frames(incarnation: &[&Entry]) -> Vec<u64> {
    incarnation
        .iter()
        .filter_map(|entry| match &entry.what {
            What::Process(Event::Node(NodeEvent::FrameWritten { gei, .. })) => Some(gei.0),
            _ => None,
        })
        .collect()
}

/// The text of an event without digests and roots, which change with every encoding.
fn text(what: &What) -> String {
    match what {
        What::Process(Event::Node(NodeEvent::FrameWritten {
            connection, gei, ..
        })) => format!("writes GEI {gei} to stream {connection}"),
        What::Process(Event::Node(NodeEvent::ChangeRecorded { epoch, step })) => {
            let step = step.to_string();
            let name = step.split(',').next().unwrap_or_default();
            format!("records of epoch {epoch}: {name}")
        }
        What::Process(Event::Executor(ExecutorEvent::Started { watermark, .. })) => {
            format!("finds block {watermark} on its disk")
        }
        what => metasim::report::events::text(what),
    }
}

/// Start-up and written frames by incarnation, as far as the scenario determines them: without times, and without what
/// depends on them (how far beyond 7 the first incarnation wrote, what the others have committed meanwhile).
fn log(outcome: &Outcome) -> String {
    let is_determined = |entry: &&&Entry, last_frame: u64| match &entry.what {
        What::Process(Event::Node(event)) => match event {
            NodeEvent::Starting
            | NodeEvent::Waiting { .. }
            | NodeEvent::ExecutorQueried { .. }
            | NodeEvent::ReplayPlanned(_)
            | NodeEvent::Ready
            | NodeEvent::StreamConnected { .. }
            | NodeEvent::StreamLost { .. }
            | NodeEvent::Rewound { .. } => true,
            NodeEvent::FrameWritten { gei, .. } => gei.0 <= last_frame,
            _ => false,
        },
        What::Process(Event::Executor(event)) => matches!(event, ExecutorEvent::Started { .. }),
        What::Process(Event::Sub(_)) => false,
        What::Process(Event::Crashed(_)) => true,
        What::World(_) => true,
        What::Seen(_) | What::Derived(_) => false,
    };
    let mut lines = vec![];
    for process in [NODE, EXECUTOR] {
        for (incarnation, last_frame) in incarnations(process, &outcome.entries).iter().zip([7, 10])
        {
            let entries = incarnation
                .iter()
                .filter(|entry| is_determined(entry, last_frame));
            lines.extend(entries.map(|entry| format!("{process} {}", text(&entry.what))));
            lines.push(String::new());
        }
    }
    lines.join("\n")
}

#[test]
fn start_up_and_wire_log_with_a_master_per_node() {
    let outcome = outcome(4, Backend::Memory);
    assert_eq!(outcome.plan.topology, Topology::MasterPerNode);
    insta::assert_snapshot!(log(&outcome));
}

#[test]
fn start_up_and_wire_log_with_a_single_master() {
    let outcome = outcome(5, Backend::Memory);
    assert_eq!(outcome.plan.topology, Topology::SingleMaster);
    insta::assert_snapshot!(log(&outcome));
}

/// Asserts what the story of the scenario says, and the frames after the restart.
fn assert_resumed(outcome: &Outcome) {
    let seed = outcome.plan.seed;
    let nodes = incarnations(NODE, &outcome.entries);
    assert_eq!(nodes.len(), 2, "seed {seed}: killed once");
    let stored: Vec<_> = nodes[0]
        .iter()
        .filter_map(|entry| match &entry.what {
            What::Process(Event::Node(NodeEvent::CommitStored { gei, .. })) => Some(gei.0),
            _ => None,
        })
        .collect();
    assert_eq!(stored, (1..=10).collect::<Vec<_>>(), "seed {seed}");
    let executors = incarnations(EXECUTOR, &outcome.entries);
    let found = executors[1].iter().find_map(|entry| match &entry.what {
        What::Process(Event::Executor(ExecutorEvent::Started { watermark, .. })) => {
            Some(watermark.0)
        }
        _ => None,
    });
    assert_eq!(found, Some(7), "seed {seed}");

    let written = frames(&nodes[1]);
    assert_eq!(written[..3], [8, 9, 10], "seed {seed}");
    for gei in [8, 9, 10] {
        let times = written.iter().filter(|other| **other == gei).count();
        assert_eq!(times, 1, "seed {seed}: GEI {gei}");
    }
}

#[test]
fn exactly_8_9_10_after_the_restart_with_stores_in_memory() {
    for seed in 0..20 {
        assert_resumed(&outcome(seed, Backend::Memory));
    }
}

#[test]
fn exactly_8_9_10_after_the_restart_with_rocksdb() {
    for seed in 0..20 {
        assert_resumed(&outcome(seed, Backend::Rocksdb));
    }
}

fn planned(trigger: Trigger, fault: Fault) -> PlannedFault {
    PlannedFault { trigger, fault }
}

fn stored(commit: u32) -> Trigger {
    Trigger {
        stored: Some(StoredAt {
            node: 0,
            commit: CommitIndex(commit),
        }),
        ..Trigger::default()
    }
}

fn durable(gei: u64) -> Trigger {
    Trigger {
        durable: Some(DurableAt {
            executor: 0,
            gei: GlobalExecIndex(gei),
        }),
        ..Trigger::default()
    }
}

fn reached(point: CrashPoint) -> Trigger {
    Trigger {
        reached: Some(Reached {
            process: NODE,
            point,
            times: 1,
        }),
        ..Trigger::default()
    }
}

/// The faults that make the last start of node 0 one of this row.
fn rows() -> Vec<(&'static str, Vec<PlannedFault>)> {
    let kill = Fault::Process(ProcessFault::Kill {
        processes: vec![NODE],
        down_ms: Some(100),
    });
    let stall = Fault::Executor(ExecutorFault::Stall {
        executors: vec![0],
        for_ms: Some(1_000),
    });
    let flip_bits = Fault::Disk(DiskFault::FlipBits {
        nodes: vec![0],
        blocks: 0,
        commits: 1,
    });
    let restore = Fault::Disk(DiskFault::Restore {
        processes: vec![ProcessId::Executor(0)],
        taken_ms: 1_000,
        down_ms: Some(100),
    });
    vec![
        ("the first start", vec![]),
        (
            "W in the stored range",
            vec![
                planned(durable(7), stall),
                planned(stored(10), kill.clone()),
            ],
        ),
        (
            "W above the stored range",
            vec![
                planned(Trigger::at_ms(1_000), flip_bits),
                planned(Trigger::at_ms(1_000), kill.clone()),
            ],
        ),
        (
            "the executor is behind",
            vec![
                planned(Trigger::at_ms(3_000), restore),
                planned(Trigger::at_ms(3_000), kill.clone()),
            ],
        ),
        (
            "the executor is ahead",
            vec![planned(
                reached(CrashPoint::NodeExecutorAdvanced),
                kill.clone(),
            )],
        ),
    ]
}

/// The last start of node 0, up to its third frame.
fn last_start(outcome: &Outcome) -> String {
    let incarnations = incarnations(NODE, &outcome.entries);
    let mut frames = 0;
    let mut lines = String::new();
    for entry in incarnations.last().expect("it starts") {
        let What::Process(Event::Node(event)) = &entry.what else {
            continue;
        };
        match event {
            NodeEvent::Starting
            | NodeEvent::Waiting { .. }
            | NodeEvent::ExecutorQueried { .. }
            | NodeEvent::LogCut { .. }
            | NodeEvent::ReplayPlanned(_)
            | NodeEvent::ChangeRecorded { .. }
            | NodeEvent::Ready
            | NodeEvent::StreamConnected { .. } => {}
            NodeEvent::FrameWritten { .. } => frames += 1,
            _ => continue,
        }
        let _ = writeln!(lines, "    {}", text(&entry.what));
        if frames == 3 {
            break;
        }
    }
    lines
}

#[test]
fn every_row_of_the_replay_table_in_both_topologies() {
    let mut table = String::new();
    for (row, faults) in rows() {
        for topology in [Topology::MasterPerNode, Topology::SingleMaster] {
            let mut plan = Plan::example();
            plan.topology = topology;
            if topology == Topology::SingleMaster {
                plan.executors.truncate(1);
            }
            plan.duration_ms = 4_000;
            plan.epochs.duration_ms = Some(2_000);
            plan.faults.clone_from(&faults);
            let outcome = run(plan, &RunOptions::KEEP_ALL);
            assert_eq!(
                outcome.verdict,
                Verdict::Passed,
                "{row}: {:?}",
                outcome.violations
            );
            let _ = writeln!(table, "{row}, {topology:?}\n{}", last_start(&outcome));
        }
    }
    insta::assert_snapshot!(table);
}
