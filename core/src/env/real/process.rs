//! What the binaries need of the process that they are: where the log goes, and when to end.

use std::{
    future::Future,
    io::{self, IsTerminal},
};
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;

/// Sends lines of `level` and above to standard error. Call it once.
pub fn log_to_stderr(level: LevelFilter) {
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

/// Ready on ctrl-c or SIGTERM. From this call on, neither ends the process by itself.
///
/// # Errors
/// If the operating system lets nobody listen for them.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn shutdown_requested() -> io::Result<impl Future<Output = ()> + Send> {
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
