//! Faults of the links between hosts: partition, slow links. Unix sockets and connections inside a host are not
//! affected.

use super::{
    Cluster, Lasting, Parts, Prepared, Subject,
    text::{hosts, lasting},
};
use crate::{
    amounts::ms,
    net::{Cut, HostId, LatencySpike, Partition, RuleGuard},
    process_id::ProcessId,
    trace::WorldEvent,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, time::Duration};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum NetworkFault {
    /// The hosts of these validators are cut off from all others, in one direction or both.
    Partition {
        hosts: Vec<u16>,
        #[serde(default)]
        cut: Cut,
        for_ms: Option<u64>,
    },
    /// Traffic from and to these hosts is delayed by this much.
    SlowLinks {
        hosts: Vec<u16>,
        extra_ms: u64,
        for_ms: Option<u64>,
    },
}

impl Subject for NetworkFault {
    fn takes_down(&self) -> BTreeSet<u16> {
        match self {
            Self::Partition { .. } | Self::SlowLinks { .. } => BTreeSet::new(),
        }
    }

    fn lasting(&self) -> Lasting {
        match self {
            Self::Partition { for_ms, .. } | Self::SlowLinks { for_ms, .. } => {
                Lasting::Until(*for_ms)
            }
        }
    }

    fn has_own_events(&self) -> bool {
        match self {
            Self::Partition { .. } => true,
            Self::SlowLinks { .. } => false,
        }
    }

    fn prepare(&self, _: usize, _: &dyn Cluster) -> Prepared<'_> {
        match self {
            Self::Partition { .. } | Self::SlowLinks { .. } => Prepared::BeginsWhenDue,
        }
    }

    fn begin(&self, number: usize, cluster: &dyn Cluster) {
        let rule = match self {
            Self::Partition { hosts, cut, .. } => {
                let event = WorldEvent::Partitioned {
                    hosts: hosts.clone(),
                };
                cluster.emit(ProcessId::World, event);
                cut_off(hosts, *cut, cluster)
            }
            Self::SlowLinks {
                hosts, extra_ms, ..
            } => cluster.kernel().install(LatencySpike {
                hosts: ids(hosts),
                extra: Duration::from_millis(*extra_ms),
            }),
        };
        cluster.faults().hold_rule(number, rule);
    }

    fn end(&self, cluster: &dyn Cluster) {
        match self {
            Self::Partition { hosts, .. } => {
                let event = WorldEvent::PartitionHealed {
                    hosts: hosts.clone(),
                };
                cluster.emit(ProcessId::World, event);
            }
            // Its rule is removed already.
            Self::SlowLinks { .. } => {}
        }
    }

    fn parts(&mut self) -> Parts<'_> {
        match self {
            Self::Partition {
                hosts,
                cut: _,
                for_ms,
            } => Parts::of_hosts(hosts).lasting(for_ms),
            Self::SlowLinks {
                hosts,
                extra_ms,
                for_ms,
            } => Parts::of_hosts(hosts).lasting(for_ms).amount(extra_ms),
        }
    }
}

impl fmt::Display for NetworkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partition {
                hosts: numbers,
                cut,
                for_ms,
            } => {
                let what = match cut {
                    Cut::Both => "",
                    Cut::Outgoing => "outgoing traffic of ",
                    Cut::Incoming => "incoming traffic of ",
                };
                let (hosts, lasting) = (hosts(numbers), lasting(*for_ms));
                write!(f, "cut off {what}{hosts} {lasting}")
            }
            Self::SlowLinks {
                hosts: numbers,
                extra_ms,
                for_ms,
            } => {
                let (hosts, lasting) = (hosts(numbers), lasting(*for_ms));
                let extra = ms(*extra_ms);
                write!(f, "delay traffic from and to {hosts} by {extra} {lasting}")
            }
        }
    }
}

/// Cuts hosts off from all others.
pub(super) fn cut_off(hosts: &[u16], cut: Cut, cluster: &dyn Cluster) -> RuleGuard {
    let others = (0..cluster.validators()).filter(|n| !hosts.contains(n));
    cluster.kernel().install(Partition {
        hosts: ids(hosts),
        others: others.map(HostId).collect(),
        cut,
    })
}

/// The hosts of these validators.
pub(super) fn ids(hosts: &[u16]) -> BTreeSet<HostId> {
    hosts.iter().map(|n| HostId(*n)).collect()
}
