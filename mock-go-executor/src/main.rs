//! The command line of the mock executor: `mock-go-executor run --config FILE`.
//!
//! Exit codes: 0 ended by ctrl-c · 1 failed while running · 2 the command line or the configuration cannot be used.

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
    use mock_go_executor::{Controls, ExecutorConfig, ExecutorError, run};
    use std::{io, path::PathBuf, process::ExitCode};
    use thiserror::Error;
    use tracing_subscriber::EnvFilter;

    /// A mock of the Go Master: executes delivered blocks, answers requests, keeps its state on disk.
    #[derive(Parser)]
    #[command(version)]
    enum Arguments {
        /// Runs an executor until ctrl-c.
        Run {
            /// The configuration, a TOML file.
            #[arg(long, value_name = "FILE")]
            config: PathBuf,
        },
    }

    /// Why the process ends.
    #[derive(Debug, Error)]
    enum Failure {
        #[error(transparent)]
        Executor(#[from] ExecutorError),
        #[error("the runtime cannot be started: {0}")]
        Runtime(#[source] io::Error),
    }

    pub fn main() -> ExitCode {
        let Arguments::Run { config } = Arguments::parse();
        let levels = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        tracing_subscriber::fmt()
            .with_env_filter(levels)
            .with_writer(io::stderr)
            .init();
        let Err(failure) = execute(config) else {
            return ExitCode::SUCCESS;
        };
        eprintln!("mock-go-executor: {failure}");
        ExitCode::from(match failure {
            Failure::Executor(ExecutorError::Config(_)) => 2,
            _ => 1,
        })
    }

    fn execute(config: PathBuf) -> Result<(), Failure> {
        let config = ExecutorConfig::load(&config).map_err(ExecutorError::from)?;
        let env = metanode_core::env::real::env(&config.data_dir);
        let (_controls, running) = tokio::sync::watch::channel(Controls::default());
        let shutdown = async {
            if let Err(error) = tokio::signal::ctrl_c().await {
                tracing::error!(%error, "cannot listen for ctrl-c: this process ends only when it is killed");
                std::future::pending().await
            }
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(Failure::Runtime)?;
        runtime.block_on(run(env, config, running, shutdown))?;
        Ok(())
    }
}
