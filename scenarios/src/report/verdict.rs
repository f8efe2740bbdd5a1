//! The result of a run: the verdict, its evidence, and the command that reproduces it.

use super::{colour::Colour, events};
use crate::run_reference;
use metanode_sim::{
    amounts::{count, ms},
    oracles::Violation,
    run::{Outcome, Verdict},
};
use std::fmt::Write;

/// The verdict as reports and JSON name it.
#[must_use]
pub(crate) const fn name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::SafetyViolated => "safety violated",
        Verdict::LivenessViolated => "liveness violated",
        Verdict::Panicked => "a process panicked",
        Verdict::NotFound => "not found",
    }
}

/// Why a run failed, on one line. None if it passed.
#[must_use]
pub(crate) fn cause(outcome: &Outcome) -> Option<String> {
    let violation = outcome.violations.first();
    let violation = violation.map(|violation| violation.message.clone());
    let violation = violation.or_else(|| outcome.panic.as_ref().map(ToString::to_string));
    violation.or_else(|| not_found(outcome))
}

/// What had to be found and was not.
fn not_found(outcome: &Outcome) -> Option<String> {
    let finds = &outcome.plan.finds;
    (outcome.verdict == Verdict::NotFound).then(|| {
        let names: Vec<_> = finds.iter().map(ToString::to_string).collect();
        format!(
            "not found: expected a violation of {}, which this scenario is to show",
            names.join(" or ")
        )
    })
}

/// The last line of a report on several runs.
#[must_use]
pub(crate) fn tally(failed: u64, runs: u64, colour: Colour) -> String {
    let text = match failed {
        0 => colour.good(format_args!("all {runs} runs passed")),
        failed => colour.bad(format_args!("{failed} of {runs} runs failed")),
    };
    format!("\n{text}\n")
}

/// The last lines of the report on a run.
#[must_use]
pub fn text(outcome: &Outcome, colour: Colour) -> String {
    let mut out = String::new();
    let evidence = evidence(outcome, colour);
    if !evidence.is_empty() {
        let _ = writeln!(out, "{evidence}");
    }
    let verdict = name(outcome.verdict);
    let verdict = match outcome.verdict {
        Verdict::Passed => colour.good(verdict),
        _ => colour.bad(verdict),
    };
    let _ = writeln!(
        out,
        "{verdict}: {} events in {} of simulated time",
        outcome.events,
        ms(outcome.simulated.as_ms())
    );
    for (number, node) in outcome.nodes.iter().enumerate() {
        let _ = writeln!(
            out,
            "  node-{number}      commit {} of epoch {}, GEI {}, window at most {}, proposals paused {}, {}",
            node.last_commit,
            node.epoch,
            node.last_gei,
            node.window_max,
            ms(node.proposals_paused_ms),
            count(u64::from(node.starts), "start")
        );
    }
    for (number, executor) in outcome.executors.iter().enumerate() {
        let _ = writeln!(
            out,
            "  executor-{number}  block {}, root {}, {}, {}",
            executor.last_block_number,
            hex(&executor.state_root[..8]),
            count(executor.duplicates, "duplicate"),
            count(u64::from(executor.restarts), "restart")
        );
    }
    if let Some((process, bytes)) = outcome.memory_bytes.iter().max_by_key(|(_, bytes)| **bytes) {
        let kib = bytes / 1024;
        let _ = writeln!(
            out,
            "memory  at most {kib} KiB in use by a process, {process}"
        );
    }
    let _ = writeln!(out, "trace  {}", outcome.trace_hash);
    let _ = writeln!(
        out,
        "rerun  {}",
        colour.bold(run_reference::command(&outcome.plan))
    );
    out
}

/// The evidence of a failure: the broken invariants with their trace entries, or the panic; also of what the scenario had
/// to find. Empty if the run passed otherwise.
#[must_use]
pub(crate) fn evidence(outcome: &Outcome, colour: Colour) -> String {
    let mut out = String::new();
    for violation in &outcome.violations {
        out.push_str(&violated(violation, colour));
    }
    if let Some(panic) = &outcome.panic {
        let _ = writeln!(out, "{}", colour.bad(panic));
    }
    if let Some(found) = &outcome.found {
        let text = violated(found, Colour::PLAIN);
        let _ = write!(out, "{} {text}", colour.good("found as expected:"));
    }
    if let Some(text) = not_found(outcome) {
        let _ = writeln!(out, "{}", colour.bad(text));
    }
    out
}

fn violated(violation: &Violation, colour: Colour) -> String {
    let mut out = format!(
        "{} broken at {} by {}: {}\n",
        colour.bad(violation.invariant),
        violation.at.to_string().trim(),
        violation.process,
        violation.message
    );
    for entry in &violation.evidence {
        let _ = writeln!(out, "  {}", events::line(entry));
    }
    out
}

/// Lower-case hexadecimal.
#[must_use]
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
