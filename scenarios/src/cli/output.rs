//! Where output goes: reports to stdout, progress and logs to stderr, JSON Lines to a file.

use crate::source::InputError;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Why a command gave up: what was typed or asked for cannot be done.
#[derive(Debug, Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("{name} passes in this build: expected a run that fails")]
    Passes { name: String },
    #[error(
        "{run} is to run on RocksDB, which this build leaves out: expected `--store memory`, or a metasim that was built \
         with its default features"
    )]
    NoRocksdb { run: String },
    #[error(
        "{name}: expected that its run fails as the one that was shrunk ({expected}), but {found}"
    )]
    Unconfirmed {
        name: String,
        expected: String,
        found: String,
    },
    #[error("{path}: cannot be written: {error}")]
    Unwritable { path: String, error: io::Error },
    #[error("--log {value}: {reason}: expected error, warn, info, debug, trace or directives")]
    Log { value: String, reason: String },
    #[error("the report cannot be written: {0}")]
    Stdout(io::Error),
}

impl CliError {
    pub(super) fn unwritable(path: &Path, error: io::Error) -> Self {
        Self::Unwritable {
            path: path.display().to_string(),
            error,
        }
    }
}

/// Unlike `print!`, does not panic if the reader of a pipe went away: the exit code still says how it ended.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Stdout(e)),
        _ => Ok(()),
    }
}

/// On stderr, and only on a terminal.
pub(super) fn progress_bar(runs: usize) -> ProgressBar {
    let bar = ProgressBar::new(runs as u64);
    let template = "{prefix:>24} [{bar:40}] {pos}/{len}  {per_sec}  {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// As [`progress_bar`], for work of which nobody knows how long it takes.
pub(super) fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) =
        ProgressStyle::with_template("{prefix}  {spinner} {pos} runs  {per_sec}  {msg}")
    {
        bar.set_style(style);
    }
    bar
}

pub(super) fn start_log(level: Option<&str>) -> Result<(), CliError> {
    let Some(level) = level else {
        return Ok(());
    };
    let filter = tracing_subscriber::EnvFilter::try_new(level).map_err(|e| CliError::Log {
        value: level.into(),
        reason: e.to_string(),
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .without_time()
        .init();
    Ok(())
}

/// A file of JSON objects, one a line, if it was asked for.
pub(super) struct JsonLines {
    file: Option<(PathBuf, BufWriter<File>)>,
}

impl JsonLines {
    pub(super) fn create(path: Option<&Path>) -> Result<Self, CliError> {
        let Some(path) = path else {
            return Ok(Self { file: None });
        };
        let file = File::create(path).map_err(|error| CliError::unwritable(path, error))?;
        Ok(Self {
            file: Some((path.to_owned(), BufWriter::new(file))),
        })
    }

    /// Appends a line, which is made only if there is a file.
    pub(super) fn append<T: Serialize>(
        &mut self,
        object: impl FnOnce() -> T,
    ) -> Result<(), CliError> {
        let Some((path, file)) = &mut self.file else {
            return Ok(());
        };
        serde_json::to_writer(&mut *file, &object())
            .map_err(io::Error::from)
            .and_then(|()| writeln!(file))
            .and_then(|()| file.flush())
            .map_err(|error| CliError::unwritable(path, error))
    }
}
