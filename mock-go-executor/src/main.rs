//! The command line of the mock executor: `mock-go-executor run --config FILE`.
//!
//! Exit codes: 0 ended by ctrl-c or SIGTERM · 1 failed while running · 2 the command line or the configuration cannot be
//! used.

use std::process::ExitCode;

#[cfg(madsim)]
fn main() -> ExitCode {
    eprintln!(
        "built for the simulator, which starts executors itself; build with RUSTFLAGS=\"\" to run this one"
    );
    ExitCode::from(2)
}

#[cfg(not(madsim))]
fn main() -> ExitCode {
    real::main()
}

/// On tokio and the operating system.
#[cfg(not(madsim))]
mod real {
    use clap::Parser;
    use metanode_core::env::real::{self, process};
    use mock_go_executor::{Controls, ExecutorConfig, ExecutorError, run};
    use std::{io, path::PathBuf, process::ExitCode};
    use thiserror::Error;
    use tracing::level_filters::LevelFilter;

    /// A mock of the Go Master: executes delivered blocks, answers requests, keeps its state on disk.
    #[derive(Parser)]
    #[command(version)]
    enum Arguments {
        /// Runs an executor until ctrl-c or SIGTERM.
        Run {
            /// The configuration, a TOML file.
            #[arg(long, value_name = "FILE")]
            config: PathBuf,
            /// What goes to standard error: off, error, warn, info, debug or trace.
            #[arg(long, value_name = "LEVEL", default_value = "info")]
            log: LevelFilter,
        },
    }

    /// Why the process ends.
    #[derive(Debug, Error)]
    enum Failure {
        #[error(transparent)]
        Executor(#[from] ExecutorError),
        #[error("the operating system refuses what a process needs: {0}")]
        Process(#[from] io::Error),
    }

    pub fn main() -> ExitCode {
        let Arguments::Run { config, log } = Arguments::parse();
        let Err(failure) = execute(config, log) else {
            return ExitCode::SUCCESS;
        };
        eprintln!("mock-go-executor: {failure}");
        ExitCode::from(match failure {
            Failure::Executor(ExecutorError::Config(_)) => 2,
            _ => 1,
        })
    }

    fn execute(config: PathBuf, log: LevelFilter) -> Result<(), Failure> {
        let config = ExecutorConfig::load(&config).map_err(ExecutorError::from)?;
        process::log_to_stderr(log);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let shutdown = process::shutdown_requested()?;
            let env = real::env(&config.data_dir)?;
            let (_controls, running) = tokio::sync::watch::channel(Controls::default());
            Ok(run(env, config, running, shutdown).await?)
        })
    }
}
