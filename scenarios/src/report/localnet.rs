//! A local network: its progress and its verdict.

use super::{colour::Colour, verdict};
use crate::localnet::{Outcome, Status};
use std::fmt::Write;

/// One line per process.
#[must_use]
pub fn table(status: &Status) -> String {
    let mut out = format!(
        "{:>6.1} s   epoch   round   commit      GEI        W      lag   starts\n",
        seconds(status.elapsed_ms)
    );
    // A String does not fail.
    for (n, node) in status.nodes.iter().enumerate() {
        let lag = node.gei.saturating_sub(node.watermark);
        let _ = writeln!(
            out,
            "node-{n:<4} {:>6} {:>7} {:>8} {:>8} {:>8} {lag:>8} {:>8}",
            node.epoch, node.round, node.commit, node.gei, node.watermark, node.starts
        );
    }
    let executors = status.executors.iter().map(|it| ("executor", it));
    let subs = status.subs.iter().map(|it| ("sub", it));
    let mut last = "";
    let mut n = 0;
    for (kind, progress) in executors.chain(subs) {
        n = if kind == last { n + 1 } else { 0 };
        last = kind;
        let _ = writeln!(
            out,
            "{:<10} {:>5} {:>25} {:>26}",
            format!("{kind}-{n}"),
            progress.epoch,
            progress.gei,
            progress.starts
        );
    }
    let _ = writeln!(out, "{}", figures(status));
    out
}

/// The network in one line.
#[must_use]
pub fn line(status: &Status) -> String {
    let all = |list: &[crate::localnet::Progress]| {
        let list: Vec<_> = list.iter().map(|it| it.gei.to_string()).collect();
        list.join(" ")
    };
    format!(
        "{:>6.1} s  nodes {}  executors {}  {}",
        seconds(status.elapsed_ms),
        all(&status.nodes),
        all(&status.executors),
        figures(status)
    )
}

fn figures(status: &Status) -> String {
    format!(
        "{} faults, {} restarts, {} processes not running, {} transactions promised",
        status.faults,
        restarts(status),
        status.down,
        status.promised
    )
}

fn restarts(status: &Status) -> u64 {
    let all = status.nodes.iter().chain(&status.executors);
    all.chain(&status.subs)
        .map(|it| it.starts.saturating_sub(1))
        .sum()
}

/// A fault, when it begins.
#[must_use]
pub fn fault(at_ms: u64, fault: &str) -> String {
    format!("{:>6.1} s  {fault}", seconds(at_ms))
}

/// What came of it.
#[must_use]
pub fn verdict(outcome: &Outcome, colour: Colour) -> String {
    let mut out = String::from("\n");
    for failure in &outcome.failures {
        let _ = writeln!(
            out,
            "{}: {failure}",
            colour.bad(verdict::name(failure.verdict()))
        );
    }
    let full = match outcome.ended_on_full_disks {
        0 => String::new(),
        count => format!(", {count} ends of processes on full disks"),
    };
    let word = match outcome.failures.is_empty() {
        true => colour.good("passed"),
        false => colour.bad("failed"),
    };
    let _ = writeln!(
        out,
        "{word}: {:.0} s, {} faults, {} restarts, {} blocks that all executors have, {} promised \
         transactions executed, {:.0} per second of load{full}",
        seconds(outcome.status.elapsed_ms),
        outcome.status.faults,
        restarts(&outcome.status),
        outcome.blocks,
        outcome.executed,
        outcome.executed as f64 / seconds(outcome.load_ms),
    );
    out
}

fn seconds(ms: u64) -> f64 {
    #[allow(clippy::cast_precision_loss)] // of times that people wait
    let ms = ms as f64;
    ms / 1_000.0
}
