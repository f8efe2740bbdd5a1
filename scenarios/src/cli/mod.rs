//! The command line: `arguments` are parsed, a command runs, its report is printed, `exit` is its exit code.

mod arguments;
mod conformance;
mod determinism;
mod exit;
mod failures;
mod judge;
mod localnet;
mod museum;
mod output;
mod reports;
mod runs;
mod stand_in;
mod sweep;

use crate::{
    catalog::{self, SCENARIOS, SUITES},
    report::colour::Colour,
    shrinking::Limits,
    suite::Suite,
};
use arguments::{Cli, Command, threads};
use clap::Parser;
use exit::Exit;
use output::{CliError, print};
use std::process::ExitCode;

/// The program `metasim`.
#[must_use]
pub fn main() -> ExitCode {
    let exit = execute(Cli::parse().command).unwrap_or_else(|error| {
        eprintln!("error: {error}");
        Exit::BadInput
    });
    ExitCode::from(exit as u8)
}

fn execute(command: Command) -> Result<Exit, CliError> {
    match command {
        Command::List => list(),
        Command::Run {
            scenario,
            seed,
            seeds,
            bugs,
            trace,
            options,
        } => runs::scenario(&scenario, seed, seeds, bugs, trace.as_deref(), &options),
        Command::Suite {
            suite,
            seed,
            seeds,
            options,
        } => runs::suite(&suite, seed, seeds, &options),
        Command::Sweep {
            scenario,
            seed,
            times,
            validator,
            options,
        } => sweep::scenario(&scenario, seed, times, validator, &options),
        Command::Museum(asked) => museum::run(&asked),
        Command::Judge { files, json } => judge::judge(&files, json.as_deref()),
        Command::Localnet(asked) => localnet::localnet(asked),
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
        } => determinism::check(&scenarios, seeds.0, threads(jobs), store.into()),
        Command::Conformance(asked) => conformance::run(asked),
        Command::StandIn(asked) => stand_in::run(asked),
        Command::TraceHash {
            scenario,
            seed,
            store,
        } => determinism::trace_hash(&scenario, seed, store.into()),
    }
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
