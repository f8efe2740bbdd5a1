//! The command line of the node: `metanode run --config FILE`, `keys`, `validator` and `check-config`.

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
        check_config::{Level, Subject},
        config::{
            ConfigError, NodeConfig,
            key_file::{self, KeyFileError},
        },
        env::real::{
            self,
            metrics::Program,
            process::{self, Exported, RunArguments},
        },
        executor::validators,
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
        /// Make the secret keys of a new node, in a file that only its owner can read
        Keys {
            /// The file to make, which a configuration names with key_file. One that exists is never overwritten
            #[arg(long, value_name = "FILE")]
            out: PathBuf,
        },
        /// Print this node's entry for the genesis of the executors
        Validator {
            #[command(flatten)]
            file: ConfigFile,
            /// As JSON, for the Go side
            #[arg(long)]
            json: bool,
        },
        /// Check a configuration against this machine: keys, directories, addresses, sockets, committee and peers
        CheckConfig {
            #[command(flatten)]
            file: ConfigFile,
            /// The configuration of an executor, JSON or TOML, whose genesis must contain this node
            #[arg(long, value_name = "FILE")]
            genesis: Option<PathBuf>,
        },
    }

    /// A configuration and the part of it that applies.
    #[derive(clap::Args)]
    struct ConfigFile {
        /// The configuration, a TOML file
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        #[command(flatten)]
        section: Section,
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
        Keys(#[from] KeyFileError),
        #[error("errors were found in {path}: {count}")]
        Checks { path: PathBuf, count: usize },
        #[error(transparent)]
        Node(#[from] NodeError),
        #[error("the operating system refuses what a process needs: {0}")]
        Process(#[from] io::Error),
    }

    pub fn main() -> ExitCode {
        let ended = match Arguments::parse().command {
            Command::Run { arguments, section } => run(&arguments, section.node),
            Command::Keys { out } => keys(&out),
            Command::Validator { file, json } => validator(&file, json),
            Command::CheckConfig { file, genesis } => check_config(&file, genesis.as_deref()),
        };
        process::exit_code("metanode", ended, |failure| match failure {
            Failure::Config(_) | Failure::Checks { .. } => true,
            Failure::Keys(error) => matches!(error, KeyFileError::Exists { .. }),
            Failure::Node(_) | Failure::Process(_) => false,
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

    fn keys(out: &Path) -> Result<(), Failure> {
        key_file::create(out)?;
        println!(
            "made {}, which only its owner can read. Keep a copy in a safe place",
            out.display()
        );
        println!("a configuration in the same directory names it:");
        let name = out.file_name().unwrap_or(out.as_os_str()).to_string_lossy();
        println!("key_file = {name:?}");
        Ok(())
    }

    /// Prints the listen address as `p2p_address`; replace it if peers reach the node under another one.
    fn validator(file: &ConfigFile, json: bool) -> Result<(), Failure> {
        let config = NodeConfig::load(&file.config, file.section.node)?;
        let info = validators::of_node(&config);
        let entries = [
            ("name", info.name),
            ("address", info.address),
            ("stake", info.stake),
            ("authority_key", info.authority_key),
            ("protocol_key", info.protocol_key),
            ("network_key", info.network_key),
            ("p2p_address", info.p2p_address),
        ];
        let entries = entries.iter().filter(|(_, value)| !value.is_empty());
        let lines: Vec<_> = match json {
            true => entries
                .map(|(key, value)| format!("  \"{key}\": \"{value}\""))
                .collect(),
            false => entries
                .map(|(key, value)| format!("{key} = \"{value}\""))
                .collect(),
        };
        match json {
            true => println!("{{\n{}\n}}", lines.join(",\n")),
            false => println!("[[genesis.validators]]\n{}", lines.join("\n")),
        }
        Ok(())
    }

    /// Prints one line for each check.
    fn check_config(file: &ConfigFile, genesis: Option<&Path>) -> Result<(), Failure> {
        let subject = Subject::load(&file.config, file.section.node, genesis)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let env = real::env(&subject.config().data_dir)?;
        let findings = runtime.block_on(subject.check(&env));
        for finding in &findings {
            println!("{finding}");
        }
        match findings
            .iter()
            .filter(|finding| finding.level == Level::Error)
            .count()
        {
            0 => Ok(()),
            count => Err(Failure::Checks {
                path: file.config.clone(),
                count,
            }),
        }
    }
}
