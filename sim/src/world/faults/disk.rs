//! What faults of disks do to the world.

use super::{Effect, FaultJob, lifecycle, process::bring_down};
use crate::{
    faults::DiskFault,
    process_id::ProcessId,
    trace::WorldEvent,
    world::{End, Job, World},
};

impl Effect for DiskFault {
    fn has_own_events(&self) -> bool {
        match self {
            Self::DiskFails { .. } | Self::FlipBits { .. } => false,
            Self::Restore { .. } => true,
        }
    }

    fn begin(&self, number: usize, world: &World) {
        match self {
            Self::DiskFails { processes, how, .. } => {
                for disk in processes.iter().filter_map(|id| world.disk(*id)) {
                    disk.begin_failing(*how);
                }
            }
            Self::FlipBits {
                nodes,
                blocks,
                commits,
            } => {
                for node in nodes {
                    flip_bits(ProcessId::Node(*node), *blocks, *commits, world);
                }
            }
            Self::Restore {
                executors, down_ms, ..
            } => {
                for executor in executors {
                    restore(number, *executor, *down_ms, world);
                }
            }
        }
    }

    fn end(&self, world: &World) {
        match self {
            Self::DiskFails { processes, .. } => {
                for disk in processes.iter().filter_map(|id| world.disk(*id)) {
                    disk.mend();
                }
            }
            // Damage stays, and executors restart at their scheduled times.
            Self::FlipBits { .. } | Self::Restore { .. } => {}
        }
    }
}

/// Schedules the backups that fault `number` will restore.
pub(super) fn schedule_backups(fault: &DiskFault, number: usize, world: &World) {
    match fault {
        DiskFault::Restore {
            executors,
            taken_ms,
            ..
        } => {
            for executor in executors {
                world.later(*taken_ms, Job::Fault(FaultJob::Backup(number, *executor)));
            }
        }
        DiskFault::DiskFails { .. } | DiskFault::FlipBits { .. } => {}
    }
}

fn flip_bits(id: ProcessId, blocks: u32, commits: u32, world: &World) {
    let Some(disk) = world.disk(id) else { return };
    let others = (0..world.plan().validators).map(ProcessId::Node);
    let others = others.filter(|other| *other != id);
    let others: Vec<_> = others.filter_map(|other| world.disk(other)).collect();
    let commits = {
        let random = &mut world.faults().disk_damage;
        disk.flip_blocks(blocks, random, &others);
        disk.flip_commits(commits, random, &others)
    };
    if !commits.is_empty() {
        world.emit(id, WorldEvent::CommitsDamaged { commits });
    }
}

/// Takes a backup of an executor's disk for fault `number`.
pub(super) fn back_up(number: usize, executor: u16, world: &World) {
    let disk = world.disk(ProcessId::Executor(executor));
    if let Some(Ok(snapshot)) = disk.map(|disk| disk.snapshot()) {
        let now = world.now();
        world.faults().keep_backup(number, executor, now, snapshot);
    }
}

fn restore(number: usize, executor: u16, down_ms: Option<u64>, world: &World) {
    let id = ProcessId::Executor(executor);
    let backup = world.faults().take_backup(number, executor);
    let (Some((taken, snapshot)), Some(disk)) = (backup, world.disk(id)) else {
        return lifecycle::skip(number, world);
    };
    bring_down(&[id], End::Kill, down_ms, world);
    if disk.restore(snapshot).is_ok() {
        world.emit(id, WorldEvent::DiskRestored { taken });
    }
}
