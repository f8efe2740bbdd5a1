//! `metasim judge`: event logs of real processes.

use super::{
    exit::Exit,
    output::{CliError, JsonLines, print},
};
use crate::report::{colour::Colour, event_logs::event_logs};
use metanode_sim::event_log::judge_files;
use std::path::{Path, PathBuf};

/// Judges the files and prints the report.
pub(super) fn judge(files: &[PathBuf], json: Option<&Path>) -> Result<Exit, CliError> {
    let mut json = JsonLines::create(json)?;
    let report = judge_files(files)?;
    json.append(|| &report)?;
    print(&event_logs(&report, Colour::of_stdout()))?;
    // Event logs cannot show a lack of progress.
    Ok(match report.broken().next() {
        None => Exit::Passed,
        Some(_) => Exit::SafetyViolated,
    })
}
