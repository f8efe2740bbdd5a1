//! What the binaries have in common: their arguments, the runtime, the log, the end on a signal, and the exit code.
//!
//! Exit codes: 0 ended by ctrl-c or SIGTERM · 1 failed while running · 2 the command line or the configuration cannot be
//! used.

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

/// Arguments of a command that runs until it is asked to end.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArguments {
    /// The configuration, a TOML file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// What goes to standard error: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log: LevelFilter,
}

/// Ready when the process is asked to end.
pub type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs `process` on a tokio runtime, with stores below `data_dir`. Lines of level `log` and above go to standard error.
/// Call it once.
///
/// # Errors
/// Those of `process`, and of the operating system if it refuses threads, signals or randomness.
pub fn run<E, F>(
    log: LevelFilter,
    data_dir: &Path,
    process: impl FnOnce(Env, Shutdown) -> F,
) -> Result<(), E>
where
    E: From<io::Error>,
    F: Future<Output = Result<(), E>>,
{
    tracing_subscriber::fmt()
        .with_max_level(log)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let shutdown = Box::pin(shutdown_requested()?);
        let env = super::env(data_dir)?;
        process(env, shutdown).await
    })
}

/// Says on standard error why the program failed, if it did. `is_unusable` tells an error of the command line or the
/// configuration.
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

/// Ready on ctrl-c or SIGTERM. From this call on, neither ends the process by itself.
///
/// # Errors
/// If the operating system does not let this process listen for them.
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
