//! The command line of the node: `metanode run --config FILE`, `metanode validator --config FILE`.
//!
//! Exit codes: 0 ended by ctrl-c or SIGTERM · 1 failed while running · 2 the command line or the configuration cannot
//! be used.

use std::process::ExitCode;

#[cfg(madsim)]
fn main() -> ExitCode {
    eprintln!(
        "metanode: this one was built for the simulator, which starts nodes itself; `make real` builds one to run"
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
    use clap::{Parser, Subcommand};
    use metanode_core::{
        config::{ConfigError, NodeConfig},
        env::real::{self, process},
        executor::wire::ValidatorInfo,
        ingest,
        node::{self, NodeError},
    };
    use std::{env, io, path::PathBuf, process::ExitCode};
    use thiserror::Error;
    use tracing::level_filters::LevelFilter;

    /// A consensus node that delivers what it commits to its execution engine.
    #[derive(Parser)]
    #[command(name = "metanode", version, after_help = ENVIRONMENT)]
    struct Arguments {
        #[command(subcommand)]
        command: Command,
    }

    const ENVIRONMENT: &str = "\
Environment:
  SINGLE_NODE=1        a committee of this node alone, whoever else the executor names; as `single_node = true`
  LOCALHOST_TESTING=1  skips network health checks; accepted, this version makes none";

    #[derive(Subcommand)]
    enum Command {
        /// Runs the node until ctrl-c or SIGTERM.
        Run {
            /// The configuration, a TOML file.
            #[arg(long, value_name = "FILE")]
            config: PathBuf,
            /// What goes to standard error: off, error, warn, info, debug or trace.
            #[arg(long, value_name = "LEVEL", default_value = "info")]
            log: LevelFilter,
        },
        /// Prints what executors must be told about this node: an entry of their genesis.
        Validator {
            /// The configuration, a TOML file.
            #[arg(long, value_name = "FILE")]
            config: PathBuf,
        },
    }

    /// Why the process ends although nobody asked it to.
    #[derive(Debug, Error)]
    enum Failure {
        #[error(transparent)]
        Config(#[from] ConfigError),
        #[error(transparent)]
        Node(#[from] NodeError),
        #[error("the operating system refuses what a process needs: {0}")]
        Process(#[from] io::Error),
    }

    pub fn main() -> ExitCode {
        let done = match Arguments::parse().command {
            Command::Run { config, log } => run(config, log),
            Command::Validator { config } => validator(config),
        };
        let Err(failure) = done else {
            return ExitCode::SUCCESS;
        };
        eprintln!("metanode: {failure}");
        ExitCode::from(match failure {
            Failure::Config(_) => 2,
            Failure::Node(_) | Failure::Process(_) => 1,
        })
    }

    fn run(config: PathBuf, log: LevelFilter) -> Result<(), Failure> {
        let mut config = NodeConfig::load(&config)?;
        config.single_node |= env::var_os("SINGLE_NODE").is_some_and(|value| value == "1");
        process::log_to_stderr(log);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let shutdown = process::shutdown_requested()?;
            let env = real::env(&config.data_dir)?;
            // Nothing submits yet; the pool only has to stay open.
            let (_submitter, pool) = ingest::pool(config.consensus.pool_transactions as usize);
            Ok(node::run(env, config, pool, shutdown).await?)
        })
    }

    /// `p2p_address` is where this node listens; peers that reach it elsewhere need another.
    fn validator(config: PathBuf) -> Result<(), Failure> {
        let info = ValidatorInfo::from(&NodeConfig::load(&config)?.authority());
        println!("[[genesis.validators]]");
        for (key, value) in [
            ("name", info.name),
            ("address", info.address),
            ("stake", info.stake),
            ("authority_key", info.authority_key),
            ("protocol_key", info.protocol_key),
            ("p2p_address", info.p2p_address),
        ] {
            println!("{key} = \"{value}\"");
        }
        Ok(())
    }
}
