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
        env::real::{
            metrics::Program,
            process::{self, Exported, RunArguments},
        },
        executor::wire::ValidatorInfo,
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
  SINGLE_NODE=1        runs a committee of this node alone, whatever the executor returns; same as `single_node = true`
  LOCALHOST_TESTING=1  skips network health checks: peers are not asked for epoch and block; same as
                       `localhost_testing = true`";

    #[derive(Subcommand)]
    enum Command {
        /// Run the node until Ctrl-C or SIGTERM
        Run {
            #[command(flatten)]
            arguments: RunArguments,
            #[command(flatten)]
            section: Section,
        },
        /// Print this node's entry for the genesis of the executors
        Validator {
            /// The configuration, a TOML file
            #[arg(long, value_name = "FILE")]
            config: PathBuf,
            #[command(flatten)]
            section: Section,
        },
    }

    /// Which part of the configuration applies.
    #[derive(Clone, Copy, clap::Args)]
    struct Section {
        /// The node whose section [node_N] of the configuration applies, if it has sections
        #[arg(long, value_name = "N")]
        node: Option<u16>,
    }

    /// Why the process ended without a shutdown request.
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
            Command::Run { arguments, section } => run(&arguments, section.node),
            Command::Validator { config, section } => validator(&config, section.node),
        };
        process::exit_code("metanode", ended, |failure| {
            matches!(failure, Failure::Config(_))
        })
    }

    fn run(arguments: &RunArguments, node: Option<u16>) -> Result<(), Failure> {
        let mut config = NodeConfig::load(&arguments.config, node)?;
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| value == "1");
        config.single_node |= is_set("SINGLE_NODE");
        config.localhost_testing |= is_set("LOCALHOST_TESTING");
        let data_dir = config.data_dir.clone();
        let exported = Exported {
            program: Program::Node,
            listen_address: config.metrics_listen_address,
        };
        process::run(arguments, exported, &data_dir, async |env, shutdown| {
            Ok(node::run(env, config, shutdown).await?)
        })
    }

    /// Prints the listen address as `p2p_address`; replace it if peers reach the node under another one.
    fn validator(config: &Path, node: Option<u16>) -> Result<(), Failure> {
        let info = ValidatorInfo::from(&NodeConfig::load(config, node)?.authority());
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
