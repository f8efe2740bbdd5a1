//! Kinds of disk faults.

use super::{
    EXECUTORS, EXECUTORS_AND_SUBS, FaultKind, FaultSection, InSwarm, Keys, NODES, PROCESSES,
    Schema, SwarmDraws, Time, Triggers,
};
use crate::{sampling::Sampled, scenario::target::Target};
use metanode_sim::{disk::DiskFailure, faults::DiskFault};

/// Disks that fail in one way.
macro_rules! disk_fails {
    ($how:ident) => {
        lasting!(PROCESSES, processes, processes, |processes, for_ms| {
            DiskFault::DiskFails {
                processes,
                how: DiskFailure::$how,
                for_ms,
            }
        })
    };
}

pub(super) const FAIL_SYNC: Schema = disk_fails!(Sync);
pub(super) const FAIL_SYNC_AFTER_WRITE: Schema = disk_fails!(SyncAfterWrite);
pub(super) const DISK_FULL: Schema = disk_fails!(Full);

pub(super) const FLIP_BITS: Schema = Schema {
    targets: NODES,
    time: Time::Moment,
    keys: Keys {
        one_of: &["blocks", "commits"],
        ..Keys::NONE
    },
    of_section: |drawn| {
        DiskFault::FlipBits {
            nodes: drawn.validators(),
            blocks: drawn.number("blocks", drawn.section.blocks),
            commits: drawn.number("commits", drawn.section.commits),
        }
        .into()
    },
    in_swarm: InSwarm {
        // A block that a Byzantine validator sent to one peer only is lost with the copy of that peer. A validator that
        // loses an ancestor of its own blocks is faulty, too: there could be more faulty validators than tolerated.
        beside_byzantine: false,
        ..InSwarm::plain(|swarm| {
            DiskFault::FlipBits {
                nodes: swarm.hosts(),
                blocks: swarm.stream.low(20) as u32,
                commits: swarm.stream.low(8) as u32,
            }
            .into()
        })
    },
};

pub(super) const RESTORE: Schema = Schema {
    targets: EXECUTORS_AND_SUBS,
    time: Time::Down,
    keys: Keys {
        needs: &["taken_ms"],
        ..Keys::NONE
    },
    of_section: |drawn| {
        DiskFault::Restore {
            processes: drawn.processes(),
            taken_ms: drawn.number("taken_ms", drawn.section.taken_ms),
            down_ms: drawn.down_ms(),
        }
        .into()
    },
    in_swarm: InSwarm {
        // A condition could be met before the backup is taken.
        triggers: Triggers::Times,
        ..InSwarm::plain(|swarm| {
            DiskFault::Restore {
                processes: vec![swarm.executor_or_sub()],
                taken_ms: swarm.stream.below(swarm.at_ms.max(1)),
                down_ms: Some(swarm.lasts_ms),
            }
            .into()
        })
    },
};

pub(super) const COPY_EXECUTOR: Schema = Schema {
    targets: EXECUTORS,
    time: Time::Down,
    keys: Keys::NONE,
    of_section: |drawn| {
        DiskFault::CopyExecutor {
            executors: drawn.validators(),
            down_ms: drawn.down_ms(),
        }
        .into()
    },
    in_swarm: InSwarm::plain(|swarm| {
        DiskFault::CopyExecutor {
            executors: vec![swarm.one_executor()],
            down_ms: Some(swarm.lasts_ms),
        }
        .into()
    }),
};

pub(super) const RESTORE_NODES: Schema = Schema {
    targets: NODES,
    time: Time::Down,
    keys: Keys {
        needs: &["taken_ms"],
        ..Keys::NONE
    },
    of_section: |drawn| {
        DiskFault::RestoreNodes {
            nodes: drawn.validators(),
            taken_ms: drawn.number("taken_ms", drawn.section.taken_ms),
            down_ms: drawn.down_ms(),
        }
        .into()
    },
    in_swarm: InSwarm {
        triggers: Triggers::Times,
        // A block that a Byzantine validator sent to one peer only is lost with the disk of that peer.
        beside_byzantine: false,
        ..InSwarm::plain(|swarm| {
            DiskFault::RestoreNodes {
                nodes: vec![swarm.restored],
                taken_ms: taken_ms(swarm),
                down_ms: Some(swarm.lasts_ms),
            }
            .into()
        })
    },
};

/// When a backup was taken: in three of four cases at most some epochs ago. With older ones a node only catches up.
fn taken_ms(swarm: &mut SwarmDraws<'_>) -> u64 {
    let most_ms = match swarm.stream.below(4) {
        0 => swarm.at_ms.max(1),
        _ => swarm.at_ms.clamp(1, 4_000),
    };
    let age_ms = 1 + swarm.stream.below(most_ms);
    swarm.at_ms.saturating_sub(age_ms)
}

/// The section of this fault.
pub(super) fn section(fault: &DiskFault) -> FaultSection {
    match fault {
        DiskFault::DiskFails {
            processes,
            how,
            for_ms,
        } => {
            let kind = match how {
                DiskFailure::Sync => FaultKind::FailSync,
                DiskFailure::SyncAfterWrite => FaultKind::FailSyncAfterWrite,
                DiskFailure::Full => FaultKind::DiskFull,
            };
            FaultSection {
                for_ms: for_ms.map(Sampled::fixed),
                ..FaultSection::new(kind, Target::processes(processes))
            }
        }
        DiskFault::FlipBits {
            nodes,
            blocks,
            commits,
        } => FaultSection {
            blocks: Some(Sampled::fixed(*blocks)),
            commits: (*commits > 0).then_some(Sampled::fixed(*commits)),
            ..FaultSection::new(FaultKind::FlipBits, Target::nodes(nodes))
        },
        DiskFault::Restore {
            processes,
            taken_ms,
            down_ms,
        } => FaultSection {
            taken_ms: Some(Sampled::fixed(*taken_ms)),
            down_ms: down_ms.map(Sampled::fixed),
            ..FaultSection::new(FaultKind::Restore, Target::processes(processes))
        },
        DiskFault::CopyExecutor { executors, down_ms } => FaultSection {
            down_ms: down_ms.map(Sampled::fixed),
            ..FaultSection::new(FaultKind::CopyExecutor, Target::executors(executors))
        },
        DiskFault::RestoreNodes {
            nodes,
            taken_ms,
            down_ms,
        } => FaultSection {
            taken_ms: Some(Sampled::fixed(*taken_ms)),
            down_ms: down_ms.map(Sampled::fixed),
            ..FaultSection::new(FaultKind::RestoreNodes, Target::nodes(nodes))
        },
    }
}
