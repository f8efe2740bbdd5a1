//! Failure files, and the results of replaying and shrinking them.

use super::colour::Colour;
use crate::{failure::Failure, shrinking::Shrunk};
use metanode_sim::{amounts::ms, plan::Plan, run::Outcome};
use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

/// Files that are listed by name; the others are counted.
const NAMED: usize = 10;

/// The failure files with the commands that replay and shrink them. Empty if there are none.
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

/// How the trace of a replay compares with the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The same trace hash.
    Identical,
    /// A different trace, from a different build.
    OtherBuild,
    /// A different trace from the same build: it is not deterministic.
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

/// The result of a replay on one line.
#[must_use]
pub fn replayed(
    failure: &Failure,
    outcome: &Outcome,
    replayed: Replayed,
    colour: Colour,
) -> String {
    let (kept, here) = (&failure.trace_hash, outcome.trace_hash);
    let text = match replayed {
        Replayed::Identical => colour.good("identical: the trace hash is the recorded one"),
        Replayed::OtherBuild if failure.verdict == outcome.verdict => {
            format!("same verdict from another build: trace {kept} recorded, {here} now")
        }
        Replayed::OtherBuild => {
            format!("different verdict from another build: trace {kept} recorded, {here} now")
        }
        Replayed::Different => colour.bad(format_args!(
            "not deterministic: same build, but trace {kept} recorded, {here} now"
        )),
    };
    format!("replay {text}\n")
}

/// The result of shrinking `from`.
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
        format!("budget used up; `metasim shrink {file}` continues")
    };
    let _ = writeln!(out, "{} runs: {ended}", shrunk.runs);
    let rerun = colour.bold(format_args!("metasim run {file} --seed {}", to.seed));
    let _ = writeln!(out, "kept   {file}\nrerun  {rerun}");
    out
}

/// The story of a shrunk scenario.
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
        (None, None) => "No invariant is broken.".to_owned(),
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
