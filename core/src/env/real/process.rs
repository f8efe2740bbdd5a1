//! Shared by the binaries: arguments, runtime, log, metrics, shutdown on a signal, and exit codes.
//!
//! Exit codes: 0 shut down by Ctrl-C or SIGTERM · 1 failed while running · 2 invalid command line or configuration. A panic
//! aborts the process (SIGABRT), in whichever task it is.

use super::{
    BlockInPlaceStores, EventLog, Events,
    metrics::{self, Metrics, Program},
};
#[cfg(feature = "museum")]
use crate::bugs::{self, KnownBug};
use crate::{env::Env, types::Address};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    fmt::Display,
    future::Future,
    io::{self, IsTerminal},
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
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
    log: LogArguments,
    /// Append every event that `metasim judge` needs to this file, whose name names the process
    #[arg(long, value_name = "FILE")]
    event_log: Option<PathBuf>,
    /// Switch a known bug on, by its name. Can be repeated
    #[cfg(feature = "museum")]
    #[arg(long = "bug", value_name = "NAME", value_parser = known_bug)]
    bugs: Vec<KnownBug>,
}

#[cfg(feature = "museum")]
fn known_bug(name: &str) -> Result<KnownBug, String> {
    let named = KnownBug::ALL.iter().find(|bug| bug.name() == name);
    named
        .copied()
        .ok_or_else(|| "expected a name of docs/known-bugs.md".to_owned())
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

/// What a process says of itself beside its log.
#[derive(Clone, Copy, Debug)]
pub struct Exported {
    pub program: Program,
    /// Where metrics are served; nowhere without one.
    pub listen_address: Option<SocketAddr>,
}

/// Runs `process` on a tokio runtime, with stores below `data_dir`, and starts the log and the listener for metrics. Must be
/// called once.
///
/// # Errors
/// Those of `process`, and of the operating system if it provides no threads, signals, randomness or event log, or the address
/// for metrics cannot be listened at.
pub fn run<E, F>(
    arguments: &RunArguments,
    exported: Exported,
    data_dir: &Path,
    process: impl FnOnce(Env, Shutdown) -> F,
) -> Result<(), E>
where
    E: From<io::Error>,
    F: Future<Output = Result<(), E>>,
{
    arguments.log.start();
    raise_open_files();
    let is_over = Arc::new(AtomicBool::new(false));
    abort_on_panic(is_over.clone());
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    #[cfg(feature = "museum")]
    enable_bugs(&mut runtime, &arguments.bugs);
    let runtime = runtime.enable_all().build()?;
    runtime.block_on(async {
        let shutdown = Box::pin(shutdown_requested()?);
        let mut env = super::env(data_dir)?;
        env.stores = Arc::new(BlockInPlaceStores(env.stores));
        let metrics = match exported.listen_address {
            Some(address) => Some(serve_metrics(&env, exported.program, address).await?),
            None => None,
        };
        let event_log = arguments.event_log.as_deref();
        let event_log = event_log.map(|path| EventLog::open(path, env.clock.clone()));
        env.events = Arc::new(Events::new(metrics, event_log.transpose()?));
        let ended = process(env, shutdown).await;
        is_over.store(true, Ordering::Relaxed);
        ended
    })
}

/// Raises the limit of open files (RLIMIT_NOFILE) to the highest one permitted, and says which that is: stores and
/// connections share it, and strangers may make connections.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let may_open = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(target: "[STARTUP]", %error, "the limit of open files cannot be raised");
            limit.current
        }
    };
    match may_open {
        Some(files) if files < ENOUGH_FILES => tracing::warn!(
            target: "[STARTUP]",
            files,
            "the limit of open files is low: expected at least {ENOUGH_FILES}; raise the hard limit (`ulimit -Hn`, LimitNOFILE)"
        ),
        Some(files) => tracing::info!(target: "[STARTUP]", files, "limit of open files"),
        None => tracing::info!(target: "[STARTUP]", "no limit of open files"),
    }
}

/// Files of a store and connections of all kinds, at the default limits.
const ENOUGH_FILES: u64 = 4_096;

/// Without this the runtime would catch a panic of a task, and the process would go on without the task and with what the
/// task left inconsistent. Aborts instead of exiting: no destructor runs while other threads use what it destroys, and a
/// start after it is one after a crash.
///
/// When the process is over and its runtime shuts down, a task of it that polls a timer panics, which harms nobody.
fn abort_on_panic(is_over: Arc<AtomicBool>) {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !is_over.load(Ordering::Relaxed) {
            print(panic);
            std::process::abort();
        }
    }));
}

async fn serve_metrics(
    env: &Env,
    program: Program,
    address: SocketAddr,
) -> io::Result<Arc<Metrics>> {
    let metrics = Arc::new(Metrics::new(program, env.clock.now()));
    let listening = env.network.listen(&Address::Tcp(address)).await;
    let listener = listening.map_err(|source| {
        let reason = format!("cannot listen for metrics on {address}: {source}");
        io::Error::new(source.kind(), reason)
    })?;
    tokio::spawn(metrics::serve(listener, metrics.clone()));
    Ok(metrics)
}

/// Switches are local to a thread: they are switched on in this one and in all of the runtime.
#[cfg(feature = "museum")]
fn enable_bugs(runtime: &mut tokio::runtime::Builder, enabled: &[KnownBug]) {
    bugs::enable(enabled);
    let enabled = enabled.to_vec();
    runtime.on_thread_start(move || bugs::enable(&enabled));
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
