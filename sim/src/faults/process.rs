//! Faults of processes and of the power of their hosts: kill, power loss, pause, late start.

use super::{
    Lasting, Parts, Subject,
    text::{back, hosts, lasting, processes},
};
use crate::{amounts::ms, process_id::ProcessId};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum ProcessFault {
    /// Processes end and restart after `down_ms`. Their writes are kept.
    Kill {
        processes: Vec<ProcessId>,
        down_ms: Option<u64>,
    },
    /// The hosts of these validators lose power: node and executor end, unsynced writes are lost. Their peers do not
    /// notice: traffic from and to the hosts is held until they are back.
    PowerLoss {
        hosts: Vec<u16>,
        /// A part of the first lost write of each store is on the disk.
        #[serde(default)]
        torn: bool,
        down_ms: Option<u64>,
    },
    /// Processes are paused.
    Pause {
        processes: Vec<ProcessId>,
        for_ms: Option<u64>,
    },
    /// Processes are started only after this time.
    StartLate {
        processes: Vec<ProcessId>,
        for_ms: u64,
    },
}

/// Processes that start late.
pub(crate) struct LateStart<'a> {
    pub processes: &'a [ProcessId],
    pub for_ms: u64,
}

impl ProcessFault {
    /// The processes that start late, if this is `StartLate`: it applies before the run begins.
    pub(crate) fn late_start(&self) -> Option<LateStart<'_>> {
        match self {
            Self::StartLate { processes, for_ms } => Some(LateStart {
                processes,
                for_ms: *for_ms,
            }),
            Self::Kill { .. } | Self::PowerLoss { .. } | Self::Pause { .. } => None,
        }
    }
}

impl Subject for ProcessFault {
    fn takes_down(&self) -> BTreeSet<u16> {
        match self {
            Self::Kill { processes, .. } | Self::Pause { processes, .. } => validators(processes),
            Self::PowerLoss { hosts, .. } => hosts.iter().copied().collect(),
            // A process that was never up does not count as down.
            Self::StartLate { .. } => BTreeSet::new(),
        }
    }

    fn lasting(&self) -> Lasting {
        match self {
            Self::Kill { down_ms, .. } | Self::PowerLoss { down_ms, .. } => Lasting::Down(*down_ms),
            Self::Pause { for_ms, .. } => Lasting::Down(*for_ms),
            Self::StartLate { for_ms, .. } => Lasting::Down(Some(*for_ms)),
        }
    }

    fn parts(&mut self) -> Parts<'_> {
        match self {
            Self::Kill { processes, down_ms } => Parts::of_processes(processes).lasting(down_ms),
            Self::PowerLoss {
                hosts,
                torn: _,
                down_ms,
            } => Parts::of_hosts(hosts).lasting(down_ms),
            Self::Pause { processes, for_ms } => Parts::of_processes(processes).lasting(for_ms),
            Self::StartLate { processes, for_ms } => Parts::of_processes(processes).amount(for_ms),
        }
    }
}

impl fmt::Display for ProcessFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill {
                processes: ids,
                down_ms,
            } => write!(f, "kill {}, {}", processes(ids), back(*down_ms)),
            Self::PowerLoss {
                hosts: numbers,
                torn,
                down_ms,
            } => {
                let torn = if *torn {
                    " in the middle of a write"
                } else {
                    ""
                };
                let (hosts, back) = (hosts(numbers), back(*down_ms));
                write!(f, "cut the power of {hosts}{torn}, {back}")
            }
            Self::Pause {
                processes: ids,
                for_ms,
            } => write!(f, "pause {} {}", processes(ids), lasting(*for_ms)),
            Self::StartLate {
                processes: ids,
                for_ms,
            } => write!(f, "start {} {} late", processes(ids), ms(*for_ms)),
        }
    }
}

/// The validators of these processes.
pub(super) fn validators(processes: &[ProcessId]) -> BTreeSet<u16> {
    processes.iter().filter_map(|id| id.validator()).collect()
}
