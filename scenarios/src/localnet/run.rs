//! One run of a local network, from its options to its verdict.

#[cfg(feature = "rocksdb")]
use super::stores::data_dirs;
use super::{
    chain::Chains,
    chaos::{Chaos, Faults, Target},
    layout::{Layout, LayoutError, Size},
    load::Load,
    network::{self, Bugs, Network},
    process::Binaries,
    progress::{Follower, Progress},
    small_disks,
    verdict::{Failure, failures},
};
use crate::live::now_ms;
#[cfg(feature = "rocksdb")]
use metanode_sim::data_dirs::judge_data_dirs;
use metanode_sim::event_log::{LogError, Report, judge_files};
use std::{io, path::PathBuf, thread, time::Duration};
use thiserror::Error;

const TICK: Duration = Duration::from_millis(20);
/// Pause between two looks at event logs.
const LOOK_MS: u64 = 500;
/// When faults have ended, the network has this long to execute so many blocks more, and longer as long as it executes what
/// was promised.
const SETTLE_MS: u64 = 60_000;
const SETTLE_BLOCKS: u64 = 20;

/// What is run.
#[derive(Clone, Debug)]
pub struct Options {
    pub folder: PathBuf,
    pub bin_folder: PathBuf,
    pub size: Size,
    /// How long faults and clients last.
    pub run_for: Duration,
    pub chaos: Chaos,
    /// Transactions per second, of all clients together.
    pub load_per_second: u64,
    pub bugs: Bugs,
}

