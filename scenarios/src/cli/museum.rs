//! `metasim museum`: exit code 0 if every bug that was asked for was found, 7 otherwise. The smallest run that shows a
//! bug is kept as a failure file.

use super::{
    arguments::{Museum, threads},
    exit::Exit,
    output::{CliError, print, progress_bar},
    reports::Reports,
};
use crate::{
    batch::in_order,
    catalog::Named,
    failure::Failure,
    museum::{Grounds, Search, search, shrink_found},
    report::{colour::Colour, museum as report},
    source::InputError,
    suite::Suite,
};
use indicatif::ProgressBar;
use metanode_core::bugs::{Entry, KnownBug};
use std::{ops::Range, path::Path, sync::Arc};

/// Budget for shrinking one run; most need less than a hundred runs.
const SHRINK_BUDGET_RUNS: u64 = 500;

/// How far the search goes.
pub(super) struct Limits<'a> {
    pub seeds: Range<u64>,
    /// The search for a bug ends when this many runs have shown it.
    pub findings: u64,
    pub threads: usize,
    /// Folder for the smallest run that shows each bug.
    pub failures: &'a Path,
}

/// The bugs and guards with these names and numbers, without the guards that mask them, in the order of the museum.
pub(super) fn switches(asked: &[String]) -> Result<Vec<KnownBug>, InputError> {
    let known = || KnownBug::ALL.iter().map(|bug| bug.name()).collect();
    let mut bugs = named(asked, KnownBug::named, known)?;
    bugs.sort_unstable();
    bugs.dedup();
    Ok(bugs)
}

/// The entries with these names and numbers, in the order of the museum; all of them if nothing is asked for.
fn entries(asked: &[String]) -> Result<Vec<Entry>, InputError> {
    if asked.is_empty() {
        return Ok(KnownBug::ENTRIES.to_vec());
    }
    let all = KnownBug::ENTRIES.iter();
    let known = || all.clone().map(|entry| entry.bug.name()).collect();
    let mut entries = named(asked, Entry::named, known)?;
    entries.sort_unstable_by_key(|entry| entry.bug);
    entries.dedup();
    Ok(entries)
}

fn named<T>(
    asked: &[String],
    find: impl Fn(&str) -> Vec<T>,
    known: impl Fn() -> Vec<&'static str>,
) -> Result<Vec<T>, InputError> {
    let mut all = vec![];
    for name in asked {
        let found = find(name);
        if found.is_empty() {
            return Err(InputError::Unknown {
                kind: "bug",
                name: name.clone(),
                known: known(),
            });
        }
        all.extend(found);
    }
    Ok(all)
}

pub(super) fn run(asked: &Museum) -> Result<Exit, CliError> {
    let entries = entries(&asked.bugs)?;
    let scenarios = Suite::open(&asked.suite)?.scenarios()?;
    let limits = Limits {
        seeds: asked.seeds.0.clone(),
        findings: asked.findings,
        threads: threads(asked.jobs),
        failures: &asked.failures,
    };
    let mut reports = Reports::create(asked.json.as_deref(), asked.junit.as_deref())?;
    let colour = Colour::of_stdout();
    print(&report::head(colour))?;
    let searches = search_all(&entries, &scenarios, &limits, |search, bar| {
        let line = report::line(search, colour);
        bar.suspend(|| print(&line))?;
        reports.add_search_case(search, &search_again(search, &asked.suite, &limits));
        reports.add_search_object(search)
    })?;
    reports.finish()?;
    print(&report::summary(&searches, colour))?;
    if limits.findings == 1 {
        let folder = limits.failures.display();
        print(&format!(
            "smallest run of each bug: metasim replay {folder}/BUG.toml\n"
        ))?;
    }
    Ok(exit_code(&searches))
}

/// Searches for every entry in the scenarios of a suite. Prints the summary alone.
pub(super) fn run_in_suite(
    name: &str,
    suite: &Suite,
    limits: &Limits<'_>,
    reports: &mut Reports,
) -> Result<Exit, CliError> {
    let scenarios = suite.scenarios()?;
    let searches = search_all(KnownBug::ENTRIES, &scenarios, limits, |search, _| {
        reports.add_search_case(search, &search_again(search, name, limits));
        Ok(())
    })?;
    let summary = report::summary(&searches, Colour::of_stdout());
    print(&format!("\nmuseum{summary}"))?;
    Ok(exit_code(&searches))
}

/// The command that searches for this bug again.
fn search_again(search: &Search, suite: &str, limits: &Limits<'_>) -> String {
    let name = search.entry.bug.name();
    let Range { start, end } = limits.seeds;
    format!("metasim museum {name} --suite {suite} --seeds {start}..{end}")
}

/// Searches for each entry and keeps the smallest run that shows it, unless it is counted how often it is found.
fn search_all(
    entries: &[Entry],
    scenarios: &[Arc<Named>],
    limits: &Limits<'_>,
    mut each: impl FnMut(&Search, &ProgressBar) -> Result<(), CliError>,
) -> Result<Vec<Search>, CliError> {
    let bar = progress_bar(entries.len());
    let grounds = Grounds::new(scenarios.to_vec());
    let mut searches = vec![];
    let mut done = Ok(());
    in_order(
        entries,
        limits.threads,
        |entry| {
            let mut search = search(&grounds, *entry, limits.seeds.clone(), limits.findings);
            if limits.findings == 1 {
                shrink_found(&mut search, SHRINK_BUDGET_RUNS);
            }
            search
        },
        |search| {
            if done.is_ok() {
                done = keep(&search, limits.failures).and_then(|()| each(&search, &bar));
            }
            bar.inc(1);
            searches.push(search);
        },
    );
    bar.finish_and_clear();
    done.map(|()| searches)
}

fn exit_code(searches: &[Search]) -> Exit {
    match searches.iter().all(|search| search.found.is_some()) {
        true => Exit::Passed,
        false => Exit::BugNotFound,
    }
}

fn keep(search: &Search, folder: &Path) -> Result<(), CliError> {
    let Some(smallest) = &search.smallest else {
        return Ok(());
    };
    let name = format!("{}.toml", search.entry.bug.name());
    let kept = Failure::of(smallest).keep_as(folder, &name);
    kept.map(drop)
        .map_err(|error| CliError::unwritable(folder, error))
}
