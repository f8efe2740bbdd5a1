//! Faults of processes and of the power of their hosts: kill, stop, power loss, pause, late start.

use super::{
    Cluster, End, Lasting, Parts, Prepared, Subject, network,
    text::{back, hosts, lasting, processes},
};
use crate::{amounts::ms, net::Cut, process_id::ProcessId};
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
    /// Processes are asked to stop, as by SIGTERM, and restart after `down_ms`, or once they have stopped. What they do
    /// in between is up to them.
    Stop {
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

impl Subject for ProcessFault {
    fn takes_down(&self) -> BTreeSet<u16> {
        match self {
            Self::Kill { processes, .. }
            | Self::Stop { processes, .. }
            | Self::Pause { processes, .. } => validators(processes),
            Self::PowerLoss { hosts, .. } => hosts.iter().copied().collect(),
            // A process that was never up does not count as down.
            Self::StartLate { .. } => BTreeSet::new(),
        }
    }

    fn lasting(&self) -> Lasting {
        match self {
            Self::Kill { down_ms, .. }
            | Self::Stop { down_ms, .. }
            | Self::PowerLoss { down_ms, .. } => Lasting::Down(*down_ms),
            Self::Pause { for_ms, .. } => Lasting::Down(*for_ms),
            Self::StartLate { for_ms, .. } => Lasting::Down(Some(*for_ms)),
        }
    }

    fn has_own_events(&self) -> bool {
        match self {
            Self::Kill { .. }
            | Self::Stop { .. }
            | Self::PowerLoss { .. }
            | Self::Pause { .. }
            | Self::StartLate { .. } => true,
        }
    }

    fn prepare(&self, _: usize, _: &dyn Cluster) -> Prepared<'_> {
        match self {
            Self::StartLate { processes, for_ms } => Prepared::StartsLate {
                processes,
                for_ms: *for_ms,
            },
            Self::Kill { .. } | Self::Stop { .. } | Self::PowerLoss { .. } | Self::Pause { .. } => {
                Prepared::BeginsWhenDue
            }
        }
    }

    fn begin(&self, _: usize, cluster: &dyn Cluster) {
        match self {
            Self::Kill { processes, down_ms } => {
                bring_down(processes, End::Kill, *down_ms, cluster)
            }
            Self::Stop { processes, down_ms } => {
                bring_down(processes, End::Stop, *down_ms, cluster)
            }
            Self::PowerLoss {
                hosts,
                torn,
                down_ms,
            } => {
                for host in hosts {
                    cut_power(*host, cluster);
                }
                let mut processes = cluster.process_ids();
                processes.retain(|id| id.validator().is_some_and(|n| hosts.contains(&n)));
                let how = End::PowerLoss { torn: *torn };
                bring_down(&processes, how, *down_ms, cluster);
            }
            Self::Pause { processes, for_ms } => {
                for id in processes {
                    if cluster.pause(*id)
                        && let Some(for_ms) = for_ms
                    {
                        cluster.resume_after(*for_ms, *id);
                    }
                }
            }
            // It began with the run.
            Self::StartLate { .. } => {}
        }
    }

    fn end(&self, _: &dyn Cluster) {
        match self {
            // Their processes restart or resume at their scheduled times.
            Self::Kill { .. }
            | Self::Stop { .. }
            | Self::PowerLoss { .. }
            | Self::Pause { .. }
            | Self::StartLate { .. } => {}
        }
    }

    fn parts(&mut self) -> Parts<'_> {
        match self {
            Self::Kill { processes, down_ms } | Self::Stop { processes, down_ms } => {
                Parts::of_processes(processes).lasting(down_ms)
            }
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
            Self::Stop {
                processes: ids,
                down_ms,
            } => write!(f, "stop {}, {}", processes(ids), back(*down_ms)),
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

/// The validators that are faulty while these processes are down.
pub(super) fn validators(processes: &[ProcessId]) -> BTreeSet<u16> {
    processes.iter().filter_map(|id| id.faulty()).collect()
}

/// Ends processes. They restart after this time, or when all faults end.
pub(super) fn bring_down(
    processes: &[ProcessId],
    how: End,
    down_ms: Option<u64>,
    cluster: &dyn Cluster,
) {
    for id in processes {
        cluster.end_process(*id, how);
        if let Some(down_ms) = down_ms {
            cluster.start_after(down_ms, *id);
        }
    }
}

/// A host without power sends nothing, not even resets of its connections.
fn cut_power(host: u16, cluster: &dyn Cluster) {
    let silence = network::cut_off(&[host], Cut::Both, cluster);
    let before = cluster.faults().cut_power(host, silence);
    drop(before);
}
