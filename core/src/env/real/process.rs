//! Shared by the binaries: arguments, runtime, log, shutdown on a signal, and exit codes.
//!
//! Exit codes: 0 shut down by Ctrl-C or SIGTERM · 1 failed while running · 2 invalid command line or configuration.

use super::super::Env;
use std::{
    fmt::Display,
    future::Future,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    pin::Pin,
    process::ExitCode,
};
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;

/// Arguments of a command that runs until it is shut down.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArguments {
    /// The configuration: a TOML file, for the Go side also JSON (.json)
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    #[command(flatten)]
    pub log: LogArguments,
}

/// What is logged to standard error.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct LogArguments {
    /// Lowest level that is logged to standard error: off, error, warn, info, debug or trace
    #[arg(long = "log", value_name = "LEVEL", default_value = "info")]
    level: LevelFilter,
    /// Lines for people, or one JSON object per line
    #[arg(long = "log-format", value_name = "FORMAT", default_value = "text")]
    format: LogFormat,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl LogArguments {
    fn start(self) {
        let log = tracing_subscriber::fmt()
            .with_max_level(self.level)
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal());
        match self.format {
            LogFormat::Text => log.init(),
            LogFormat::Json => log.json().flatten_event(true).init(),
        }
    }
}

/// Completes when a shutdown is requested.
pub type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs `process` on a tokio runtime, with stores below `data_dir`, and starts the log. Must be called once.
///
/// # Errors
/// Those of `process`, and of the operating system if it provides no threads, signals or randomness.
pub fn run<E, F>(
    log: LogArguments,
    data_dir: &Path,
    process: impl FnOnce(Env, Shutdown) -> F,
) -> Result<(), E>
where
    E: From<io::Error>,
    F: Future<Output = Result<(), E>>,
{
    log.start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let shutdown = Box::pin(shutdown_requested()?);
        let env = super::env(data_dir)?;
        process(env, shutdown).await
    })
}

/// Prints the error, if any, to standard error and returns the exit code. `is_unusable`: whether an error is one of the
/// command line or the configuration.
pub fn exit_code<E: Display>(
    program: &str,
    ended: Result<(), E>,
    is_unusable: impl FnOnce(&E) -> bool,
) -> ExitCode {
    let Err(error) = ended else {
        return ExitCode::SUCCESS;
    };
    eprintln!("{program}: {error}");
    ExitCode::from(if is_unusable(&error) { 2 } else { 1 })
}

/// Completes on Ctrl-C or SIGTERM. From this call on, neither ends the process by itself.
///
/// # Errors
/// If the signal handlers cannot be installed.
///
/// # Panics
/// Outside of a tokio runtime.
fn shutdown_requested() -> io::Result<impl Future<Output = ()> + Send> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
