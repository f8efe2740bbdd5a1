//! Reports for programs: JSON Lines, written run by run, and JUnit, written at the end.

use super::output::{CliError, JsonLines};
use crate::{
    batch::Finished,
    failure::write_whole,
    museum::Search,
    report::{
        json,
        junit::{Failed, Junit},
        museum,
    },
};
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// The report files of a command; each is optional.
pub(super) struct Reports {
    json: JsonLines,
    junit: Option<(PathBuf, Junit)>,
}

impl Reports {
    pub(super) fn create(json: Option<&Path>, junit: Option<&Path>) -> Result<Self, CliError> {
        let reports = Self {
            json: JsonLines::create(json)?,
            junit: junit.map(|path| (path.to_owned(), Junit::default())),
        };
        // A file that cannot be written is an error now, not after hours of runs.
        reports.write_junit()?;
        Ok(reports)
    }

    /// Adds a run. Its JSON object is written at once.
    pub(super) fn add_run(&mut self, finished: &Finished) -> Result<(), CliError> {
        if let Some((_, junit)) = &mut self.junit {
            junit.add_run(finished);
        }
        self.json.append(|| json::object(finished))
    }

    /// Adds a test case that does not stand for the run of a seed.
    pub(super) fn add_case(
        &mut self,
        suite: &str,
        name: String,
        wall: Duration,
        failed: Option<Failed>,
    ) {
        if let Some((_, junit)) = &mut self.junit {
            junit.add_case(suite, name, wall, failed);
        }
    }

    /// Adds a museum entry as a test case; `again` is the command that searches for it again.
    pub(super) fn add_search_case(&mut self, search: &Search, again: &str) {
        if let Some((_, junit)) = &mut self.junit {
            junit.add_search(search, again);
        }
    }

    /// Writes the JSON object of a museum entry.
    pub(super) fn add_search_object(&mut self, search: &Search) -> Result<(), CliError> {
        self.json.append(|| museum::object(search))
    }

    /// Writes what is not written yet.
    pub(super) fn finish(self) -> Result<(), CliError> {
        self.write_junit()
    }

    fn write_junit(&self) -> Result<(), CliError> {
        let Some((path, junit)) = &self.junit else {
            return Ok(());
        };
        let written = junit.text().map_err(io::Error::other);
        written
            .and_then(|text| write_whole(path, &text))
            .map_err(|error| CliError::unwritable(path, error))
    }
}
