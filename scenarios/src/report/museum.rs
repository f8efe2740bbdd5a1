//! The museum: one line per bug, then those that nobody noticed.

use super::{colour::Colour, verdict};
use crate::museum::Search;
use metanode_sim::{amounts::count, run::Outcome};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Write};

/// Runs that fail anyway and are told.
const SHOWN_FAILING: usize = 5;

/// The heading of [`line`]s.
#[must_use]
pub fn head(colour: Colour) -> String {
    colour.dim(format_args!(
        "{:<4} {:<36} {:<8} {:>5} {:>7} {:>7}  found in",
        "no.", "bug", "oracle", "seeds", "wall s", "faults"
    )) + "\n"
}

/// What the search for one bug came to.
#[must_use]
pub fn line(search: &Search, colour: Colour) -> String {
    let bug = search.bug;
    let (oracle, scene) = match &search.found {
        Some(finished) => {
            let plan = &finished.outcome.plan;
            let scene = format!("{} seed {}", plan.scenario, plan.seed);
            (colour.good(format_args!("{:<8}", oracle(search))), scene)
        }
        None => (colour.bad(format_args!("{:<8}", "nobody")), String::new()),
    };
    let line = format!(
        "{:<4} {:<36} {oracle} {:>5} {:>7.1} {:>7}  {scene}",
        bug.number(),
        bug.name(),
        search.runs,
        search.wall.as_secs_f64(),
        faults(search),
    );
    format!("{}\n", line.trim_end())
}

/// How many were found and how soon; what each hidden one is, and how to see one that was found.
#[must_use]
pub fn summary(searches: &[Search], colour: Colour) -> String {
    let mut out = String::from("\n");
    let hidden: Vec<_> = searches.iter().filter(|s| s.found.is_none()).collect();
    for search in &hidden {
        let bug = search.bug;
        let name = colour.bold(bug.name());
        let _ = writeln!(out, "{name} was not noticed: {}", bug.mechanism());
    }
    let failing: BTreeSet<String> = searches
        .iter()
        .flat_map(|search| search.failing_anyway.iter().map(verdict::reproduce))
        .collect();
    if !failing.is_empty() {
        let what = count(failing.len() as u64, "run");
        let head = format!("{what} failed with nothing switched on and prove nothing:");
        let _ = writeln!(out, "{}", colour.bad(head));
        for line in failing.iter().take(SHOWN_FAILING) {
            let _ = writeln!(out, "  {line}");
        }
    }
    let mut runs: Vec<u64> = searches
        .iter()
        .filter(|search| search.found.is_some())
        .map(|search| search.runs)
        .collect();
    runs.sort_unstable();
    if let Some(last) = searches.iter().rev().find_map(|s| s.found.as_ref()) {
        let _ = writeln!(
            out,
            "to see the last: {}",
            verdict::reproduce(&last.outcome.plan)
        );
    }
    let found = format!("{} of {} found", runs.len(), searches.len());
    let found = if hidden.is_empty() {
        colour.good(found)
    } else {
        colour.bad(found)
    };
    let _ = match (runs.get(runs.len() / 2), runs.last()) {
        (Some(median), Some(most)) => writeln!(
            out,
            "{found}; seeds until then: {median} in the median, {most} at most"
        ),
        _ => writeln!(out, "{found}"),
    };
    out
}

/// Fault events of the run that found it, and of the smallest like it.
fn faults(search: &Search) -> String {
    let of = |outcome: &Outcome| outcome.plan.faults.len();
    let found = search.found.as_ref().map(|found| of(&found.outcome));
    match (found, search.smallest.as_ref().map(of)) {
        (Some(found), Some(smallest)) => format!("{found} → {smallest}"),
        (Some(found), None) => found.to_string(),
        (None, _) => String::new(),
    }
}

/// For programs.
#[must_use]
pub fn object(search: &Search) -> Value {
    let plan = search.found.as_ref().map(|found| &found.outcome.plan);
    let smallest = search.smallest.as_ref().map(|outcome| &outcome.plan);
    json!({
        "number": search.bug.number(),
        "bug": search.bug.name(),
        "mechanism": search.bug.mechanism(),
        "found": plan.is_some(),
        "oracle": plan.map(|_| oracle(search)),
        "seeds": search.runs,
        "wall_seconds": search.wall.as_secs_f64(),
        "scenario": plan.map(|plan| &plan.scenario),
        "seed": plan.map(|plan| plan.seed),
        "reproduce": plan.map(verdict::reproduce),
        "faults": plan.map(|plan| plan.faults.len()),
        "smallest": smallest.map(|plan| json!({
            "faults": plan.faults.len(),
            "validators": plan.validators,
            "duration_ms": plan.duration_ms,
        })),
    })
}

fn oracle(search: &Search) -> String {
    search
        .oracle()
        .map_or_else(|| "a panic".to_owned(), |invariant| invariant.to_string())
}
