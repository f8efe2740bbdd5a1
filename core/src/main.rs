//! The command line of the node: `metanode run --config FILE`, `metanode validator --config FILE`.

#[cfg(madsim)]
fn main() -> std::process::ExitCode {
    metanode_core::env::real::refuse_to_run("metanode")
}

#[cfg(not(madsim))]
fn main() -> std::process::ExitCode {
    production::main()
}

#[cfg(not(madsim))]
mod production {
    use clap::{Parser, Subcommand};
    use metanode_core::{
        config::{ConfigError, NodeConfig},
        env::real::process::{self, RunArguments},
        executor::wire::ValidatorInfo,
        ingest,
        node::{self, NodeError},
    };
    use std::{
        env, io,
        path::{Path, PathBuf},
        process::ExitCode,
    };
    use thiserror::Error;

    /// A consensus node that delivers what it commits to its execution engine
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
        /// Run the node until ctrl-c or SIGTERM
        Run(RunArguments),
        /// Print what executors must be told about this node: an entry of their genesis
        Validator {
            /// The configuration, a TOML file
            #[arg(long, value_name = "FILE")]
            config: PathBuf,
        },
    }

    /// Why the process ended although nobody asked it to.
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
        let ended = match Arguments::parse().command {
            Command::Run(arguments) => run(&arguments),
            Command::Validator { config } => validator(&config),
        };
        process::exit_code("metanode", ended, |failure| {
            matches!(failure, Failure::Config(_))
        })
    }

    fn run(arguments: &RunArguments) -> Result<(), Failure> {
        let mut config = NodeConfig::load(&arguments.config)?;
        config.single_node |= env::var_os("SINGLE_NODE").is_some_and(|value| value == "1");
        let data_dir = config.data_dir.clone();
        process::run(arguments.log, &data_dir, async |env, shutdown| {
            // Nothing submits yet; the pool only has to stay open.
            let (_submitter, pool) = ingest::pool(config.consensus.pool_transactions as usize);
            Ok(node::run(env, config, pool, shutdown).await?)
        })
    }

    /// `p2p_address` is where this node listens; peers that reach it elsewhere need another.
    fn validator(config: &Path) -> Result<(), Failure> {
        let info = ValidatorInfo::from(&NodeConfig::load(config)?.authority());
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
