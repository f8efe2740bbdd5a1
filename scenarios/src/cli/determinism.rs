//! `metasim determinism`: runs each seed in this process, after other runs, and in a new process of this binary.

use super::{
    exit::Exit,
    output::{CliError, print, progress_bar},
};
use crate::{
    batch::{Job, OUTCOME_ONLY, in_order},
    catalog::{self, SCENARIOS},
    determinism::compare,
    report::{self, colour::Colour},
    seed::Seed,
};
use metanode_sim::{amounts::count, plan::Backend};
use std::{ops::Range, sync::Arc};

pub(super) fn check(
    scenarios: &[String],
    seeds: Range<u64>,
    threads: usize,
    store: Backend,
) -> Result<Exit, CliError> {
    let built_in = SCENARIOS.iter().map(|entry| entry.name);
    let names: Vec<&str> = match scenarios {
        [] => built_in.collect(),
        given => given.iter().map(String::as_str).collect(),
    };
    let mut runs = vec![];
    for name in names {
        let scenario = Arc::new(catalog::scenario(name)?);
        runs.extend(seeds.clone().map(|seed| Job {
            scenario: Arc::clone(&scenario),
            seed,
            store,
        }));
    }
    // Even the first job comes after another run.
    if let Some(last) = runs.last() {
        let _ = last.run(&OUTCOME_ONLY);
    }
    let bar = progress_bar(runs.len());
    let mut different = vec![];
    in_order(&runs, threads, compare, |compared| {
        bar.set_prefix(compared.job.scenario.name.clone());
        bar.inc(1);
        if !compared.is_equal() {
            different.push(compared);
        }
    });
    bar.finish_and_clear();
    let colour = Colour::of_stdout();
    if different.is_empty() {
        let text = format!(
            "{}: the same trace in this process and in a new one",
            count(runs.len() as u64, "run")
        );
        print(&format!("{}\n", colour.good(text)))?;
        return Ok(Exit::Passed);
    }
    for compared in &different {
        print(&report::determinism::different(compared, colour))?;
    }
    Ok(Exit::NotDeterministic)
}

pub(super) fn trace_hash(scenario: &str, seed: Seed, store: Backend) -> Result<Exit, CliError> {
    let job = Job {
        scenario: Arc::new(catalog::scenario(scenario)?),
        seed: seed.0,
        store,
    };
    let finished = job.run(&OUTCOME_ONLY);
    print(&format!("{}\n", finished.outcome.trace_hash))?;
    Ok(Exit::Passed)
}
