//! The museum: one line per entry, then a summary.

use super::colour::Colour;
use crate::{
    museum::{FailedOtherwise, Search},
    run_reference,
};
use metanode_sim::{amounts::count, run::Outcome};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, fmt::Write};

/// Runs failing without a bug that are listed.
const LISTED_FAILING: usize = 5;

/// The heading of [`line`]s.
#[must_use]
pub fn head(colour: Colour) -> String {
    colour.dim(format_args!(
        "{:<4} {:<36} {:<9} {:>5} {:>7} {:>7}  found in",
        "no.", "bug", "found by", "seeds", "wall s", "faults"
    )) + "\n"
}

/// The result of one search.
#[must_use]
pub fn line(search: &Search, colour: Colour) -> String {
    let entry = search.entry;
    let (finder, run) = match &search.found {
        Some((finder, finished)) => {
            let plan = &finished.outcome.plan;
            let run = format!("{} seed {}", plan.scenario, plan.seed);
            (colour.good(format_args!("{finder:<9}")), run)
        }
        None => (
            colour.bad(format_args!("{:<9}", "not found")),
            String::new(),
        ),
    };
    let seeds = match search.findings {
        0 | 1 => search.runs.to_string(),
        findings => format!("{findings}/{}", search.runs),
    };
    let line = format!(
        "{:<4} {:<36} {finder} {seeds:>5} {:>7.1} {:>7}  {run}",
        entry.number,
        entry.bug.name(),
        search.wall.as_secs_f64(),
        faults(search),
    );
    let line = line.trim_end();
    match failed_otherwise(search) {
        Some(otherwise) => format!("{line}; {otherwise}\n"),
        None => format!("{line}\n"),
    }
}

/// Why an entry failed, on one line: the finders that did not report it, and how runs failed otherwise.
#[must_use]
pub fn not_found(search: &Search) -> String {
    let finders = search.entry.found_by.join(", ");
    let runs = count(search.runs, "run");
    match failed_otherwise(search) {
        Some(otherwise) => format!("not found by {finders} in {runs}; {otherwise}"),
        None => format!("not found by {finders} in {runs}"),
    }
}

/// The finding as the text of a test case: what the bug does, runs that fail without it, and the command that runs the
/// finding again. `again` is the command that searches again.
#[must_use]
pub fn finding(search: &Search, again: &str) -> String {
    let mut out = format!("{}\n", search.entry.bug.mechanism());
    for plan in &search.failing_anyway {
        let _ = writeln!(
            out,
            "fails without the bug: {}",
            run_reference::command(plan)
        );
    }
    match &search.found {
        Some((finder, found)) => {
            let command = run_reference::command(&found.outcome.plan);
            let _ = writeln!(out, "found by {finder}\n{command}");
        }
        None => {
            let _ = writeln!(out, "{again}");
        }
    }
    out
}

/// `failed otherwise: ROOT 2, panics 1`; None if no run did.
fn failed_otherwise(search: &Search) -> Option<String> {
    let counts = search.failed_otherwise.iter();
    let counts: Vec<_> = counts
        .map(|(how, count)| format!("{} {count}", how_it_failed(how)))
        .collect();
    (!counts.is_empty()).then(|| format!("failed otherwise: {}", counts.join(", ")))
}

fn how_it_failed(how: &FailedOtherwise) -> &str {
    match how {
        FailedOtherwise::Broken(finder) => finder,
        FailedOtherwise::Panicked => "panics",
        FailedOtherwise::WithoutTheBug => "without the bug",
    }
}

