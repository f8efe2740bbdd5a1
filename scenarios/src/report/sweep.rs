//! A sweep: a matrix of single crashes by crash point and occurrence, a matrix of pairs, and the failures with their
//! files.

use super::{colour::Colour, verdict};
use metanode_core::env::CrashPoint;
use metanode_sim::{
    run::{Outcome, Verdict},
    sweep::{Case, Crash},
    trace::ProcessId,
};
use std::{collections::BTreeMap, fmt::Write, path::PathBuf};

/// The result of one run of a sweep.
#[derive(Clone, Debug)]
pub struct Swept {
    pub verdict: Verdict,
    reached: BTreeMap<(ProcessId, CrashPoint), u32>,
    /// The broken invariant, or the class of the failure.
    symptom: String,
    message: String,
    file: Option<PathBuf>,
}

impl Swept {
    /// `file` is the failure file of the run, if it failed.
    #[must_use]
    pub fn new(outcome: &Outcome, file: Option<PathBuf>) -> Self {
        let violation = outcome.violations.first();
        Self {
            verdict: outcome.verdict,
            reached: outcome.reached.clone(),
            symptom: match violation {
                Some(violation) => violation.invariant.to_string(),
                None => verdict::name(outcome.verdict).to_owned(),
            },
            message: verdict::cause(outcome).unwrap_or_default(),
            file,
        }
    }

    /// Whether all crashes of the case happened.
    fn happened(&self, case: &Case) -> bool {
        let count = |crash: &Crash| self.reached.get(&(crash.process, crash.point)).copied();
        let mut crashes = case.crashes.iter();
        crashes.all(|crash| count(crash).unwrap_or(0) >= crash.times)
    }
}

/// The whole report.
#[must_use]
pub fn text(cases: &[Case], results: &[Swept], times: u32, colour: Colour) -> String {
    let mut out = String::new();
    let swept = || cases.iter().zip(results);
    let _ = write!(out, "{:<28}", "single crash, by occurrence");
    for n in 1..=times {
        let _ = write!(out, " {n:>8}");
    }
    out.push('\n');
    let mut alone: BTreeMap<CrashPoint, Vec<&Swept>> = BTreeMap::new();
    let mut pairs: BTreeMap<(CrashPoint, CrashPoint), Vec<(&Case, &Swept)>> = BTreeMap::new();
    for (case, result) in swept() {
        match case.crashes[..] {
            [crash] => alone.entry(crash.point).or_default().push(result),
            [node, executor] => {
                let pair = (node.point, executor.point);
                pairs.entry(pair).or_default().push((case, result));
            }
            _ => {}
        }
    }
    for (point, results) in &alone {
        let _ = write!(out, "{:<28}", point.name());
        for result in results {
            let _ = match result.verdict {
                Verdict::Passed => write!(out, " {:>8}", "passed"),
                _ => write!(
                    out,
                    " {}",
                    colour.bad(format_args!("{:>8}", result.symptom))
                ),
            };
        }
        out.push('\n');
    }
    for point in CrashPoint::ALL
        .iter()
        .filter(|point| !alone.contains_key(point))
    {
        let _ = writeln!(out, "{:<28} {:>8}", point.name(), colour.dim("never"));
    }
    out.push_str(&pairs_text(&pairs, colour));
    out.push_str(&verdicts(cases, results, colour));
    out
}

/// The failures and their number.
#[must_use]
pub fn verdicts(cases: &[Case], results: &[Swept], colour: Colour) -> String {
    let mut out = String::new();
    let swept = || cases.iter().zip(results);
    for (case, result) in swept().filter(|(_, result)| result.verdict != Verdict::Passed) {
        let _ = writeln!(out, "\n{}", colour.bold(describe(case)));
        let _ = writeln!(out, "{}: {}", colour.bad(&result.symptom), result.message);
        if let Some(file) = &result.file {
            let _ = writeln!(out, "metasim replay {}", file.display());
        }
    }
    let failed = results
        .iter()
        .filter(|result| result.verdict != Verdict::Passed);
    let (failed, runs) = (failed.count() as u64, results.len() as u64);
    out.push_str(&verdict::tally(failed, runs, colour));
    out
}

/// A row per crash point of the node, a column per crash point of the executor. A cell counts the runs in which both
/// crashes happened, and how many of these passed.
fn pairs_text(
    pairs: &BTreeMap<(CrashPoint, CrashPoint), Vec<(&Case, &Swept)>>,
    colour: Colour,
) -> String {
    let mut out = String::new();
    let mut columns: Vec<CrashPoint> = pairs.keys().map(|(_, executor)| *executor).collect();
    columns.sort_unstable();
    columns.dedup();
    if columns.is_empty() {
        return out;
    }
    let short = |point: &CrashPoint| point.name().trim_start_matches("executor.").to_owned();
    let _ = write!(out, "\n{:<28}", "both crash, passed/happened");
    for column in &columns {
        let _ = write!(out, " {:>15}", short(column));
    }
    let mut row = None;
    for ((node, _), swept) in pairs {
        if row.replace(*node) != Some(*node) {
            let _ = write!(out, "\n{:<28}", node.name());
        }
        let happened = swept.iter().filter(|(case, result)| result.happened(case));
        let passed = swept
            .iter()
            .filter(|(_, result)| result.verdict == Verdict::Passed);
        let (happened, passed) = (happened.count(), passed.count());
        let failed = swept.len() - passed;
        let cell = format!("{}/{happened}", happened.saturating_sub(failed));
        let cell = format!("{cell:>15}");
        let _ = match failed {
            0 => write!(out, " {cell}"),
            _ => write!(out, " {}", colour.bad(cell)),
        };
    }
    out.push('\n');
    out
}

/// `node-0 at node.after-store (occurrence 2)`, joined by `and` for a pair.
#[must_use]
pub fn describe(case: &Case) -> String {
    let crashes = case.crashes.iter().map(|crash| {
        let Crash {
            process,
            point,
            times,
        } = crash;
        format!("{process} at {point} (occurrence {times})")
    });
    crashes.collect::<Vec<_>>().join(" and ")
}
