//! What faults of links do to the world.

use super::Effect;
use crate::{
    faults::NetworkFault,
    net::{Cut, HostId, LatencySpike, Partition, RuleGuard},
    process_id::ProcessId,
    trace::WorldEvent,
    world::{World, host},
};
use std::{collections::BTreeSet, time::Duration};

impl Effect for NetworkFault {
    fn has_own_events(&self) -> bool {
        match self {
            Self::Partition { .. } => true,
            Self::SlowLinks { .. } => false,
        }
    }

    fn begin(&self, number: usize, world: &World) {
        let rule = match self {
            Self::Partition { hosts, cut, .. } => {
                let event = WorldEvent::Partitioned {
                    hosts: hosts.clone(),
                };
                world.emit(ProcessId::World, event);
                cut_off(hosts, *cut, world)
            }
            Self::SlowLinks {
                hosts, extra_ms, ..
            } => world.kernel().install(LatencySpike {
                hosts: ids(hosts),
                extra: Duration::from_millis(*extra_ms),
            }),
        };
        world.faults().hold_rule(number, rule);
    }

    fn end(&self, world: &World) {
        match self {
            Self::Partition { hosts, .. } => {
                let event = WorldEvent::PartitionHealed {
                    hosts: hosts.clone(),
                };
                world.emit(ProcessId::World, event);
            }
            // Its rule is removed already.
            Self::SlowLinks { .. } => {}
        }
    }
}

/// Cuts hosts off from all others.
pub(super) fn cut_off(hosts: &[u16], cut: Cut, world: &World) -> RuleGuard {
    let others = (0..world.plan().validators).filter(|n| !hosts.contains(n));
    world.kernel().install(Partition {
        hosts: ids(hosts),
        others: others.map(host).collect(),
        cut,
    })
}

/// The hosts of these validators.
pub(super) fn ids(hosts: &[u16]) -> BTreeSet<HostId> {
    hosts.iter().map(|n| host(*n)).collect()
}
