//! Output channels: reports go to stdout, progress and logs to stderr, JSON Lines to a file.

use crate::{localnet::LocalnetError, source::InputError, stand_in::ListenError};
use indicatif::{ProgressBar, ProgressStyle};
use metanode_sim::{event_log::LogError, log::origin};
use serde::Serialize;
use std::{
    fmt,
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    time::Duration,
};
use thiserror::Error;
use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, time::FormatTime},
};

/// Why a command cannot be executed.
#[derive(Debug, Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    EventLog(#[from] LogError),
    #[error(transparent)]
    Localnet(#[from] LocalnetError),
    #[error("{name} passes in this build: expected a failing run")]
    Passes { name: String },
    #[error(
        "{run} needs RocksDB, which this build does not contain: use `--store memory`, or build metasim with its default \
         features"
    )]
    NoRocksdb { run: String },
    #[error(
        "{name}: the shrunk scenario does not fail in the same way: expected `{expected}`, found `{found}`"
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
    #[error(transparent)]
    Listen(#[from] ListenError),
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

/// Unlike `print!`, ignores a closed pipe, so that the exit code still stands for the result.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Stdout(e)),
        _ => Ok(()),
    }
}

/// Shown on stderr if that is a terminal.
pub(super) fn progress_bar(runs: usize) -> ProgressBar {
    let bar = ProgressBar::new(runs as u64);
    let template = "{prefix:>24} [{bar:40}] {pos}/{len}  {per_sec}  {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// The progress of many runs, on stderr: a bar on a terminal, otherwise a line per minute.
pub(super) struct Progress {
    bar: ProgressBar,
    printed: Duration,
}

impl Progress {
    const LINE_EVERY: Duration = Duration::from_secs(60);

    pub(super) fn new(runs: usize) -> Self {
        Self {
            bar: progress_bar(runs),
            printed: Duration::ZERO,
        }
    }

    /// A run of this scenario has ended; so many have failed so far.
    pub(super) fn ran(&mut self, scenario: &str, failed: usize) {
        self.bar.inc(1);
        self.bar.set_prefix(scenario.to_owned());
        self.bar.set_message(match failed {
            0 => String::new(),
            failed => format!("{failed} failed"),
        });
        let elapsed = self.bar.elapsed();
        if self.bar.is_hidden() && elapsed >= self.printed + Self::LINE_EVERY {
            self.printed = elapsed;
            let (done, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
            eprintln!("{done} of {all} runs, {failed} failed; in {scenario}");
        }
    }

    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// As [`progress_bar`], for an unknown amount of work.
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
    // Spans of the simulator would precede each line with its numbers of tasks.
    let directives = format!("{level},madsim=off");
    let filter = EnvFilter::try_new(directives).map_err(|e| CliError::Log {
        value: level.into(),
        reason: e.to_string(),
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_timer(Simulated)
        .init();
    Ok(())
}

/// Simulated time and the process, where a log of production has the time.
struct Simulated;

impl FormatTime for Simulated {
    fn format_time(&self, line: &mut Writer<'_>) -> fmt::Result {
        let Some((at, process)) = origin() else {
            return Ok(());
        };
        let process = process.map(|process| process.to_string());
        write!(line, "{at} {:<11}", process.unwrap_or_default())
    }
}

/// A file with one JSON object per line; without a file, nothing is written.
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

    /// Appends a line. The object is built only if there is a file.
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
