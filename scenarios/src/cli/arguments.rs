//! Subcommands and options, with their help texts.

use super::{exit::Exit, output::CliError, reports::Reports};
use crate::{
    determinism::SUBCOMMAND,
    seed::{Seed, Seeds},
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use metanode_core::types::Address;
use metanode_sim::plan::Backend;
use std::{path::PathBuf, thread, time::Duration};

/// Deterministic simulation testing of Mysticeti nodes and their execution engines
#[derive(Parser)]
#[command(name = "metasim", version, after_help = Exit::HELP)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// List the built-in scenarios and suites
    List,
    /// Run a scenario: one seed with a full report, or many seeds with a summary
    Run {
        /// Scenario name from `metasim list`, or path of a .toml file
        scenario: String,
        /// Seed: a number or a commit hash [default: the scenario's seed, or 0]
        #[arg(long)]
        seed: Option<Seed>,
        /// Range of seeds: A..B (B excluded), or N for 0..N
        #[arg(long, conflicts_with = "seed")]
        seeds: Option<Seeds>,
        #[command(flatten)]
        bugs: EnabledBugs,
        /// Write every event of the run to this file, one JSON object per line
        #[arg(long, value_name = "FILE", conflicts_with = "seeds")]
        trace: Option<PathBuf>,
        #[command(flatten)]
        options: Options,
    },
    /// Run a suite: several scenarios, each over many seeds
    Suite {
        /// Suite name from `metasim list`, or path of a .toml file
        suite: String,
        /// First seed of each scenario: a number or a commit hash
        #[arg(long, default_value = "0")]
        seed: Seed,
        /// Range of seeds for each scenario, instead of the suite's counts: A..B (B excluded), or N for 0..N
        #[arg(long, conflicts_with = "seed")]
        seeds: Option<Seeds>,
        #[command(flatten)]
        options: Options,
    },
    /// Crash a node and its executor at every crash point that a run reaches, alone and in pairs
    Sweep {
        /// Scenario name from `metasim list`, or path of a .toml file
        scenario: String,
        /// Seed: a number or a commit hash [default: the scenario's seed, or 0]
        #[arg(long)]
        seed: Option<Seed>,
        /// Crash at the first N occurrences of each crash point
        #[arg(long, value_name = "N", default_value_t = 3)]
        times: u32,
        /// Validator whose node, executor and Sub crash
        #[arg(long, value_name = "N", default_value_t = 0)]
        validator: u16,
        #[command(flatten)]
        options: Options,
    },
    /// Search for known bugs: switch on one at a time until one of its declared finders reports it
    Museum(Museum),
    /// Judge event logs of real nodes and executors by the oracles of the simulator
    ///
    /// A node and an executor write one with `--event-log FILE`; docs/trace-format.md describes it for others.
    Judge {
        /// Files in JSON Lines
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Write the judgement to this file, as one JSON object
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
    /// Run a local network of real processes, under faults and load, and judge it
    ///
    /// Starts the binaries that `make real` builds. Configurations, data, logs and event logs stay in the folder.
    Localnet(Localnet),
    /// Replay a failure file and compare the trace with the recorded one
    Replay {
        /// Failure file that a failing run has written
        file: String,
    },
    /// Search for the smallest run that fails in the same way, and write it as a scenario
    ///
    /// The scenario is rewritten at every improvement. An interrupted search loses nothing: shrinking the scenario
    /// continues it.
    Shrink {
        /// Failure file, or SCENARIO:SEED
        run: String,
        /// Scenario file to write [default: NAME.shrunk.toml beside the failure file]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Maximum number of runs [default: unlimited]
        #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
        budget_runs: u64,
        /// Number of parallel runs [default: one per core]
        #[arg(long)]
        jobs: Option<usize>,
    },
    /// Show the first event at which two runs differ
    Diff {
        /// First run: a failure file, or SCENARIO:SEED
        a: String,
        /// Second run: a failure file, or SCENARIO:SEED
        b: String,
    },
    /// Run each seed twice, after other runs and in a process of its own, and compare the traces
    Determinism {
        /// Scenario names or paths of .toml files [default: all built-in scenarios]
        scenarios: Vec<String>,
        /// Range of seeds: A..B (B excluded), or N for 0..N
        #[arg(long, default_value = "3")]
        seeds: Seeds,
        /// Number of parallel runs [default: one per core]
        #[arg(long)]
        jobs: Option<usize>,
        /// Store backend
        #[arg(long, default_value = "memory")]
        store: Store,
    },
    /// Drive a live executor through the contract, clause by clause
    ///
    /// Delivers blocks and epochs of its own: for an executor whose chain has no value, and to which no node delivers
    /// meanwhile.
    Conformance(Conformance),
    /// Play a Go Master for a live node, and judge what the node sends
    StandIn(StandIn),
    /// Print the trace hash of a run
    #[command(name = SUBCOMMAND, hide = true)]
    TraceHash {
        scenario: String,
        #[arg(long)]
        seed: Seed,
        #[arg(long)]
        store: Store,
    },
}

#[derive(Args)]
pub(super) struct Localnet {
    /// Number of validators
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub nodes: u16,
    /// Who executes
    #[arg(long, default_value = "master-per-node")]
    pub topology: LocalnetTopology,
    /// Number of Subs, at most one per node
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub subs: u16,
    /// Folder of the network: a new one, or an empty one
    #[arg(long)]
    pub dir: PathBuf,
    /// How long it runs before all faults end: a number with s, m or h
    #[arg(long = "for", value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub run_for: Duration,
    /// Kill, stop, pause, cut off and delay processes at random, from this seed
    #[arg(long, value_name = "SEED")]
    pub chaos: Option<Seed>,
    /// So many kills instead, one after the other, however long that takes
    #[arg(long, value_name = "N")]
    pub kills: Option<u32>,
    /// Transactions per second, of all clients together
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub load: u64,
    /// Give the data of each process a file system of so many MiB, which faults fill; needs root or user namespaces
    #[arg(long, value_name = "MIB", requires = "chaos", conflicts_with = "kills", value_parser = clap::value_parser!(u64).range(64..=4096))]
    pub small_disks: Option<u64>,
    /// How long an epoch lasts: a number with s, m or h [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub epoch: Option<Duration>,
    /// Folder of the binaries [default: where `make real` puts them]
    #[arg(long, value_name = "DIR")]
    pub bin_dir: Option<PathBuf>,
    /// What executors do with a block that is not the next one
    #[arg(long, default_value = "strict")]
    pub guard: LocalnetGuard,
    /// Known bug to switch on, in binaries that were built with them. Can be repeated
    #[arg(long = "bug", value_name = "NAME")]
    pub bugs: Vec<String>,
    /// Validator whose node and executor have the bugs [default: all]. Can be repeated
    #[arg(long = "buggy-validator", value_name = "N", requires = "bugs")]
    pub buggy_validators: Vec<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum LocalnetGuard {
    /// Refuse it
    Strict,
    /// Skip it if it is executed, refuse it otherwise
    SkipLow,
    /// Execute it
    Naive,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum LocalnetTopology {
    SingleMaster,
    MasterPerNode,
}

/// A number with a unit of time.
fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let seconds = match &text[number.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        unit => {
            return Err(format!(
                "expected a number with s, m or h, found unit `{unit}`"
            ));
        }
    };
    let number: u64 = number.parse().map_err(|e| format!("`{number}`: {e}"))?;
    let seconds = number.checked_mul(seconds).filter(|it| *it > 0);
    let seconds = seconds.ok_or("expected at least a second")?;
    Ok(Duration::from_secs(seconds))
}

#[derive(Args)]
pub(super) struct EnabledBugs {
    /// Known bug to switch on, by name or number; guards that mask it stay on. Can be repeated
    #[arg(long = "bug", value_name = "NAME")]
    pub names: Vec<String>,
    /// Validator whose node and executor have the bugs [default: all]. Can be repeated
    #[arg(long = "buggy-validator", value_name = "N", requires = "names")]
    pub validators: Vec<u16>,
}

#[derive(Args)]
pub(super) struct Conformance {
    /// Where the executor accepts blocks: unix:///path, /path, tcp://IP:PORT or IP:PORT
    #[arg(long, value_name = "ADDRESS")]
    pub block_stream: Address,
    /// Where the executor answers requests
    #[arg(long, value_name = "ADDRESS")]
    pub rpc: Address,
    /// Shell command that kills the executor with SIGKILL and starts it again in the background
    #[arg(long, value_name = "CMD")]
    pub restart_command: Option<String>,
    /// Ask at the terminal to kill and start the executor
    #[arg(long, conflicts_with = "restart_command")]
    pub kill_by_hand: bool,
    /// Time for an answer, for the watermark to move, and for the restart command
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout_ms: u64,
    /// Time that the watermark must stand still where a block must not be executed
    #[arg(long, value_name = "MS", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    pub settle_ms: u64,
    /// Write one JSON object per clause to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct StandIn {
    /// Where to accept blocks: unix:///path, /path, tcp://IP:PORT or IP:PORT
    #[arg(long, value_name = "ADDRESS")]
    pub block_stream: Address,
    /// Where to answer requests
    #[arg(long, value_name = "ADDRESS")]
    pub rpc: Address,
    /// TOML file with a section [genesis], as that of the configuration of mock-go-executor
    #[arg(long, value_name = "FILE")]
    pub genesis: PathBuf,
    /// How long to stand in: a number with s, m or h
    #[arg(long = "for", value_name = "DURATION", default_value = "1m", value_parser = duration)]
    pub stand_for: Duration,
    /// Fail unless so many blocks have arrived
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub expect_blocks: u64,
    /// Answer each request so late
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub delay_ms: u64,
    /// Let the watermark stay so many blocks behind what is executed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub behind: u64,
    /// Close the block stream once, when this block is executed
    #[arg(long, value_name = "GEI")]
    pub disconnect_at: Option<u64>,
    /// Write one JSON object per clause to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct Museum {
    /// Bugs to search for, by name or number [default: all]; guards that mask a bug are switched off with it
    pub bugs: Vec<String>,
    /// Seeds to try in order until the bug is found: A..B (B excluded), or N for 0..N
    #[arg(long, default_value = "500")]
    pub seeds: Seeds,
    /// Number of runs that show a bug after which its search ends: more than 1 tells how often, and shrinks none
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub findings: u64,
    /// Suite whose scenarios are run in turn: a name from `metasim list`, or the path of a .toml file
    #[arg(long, default_value = "ci")]
    pub suite: String,
    /// Number of bugs searched in parallel [default: one per core]
    #[arg(long)]
    pub jobs: Option<usize>,
    /// Write one JSON object per bug to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a JUnit test report to this file, with one test case per bug
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Directory for the smallest run that shows each bug
    #[arg(long, value_name = "DIR", default_value = "failures/museum")]
    pub failures: PathBuf,
}

#[derive(Args)]
pub(super) struct Options {
    /// Number of parallel runs [default: one per core]
    #[arg(long)]
    pub jobs: Option<usize>,
    /// Store backend [default: that of the scenario or the suite, or memory]
    #[arg(long)]
    pub store: Option<Store>,
    /// Write one JSON object per run to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a JUnit test report to this file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Directory for failure files
    #[arg(long, value_name = "DIR", default_value = "failures")]
    pub failures: PathBuf,
    /// Log the simulated processes to stderr: a level, or directives such as `metanode_core=debug`
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<String>,
}

impl Options {
    pub fn reports(&self) -> Result<Reports, CliError> {
        Reports::create(self.json.as_deref(), self.junit.as_deref())
    }

    /// The backend that was asked for.
    pub fn backend(&self) -> Option<Backend> {
        self.store.map(Backend::from)
    }

    pub fn threads(&self) -> usize {
        threads(self.jobs)
    }
}

/// The number of threads for `--jobs`: one per core if it is left out.
pub(super) fn threads(jobs: Option<usize>) -> usize {
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    jobs.unwrap_or_else(cores)
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Store {
    Memory,
    Rocksdb,
}

impl From<Store> for Backend {
    fn from(store: Store) -> Self {
        match store {
            Store::Memory => Self::Memory,
            Store::Rocksdb => Self::Rocksdb,
        }
    }
}
