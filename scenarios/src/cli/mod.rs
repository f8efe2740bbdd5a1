//! The command line. Parses, runs, prints; how it ends is [`exit`]'s.

mod determinism;
mod exit;
mod failures;
mod museum;
mod output;
mod reports;
mod sweep;

use crate::{
    batch::{Job, OUTCOME_ONLY, in_order},
    catalog::{self, SCENARIOS, SUITES},
    determinism::SUBCOMMAND,
    report::{colour::Colour, failure, plan, summary::Summary, timeline, verdict},
    seed::{Seed, Seeds},
    shrinking::Limits,
    suite::Suite,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use exit::Exit;
use metanode_sim::{disk::Disks, plan::Backend, run::RunOptions};
use output::{CliError, JsonLines, print, progress_bar, start_log};
use reports::Reports;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    thread,
};

/// Deterministic simulation of Mysticeti nodes and their execution engines.
#[derive(Parser)]
#[command(name = "metasim", version, after_help = Exit::HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Name the scenarios and suites that are built in
    List,
    /// Run one scenario: one seed with its whole story, or many seeds with a summary
    Run {
        /// A name from `metasim list`, or the path of a .toml file
        scenario: String,
        /// A number or the hash of a commit [default: what the scenario says, or 0]
        #[arg(long)]
        seed: Option<Seed>,
        /// A..B (without B), or N for 0..N
        #[arg(long, conflicts_with = "seed")]
        seeds: Option<Seeds>,
        /// Switch on a bug of the museum, by name or number: this one and no guard that hides it
        #[arg(long, value_name = "NAME")]
        bug: Vec<String>,
        /// Write every event of the run to this file, one JSON object a line
        #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
        trace: Option<PathBuf>,
        #[command(flatten)]
        options: Options,
    },
    /// Run a suite: scenarios with seed counts
    Suite {
        /// A name from `metasim list`, or the path of a .toml file
        suite: String,
        /// The first seed of each scenario: a number or the hash of a commit
        #[arg(long, default_value = "0")]
        seed: Seed,
        /// Instead of as many seeds as the suite says: A..B (without B), or N for 0..N
        #[arg(long, conflicts_with = "seed")]
        seeds: Option<Seeds>,
        #[command(flatten)]
        options: Options,
    },
    /// Crash node and executor of one validator at every crash point that a run reaches, alone and together
    Sweep {
        /// A name from `metasim list`, or the path of a .toml file
        scenario: String,
        /// A number or the hash of a commit [default: what the scenario says, or 0]
        #[arg(long)]
        seed: Option<Seed>,
        /// The first N times that a point is reached
        #[arg(long, value_name = "N", default_value_t = 3)]
        times: u32,
        /// Whose node and executor
        #[arg(long, value_name = "N", default_value_t = 0)]
        validator: u16,
        #[command(flatten)]
        options: Options,
    },
    /// Switch on bugs that really happened, one at a time, and see which of their declared finders notices
    Museum {
        /// Names or numbers of bugs; all if there is none. Each is switched on with the guards that would hide it
        bugs: Vec<String>,
        /// A..B (without B), or N for 0..N: tried in this order until one of them finds the bug
        #[arg(long, default_value = "500")]
        seeds: Seeds,
        /// Whose scenarios are run in turn: a name from `metasim list`, or the path of a .toml file
        #[arg(long, default_value = "ci")]
        suite: String,
        /// How many bugs at once [default: one per core]
        #[arg(long)]
        jobs: Option<usize>,
        /// Write one JSON object per bug to this file
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Where the smallest run that shows each is kept
        #[arg(long, value_name = "DIR", default_value = "failures/museum")]
        failures: PathBuf,
    },
    /// Run a failure file again and compare
    Replay {
        /// What a failing run left behind
        file: String,
    },
    /// Find the smallest run that fails in the same way, and write it as a scenario
    ///
    /// The scenario is written anew with every improvement: whoever interrupts this loses nothing, and goes on by
    /// shrinking the scenario.
    Shrink {
        /// A failure file, or SCENARIO:SEED
        run: String,
        /// Where the scenario goes [default: beside the file, as NAME.shrunk.toml]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Stop after so many runs
        #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
        budget_runs: u64,
        /// How many runs at once [default: one per core]
        #[arg(long)]
        jobs: Option<usize>,
    },
    /// Show the first event at which two runs part
    Diff {
        /// A failure file, or SCENARIO:SEED
        a: String,
        /// The same
        b: String,
    },
    /// Run each seed twice, after other runs and in a process of its own, and compare the traces
    Determinism {
        /// Names or paths; all that are built in if there is none
        scenarios: Vec<String>,
        /// A..B (without B), or N for 0..N
        #[arg(long, default_value = "3")]
        seeds: Seeds,
        /// How many at once [default: one per core]
        #[arg(long)]
        jobs: Option<usize>,
        #[arg(long, default_value = "memory")]
        store: Store,
    },
    /// Print the trace hash of one run
    #[command(name = SUBCOMMAND, hide = true)]
    TraceHash {
        scenario: String,
        #[arg(long)]
        seed: Seed,
        #[arg(long)]
        store: Store,
    },
}

