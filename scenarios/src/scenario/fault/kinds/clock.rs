//! Kinds of wall clock faults.

use super::{FaultKind, FaultSection, HOSTS, InSwarm, Keys, Schema, Time};
use crate::{sampling::Sampled, scenario::target::Target};
use metanode_sim::faults::ClockFault;

pub(super) const JUMP_CLOCK: Schema = Schema {
    targets: HOSTS,
    time: Time::Moment,
    keys: Keys {
        needs: &["by_ms"],
        ..Keys::NONE
    },
    of_section: |drawn| {
        ClockFault::JumpClock {
            hosts: drawn.validators(),
            by_ms: drawn.number("by_ms", drawn.section.by_ms),
        }
        .into()
    },
    in_swarm: InSwarm::plain(|swarm| {
        let by_ms = swarm.stream.low(300_000).cast_signed();
        ClockFault::JumpClock {
            hosts: swarm.hosts(),
            by_ms: if swarm.stream.one_in(2) {
                by_ms
            } else {
                -by_ms
            },
        }
        .into()
    }),
};

/// The section of this fault.
pub(super) fn section(fault: &ClockFault) -> FaultSection {
    match fault {
        ClockFault::JumpClock { hosts, by_ms } => FaultSection {
            by_ms: Some(Sampled::fixed(*by_ms)),
            ..FaultSection::new(FaultKind::JumpClock, Target::hosts(hosts))
        },
    }
}
