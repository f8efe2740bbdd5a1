//! `metasim sweep`: exhaustive over the crash points that one run of a scenario reaches. Exit codes as for runs.

use super::{
    exit::Exit,
    failures,
    output::{CliError, print, progress_bar},
    reports::Reports,
};
use crate::{
    batch::{Finished, Job, OUTCOME_ONLY, in_order},
    report::{colour::Colour, junit::Failed, sweep as report, verdict},
};
use metanode_sim::{
    run::{Verdict, run},
    sweep::{Case, cases},
};
use std::path::Path;

/// How a sweep is done.
pub(super) struct Limits<'a> {
    /// The first so many times that a point is reached.
    pub times: u32,
    /// Whose node and executor crash.
    pub validator: u16,
    pub threads: usize,
    pub failures: &'a Path,
}

/// Shows the whole matrix.
pub(super) fn sweep(
    job: &Job,
    limits: &Limits<'_>,
    reports: &mut Reports,
) -> Result<Exit, CliError> {
    sweep_and_show(job, limits, reports, |cases, results, colour| {
        report::text(cases, results, limits.times, colour)
    })
}

/// Shows failures, and how many runs it were.
pub(super) fn sweep_in_suite(
    job: &Job,
    limits: &Limits<'_>,
    reports: &mut Reports,
) -> Result<Exit, CliError> {
    sweep_and_show(job, limits, reports, |cases, results, colour| {
        let head = format!("\nsweep {}", job.scenario.name);
        format!("{head}{}", report::verdicts(cases, results, colour))
    })
}

fn sweep_and_show(
    job: &Job,
    limits: &Limits<'_>,
    reports: &mut Reports,
    show: impl FnOnce(&[Case], &[report::Swept], Colour) -> String,
) -> Result<Exit, CliError> {
    let colour = Colour::of_stdout();
    let undisturbed = run(job.plan(), &OUTCOME_ONLY);
    if undisturbed.verdict != Verdict::Passed {
        failures::keep(&undisturbed, limits.failures)?;
        print(&verdict::text(&undisturbed, colour))?;
        return Ok(undisturbed.verdict.into());
    }
    let cases = cases(&undisturbed.reached, limits.validator, limits.times);
    let bar = progress_bar(cases.len());
    let mut results = vec![];
    let mut kept = Ok(());
    in_order(
        &cases,
        limits.threads,
        |case| Job::run_plan(case.plan(&undisturbed.plan), &OUTCOME_ONLY),
        |finished| {
            let Finished { outcome, wall } = finished;
            let file = failures::keep(&outcome, limits.failures);
            let file = file.unwrap_or_else(|error| {
                kept = Err(error);
                None
            });
            let suite = format!("sweep {}", job.scenario.name);
            let name = report::describe(&cases[results.len()]);
            reports.add_case(&suite, name, wall, Failed::of(&outcome, file.as_deref()));
            results.push(report::Swept::new(&outcome, file));
            bar.inc(1);
        },
    );
    bar.finish_and_clear();
    kept?;
    print(&show(&cases, &results, colour))?;
    let verdicts = results.iter().map(|swept| swept.verdict);
    Ok(Verdict::gravest(verdicts).into())
}
