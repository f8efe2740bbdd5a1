//! The example of contract §6 that must always hold, as the scenario of this name plays it: 10 commits stored, the
//! executor durable at 7, both stopped; started again, the node writes exactly 8, 9, 10, once and in order.
#![cfg(madsim)]

use metanode_core::env::{Event, ExecutorEvent, NodeEvent};
use metanode_sim::{
    plan::{Backend, Topology},
    run::{Outcome, RunOptions, Verdict, run},
    trace::{Entry, ProcessId, What, WorldEvent},
};

const SCENARIO: &str = "resume_at_8_of_10";
const NODE: ProcessId = ProcessId::Node(0);
const EXECUTOR: ProcessId = ProcessId::Executor(0);

fn play(seed: u64, store: Backend) -> Outcome {
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

/// What a process did in each of its lives.
fn lives(process: ProcessId, entries: &[Entry]) -> Vec<Vec<&Entry>> {
    let mut lives = vec![];
    for entry in entries.iter().filter(|entry| entry.process == process) {
        if matches!(entry.what, What::World(WorldEvent::Started { .. })) {
            lives.push(vec![]);
        }
        lives.last_mut().expect("a start comes first").push(entry);
    }
    lives
}

/// GEIs of the frames, in the order in which they went to the socket.
fn frames(incarnation: &[&Entry]) -> Vec<u64> {
    incarnation
        .iter()
        .filter_map(|entry| match &entry.what {
            What::Process(Event::Node(NodeEvent::FrameWritten { gei, .. })) => Some(gei.0),
            _ => None,
        })
        .collect()
}

/// Without digests and roots, which change with every encoding.
fn text(what: &What) -> String {
    match what {
        What::Process(Event::Node(NodeEvent::FrameWritten {
            connection, gei, ..
        })) => format!("writes GEI {gei} to stream {connection}"),
        What::Process(Event::Executor(ExecutorEvent::Started { watermark, .. })) => {
            format!("finds block {watermark} on its disk")
        }
        what => metasim::report::events::text(what),
    }
}

/// The start-up and the wire, incarnation by incarnation, as far as the story decides them: without times, and without what depends
/// on them (how far beyond 7 the first incarnation had written, what the others have committed meanwhile).
fn log(outcome: &Outcome) -> String {
    let told = |entry: &&&Entry, last_frame: u64| match &entry.what {
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
        What::Process(Event::Crashed(_)) => true,
        What::World(event) => !matches!(event, WorldEvent::Submitted { .. }),
    };
    let mut lines = vec![];
    for process in [NODE, EXECUTOR] {
        for (incarnation, last_frame) in lives(process, &outcome.entries).iter().zip([7, 10]) {
            let of_life = incarnation.iter().filter(|entry| told(entry, last_frame));
            lines.extend(of_life.map(|entry| format!("{process} {}", text(&entry.what))));
            lines.push(String::new());
        }
    }
    lines.join("\n")
}

#[test]
fn start_up_and_wire_log_with_a_master_per_node() {
    let outcome = play(4, Backend::Memory);
    assert_eq!(outcome.plan.topology, Topology::MasterPerNode);
    insta::assert_snapshot!(log(&outcome));
}

#[test]
fn start_up_and_wire_log_with_a_single_master() {
    let outcome = play(5, Backend::Memory);
    assert_eq!(outcome.plan.topology, Topology::SingleMaster);
    insta::assert_snapshot!(log(&outcome));
}

/// The story as the file tells it, and its end on the wire.
fn assert_resumed(outcome: &Outcome) {
    let seed = outcome.plan.seed;
    let nodes = lives(NODE, &outcome.entries);
    assert_eq!(nodes.len(), 2, "seed {seed}: killed once");
    let stored: Vec<_> = nodes[0]
        .iter()
        .filter_map(|entry| match &entry.what {
            What::Process(Event::Node(NodeEvent::CommitStored { gei, .. })) => Some(gei.0),
            _ => None,
        })
        .collect();
    assert_eq!(stored, (1..=10).collect::<Vec<_>>(), "seed {seed}");
    let executors = lives(EXECUTOR, &outcome.entries);
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
        assert_resumed(&play(seed, Backend::Memory));
    }
}

#[test]
fn exactly_8_9_10_after_the_restart_with_rocksdb() {
    for seed in 0..20 {
        assert_resumed(&play(seed, Backend::Rocksdb));
    }
}
