//! `metasim museum`: exit code 0 if everything that was asked for was found, 7 otherwise. The smallest run that shows
//! each is kept as a failure file.

use super::exit::Exit;
use super::output::{CliError, JsonLines, print, progress_bar};
use crate::{
    batch::in_order,
    catalog::Named,
    failure::Failure,
    museum::{Search, search, shrink_found},
    report::{colour::Colour, museum as report},
    source::InputError,
    suite::Suite,
};
use indicatif::ProgressBar;
use metanode_core::bugs::{Entry, KnownBug};
use std::{ops::Range, path::Path, sync::Arc};

/// Runs to shrink one finding with: most need less than a hundred.
const SHRINK_BUDGET_RUNS: u64 = 500;

/// How the museum is searched.
pub(super) struct Limits<'a> {
    pub seeds: Range<u64>,
    pub threads: usize,
    /// Where the smallest run that shows each bug is kept.
    pub failures: &'a Path,
}

/// The switches that these names and numbers mean, and nothing else, in the order of the museum.
pub(super) fn switches(asked: &[String]) -> Result<Vec<KnownBug>, InputError> {
    let known = || KnownBug::ALL.iter().map(|bug| bug.name()).collect();
    let mut bugs = meant(asked, KnownBug::named, known)?;
    bugs.sort_unstable();
    bugs.dedup();
    Ok(bugs)
}

/// The entries that these names and numbers mean, in the order of the museum.
fn entries(asked: &[String]) -> Result<Vec<Entry>, InputError> {
    let all = KnownBug::ENTRIES.iter();
    let known = || all.clone().map(|entry| entry.bug.name()).collect();
    let mut entries = meant(asked, Entry::named, known)?;
    entries.sort_unstable_by_key(|entry| entry.bug);
    entries.dedup();
    Ok(entries)
}

fn meant<T>(
    asked: &[String],
    named: impl Fn(&str) -> Vec<T>,
    known: impl Fn() -> Vec<&'static str>,
) -> Result<Vec<T>, InputError> {
    let mut all = vec![];
    for text in asked {
        let meant = named(text);
        if meant.is_empty() {
            return Err(InputError::Unknown {
                kind: "bug",
                name: text.clone(),
                known: known(),
            });
        }
        all.extend(meant);
    }
    Ok(all)
}

pub(super) fn run(
    asked: &[String],
    suite: &str,
    limits: &Limits<'_>,
    json: Option<&Path>,
) -> Result<Exit, CliError> {
    let entries = match asked {
        [] => KnownBug::ENTRIES.to_vec(),
        asked => entries(asked)?,
    };
    let mixed = Suite::open(suite)?.scenarios()?;
    let mut json = JsonLines::create(json)?;
    let colour = Colour::of_stdout();
    print(&report::head(colour))?;
    let searches = search_all(&entries, &mixed, limits, |search, bar| {
        let line = report::line(search, colour);
        bar.suspend(|| print(&line))
            .and_then(|()| json.append(|| report::object(search)))
    })?;
    print(&report::summary(&searches, colour))?;
    let folder = limits.failures.display();
    print(&format!(
        "the smallest run of each: metasim replay {folder}/BUG.toml\n"
    ))?;
    Ok(exit_code(&searches))
}

/// All entries in the scenarios of a suite; shows those that were not found, and how soon the others were.
pub(super) fn run_in_suite(suite: &Suite, limits: &Limits<'_>) -> Result<Exit, CliError> {
    let mixed = suite.scenarios()?;
    let searches = search_all(KnownBug::ENTRIES, &mixed, limits, |_, _| Ok(()))?;
    let summary = report::summary(&searches, Colour::of_stdout());
    print(&format!("\nmuseum{summary}"))?;
    Ok(exit_code(&searches))
}

/// Searches for each entry and keeps the smallest run that shows it.
pub(super) fn search_all(
    entries: &[Entry],
    mixed: &[Arc<Named>],
    limits: &Limits<'_>,
    mut each: impl FnMut(&Search, &ProgressBar) -> Result<(), CliError>,
) -> Result<Vec<Search>, CliError> {
    let bar = progress_bar(entries.len());
    let mut searches = vec![];
    let mut done = Ok(());
    in_order(
        entries,
        limits.threads,
        |entry| {
            let mut search = search(mixed, *entry, limits.seeds.clone());
            shrink_found(&mut search, SHRINK_BUDGET_RUNS);
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

pub(super) fn exit_code(searches: &[Search]) -> Exit {
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
    kept.map(drop).map_err(|error| CliError::Unwritable {
        path: folder.display().to_string(),
        error,
    })
}
