//! Kinds of executor faults.

use super::{EXECUTORS, FaultKind, FaultSection, InSwarm, Keys, Schema, Time};
use crate::{sampling::Sampled, scenario::target::Target};
use metanode_sim::faults::{ExecutorFault, Replies};

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
    }
}
