//! Kinds of faults of strangers.

use super::{FaultKind, FaultSection, HOSTS, InSwarm, Keys, Schema, Time};
use crate::{sampling::Sampled, scenario::target::Target};
use metanode_sim::faults::StrangerFault;

pub(super) const STRANGER: Schema = Schema {
    targets: HOSTS,
    time: Time::For,
    keys: Keys {
        takes: &["act"],
        ..Keys::NONE
    },
    of_section: |drawn| {
        StrangerFault::Stranger {
            hosts: drawn.validators(),
            act: drawn.section.act,
            for_ms: drawn.for_ms(),
        }
        .into()
    },
    in_swarm: InSwarm::plain(|swarm| {
        StrangerFault::Stranger {
            hosts: swarm.hosts(),
            act: None,
            for_ms: Some(swarm.lasts_ms),
        }
        .into()
    }),
};

/// The section of this fault.
pub(super) fn section(fault: &StrangerFault) -> FaultSection {
    match fault {
        StrangerFault::Stranger { hosts, act, for_ms } => FaultSection {
            act: *act,
            for_ms: for_ms.map(Sampled::fixed),
            ..FaultSection::new(FaultKind::Stranger, Target::hosts(hosts))
        },
    }
}