#[derive(Args)]
struct Options {
    /// How many runs at once [default: one per core]
    #[arg(long)]
    jobs: Option<usize>,
    /// Store backend [default: memory, or what the suite says]
    #[arg(long)]
    store: Option<Store>,
    /// Write one JSON object per run to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a JUnit test report to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Where failing runs are kept
    #[arg(long, value_name = "DIR", default_value = "failures")]
    failures: PathBuf,
    /// Show the processes' logs on stderr: a level, or directives like `metanode_core=debug`
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

impl Options {
    fn reports(&self) -> Result<Reports, CliError> {
        Reports::create(self.json.as_deref(), self.junit.as_deref())
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Store {
    Memory,
    Rocksdb,
}

impl From<Store> for Backend {
    fn from(store: Store) -> Self {
        match store {
            Store::Memory => Self::Memory,
            Store::Rocksdb => Self::Rocksdb,
        }
    }
}

/// Everything that `metasim` does.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::List => list(),
        Command::Run {
            scenario,
            seed,
            seeds,
            bug,
            trace,
            options,
        } => run(&scenario, seed, seeds, &bug, trace.as_deref(), &options),
        Command::Suite {
            suite,
            seed,
            seeds,
            options,
        } => run_suite(&suite, seed, seeds, &options),
        Command::Sweep {
            scenario,
            seed,
            times,
            validator,
            options,
        } => sweep_scenario(&scenario, seed, times, validator, &options),
        Command::Museum {
            bugs,
            seeds,
            suite,
            jobs,
            json,
            failures,
        } => {
            let limits = museum::Limits {
                seeds: seeds.0,
                threads: threads(jobs),
                failures: &failures,
            };
            museum::run(&bugs, &suite, &limits, json.as_deref())
        }
        Command::Replay { file } => failures::replay(&file),
        Command::Shrink {
            run,
            out,
            budget_runs,
            jobs,
        } => {
            let threads = threads(jobs);
            let limits = Limits {
                budget_runs,
                threads,
            };
            failures::shrink_to_file(&run, out, limits)
        }
        Command::Diff { a, b } => failures::diff([&a, &b]),
        Command::Determinism {
            scenarios,
            seeds,
            jobs,
            store,
        } => determinism::check(&scenarios, seeds.0, jobs, store.into()),
        Command::TraceHash {
            scenario,
            seed,
            store,
        } => determinism::trace_hash(&scenario, seed, store.into()),
    };
    let exit = result.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        Exit::BadInput
    });
    ExitCode::from(exit as u8)
}

fn list() -> Result<Exit, CliError> {
    let mut stories = vec![("scenarios", vec![]), ("suites", vec![])];
    for built_in in SCENARIOS {
        let story = catalog::scenario(built_in.name)?.scenario.story;
        stories[0].1.push((built_in.name, story));
    }
    for built_in in SUITES {
        let story = Suite::open(built_in.name)?.story;
        stories[1].1.push((built_in.name, story));
    }
    let colour = Colour::of_stdout();
    let mut out = String::new();
    for (kind, entries) in stories {
        out.push_str(&format!("{kind}\n"));
        for (name, story) in entries {
            let story = story.trim_end().replace('\n', "\n      ");
            out.push_str(&format!("  {}\n      {story}\n", colour.bold(name)));
        }
    }
    print(&out)?;
    Ok(Exit::Passed)
}

