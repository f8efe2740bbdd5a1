//! Kinds of faults of the links between hosts.

use super::{FaultKind, FaultSection, HOSTS, InSwarm, Keys, SOME_HOSTS, Schema, Time};
use crate::{sampling::Sampled, scenario::target::Target};
use metanode_sim::{faults::NetworkFault, net::Cut};

pub(super) const PARTITION: Schema = Schema {
    targets: SOME_HOSTS,
    time: Time::For,
    keys: Keys {
        takes: &["cut"],
        ..Keys::NONE
    },
    of_section: |drawn| {
        NetworkFault::Partition {
            hosts: drawn.validators(),
            cut: drawn.section.cut.unwrap_or_default(),
            for_ms: drawn.for_ms(),
        }
        .into()
    },
    in_swarm: InSwarm::plain(|swarm| {
        NetworkFault::Partition {
            hosts: swarm.hosts(),
            cut: match swarm.stream.below(4) {
                0 => Cut::Outgoing,
                1 => Cut::Incoming,
                _ => Cut::Both,
            },
            for_ms: Some(swarm.lasts_ms),
        }
        .into()
    }),
};

pub(super) const SLOW_LINKS: Schema = Schema {
    targets: HOSTS,
    time: Time::For,
    keys: Keys {
        needs: &["extra_ms"],
        ..Keys::NONE
    },
    of_section: |drawn| {
        NetworkFault::SlowLinks {
            hosts: drawn.validators(),
            extra_ms: drawn.number("extra_ms", drawn.section.extra_ms),
            for_ms: drawn.for_ms(),
        }
        .into()
    },
    in_swarm: InSwarm::plain(|swarm| {
        NetworkFault::SlowLinks {
            hosts: swarm.hosts(),
            extra_ms: 1 + swarm.stream.low(2_000),
            for_ms: Some(swarm.lasts_ms),
        }
        .into()
    }),
};

/// The section of this fault.
pub(super) fn section(fault: &NetworkFault) -> FaultSection {
    match fault {
        NetworkFault::Partition { hosts, cut, for_ms } => FaultSection {
            cut: Some(*cut),
            for_ms: for_ms.map(Sampled::fixed),
            ..FaultSection::new(FaultKind::Partition, Target::hosts(hosts))
        },
        NetworkFault::SlowLinks {
            hosts,
            extra_ms,
            for_ms,
        } => FaultSection {
            extra_ms: Some(Sampled::fixed(*extra_ms)),
            for_ms: for_ms.map(Sampled::fixed),
            ..FaultSection::new(FaultKind::SlowLinks, Target::hosts(hosts))
        },
    }
}
