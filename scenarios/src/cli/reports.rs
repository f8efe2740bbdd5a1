//! What programs read of many runs: JSON Lines while they go on, JUnit when they are over.

use super::output::{CliError, JsonLines};
use crate::{
    batch::Finished,
    failure::write_whole,
    report::{
        json,
        junit::{Failed, Junit},
    },
};
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// The files that were asked for.
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
        // Whoever cannot be written to says so before hours of runs.
        reports.write_junit()?;
        Ok(reports)
    }

    /// One run: its line is written at once.
    pub(super) fn add_run(&mut self, finished: &Finished) -> Result<(), CliError> {
        if let Some((_, junit)) = &mut self.junit {
            junit.add_run(finished);
        }
        self.json.append(|| json::object(finished))
    }

    /// A test case that is no run of a seed.
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

    /// Everything is over.
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
            .map_err(|error| CliError::Unwritable {
                path: path.display().to_string(),
                error,
            })
    }
}
