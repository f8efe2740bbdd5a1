//! Kinds of process faults and power losses.

use super::{FaultKind, FaultSection, HOSTS, InSwarm, Keys, PROCESSES, Schema, Time, Triggers};
use crate::{sampling::Sampled, scenario::target::Target};
use metanode_sim::faults::ProcessFault;

pub(super) const KILL: Schema = Schema {
    targets: PROCESSES,
    time: Time::Down,
    keys: Keys::NONE,
    of_section: |drawn| {
        ProcessFault::Kill {
            processes: drawn.processes(),
            down_ms: drawn.down_ms(),
        }
        .into()
    },
    in_swarm: InSwarm {
        loops: true,
        ..InSwarm::plain(|swarm| {
            ProcessFault::Kill {
                processes: swarm.processes(),
                down_ms: Some(swarm.lasts_ms),
            }
            .into()
        })
    },
};

pub(super) const STOP: Schema = Schema {
    targets: PROCESSES,
    time: Time::Down,
    keys: Keys::NONE,
    of_section: |drawn| {
        ProcessFault::Stop {
            processes: drawn.processes(),
            down_ms: drawn.down_ms(),
        }
        .into()
    },
    in_swarm: InSwarm {
        loops: true,
        ..InSwarm::plain(|swarm| {
            ProcessFault::Stop {
                processes: swarm.processes(),
                down_ms: Some(swarm.lasts_ms),
            }
            .into()
        })
    },
};

pub(super) const POWER_LOSS: Schema = Schema {
    targets: HOSTS,
    time: Time::Down,
    keys: Keys {
        takes: &["torn"],
        ..Keys::NONE
    },
    of_section: |drawn| {
        ProcessFault::PowerLoss {
            hosts: drawn.validators(),
            torn: drawn.section.torn.unwrap_or_default(),
            down_ms: drawn.down_ms(),
        }
        .into()
    },
    in_swarm: InSwarm::plain(|swarm| {
        ProcessFault::PowerLoss {
            hosts: swarm.few(),
            torn: swarm.stream.one_in(2),
            down_ms: Some(swarm.lasts_ms),
        }
        .into()
    }),
};

pub(super) const PAUSE: Schema = lasting!(PROCESSES, processes, processes, |processes, for_ms| {
    ProcessFault::Pause { processes, for_ms }
});

pub(super) const START_LATE: Schema = Schema {
    targets: PROCESSES,
    time: Time::FromStart,
    keys: Keys::NONE,
    of_section: |drawn| {
        ProcessFault::StartLate {
            processes: drawn.processes(),
            for_ms: drawn.for_ms().unwrap_or_default(),
        }
        .into()
    },
    in_swarm: InSwarm {
        triggers: Triggers::Start,
        ..InSwarm::plain(|swarm| {
            ProcessFault::StartLate {
                processes: swarm.processes(),
                for_ms: swarm.lasts_ms,
            }
            .into()
        })
    },
};

/// The section of this fault.
pub(super) fn section(fault: &ProcessFault) -> FaultSection {
    match fault {
        ProcessFault::Kill { processes, down_ms } => FaultSection {
            down_ms: down_ms.map(Sampled::fixed),
            ..FaultSection::new(FaultKind::Kill, Target::processes(processes))
        },
        ProcessFault::Stop { processes, down_ms } => FaultSection {
            down_ms: down_ms.map(Sampled::fixed),
            ..FaultSection::new(FaultKind::Stop, Target::processes(processes))
        },
        ProcessFault::PowerLoss {
            hosts,
            torn,
            down_ms,
        } => FaultSection {
            torn: torn.then_some(true),
            down_ms: down_ms.map(Sampled::fixed),
            ..FaultSection::new(FaultKind::PowerLoss, Target::hosts(hosts))
        },
        ProcessFault::Pause { processes, for_ms } => FaultSection {
            for_ms: for_ms.map(Sampled::fixed),
            ..FaultSection::new(FaultKind::Pause, Target::processes(processes))
        },
        ProcessFault::StartLate { processes, for_ms } => FaultSection {
            for_ms: Some(Sampled::fixed(*for_ms)),
            ..FaultSection::new(FaultKind::StartLate, Target::processes(processes))
        },
    }
}
