//! Kinds of executor faults.

use super::{EXECUTORS, FaultKind, FaultSection, InSwarm, Keys, Schema, Time};
use crate::{
    sampling::{Sampled, Stream},
    scenario::target::Target,
};
use metanode_sim::faults::{ExecutorFault, Lie, Replies};
use serde::{Deserialize, Serialize};

pub(super) const STALL: Schema = lasting!(EXECUTORS, validators, executors, |executors, for_ms| {
    ExecutorFault::Stall { executors, for_ms }
});

pub(super) const STOP_READING: Schema =
    lasting!(EXECUTORS, validators, executors, |executors, for_ms| {
        ExecutorFault::StopReading { executors, for_ms }
    });

pub(super) const SERVE_BOTH: Schema =
    lasting!(EXECUTORS, validators, executors, |executors, for_ms| {
        ExecutorFault::ServeBoth { executors, for_ms }
    });

pub(super) const SLOW_REPLIES: Schema = Schema {
    targets: EXECUTORS,
    time: Time::For,
    keys: Keys {
        needs: &["extra_ms"],
        ..Keys::NONE
    },
    of_section: |drawn| {
        ExecutorFault::Replies {
            executors: drawn.validators(),
            how: Replies::Late {
                ms: drawn.number("extra_ms", drawn.section.extra_ms),
            },
            for_ms: drawn.for_ms(),
        }
        .into()
    },
    in_swarm: InSwarm::plain(|swarm| {
        let ms = 1 + swarm.stream.low(4_000);
        ExecutorFault::Replies {
            executors: swarm.executors(),
            how: Replies::Late { ms },
            for_ms: Some(swarm.lasts_ms),
        }
        .into()
    }),
};

pub(super) const SILENT_REPLIES: Schema =
    lasting!(EXECUTORS, validators, executors, |executors, for_ms| {
        ExecutorFault::Replies {
            executors,
            how: Replies::Silent,
            for_ms,
        }
    });

pub(super) const LOST_REPLIES: Schema =
    lasting!(EXECUTORS, validators, executors, |executors, for_ms| {
        ExecutorFault::Replies {
            executors,
            how: Replies::Lost,
            for_ms,
        }
    });

pub(super) const ERROR_REPLIES: Schema =
    lasting!(EXECUTORS, validators, executors, |executors, for_ms| {
        ExecutorFault::Replies {
            executors,
            how: Replies::Refused,
            for_ms,
        }
    });

/// `lie` of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LieKind {
    FarEpoch,
    OldEpoch,
    OtherRoot,
    Garbage,
    Silence,
    /// By `extra_ms`.
    Slow,
    /// Each seed draws one of the others.
    Any,
}

impl LieKind {
    const ALL: [Self; 6] = [
        Self::FarEpoch,
        Self::OldEpoch,
        Self::OtherRoot,
        Self::Garbage,
        Self::Silence,
        Self::Slow,
    ];

    /// The lie; `number` chooses one of any.
    fn told(self, number: u64, ms: u64) -> Lie {
        match self {
            Self::FarEpoch => Lie::FarEpoch,
            Self::OldEpoch => Lie::OldEpoch,
            Self::OtherRoot => Lie::OtherRoot,
            Self::Garbage => Lie::Garbage,
            Self::Silence => Lie::Silence,
            Self::Slow => Lie::Slow { ms },
            Self::Any => Self::ALL[number as usize % Self::ALL.len()].told(number, ms),
        }
    }

    const fn of(lie: Lie) -> Self {
        match lie {
            Lie::FarEpoch => Self::FarEpoch,
            Lie::OldEpoch => Self::OldEpoch,
            Lie::OtherRoot => Self::OtherRoot,
            Lie::Garbage => Self::Garbage,
            Lie::Silence => Self::Silence,
            Lie::Slow { .. } => Self::Slow,
        }
    }
}

pub(super) const LIE_TO_PEERS: Schema = Schema {
    targets: EXECUTORS,
    time: Time::For,
    keys: Keys {
        needs: &["lie"],
        takes: &["extra_ms"],
        ..Keys::NONE
    },
    of_section: |drawn| {
        let lie = drawn.section.lie.unwrap_or(LieKind::Any);
        let number = drawn.number("lie", Some((0_u64, 5).into()));
        let ms = drawn.number("extra_ms", drawn.section.extra_ms);
        ExecutorFault::LieToPeers {
            executors: drawn.validators(),
            lie: lie.told(number, ms),
            for_ms: drawn.for_ms(),
        }
        .into()
    },
    in_swarm: InSwarm::plain(|swarm| {
        ExecutorFault::LieToPeers {
            executors: swarm.executors(),
            lie: any_lie(swarm.stream),
            for_ms: Some(swarm.lasts_ms),
        }
        .into()
    }),
};

/// One of all lies.
pub(in crate::scenario) fn any_lie(stream: &mut Stream) -> Lie {
    let (number, ms) = (stream.below(6), 1 + stream.low(4_000));
    LieKind::Any.told(number, ms)
}

/// The section of this fault.
pub(super) fn section(fault: &ExecutorFault) -> FaultSection {
    let of = |kind, executors: &[u16], for_ms: &Option<u64>| FaultSection {
        for_ms: for_ms.map(Sampled::fixed),
        ..FaultSection::new(kind, Target::executors(executors))
    };
    match fault {
        ExecutorFault::Stall { executors, for_ms } => of(FaultKind::Stall, executors, for_ms),
        ExecutorFault::StopReading { executors, for_ms } => {
            of(FaultKind::StopReading, executors, for_ms)
        }
        ExecutorFault::ServeBoth { executors, for_ms } => {
            of(FaultKind::ServeBoth, executors, for_ms)
        }
        ExecutorFault::Replies {
            executors,
            how,
            for_ms,
        } => match how {
            Replies::Late { ms } => FaultSection {
                extra_ms: Some(Sampled::fixed(*ms)),
                ..of(FaultKind::SlowReplies, executors, for_ms)
            },
            Replies::Silent => of(FaultKind::SilentReplies, executors, for_ms),
            Replies::Lost => of(FaultKind::LostReplies, executors, for_ms),
            Replies::Refused => of(FaultKind::ErrorReplies, executors, for_ms),
        },
        ExecutorFault::LieToPeers {
            executors,
            lie,
            for_ms,
        } => FaultSection {
            lie: Some(LieKind::of(*lie)),
            extra_ms: match lie {
                Lie::Slow { ms } => Some(Sampled::fixed(*ms)),
                _ => None,
            },
            ..of(FaultKind::LieToPeers, executors, for_ms)
        },
    }
}
