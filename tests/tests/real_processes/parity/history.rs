//! The history of contract §6, 10 commits stored and 7 blocks durable when both processes are killed, as the lines of event
//! logs tell it: the same text in simulation and with real processes.

use metanode_core::env::trace_line::TraceEvent;
use std::{fmt::Write, ops::RangeInclusive};

/// When both are killed, these are stored, and those are durable in the executor.
pub const STORED: u64 = 10;
pub const DURABLE: u64 = 7;

/// One incarnation of node and executor.
pub struct Incarnation {
    /// As the node prints it.
    pub replay_plan: String,
    pub node: Vec<TraceEvent>,
    pub executor: Vec<TraceEvent>,
}

/// The text of an incarnation: what becomes of `blocks`, and which commits up to [`STORED`] are stored.
pub fn text(incarnation: &Incarnation, blocks: RangeInclusive<u64>) -> String {
    let mut text = String::new();
    // A String does not fail.
    if let Some(TraceEvent::ExecutorStarted {
        watermark,
        state_root: Some(root),
    }) = incarnation.executor.first()
    {
        let _ = writeln!(text, "executor finds block {watermark}, root {root}");
    }
    let known = incarnation.node.iter().find_map(|event| match event {
        TraceEvent::WatermarkLearned { watermark } => Some(watermark),
        _ => None,
    });
    if let Some(watermark) = known {
        let _ = writeln!(text, "node learns W = {watermark}");
    }
    let _ = writeln!(text, "node plans: {}", incarnation.replay_plan);
    let sent = incarnation.node.iter().filter_map(|event| match event {
        TraceEvent::BlockSent { gei, .. } => Some(gei.0),
        _ => None,
    });
    let _ = writeln!(text, "node sends {:?}", only(sent, &blocks));
    let stored = incarnation.node.iter().filter_map(|event| match event {
        TraceEvent::CommitStored { gei, .. } => Some(gei.0),
        _ => None,
    });
    let _ = writeln!(text, "node stores {:?}", only(stored, &(1..=STORED)));
    for event in &incarnation.executor {
        match event {
            TraceEvent::BlockExecuted {
                gei,
                state_root: Some(root),
                ..
            } if blocks.contains(&gei.0) => {
                let _ = writeln!(text, "executor executes {gei}, root {root}");
            }
            TraceEvent::WatermarkDurable { watermark } if blocks.contains(&watermark.0) => {
                let _ = writeln!(text, "executor is durable at {watermark}");
            }
            _ => {}
        }
    }
    text
}

fn only(geis: impl Iterator<Item = u64>, range: &RangeInclusive<u64>) -> Vec<u64> {
    geis.filter(|gei| range.contains(gei)).collect()
}
