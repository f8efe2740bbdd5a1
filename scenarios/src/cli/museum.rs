//! `metasim museum`: exit code 0 if everything that was asked for was found, 3 otherwise. The smallest run that shows
//! each is kept as a failure file.

use super::output::{CliError, JsonLines, print, progress_bar};
use crate::{
    batch::in_order,
    catalog::{self, Named},
    failure::Failure,
    museum::{Search, search, shrink_found},
    report::{museum as report, paint::Paint},
    source::InputError,
    suite::Suite,
};
use indicatif::ProgressBar;
use metanode_core::museum::Exhibit;
use std::{ops::Range, path::Path, sync::Arc};

pub(super) const NOT_FOUND: u8 = 3;

/// Runs to shrink one finding with: most need less than a hundred.
const SHRINK_BUDGET_RUNS: u64 = 500;

/// How the museum is searched.
pub(super) struct Limits<'a> {
    pub seeds: Range<u64>,
    pub threads: usize,
    /// Where the smallest run that shows each exhibit is kept.
    pub failures: &'a Path,
}

/// The exhibits that these names and numbers mean, in the order of the museum.
pub(super) fn named(asked: &[String]) -> Result<Vec<Exhibit>, InputError> {
    let mut exhibits = vec![];
    for text in asked {
        let meant = Exhibit::named(text);
        if meant.is_empty() {
            return Err(InputError::Unknown {
                kind: "exhibit",
                name: text.clone(),
                known: Exhibit::ALL.iter().map(|exhibit| exhibit.name()).collect(),
            });
        }
        exhibits.extend(meant);
    }
    exhibits.sort_unstable();
    exhibits.dedup();
    Ok(exhibits)
}

pub(super) fn run(
    asked: &[String],
    suite: &str,
    limits: &Limits<'_>,
    json: Option<&Path>,
) -> Result<u8, CliError> {
    let exhibits = match asked {
        [] => Exhibit::ALL.to_vec(),
        asked => named(asked)?,
    };
    let mixed = catalog::suite(suite)?.scenarios()?;
    let mut json = JsonLines::create(json)?;
    let paint = Paint::of_stdout();
    print(&report::head(paint))?;
    let searches = search_all(&exhibits, &mixed, limits, |search, bar| {
        let line = report::line(search, paint);
        bar.suspend(|| print(&line))
            .and_then(|()| json.append(&report::object(search)))
    })?;
    print(&report::summary(&searches, paint))?;
    let folder = limits.failures.display();
    print(&format!(
        "the smallest run of each: metasim replay {folder}/EXHIBIT.toml\n"
    ))?;
    Ok(exit_code(&searches))
}

/// All exhibits in the scenarios of a suite; shows those that nobody noticed, and how soon the others were found.
pub(super) fn run_in_suite(suite: &Suite, limits: &Limits<'_>) -> Result<u8, CliError> {
    let mixed = suite.scenarios()?;
    let searches = search_all(Exhibit::ALL, &mixed, limits, |_, _| Ok(()))?;
    let summary = report::summary(&searches, Paint::of_stdout());
    print(&format!("\nmuseum{summary}"))?;
    Ok(exit_code(&searches))
}

/// Searches for each exhibit and keeps the smallest run that shows it.
pub(super) fn search_all(
    exhibits: &[Exhibit],
    mixed: &[Arc<Named>],
    limits: &Limits<'_>,
    mut each: impl FnMut(&Search, &ProgressBar) -> Result<(), CliError>,
) -> Result<Vec<Search>, CliError> {
    let bar = progress_bar(exhibits.len());
    let mut searches = vec![];
    let mut done = Ok(());
    in_order(
        exhibits,
        limits.threads,
        |exhibit| {
            let mut search = search(mixed, *exhibit, limits.seeds.clone());
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

pub(super) fn exit_code(searches: &[Search]) -> u8 {
    match searches.iter().all(|search| search.found.is_some()) {
        true => 0,
        false => NOT_FOUND,
    }
}

fn keep(search: &Search, folder: &Path) -> Result<(), CliError> {
    let Some(smallest) = &search.smallest else {
        return Ok(());
    };
    let name = format!("{}.toml", search.exhibit.name());
    let kept = Failure::of(smallest).keep_as(folder, &name);
    kept.map(drop).map_err(|error| CliError::Unwritable {
        path: folder.display().to_string(),
        error,
    })
}
