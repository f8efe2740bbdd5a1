//! Failure files: written by runs, `metasim replay`, `shrink` and `diff`.

use super::{
    exit::Exit,
    output::{CliError, print, spinner},
};
use crate::{
    batch::OUTCOME_ONLY,
    failure::{Failure, Symptom, build_id, write_whole},
    report::{
        colour::Colour,
        diff,
        failure::{self as failure_report, Replayed},
        plan, timeline, verdict,
    },
    run_reference,
    scenario::Scenario,
    shrinking::{Limits, Watcher, shrink},
    source::InputError,
};
use indicatif::ProgressBar;
use metanode_sim::{
    plan::Plan,
    run::{Outcome, RunOptions, Verdict, run},
    shrink::Stopped,
};
use std::path::{Path, PathBuf};

/// Writes the failure file of a run that failed. None if it passed.
pub(super) fn keep(outcome: &Outcome, folder: &Path) -> Result<Option<PathBuf>, CliError> {
    if outcome.verdict == Verdict::Passed {
        return Ok(None);
    }
    let kept = Failure::of(outcome).keep(folder);
    kept.map(Some)
        .map_err(|error| CliError::unwritable(folder, error))
}

pub(super) fn replay(file: &str) -> Result<Exit, CliError> {
    let failure = run_reference::failure(file)?.ok_or_else(|| InputError::Unreadable {
        path: file.into(),
        reason: "expected a failure file, as a failing run writes it".into(),
    })?;
    let colour = Colour::of_stdout();
    let Plan { scenario, seed, .. } = &failure.plan;
    let head = colour.bold(format_args!("{scenario} · seed {seed}"));
    if failure.build != build_id() {
        eprintln!("note: another build recorded this failure");
    }
    print(&format!(
        "{head}\n\n{}\n",
        plan::text(&failure.plan, colour)
    ))?;
    let outcome = run(failure.plan.clone(), &RunOptions::KEEP_ALL);
    let happened = timeline::text(&outcome.entries, &outcome.violations, colour);
    let ended = verdict::text(&outcome, colour);
    let replayed = Replayed::compare(&failure, &outcome, build_id());
    let compared = failure_report::replayed(&failure, &outcome, replayed, colour);
    print(&format!("{happened}\n{ended}{compared}"))?;
    Ok(match replayed {
        Replayed::Different => Exit::NotDeterministic,
        Replayed::Identical | Replayed::OtherBuild => outcome.verdict.into(),
    })
}

/// Without `out` the result is written beside the failure file; the result of an earlier search is replaced.
pub(super) fn shrink_to_file(
    name: &str,
    out: Option<PathBuf>,
    limits: Limits,
) -> Result<Exit, CliError> {
    let plan = run_reference::plan(name)?;
    let first = run(plan.clone(), &OUTCOME_ONLY);
    let Some(symptom) = Symptom::of(&first) else {
        return Err(CliError::Passes { name: name.into() });
    };
    let file = out.unwrap_or_else(|| default_out(name));
    let colour = Colour::of_stdout();
    print(&format!(
        "{}\n",
        colour.bold(format_args!("{name}: {symptom}"))
    ))?;
    let mut writer = Writer {
        file: &file,
        bar: spinner(),
        error: None,
    };
    // Written from the start: an interrupted search leaves the best scenario so far.
    let _ = writer.found(&first);
    let shrunk = shrink(plan.clone(), symptom.clone(), limits, &mut writer);
    writer.bar.finish_and_clear();
    if let Some(error) = writer.error {
        return Err(error);
    }
    confirm(&file, &symptom)?;
    print(&failure_report::shrunk(&plan, &shrunk, &file, colour))?;
    Ok(Exit::Passed)
}

/// Checks that the scenario file, once it is read again, fails in the same way.
fn confirm(file: &Path, symptom: &Symptom) -> Result<(), CliError> {
    let name = file.display().to_string();
    let plan = run_reference::plan(&name)?;
    let found = Symptom::of(&run(plan, &OUTCOME_ONLY));
    if found.as_ref() == Some(symptom) {
        return Ok(());
    }
    Err(CliError::Unconfirmed {
        name,
        expected: symptom.to_string(),
        found: found.map_or_else(|| "it passes".to_owned(), |found| found.to_string()),
    })
}

fn default_out(name: &str) -> PathBuf {
    const SHRUNK: &str = ".shrunk.toml";
    if name.ends_with(SHRUNK) {
        return name.into();
    }
    match name.strip_suffix(".toml") {
        Some(stem) => format!("{stem}{SHRUNK}").into(),
        None => format!("{}{SHRUNK}", name.replace(".toml", "").replace(':', "-")).into(),
    }
}

/// Displays progress and writes the best plan to a file.
struct Writer<'a> {
    file: &'a Path,
    bar: ProgressBar,
    error: Option<CliError>,
}

impl Watcher for Writer<'_> {
    fn found(&mut self, outcome: &Outcome) -> Result<(), Stopped> {
        let plan = &outcome.plan;
        self.bar.set_prefix(format!(
            "{} faults, {} validators, {}",
            plan.faults.len(),
            plan.validators,
            metanode_sim::amounts::ms(plan.duration_ms)
        ));
        let text = Scenario::explicit(plan, failure_report::story(outcome)).text();
        write_whole(self.file, &text).map_err(|error| {
            self.error = Some(CliError::unwritable(self.file, error));
            Stopped
        })
    }

    fn tried(&mut self, runs: u64, step: &str) {
        self.bar.set_position(runs);
        self.bar.set_message(step.to_owned());
    }
}

pub(super) fn diff(names: [&str; 2]) -> Result<Exit, CliError> {
    let plans = [
        run_reference::plan(names[0])?,
        run_reference::plan(names[1])?,
    ];
    let same_plan = plans[0] == plans[1];
    let outcomes = plans.map(|plan| run(plan, &RunOptions::KEEP_ALL));
    let traces = [&outcomes[0].entries[..], &outcomes[1].entries[..]];
    let differ = diff::first_difference(traces[0], traces[1]).is_some();
    print(&diff::text(names, traces, Colour::of_stdout()))?;
    Ok(if same_plan && differ {
        Exit::NotDeterministic
    } else {
        Exit::Passed
    })
}
