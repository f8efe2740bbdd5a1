//! The command line of the mock executor: `mock-go-executor run --config FILE`.

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    metanode_core::env::real::refuse_to_run("mock-go-executor")
}

#[cfg(not(madsim))]
fn main() -> std::process::ExitCode {
    production::main()
}

#[cfg(not(madsim))]
mod production {
    use clap::Parser;
    use metanode_core::env::real::process::{self, RunArguments};
    use mock_go_executor::{Controls, ExecutorConfig, ExecutorError, run};
    use std::{io, process::ExitCode};
    use thiserror::Error;

    /// A mock of the Go Master: executes delivered blocks, answers requests, keeps its state on disk
    #[derive(Parser)]
    #[command(name = "mock-go-executor", version)]
    enum Arguments {
        /// Run an executor until ctrl-c or SIGTERM
        Run(RunArguments),
    }

    /// Why the process ended although nobody asked it to.
    #[derive(Debug, Error)]
    enum Failure {
        #[error(transparent)]
        Executor(#[from] ExecutorError),
        #[error("the operating system refuses what a process needs: {0}")]
        Process(#[from] io::Error),
    }

    pub fn main() -> ExitCode {
        let Arguments::Run(arguments) = Arguments::parse();
        process::exit_code("mock-go-executor", execute(&arguments), |failure| {
            matches!(failure, Failure::Executor(ExecutorError::Config(_)))
        })
    }

    fn execute(arguments: &RunArguments) -> Result<(), Failure> {
        let config = ExecutorConfig::load(&arguments.config).map_err(ExecutorError::from)?;
        let data_dir = config.data_dir.clone();
        process::run(arguments.log, &data_dir, async |env, shutdown| {
            let (_controls, running) = tokio::sync::watch::channel(Controls::default());
            Ok(run(env, config, running, shutdown).await?)
        })
    }
}
