//! Faults of disks: they fail, bits flip, an older backup or the disk of another executor takes their place.

use super::{
    Cluster, End, FaultJob, Lasting, Parts, Prepared, Subject, lifecycle,
    process::{bring_down, validators},
    text::{back, executors, lasting, nodes, processes},
};
use crate::{
    amounts::{count, ms},
    disk::{DiskFailure, Snapshot},
    process_id::ProcessId,
    trace::WorldEvent,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum DiskFault {
    /// Disks fail. A process whose disk fails ends and is restarted, repeatedly.
    DiskFails {
        processes: Vec<ProcessId>,
        how: DiskFailure,
        for_ms: Option<u64>,
    },
    /// Bits flip in this many of the newest blocks and commits of these nodes, except where no other node has an intact
    /// copy.
    FlipBits {
        nodes: Vec<u16>,
        blocks: u32,
        #[serde(default)]
        commits: u32,
    },
    /// Executors and Subs end and restart with their disks as they were at `taken_ms`: an older backup.
    Restore {
        processes: Vec<ProcessId>,
        taken_ms: u64,
        down_ms: Option<u64>,
    },
    /// Executors end and restart with a copy of the disk of the next executor, by number, that is none of them: it may be
    /// epochs ahead.
    CopyExecutor {
        executors: Vec<u16>,
        down_ms: Option<u64>,
    },
    /// Nodes end and restart with their disks as they were at `taken_ms`: an older backup. One that has lost blocks that
    /// it signed is faulty until its peers have returned them, so it counts together with Byzantine validators.
    RestoreNodes {
        nodes: Vec<u16>,
        taken_ms: u64,
        down_ms: Option<u64>,
    },
}

impl Subject for DiskFault {
    fn takes_down(&self) -> BTreeSet<u16> {
        match self {
            Self::DiskFails { processes, .. } | Self::Restore { processes, .. } => {
                validators(processes)
            }
            Self::FlipBits { .. } => BTreeSet::new(),
            Self::CopyExecutor {
                executors: numbers, ..
            }
            | Self::RestoreNodes { nodes: numbers, .. } => numbers.iter().copied().collect(),
        }
    }

    fn lasting(&self) -> Lasting {
        match self {
            Self::DiskFails { for_ms, .. } => Lasting::Until(*for_ms),
            Self::FlipBits { .. } => Lasting::Moment,
            Self::Restore { down_ms, .. }
            | Self::CopyExecutor { down_ms, .. }
            | Self::RestoreNodes { down_ms, .. } => Lasting::Down(*down_ms),
        }
    }

    fn has_own_events(&self) -> bool {
        match self {
            Self::DiskFails { .. } | Self::FlipBits { .. } => false,
            Self::Restore { .. } | Self::CopyExecutor { .. } | Self::RestoreNodes { .. } => true,
        }
    }

    fn prepare(&self, number: usize, cluster: &dyn Cluster) -> Prepared<'_> {
        for (id, taken_ms) in self.backups() {
            cluster.perform_after(taken_ms, FaultJob::Backup(number, id));
        }
        Prepared::BeginsWhenDue
    }

    fn begin(&self, number: usize, cluster: &dyn Cluster) {
        match self {
            Self::DiskFails { processes, how, .. } => {
                for disk in processes.iter().filter_map(|id| cluster.disk(*id)) {
                    disk.begin_failing(*how);
                }
            }
            Self::FlipBits {
                nodes,
                blocks,
                commits,
            } => {
                for node in nodes {
                    flip_bits(ProcessId::Node(*node), *blocks, *commits, cluster);
                }
            }
            Self::CopyExecutor { executors, down_ms } => {
                for executor in executors {
                    copy_to(number, *executor, executors, *down_ms, cluster);
                }
            }
            Self::Restore { down_ms, .. } | Self::RestoreNodes { down_ms, .. } => {
                for (id, _) in self.backups() {
                    restore(number, id, *down_ms, cluster);
                }
            }
        }
    }

    fn end(&self, cluster: &dyn Cluster) {
        match self {
            Self::DiskFails { processes, .. } => {
                for disk in processes.iter().filter_map(|id| cluster.disk(*id)) {
                    disk.mend();
                }
            }
            // Damage stays, and processes restart at their scheduled times.
            Self::FlipBits { .. }
            | Self::Restore { .. }
            | Self::CopyExecutor { .. }
            | Self::RestoreNodes { .. } => {}
        }
    }

    fn parts(&mut self) -> Parts<'_> {
        match self {
            Self::DiskFails {
                processes,
                how: _,
                for_ms,
            } => Parts::of_processes(processes).lasting(for_ms),
            Self::FlipBits {
                nodes,
                blocks: _,
                commits: _,
            } => Parts::of_hosts(nodes),
            Self::Restore {
                processes,
                taken_ms,
                down_ms,
            } => Parts::of_processes(processes)
                .lasting(down_ms)
                .amount(taken_ms),
            Self::CopyExecutor { executors, down_ms } => {
                Parts::of_executors(executors).lasting(down_ms)
            }
            Self::RestoreNodes {
                nodes,
                taken_ms,
                down_ms,
            } => Parts::of_hosts(nodes).lasting(down_ms).amount(taken_ms),
        }
    }
}