fn run(
    scenario: &str,
    seed: Option<Seed>,
    seeds: Option<Seeds>,
    bugs: &[String],
    trace: Option<&Path>,
    options: &Options,
) -> Result<Exit, CliError> {
    let mut scenario = catalog::scenario(scenario)?;
    scenario.scenario.bugs.extend(museum::switches(bugs)?);
    let scenario = Arc::new(scenario);
    let store = options.store.map(Backend::from);
    let store = store.or(scenario.scenario.store).unwrap_or_default();
    let usual_seed = scenario.scenario.usual_seed();
    let job = |seed| Job {
        scenario: Arc::clone(&scenario),
        seed,
        store,
    };
    start_log(options.log.as_deref())?;
    match seeds {
        None => {
            let seed = seed.map_or(usual_seed, |seed| seed.0);
            run_one(&job(seed), trace, options)
        }
        Some(Seeds(seeds)) => {
            let mut reports = options.reports()?;
            let exit = run_many(&seeds.map(job).collect::<Vec<_>>(), &mut reports, options)?;
            reports.finish()?;
            Ok(exit)
        }
    }
}

fn run_suite(
    name: &str,
    seed: Seed,
    seeds: Option<Seeds>,
    options: &Options,
) -> Result<Exit, CliError> {
    let suite = Suite::open(name)?;
    let store = options.store.map(Backend::from);
    let first_seed = seeds.as_ref().map_or(seed.0, |Seeds(seeds)| seeds.start);
    let count = seeds.map(|Seeds(seeds)| seeds.end - seeds.start);
    let jobs = suite.runs(first_seed, count, store)?;
    start_log(options.log.as_deref())?;
    let mut reports = options.reports()?;
    let mut exits = vec![run_many(&jobs, &mut reports, options)?];
    let threads = threads(options.jobs);
    for entry in &suite.sweeps {
        let limits = sweep::Limits {
            times: entry.times,
            validator: 0,
            threads,
            failures: &options.failures,
        };
        let job = sweep_job(&entry.scenario, None, options)?;
        exits.push(sweep::sweep_in_suite(&job, &limits, &mut reports)?);
    }
    if let Some(entry) = &suite.museum {
        let limits = museum::Limits {
            seeds: 0..entry.seeds,
            threads,
            failures: &options.failures.join("museum"),
        };
        exits.push(museum::run_in_suite(&suite, &limits)?);
    }
    reports.finish()?;
    Ok(Exit::gravest(exits))
}

fn sweep_job(scenario: &str, seed: Option<Seed>, options: &Options) -> Result<Job, CliError> {
    let scenario = catalog::scenario(scenario)?;
    let store = options.store.map(Backend::from);
    Ok(Job {
        seed: seed.map_or(scenario.scenario.usual_seed(), |seed| seed.0),
        store: store.or(scenario.scenario.store).unwrap_or_default(),
        scenario: Arc::new(scenario),
    })
}

fn sweep_scenario(
    scenario: &str,
    seed: Option<Seed>,
    times: u32,
    validator: u16,
    options: &Options,
) -> Result<Exit, CliError> {
    let job = sweep_job(scenario, seed, options)?;
    start_log(options.log.as_deref())?;
    let limits = sweep::Limits {
        times,
        validator,
        threads: threads(options.jobs),
        failures: &options.failures,
    };
    let mut reports = options.reports()?;
    let exit = sweep::sweep(&job, &limits, &mut reports)?;
    reports.finish()?;
    Ok(exit)
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

fn run_many(jobs: &[Job], reports: &mut Reports, options: &Options) -> Result<Exit, CliError> {
    check_stores(jobs)?;
    let bar = progress_bar(jobs.len());
    let mut summary = Summary::default();
    let mut written = Ok(());
    let mut kept = vec![];
    in_order(
        jobs,
        threads(options.jobs),
        |job| job.run(&OUTCOME_ONLY),
        |finished| {
            if written.is_ok() {
                written = reports
                    .add_run(&finished)
                    .and_then(|()| failures::keep(&finished.outcome, &options.failures))
                    .map(|file| kept.extend(file));
            }
            bar.set_prefix(finished.outcome.plan.scenario.clone());
            summary.add(finished);
            bar.set_message(match summary.failed() {
                0 => String::new(),
                failed => format!("{failed} failed"),
            });
            bar.inc(1);
        },
    );
    bar.finish_and_clear();
    written?;
    let colour = Colour::of_stdout();
    let text = summary.text(colour);
    print(&format!("{text}{}", failure::kept(&kept, colour)))?;
    Ok(summary.verdict().into())
}

/// # Errors
/// If a run wants a store that this build leaves out.
fn check_stores(jobs: &[Job]) -> Result<(), CliError> {
    match jobs.iter().find(|job| !Disks::supports(job.store)) {
        Some(job) => Err(CliError::NoRocksdb {
            run: format!("{} seed {}", job.scenario.name, job.seed),
        }),
        None => Ok(()),
    }
}

fn threads(asked: Option<usize>) -> usize {
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    asked.unwrap_or_else(cores)
}
