//! The history of contract §6 in simulation. `real_processes/parity.rs` runs the same script with real processes, sends the
//! same transactions before the same blocks, and compares with the same snapshot.
#![cfg(madsim)]

#[path = "real_processes/parity/history.rs"]
mod history;

use history::{DURABLE, Incarnation, STORED, text};
use metanode_core::{
    env::{Event, NodeEvent, trace_line::TraceEvent},
    types::{CommitIndex, GlobalExecIndex},
};
use metanode_sim::{
    faults::{DurableAt, ExecutorFault, Fault, PlannedFault, ProcessFault, StoredAt, Trigger},
    plan::{ExecutorPlan, Plan, Span, Topology},
    run::{RunOptions, Verdict, run},
    trace::{Entry, ProcessId, What, WorldEvent},
    witness::Fact,
};
use std::{collections::BTreeMap, fmt::Write};

const NODE: ProcessId = ProcessId::Node(0);
const EXECUTOR: ProcessId = ProcessId::Executor(0);

/// One validator, as the real test configures it.
fn plan() -> Plan {
    let mut plan = Plan {
        topology: Topology::MasterPerNode,
        validators: 1,
        executors: vec![ExecutorPlan {
            execute_us: Span { low: 0, high: 0 },
            flush_every_blocks: Span { low: 1, high: 1 },
            ..Plan::example().executors[0]
        }],
        clock_skew_ms: vec![0],
        ..Plan::example()
    };
    plan.node.consensus.min_round_delay_ms = 200;
    plan.node.delivery.window_blocks = 3;
    plan.workload.transactions_per_second = 1;
    let stalls = Trigger {
        durable: Some(DurableAt {
            executor: 0,
            gei: GlobalExecIndex(DURABLE),
        }),
        ..Trigger::default()
    };
    let dies = Trigger {
        stored: Some(StoredAt {
            node: 0,
            commit: CommitIndex(10),
        }),
        ..Trigger::default()
    };
    plan.faults = vec![
        PlannedFault {
            trigger: stalls,
            fault: Fault::Executor(ExecutorFault::Stall {
                executors: vec![0],
                for_ms: None,
            }),
        },
        PlannedFault {
            trigger: dies,
            fault: Fault::Process(ProcessFault::Kill {
                processes: vec![NODE, EXECUTOR],
                down_ms: Some(500),
            }),
        },
    ];
    plan
}

fn incarnation(entries: &[&Entry]) -> Incarnation {
    let of = |process: ProcessId| {
        let lines = entries.iter().filter_map(move |entry| match &entry.what {
            What::Process(event) if entry.process == process => TraceEvent::of(event),
            _ => None,
        });
        lines.collect()
    };
    let replay_plan = entries.iter().find_map(|entry| match &entry.what {
        What::Process(Event::Node(NodeEvent::ReplayPlanned(plan))) => Some(plan.to_string()),
        _ => None,
    });
    Incarnation {
        replay_plan: replay_plan.expect("it starts"),
        node: of(NODE),
        executor: of(EXECUTOR),
    }
}

#[test]
fn ten_stored_and_seven_durable() {
    let outcome = run(plan(), &RunOptions::KEEP_ALL);
    assert_eq!(outcome.verdict, Verdict::Passed, "{:?}", outcome.violations);
    let starts = outcome.entries.iter().enumerate().filter(|(_, entry)| {
        entry.process == EXECUTOR && matches!(entry.what, What::World(WorldEvent::Started { .. }))
    });
    let starts: Vec<_> = starts.map(|(position, _)| position).collect();
    let [_, second] = starts[..] else {
        panic!("killed once: {starts:?}");
    };
    let (before, after): (Vec<_>, Vec<_>) = outcome
        .entries
        .iter()
        .enumerate()
        .partition(|(position, _)| *position < second);
    let [before, after] = [before, after].map(|part| {
        let entries: Vec<_> = part.into_iter().map(|(_, entry)| entry).collect();
        incarnation(&entries)
    });
    let mut history = String::new();
    for (gei, transaction) in transactions(&outcome.entries) {
        assert!(gei <= DURABLE, "a transaction in block {gei}");
        let hex: String = transaction
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        writeln!(history, "client sends {hex}").expect("a String does not fail");
    }
    insta::assert_snapshot!(format!(
        "{history}{}killed\n{}",
        text(&before, DURABLE..=DURABLE),
        text(&after, 1..=STORED)
    ));
}

/// The transactions of these blocks, with the block of each: in a real run it may be another one up to the last durable one.
fn transactions(entries: &[Entry]) -> Vec<(u64, bytes::Bytes)> {
    let frames = entries.iter().filter_map(|entry| match &entry.what {
        What::Seen(Fact::FrameSent { frame, .. }) if frame.gei.0 <= STORED => {
            Some((frame.gei.0, frame.transactions.clone()))
        }
        _ => None,
    });
    let blocks: BTreeMap<_, _> = frames.collect();
    let all = blocks.into_iter();
    all.flat_map(|(gei, transactions)| transactions.into_iter().map(move |one| (gei, one)))
        .collect()
}
