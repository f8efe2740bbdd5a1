//! Kinds of faults of strangers.

use super::{FaultKind, FaultSection, HOSTS, InSwarm, Keys, Schema, Time};
use crate::{sampling::Sampled, scenario::target::Target};
use metanode_sim::faults::StrangerFault;

pub(super) const STRANGER: Schema = lasting!(HOSTS, validators, hosts, |hosts, for_ms| {
    StrangerFault::Stranger { hosts, for_ms }
});

/// The section of this fault.
pub(super) fn section(fault: &StrangerFault) -> FaultSection {
    match fault {
        StrangerFault::Stranger { hosts, for_ms } => FaultSection {
            for_ms: for_ms.map(Sampled::fixed),
            ..FaultSection::new(FaultKind::Stranger, Target::hosts(hosts))
        },
    }
}