impl fmt::Display for DiskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiskFails {
                processes: ids,
                how,
                for_ms,
            } => {
                let (processes, lasting) = (processes(ids), lasting(*for_ms));
                match how {
                    DiskFailure::Sync => {
                        write!(f, "fail the next disk sync of {processes} {lasting}")
                    }
                    DiskFailure::SyncAfterWrite => write!(
                        f,
                        "fail the next disk sync of {processes} after its write {lasting}"
                    ),
                    DiskFailure::Full => write!(f, "fill the disk of {processes} {lasting}"),
                }
            }
            Self::FlipBits {
                nodes: numbers,
                blocks,
                commits,
            } => {
                let blocks = count(u64::from(*blocks), "block");
                let commits = count(u64::from(*commits), "commit");
                let nodes = nodes(numbers);
                write!(
                    f,
                    "flip a bit in each of {blocks} and {commits} stored by {nodes}"
                )
            }
            Self::CopyExecutor {
                executors: numbers,
                down_ms,
            } => {
                let (executors, back) = (executors(numbers), back(*down_ms));
                write!(
                    f,
                    "give {executors} a copy of another executor's disk, {back}"
                )
            }
            Self::Restore {
                taken_ms, down_ms, ..
            }
            | Self::RestoreNodes {
                taken_ms, down_ms, ..
            } => {
                let restored: Vec<_> = self.backups().map(|(id, _)| id).collect();
                let (restored, back) = (processes(&restored), back(*down_ms));
                let taken = ms(*taken_ms);
                write!(
                    f,
                    "restore {restored} from the backup taken at {taken}, {back}"
                )
            }
        }
    }
}

impl DiskFault {
    /// The processes that are restored, with the times of their backups.
    fn backups(&self) -> impl Iterator<Item = (ProcessId, u64)> {
        let (processes, taken_ms) = match self {
            Self::Restore {
                processes,
                taken_ms,
                ..
            } => (processes.clone(), *taken_ms),
            Self::RestoreNodes {
                nodes, taken_ms, ..
            } => (
                nodes.iter().copied().map(ProcessId::Node).collect(),
                *taken_ms,
            ),
            Self::DiskFails { .. } | Self::FlipBits { .. } | Self::CopyExecutor { .. } => {
                (vec![], 0)
            }
        };
        processes.into_iter().map(move |id| (id, taken_ms))
    }
}

fn flip_bits(id: ProcessId, blocks: u32, commits: u32, cluster: &dyn Cluster) {
    let Some(disk) = cluster.disk(id) else { return };
    // Nobody asks a node that is no member of the committee for its copy.
    let others = cluster.fellow_members(id).into_iter().map(ProcessId::Node);
    let others = others.filter(|other| !cluster.stays_down(*other));
    let others: Vec<_> = others.filter_map(|other| cluster.disk(other)).collect();
    let commits = {
        let random = &mut cluster.faults().disk_damage;
        disk.flip_blocks(blocks, random, &others);
        disk.flip_commits(commits, random, &others)
    };
    if !commits.is_empty() {
        cluster.emit(id, WorldEvent::CommitsDamaged { commits });
    }
}

/// Takes a backup of a process's disk for fault `number`.
pub(super) fn back_up(number: usize, id: ProcessId, cluster: &dyn Cluster) {
    let disk = cluster.disk(id);
    if let Some(Ok(snapshot)) = disk.map(|disk| disk.snapshot()) {
        let now = cluster.now();
        cluster.faults().keep_backup(number, id, now, snapshot);
    }
}

fn restore(number: usize, id: ProcessId, down_ms: Option<u64>, cluster: &dyn Cluster) {
    let backup = cluster.faults().take_backup(number, id);
    let Some((taken, snapshot)) = backup else {
        return lifecycle::skip(number, cluster);
    };
    let restored = WorldEvent::DiskRestored {
        taken,
        copied_from: None,
    };
    replace(id, snapshot, restored, down_ms, cluster);
}

fn copy_to(
    number: usize,
    executor: u16,
    receivers: &[u16],
    down_ms: Option<u64>,
    cluster: &dyn Cluster,
) {
    let validators = cluster.validators();
    let others = (1..validators).map(|distance| (executor + distance) % validators);
    let mut others = others.filter(|other| !receivers.contains(other));
    let copied = others.find_map(|other| {
        let other = ProcessId::Executor(other);
        Some((other, cluster.disk(other)?.snapshot().ok()?))
    });
    let Some((other, snapshot)) = copied else {
        return lifecycle::skip(number, cluster);
    };
    let id = ProcessId::Executor(executor);
    let restored = WorldEvent::DiskRestored {
        taken: cluster.now(),
        copied_from: Some(other),
    };
    replace(id, snapshot, restored, down_ms, cluster);
    cluster.faults().drop_backups(id);
}

/// Ends the process, and gives it this disk.
fn replace(
    id: ProcessId,
    snapshot: Snapshot,
    restored: WorldEvent,
    down_ms: Option<u64>,
    cluster: &dyn Cluster,
) {
    let Some(disk) = cluster.disk(id) else { return };
    bring_down(&[id], End::Kill, down_ms, cluster);
    if disk.restore(snapshot).is_ok() {
        cluster.emit(id, restored);
    }
}
