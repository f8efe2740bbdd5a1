//! What a failing run leaves behind: where it was kept, and how to go on from there.

use super::colour::Colour;
use crate::{failure::Failure, shrinking::Shrunk};
use metanode_sim::{amounts::ms, plan::Plan, run::Outcome};
use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

/// Files that are named one by one; of more only the number is told.
const NAMED: usize = 10;

/// Where failures were kept, and the lines that replay and shrink them. Empty if there are none.
#[must_use]
pub fn kept(files: &[PathBuf], colour: Colour) -> String {
    let mut out = String::new();
    for file in files.iter().take(NAMED) {
        let file = file.display();
        let _ = writeln!(out, "kept   {file}");
        let _ = writeln!(
            out,
            "       {}",
            colour.bold(format_args!("metasim replay {file}"))
        );
        let _ = writeln!(
            out,
            "       {}",
            colour.bold(format_args!("metasim shrink {file}"))
        );
    }
    if let Some(more @ 1..) = files.len().checked_sub(NAMED) {
        let _ = writeln!(out, "       and {more} more");
    }
    out
}

/// How a replay compares with what was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The same, event by event.
    Identical,
    /// Another build ran otherwise, as builds may.
    OtherBuild,
    /// The same build ran otherwise: it is not deterministic.
    Different,
}

impl Replayed {
    #[must_use]
    pub fn compare(failure: &Failure, outcome: &Outcome, build: &str) -> Self {
        if failure.trace_hash == outcome.trace_hash.to_string() {
            Self::Identical
        } else if failure.build == build {
            Self::Different
        } else {
            Self::OtherBuild
        }
    }
}

/// One line.
#[must_use]
pub fn replayed(
    failure: &Failure,
    outcome: &Outcome,
    replayed: Replayed,
    colour: Colour,
) -> String {
    let (kept, here) = (&failure.trace_hash, outcome.trace_hash);
    let text = match replayed {
        Replayed::Identical => colour.good("identical: the trace has the hash that was kept"),
        Replayed::OtherBuild if failure.verdict == outcome.verdict => {
            format!("ends alike, but another build ran it: trace {kept} then, {here} now")
        }
        Replayed::OtherBuild => {
            format!("ends otherwise, and another build ran it: trace {kept} then, {here} now")
        }
        Replayed::Different => colour.bad(format_args!(
            "not deterministic: the same build had trace {kept} then, {here} now"
        )),
    };
    format!("replay {text}\n")
}

/// What shrinking came to. `from` is the plan it began with.
#[must_use]
pub fn shrunk(from: &Plan, shrunk: &Shrunk, file: &Path, colour: Colour) -> String {
    let mut out = String::new();
    let mut line = |name: &str, before: String, after: String| {
        let change = if before == after {
            after
        } else {
            format!("{before} → {after}")
        };
        let _ = writeln!(out, "  {} {change}", colour.dim(format_args!("{name:<10}")));
    };
    let to = &shrunk.plan;
    line(
        "faults",
        from.faults.len().to_string(),
        to.faults.len().to_string(),
    );
    line(
        "validators",
        from.validators.to_string(),
        to.validators.to_string(),
    );
    line(
        "executors",
        from.executors.len().to_string(),
        to.executors.len().to_string(),
    );
    line("time", ms(from.duration_ms), ms(to.duration_ms));
    let rate = |plan: &Plan| format!("{} transactions/s", plan.workload.transactions_per_second);
    line("clients", rate(from), rate(to));
    let file = file.display();
    let ended = if shrunk.complete {
        "nothing simpler fails in the same way".to_owned()
    } else {
        format!("stopped here; `metasim shrink {file}` goes on")
    };
    let _ = writeln!(out, "{} runs: {ended}", shrunk.runs);
    let again = colour.bold(format_args!("metasim run {file} --seed {}", to.seed));
    let _ = writeln!(out, "kept   {file}\nagain  {again}");
    out
}

/// The story of a shrunk scenario, for whoever opens its file.
#[must_use]
pub fn story(outcome: &Outcome) -> String {
    let plan = &outcome.plan;
    let what = match (outcome.violations.first(), &outcome.panic) {
        (Some(violation), None) => format!(
            "{} is broken by {} at {}: {}.",
            violation.invariant,
            violation.process,
            violation.at.to_string().trim(),
            violation.message
        ),
        (_, Some(panic)) => format!("A process panics: {panic}."),
        (None, None) => "Nothing goes wrong.".to_owned(),
    };
    let mut out = format!(
        "Shrunk from {}, seed {}.\n{what}\n",
        plan.scenario, plan.seed
    );
    for fault in &plan.faults {
        let _ = writeln!(out, "- {fault}");
    }
    out
}
