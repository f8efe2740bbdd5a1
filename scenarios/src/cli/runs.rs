//! `metasim run` and `metasim suite`.

use super::{
    arguments::{EnabledBugs, Options},
    exit::Exit,
    failures, museum,
    output::{CliError, JsonLines, Progress, print, start_log},
    reports::Reports,
    sweep,
};
use crate::{
    batch::{Job, OUTCOME_ONLY, in_order},
    catalog, determinism,
    report::{self, colour::Colour, failure, plan, summary::Summary, timeline, verdict},
    seed::{Seed, Seeds},
    suite::Suite,
};
use metanode_sim::{disk::Disks, run::RunOptions};
use std::{path::Path, sync::Arc};

pub(super) fn scenario(
    scenario: &str,
    seed: Option<Seed>,
    seeds: Option<Seeds>,
    bugs: EnabledBugs,
    trace: Option<&Path>,
    options: &Options,
) -> Result<Exit, CliError> {
    let mut scenario = catalog::scenario(scenario)?;
    scenario
        .scenario
        .bugs
        .extend(museum::switches(&bugs.names)?);
    scenario.scenario.buggy_validators.extend(bugs.validators);
    let scenario = Arc::new(scenario);
    let store = options.backend().or(scenario.scenario.store);
    let store = store.unwrap_or_default();
    let default_seed = scenario.scenario.default_seed();
    let job = |seed| Job {
        scenario: Arc::clone(&scenario),
        seed,
        store,
    };
    start_log(options.log.as_deref())?;
    match seeds {
        None => {
            let seed = seed.map_or(default_seed, |seed| seed.0);
            run_one(&job(seed), trace, options)
        }
        Some(Seeds(seeds)) => {
            let mut reports = options.reports()?;
            let jobs: Vec<_> = seeds.map(job).collect();
            let exit = run_many(&jobs, Repeat::Nothing, &mut reports, options)?;
            reports.finish()?;
            Ok(exit)
        }
    }
}

pub(super) fn suite(
    name: &str,
    seed: Seed,
    seeds: Option<Seeds>,
    options: &Options,
) -> Result<Exit, CliError> {
    let suite = Suite::open(name)?;
    let first_seed = seeds.as_ref().map_or(seed.0, |Seeds(seeds)| seeds.start);
    let count = seeds.map(|Seeds(seeds)| seeds.end - seeds.start);
    let jobs = suite.runs(first_seed, count, options.backend())?;
    start_log(options.log.as_deref())?;
    let mut reports = options.reports()?;
    let mut exits = vec![];
    if !jobs.is_empty() {
        exits.push(run_many(&jobs, Repeat::Some, &mut reports, options)?);
    }
    let threads = options.threads();
    for entry in &suite.sweeps {
        let limits = sweep::Limits {
            times: entry.times,
            validator: 0,
            threads,
            failures: &options.failures,
        };
        let job = sweep::job(&entry.scenario, Some(Seed(first_seed)), options)?;
        exits.push(sweep::sweep_in_suite(&job, &limits, &mut reports)?);
    }
    if let Some(entry) = &suite.museum {
        let limits = museum::Limits {
            seeds: 0..entry.seeds,
            findings: 1,
            threads,
            failures: &options.failures.join("museum"),
        };
        exits.push(museum::run_in_suite(name, &suite, &limits, &mut reports)?);
    }
    reports.finish()?;
    Ok(Exit::gravest(exits))
}

fn run_one(job: &Job, trace: Option<&Path>, options: &Options) -> Result<Exit, CliError> {
    let colour = Colour::of_stdout();
    let mut trace = JsonLines::create(trace)?;
    let mut reports = options.reports()?;
    check_stores(std::slice::from_ref(job))?;
    let head = colour.bold(format_args!("{} · seed {}", job.scenario.name, job.seed));
    let story = job.scenario.scenario.story.trim_end();
    let drawn = plan::text(&job.plan(), colour);
    print(&format!("{head}\n\n{story}\n\n{drawn}\n"))?;
    let finished = job.run(&RunOptions::KEEP_ALL);
    let outcome = &finished.outcome;
    for entry in &outcome.entries {
        trace.append(|| entry)?;
    }
    let happened = timeline::text(&outcome.entries, &outcome.violations, colour);
    let ended = verdict::text(outcome, colour);
    let kept: Vec<_> = failures::keep(outcome, &options.failures)?
        .into_iter()
        .collect();
    let kept = failure::kept(&kept, colour);
    print(&format!("{happened}\n{ended}{kept}"))?;
    reports.add_run(&finished)?;
    reports.finish()?;
    Ok(outcome.verdict.into())
}

/// Whether runs are repeated in a new process, to check that they are deterministic.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// The runs may have known bugs, which a new process would not have.
    Nothing,
    Some,
}

fn run_many(
    jobs: &[Job],
    repeat: Repeat,
    reports: &mut Reports,
    options: &Options,
) -> Result<Exit, CliError> {
    check_stores(jobs)?;
    let mut progress = Progress::new(jobs.len());
    let mut summary = Summary::default();
    let mut written = Ok(());
    let (mut kept, mut different) = (vec![], vec![]);
    let numbered: Vec<_> = jobs.iter().enumerate().collect();
    in_order(
        &numbered,
        options.threads(),
        |(position, job)| {
            let finished = job.run(&OUTCOME_ONLY);
            let compared = match repeat {
                Repeat::Nothing => None,
                Repeat::Some => determinism::repeat(*position, job, &finished),
            };
            (finished, compared)
        },
        |(finished, compared)| {
            different.extend(compared.filter(|compared| !compared.is_equal()));
            if written.is_ok() {
                written = reports
                    .add_run(&finished)
                    .and_then(|()| failures::keep(&finished.outcome, &options.failures))
                    .map(|file| kept.extend(file));
            }
            let scenario = finished.outcome.plan.scenario.clone();
            summary.add(finished);
            progress.ran(&scenario, summary.failed());
        },
    );
    progress.finish();
    written?;
    let colour = Colour::of_stdout();
    let text = summary.text(colour);
    print(&format!("{text}{}", failure::kept(&kept, colour)))?;
    for compared in &different {
        print(&report::determinism::different(compared, colour))?;
    }
    let deterministic = match different.is_empty() {
        true => Exit::Passed,
        false => Exit::NotDeterministic,
    };
    Ok(Exit::gravest([deterministic, summary.verdict().into()]))
}

/// # Errors
/// If a run needs a store backend that this build does not contain.
fn check_stores(jobs: &[Job]) -> Result<(), CliError> {
    match jobs.iter().find(|job| !Disks::supports(job.store)) {
        Some(job) => Err(CliError::NoRocksdb {
            run: format!("{} seed {}", job.scenario.name, job.seed),
        }),
        None => Ok(()),
    }
}