/// Why a network cannot be run.
#[derive(Debug, Error)]
pub enum LocalnetError {
    #[error("{} is missing: `make real` builds it; name its folder with --bin-dir", .0.display())]
    NoBinary(PathBuf),
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("the operating system refuses what the network needs: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Logs(#[from] LogError),
}

/// The state of a running network, for a table.
#[derive(Clone, Debug)]
pub struct Status {
    pub elapsed_ms: u64,
    pub nodes: Vec<Progress>,
    pub executors: Vec<Progress>,
    pub subs: Vec<Progress>,
    pub down: usize,
    pub faults: u32,
    pub promised: u64,
}

/// The result of a run.
#[derive(Debug)]
pub struct Outcome {
    pub status: Status,
    /// What the event logs say.
    pub report: Report,
    /// What was wrong; empty if the run passed.
    pub failures: Vec<Failure>,
    /// Promised transactions that are in blocks.
    pub executed: u64,
    /// How long clients sent.
    pub load_ms: u64,
    /// The last block that all executors have.
    pub blocks: u64,
    /// How often a process ended because its disk was full.
    pub ended_on_full_disks: u32,
}

/// Runs a network and ends it. `show` is called about twice a second, `tell` for every fault.
///
/// # Errors
/// If the folder is not empty, a binary is missing, or the operating system refuses something.
pub fn run(
    options: &Options,
    mut show: impl FnMut(&Status),
    mut tell: impl FnMut(u64, &str),
) -> Result<Outcome, LocalnetError> {
    let binaries = Binaries::in_folder(&options.bin_folder).map_err(LocalnetError::NoBinary)?;
    if options.size.small_disk_mib.is_some() {
        small_disks::with_own_mounts()?;
    }
    let begin_ms = now_ms();
    let layout = Layout::create(&options.folder, options.size, begin_ms)?;
    let mut network = Network::begin(&layout, &binaries, &options.bugs)?;
    let mut load = Load::begin(&layout.submission_sockets(), options.load_per_second);
    let mut watch = Watch::new(&layout);
    let mut faults = Faults::new(options.chaos, layout.shape()).peekable();
    let run_ms = u64::try_from(options.run_for.as_millis()).unwrap_or(u64::MAX);
    loop {
        let now_ms = now_ms() - begin_ms;
        let is_over = match options.chaos {
            Chaos::Kills { .. } => faults.peek().is_none() && network.is_whole(),
            _ => now_ms >= run_ms,
        };
        if is_over {
            break;
        }
        // Kills come one after the other, however long a start takes.
        let is_ready = !matches!(options.chaos, Chaos::Kills { .. }) || network.is_whole();
        if is_ready && let Some((_, fault)) = faults.next_if(|(at_ms, _)| *at_ms <= now_ms) {
            network.inject(&fault, now_ms)?;
            watch.faults += 1;
            tell(now_ms, &fault.to_string());
        }
        network.tick(now_ms)?;
        if watch.look(now_ms, &network, &load)? {
            show(&watch.status);
        }
        thread::sleep(TICK);
    }
    load.end();
    let load_ms = now_ms() - begin_ms;
    tell(load_ms, "all faults and clients end");
    let settled = settle(
        &mut network,
        &layout,
        &load,
        &mut watch,
        begin_ms,
        &mut show,
    )?;
    network.end(|| thread::sleep(TICK))?;
    network::keep_small_disks(&layout)?;
    let report = report(&layout)?;
    Ok(Outcome {
        status: watch.status,
        failures: failures(&layout, &report, network.ended, &settled)?,
        report,
        executed: settled.chains.executed,
        load_ms,
        blocks: settled.chains.common(),
        ended_on_full_disks: network.ended_on_full_disks,
    })
}

/// What the event logs and, in a build with RocksDB, the data directories show.
fn report(layout: &Layout) -> Result<Report, LocalnetError> {
    let logs: Vec<_> = (layout.targets())
        .map(|target| layout.events(target))
        .collect();
    let report = judge_files(&logs)?;
    #[cfg(feature = "rocksdb")]
    let report = report.with(judge_data_dirs(data_dirs(layout)));
    Ok(report)
}

/// The end of a run.
pub(super) struct Settled {
    pub chains: Chains,
    /// Whether all processes run, and executors and Subs have new blocks.
    pub has_progressed: bool,
}

/// Ends all faults, and waits until all executors have what was promised and some blocks more.
fn settle(
    network: &mut Network<'_>,
    layout: &Layout,
    load: &Load,
    watch: &mut Watch,
    begin_ms: u64,
    show: &mut impl FnMut(&Status),
) -> Result<Settled, LocalnetError> {
    let healed_ms = now_ms() - begin_ms;
    network.heal(healed_ms)?;
    watch.read()?;
    let goal = watch.highest() + SETTLE_BLOCKS;
    let rpcs = (0..layout.executors()).map(|n| layout.rpc(n)).collect();
    let mut chains = Chains::new(rpcs, load.promised.take());
    let mut executed = (0, healed_ms);
    loop {
        let now_ms = now_ms() - begin_ms;
        network.tick(now_ms)?;
        if watch.look(now_ms, network, load)? {
            show(&watch.status);
            chains.read();
        }
        let subs_follow = watch.status.subs.iter().all(|sub| sub.gei >= goal);
        let has_progressed = chains.common() >= goal && subs_follow && network.is_whole();
        if chains.executed > executed.0 {
            executed = (chains.executed, now_ms);
        }
        // Nothing of what is missing was executed for so long.
        let is_late = now_ms > executed.1 + SETTLE_MS;
        if has_progressed && chains.missing.is_empty() || is_late || chains.fork.is_some() {
            return Ok(Settled {
                chains,
                has_progressed,
            });
        }
        thread::sleep(TICK);
    }
}

/// Follows all event logs.
struct Watch {
    nodes: Vec<Follower>,
    executors: Vec<Follower>,
    subs: Vec<Follower>,
    looked_ms: u64,
    faults: u32,
    status: Status,
}

impl Watch {
    fn new(layout: &Layout) -> Self {
        let follow = |target| Follower::new(layout.events(target));
        Self {
            nodes: (0..layout.size.nodes)
                .map(|n| follow(Target::Node(n)))
                .collect(),
            executors: (0..layout.executors())
                .map(|n| follow(Target::Executor(n)))
                .collect(),
            subs: (0..layout.size.subs)
                .map(|n| follow(Target::Sub(n)))
                .collect(),
            looked_ms: 0,
            faults: 0,
            status: Status {
                elapsed_ms: 0,
                nodes: vec![],
                executors: vec![],
                subs: vec![],
                down: 0,
                faults: 0,
                promised: 0,
            },
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let all = self.nodes.iter_mut().chain(&mut self.executors);
        all.chain(&mut self.subs).try_for_each(Follower::read)
    }

    /// The highest GEI of anybody.
    fn highest(&self) -> u64 {
        let all = self.nodes.iter().chain(&self.executors);
        all.map(|it| it.progress.gei).max().unwrap_or(0)
    }

    /// Reads what is new, if it is time. Returns whether it was.
    fn look(&mut self, now_ms: u64, network: &Network<'_>, load: &Load) -> io::Result<bool> {
        if now_ms < self.looked_ms + LOOK_MS {
            return Ok(false);
        }
        self.looked_ms = now_ms;
        self.read()?;
        let of = |followers: &[Follower]| followers.iter().map(|it| it.progress).collect();
        self.status = Status {
            elapsed_ms: now_ms,
            nodes: of(&self.nodes),
            executors: of(&self.executors),
            subs: of(&self.subs),
            down: network.down(),
            faults: self.faults,
            promised: load.promised.count(),
        };
        Ok(true)
    }
}
