//! A sweep: matrices of single crashes by crash point and occurrence, of pairs and of crashes during recovery, and the
//! failures with their files.

use super::{colour::Colour, verdict};
use metanode_core::env::CrashPoint;
use metanode_sim::{
    faults::Occurrences,
    run::{Outcome, Verdict},
    sweep::{Case, Crash, Manner},
    trace::ProcessId,
};
use std::{collections::BTreeMap, fmt::Write, path::PathBuf};

/// The result of one run of a sweep.
#[derive(Clone, Debug)]
pub struct Swept {
    pub case: Case,
    pub verdict: Verdict,
    pub(crate) reached: BTreeMap<(ProcessId, CrashPoint), Occurrences>,
    /// The broken invariant, or the class of the failure.
    symptom: String,
    message: String,
    file: Option<PathBuf>,
}

impl Swept {
    /// `file` is the failure file of the run, if it failed.
    #[must_use]
    pub fn new(case: Case, outcome: &Outcome, file: Option<PathBuf>) -> Self {
        let violation = outcome.violations.first();
        Self {
            case,
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

    fn passed(&self) -> bool {
        self.verdict == Verdict::Passed
    }

    /// Whether all crashes of the case happened.
    fn happened(&self) -> bool {
        let happened = |crash: &Crash| {
            let occurrences = self.reached.get(&(crash.process, crash.point));
            occurrences.is_some_and(|occurrences| occurrences.total >= crash.times)
        };
        self.case.crashes().iter().all(happened)
    }
}

/// The whole report.
#[must_use]
pub fn text(results: &[Swept], times: u32, colour: Colour) -> String {
    let mut out = String::new();
    for (manner, title) in [
        (Manner::Kill, "killed, by occurrence"),
        (Manner::PowerLoss, "power lost, by occurrence"),
    ] {
        out.push_str(&alone_text(title, manner, results, times, colour));
    }
    let pairs = results.iter().filter_map(|swept| match swept.case {
        Case::Pair { node, executor } => Some((node.point, executor.point, swept)),
        Case::Alone(_) | Case::Recovery { .. } => None,
    });
    out.push_str(&matrix_text("both killed, passed/happened", pairs, colour));
    let again = results.iter().filter_map(|swept| match swept.case {
        Case::Recovery { first, .. } => Some((first.point, first.manner, swept)),
        Case::Alone(_) | Case::Pair { .. } => None,
    });
    out.push_str(&matrix_text("in recovery, passed/happened", again, colour));
    out.push_str(&verdicts(results, colour));
    out.trim_start().to_owned()
}

/// A row per crash point, a column per occurrence.
fn alone_text(
    title: &str,
    manner: Manner,
    results: &[Swept],
    times: u32,
    colour: Colour,
) -> String {
    let mut out = format!("\n{title:<28}");
    for n in 1..=times {
        let _ = write!(out, " {n:>8}");
    }
    out.push('\n');
    let mut alone: BTreeMap<CrashPoint, Vec<&Swept>> = BTreeMap::new();
    for result in results {
        if let Case::Alone(crash) = result.case
            && crash.manner == manner
        {
            alone.entry(crash.point).or_default().push(result);
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
    let never = CrashPoint::ALL
        .iter()
        .filter(|point| !alone.contains_key(point));
    for point in never {
        let _ = writeln!(out, "{:<28} {:>8}", point.name(), colour.dim("never"));
    }
    out
}

/// What a column of a matrix is about.
trait Column: Ord + Copy {
    fn title(self) -> &'static str;
}

impl Column for CrashPoint {
    fn title(self) -> &'static str {
        self.name().trim_start_matches("executor.")
    }
}

impl Column for Manner {
    fn title(self) -> &'static str {
        match self {
            Self::Kill => "killed",
            Self::PowerLoss => "power lost",
        }
    }
}

/// A row per first crash point. A cell counts the runs in which all crashes happened, and how many of these passed.
fn matrix_text<'a, C: Column>(
    title: &str,
    cells: impl Iterator<Item = (CrashPoint, C, &'a Swept)>,
    colour: Colour,
) -> String {
    let mut rows: BTreeMap<CrashPoint, BTreeMap<C, Vec<&Swept>>> = BTreeMap::new();
    for (row, column, swept) in cells {
        let row = rows.entry(row).or_default();
        row.entry(column).or_default().push(swept);
    }
    let mut columns: Vec<C> = rows.values().flat_map(|row| row.keys().copied()).collect();
    columns.sort_unstable();
    columns.dedup();
    let mut out = String::new();
    if columns.is_empty() {
        return out;
    }
    let _ = write!(out, "\n{title:<28}");
    for column in &columns {
        let _ = write!(out, " {:>15}", column.title());
    }
    for (point, row) in &rows {
        let _ = write!(out, "\n{:<28}", point.name());
        for column in &columns {
            let swept = row.get(column).map_or(&[][..], Vec::as_slice);
            let happened = swept.iter().filter(|swept| swept.happened()).count();
            let failed = swept.iter().filter(|swept| !swept.passed()).count();
            let cell = format!("{}/{happened}", happened.saturating_sub(failed));
            let cell = format!("{cell:>15}");
            let _ = match failed {
                0 => write!(out, " {cell}"),
                _ => write!(out, " {}", colour.bad(cell)),
            };
        }
    }
    out.push('\n');
    out
}

/// The failures and their number.
#[must_use]
pub fn verdicts(results: &[Swept], colour: Colour) -> String {
    let mut out = String::new();
    for result in results.iter().filter(|result| !result.passed()) {
        let _ = writeln!(out, "\n{}", colour.bold(describe(&result.case)));
        let _ = writeln!(out, "{}: {}", colour.bad(&result.symptom), result.message);
        if let Some(file) = &result.file {
            let _ = writeln!(out, "metasim replay {}", file.display());
        }
    }
    let failed = results.iter().filter(|result| !result.passed());
    let (failed, runs) = (failed.count() as u64, results.len() as u64);
    out.push_str(&verdict::tally(failed, runs, colour));
    out
}

/// `node-0 killed at node.after-store (occurrence 2)`, joined by `and` for two.
#[must_use]
pub fn describe(case: &Case) -> String {
    let crashes = case.crashes().into_iter().map(|crash| {
        let Crash {
            manner,
            process,
            point,
            times,
        } = crash;
        let crash = match manner {
            Manner::Kill => format!("{process} killed"),
            Manner::PowerLoss => format!("host of {process} without power"),
        };
        format!("{crash} at {point} (occurrence {times})")
    });
    crashes.collect::<Vec<_>>().join(" and ")
}