/// The bugs that were not found, the number of those that were and of the seeds that this took.
#[must_use]
pub fn summary(searches: &[Search], colour: Colour) -> String {
    let mut out = String::from("\n");
    let not_found: Vec<_> = searches.iter().filter(|s| s.found.is_none()).collect();
    for search in &not_found {
        let bug = search.entry.bug;
        let name = colour.bold(bug.name());
        let _ = writeln!(out, "{name} was not found: {}", bug.mechanism());
    }
    let failing: BTreeSet<String> = searches
        .iter()
        .flat_map(|search| search.failing_anyway.iter().map(run_reference::command))
        .collect();
    if !failing.is_empty() {
        let what = count(failing.len() as u64, "run");
        let head = format!("{what} failed without any bug switched on and did not count:");
        let _ = writeln!(out, "{}", colour.bad(head));
        for line in failing.iter().take(LISTED_FAILING) {
            let _ = writeln!(out, "  {line}");
        }
    }
    let mut runs: Vec<u64> = searches
        .iter()
        .filter(|search| search.found.is_some())
        .map(|search| search.runs)
        .collect();
    runs.sort_unstable();
    if let Some((_, last)) = searches.iter().rev().find_map(|s| s.found.as_ref()) {
        let _ = writeln!(
            out,
            "last one found: {}",
            run_reference::command(&last.outcome.plan)
        );
    }
    let found = format!("{} of {} found", runs.len(), searches.len());
    let found = if not_found.is_empty() {
        colour.good(found)
    } else {
        colour.bad(found)
    };
    let until_found = (runs.get(runs.len() / 2)).zip(runs.last());
    let how_often = match (per_1000_seeds(searches), until_found) {
        (Some((median, lowest)), _) => {
            format!("; runs that show a bug per 1000 seeds: median {median}, lowest {lowest}")
        }
        (None, Some((median, most))) => {
            format!("; seeds until found: median {median}, highest {most}")
        }
        (None, None) => String::new(),
    };
    let _ = writeln!(out, "{found}{how_often}");
    out
}

/// How many of 1000 seeds show a bug: the median and the lowest of all bugs. `None` if searches ended at the first.
fn per_1000_seeds(searches: &[Search]) -> Option<(u64, u64)> {
    searches.iter().find(|search| search.findings > 1)?;
    let mut rates: Vec<u64> = searches
        .iter()
        .map(|search| search.findings * 1000 / search.runs.max(1))
        .collect();
    rates.sort_unstable();
    Some((*rates.get(rates.len() / 2)?, *rates.first()?))
}

/// The number of faults in the run that found it and in the smallest run.
fn faults(search: &Search) -> String {
    let of = |outcome: &Outcome| outcome.plan.faults.len();
    let found = search.found.as_ref().map(|(_, found)| of(&found.outcome));
    match (found, search.smallest.as_ref().map(of)) {
        (Some(found), Some(smallest)) => format!("{found} → {smallest}"),
        (Some(found), None) => found.to_string(),
        (None, _) => String::new(),
    }
}

/// The result of one search as a JSON object.
#[must_use]
pub fn object(search: &Search) -> Value {
    let found = search.found.as_ref();
    let plan = found.map(|(_, found)| &found.outcome.plan);
    let smallest = search.smallest.as_ref().map(|outcome| &outcome.plan);
    let entry = search.entry;
    let otherwise = search.failed_otherwise.iter();
    let otherwise: Map<String, Value> = otherwise
        .map(|(how, count)| (how_it_failed(how).to_owned(), Value::from(*count)))
        .collect();
    json!({
        "number": entry.number,
        "bug": entry.bug.name(),
        "mechanism": entry.bug.mechanism(),
        "masked_by": entry.masked_by,
        "declared_finders": entry.found_by,
        "found": plan.is_some(),
        "finder": search.finder(),
        "failed_otherwise": Value::from(otherwise),
        "seeds": search.runs,
        "findings": search.findings,
        "wall_seconds": search.wall.as_secs_f64(),
        "scenario": plan.map(|plan| &plan.scenario),
        "seed": plan.map(|plan| plan.seed),
        "reproduce": plan.map(run_reference::command),
        "faults": plan.map(|plan| plan.faults.len()),
        "smallest": smallest.map(|plan| json!({
            "faults": plan.faults.len(),
            "validators": plan.validators,
            "duration_ms": plan.duration_ms,
        })),
    })
}
