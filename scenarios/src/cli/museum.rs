//! `metasim museum`: exit code 0 if everything that was asked for was found, 3 otherwise.

use super::output::{CliError, JsonLines, print, progress_bar};
use crate::{
    batch::in_order,
    catalog,
    museum::search,
    report::{museum as report, paint::Paint},
    source::InputError,
};
use metanode_core::museum::Exhibit;
use std::{ops::Range, path::Path};

const NOT_FOUND: u8 = 3;

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
    seeds: &Range<u64>,
    suite: &str,
    threads: usize,
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
    let bar = progress_bar(exhibits.len());
    let mut searches = vec![];
    let mut written = Ok(());
    in_order(
        &exhibits,
        threads,
        |exhibit| search(&mixed, *exhibit, seeds.clone()),
        |search| {
            if written.is_ok() {
                let line = report::line(&search, paint);
                written = bar
                    .suspend(|| print(&line))
                    .and_then(|()| json.append(&report::object(&search)));
            }
            bar.inc(1);
            searches.push(search);
        },
    );
    bar.finish_and_clear();
    written?;
    print(&report::summary(&searches, paint))?;
    let all_found = searches.iter().all(|search| search.found.is_some());
    Ok(if all_found { 0 } else { NOT_FOUND })
}
