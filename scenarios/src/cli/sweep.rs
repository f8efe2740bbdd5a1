//! `metasim sweep`: one run per crash at each crash point that a run of the scenario reaches, alone, in pairs, and again
//! during recovery.

use super::{
    arguments::Options,
    exit::Exit,
    failures,
    output::{CliError, print, progress_bar, start_log},
    reports::Reports,
};
use crate::{
    batch::{Finished, Job, OUTCOME_ONLY, in_order},
    catalog,
    report::{colour::Colour, junit::Failed, sweep as report, verdict},
    seed::Seed,
};
use metanode_sim::{
    plan::Plan,
    run::{Verdict, run},
    sweep::{Case, cases, recoveries},
};
use std::{path::Path, sync::Arc};

/// The extent of a sweep.
pub(super) struct Limits<'a> {
    /// Crashes happen at the first `times` occurrences of each crash point.
    pub times: u32,
    /// The validator whose node and executor crash.
    pub validator: u16,
    pub threads: usize,
    pub failures: &'a Path,
}

/// The run that is swept.
pub(super) fn job(scenario: &str, seed: Option<Seed>, options: &Options) -> Result<Job, CliError> {
    let scenario = catalog::scenario(scenario)?;
    Ok(Job {
        seed: seed.map_or(scenario.scenario.default_seed(), |seed| seed.0),
        store: options
            .backend()
            .or(scenario.scenario.store)
            .unwrap_or_default(),
        scenario: Arc::new(scenario),
    })
}

pub(super) fn scenario(
    scenario: &str,
    seed: Option<Seed>,
    times: u32,
    validator: u16,
    options: &Options,
) -> Result<Exit, CliError> {
    let job = self::job(scenario, seed, options)?;
    start_log(options.log.as_deref())?;
    let limits = Limits {
        times,
        validator,
        threads: options.threads(),
        failures: &options.failures,
    };
    let mut reports = options.reports()?;
    let exit = sweep(&job, &limits, &mut reports)?;
    reports.finish()?;
    Ok(exit)
}

/// Prints the whole matrix.
fn sweep(job: &Job, limits: &Limits<'_>, reports: &mut Reports) -> Result<Exit, CliError> {
    sweep_and_show(job, limits, reports, |results, colour| {
        report::text(results, limits.times, colour)
    })
}

/// Prints the failures and the number of runs.
pub(super) fn sweep_in_suite(
    job: &Job,
    limits: &Limits<'_>,
    reports: &mut Reports,
) -> Result<Exit, CliError> {
    sweep_and_show(job, limits, reports, |results, colour| {
        let head = format!("\nsweep {}", job.scenario.name);
        format!("{head}{}", report::verdicts(results, colour))
    })
}

fn sweep_and_show(
    job: &Job,
    limits: &Limits<'_>,
    reports: &mut Reports,
    show: impl FnOnce(&[report::Swept], Colour) -> String,
) -> Result<Exit, CliError> {
    let colour = Colour::of_stdout();
    let undisturbed = run(job.plan(), &OUTCOME_ONLY);
    if undisturbed.verdict != Verdict::Passed {
        failures::keep(&undisturbed, limits.failures)?;
        print(&verdict::text(&undisturbed, colour))?;
        return Ok(undisturbed.verdict.into());
    }
    let first = cases(&undisturbed.reached, limits.validator, limits.times);
    let mut results = vec![];
    let mut second = vec![];
    execute(&first, &undisturbed.plan, job, limits, reports, |swept| {
        second.extend(recoveries(&swept.case, &swept.reached));
        results.push(swept);
    })?;
    execute(&second, &undisturbed.plan, job, limits, reports, |swept| {
        results.push(swept);
    })?;
    print(&show(&results, colour))?;
    let verdicts = results.iter().map(|swept| swept.verdict);
    Ok(Verdict::gravest(verdicts).into())
}

/// Runs the cases and keeps their failures. Calls `each` for every case, in their order.
fn execute(
    cases: &[Case],
    base: &Plan,
    job: &Job,
    limits: &Limits<'_>,
    reports: &mut Reports,
    mut each: impl FnMut(report::Swept),
) -> Result<(), CliError> {
    let bar = progress_bar(cases.len());
    let mut kept = Ok(());
    in_order(
        cases,
        limits.threads,
        |case| (*case, Job::run_plan(case.plan(base), &OUTCOME_ONLY)),
        |(case, Finished { outcome, wall })| {
            let file = failures::keep(&outcome, limits.failures);
            let file = file.unwrap_or_else(|error| {
                kept = Err(error);
                None
            });
            let suite = format!("sweep {}", job.scenario.name);
            let name = report::describe(&case);
            reports.add_case(&suite, name, wall, Failed::of(&outcome, file.as_deref()));
            each(report::Swept::new(case, &outcome, file));
            bar.inc(1);
        },
    );
    bar.finish_and_clear();
    kept
}
