//! Faults of running executors: they stall, stop reading, serve two block streams, reply late, not at all or with
//! errors.

use super::{
    Cluster, Lasting, Lie, Parts, Prepared, Replies, Subject,
    text::{executors, lasting},
};
use crate::{amounts::ms, process_id::ProcessId, trace::WorldEvent};
use mock_go_executor::Controls;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// Faults of running executors. A restarted executor behaves normally.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum ExecutorFault {
    /// Executors stop executing. They still answer requests, and read until their queues are full.
    Stall {
        executors: Vec<u16>,
        for_ms: Option<u64>,
    },
    /// Executors accept block streams without reading from them. They still execute queued blocks and answer requests.
    StopReading {
        executors: Vec<u16>,
        for_ms: Option<u64>,
    },
    /// Executors continue to read the previous block stream besides the newest one.
    ServeBoth {
        executors: Vec<u16>,
        for_ms: Option<u64>,
    },
    /// Executors misbehave on requests.
    Replies {
        executors: Vec<u16>,
        how: Replies,
        for_ms: Option<u64>,
    },
    /// Executors tell peers something else than the truth. Their own nodes hear the truth.
    LieToPeers {
        executors: Vec<u16>,
        lie: Lie,
        for_ms: Option<u64>,
    },
}

impl Subject for ExecutorFault {
    fn takes_down(&self) -> BTreeSet<u16> {
        match self {
            Self::Stall { .. }
            | Self::StopReading { .. }
            | Self::ServeBoth { .. }
            | Self::Replies { .. }
            | Self::LieToPeers { .. } => BTreeSet::new(),
        }
    }

    fn lasting(&self) -> Lasting {
        match self {
            Self::Stall { for_ms, .. }
            | Self::StopReading { for_ms, .. }
            | Self::ServeBoth { for_ms, .. }
            | Self::Replies { for_ms, .. }
            | Self::LieToPeers { for_ms, .. } => Lasting::Until(*for_ms),
        }
    }

    fn has_own_events(&self) -> bool {
        match self {
            Self::Stall { .. } => true,
            Self::StopReading { .. }
            | Self::ServeBoth { .. }
            | Self::Replies { .. }
            | Self::LieToPeers { .. } => false,
        }
    }

    fn prepare(&self, _: usize, _: &dyn Cluster) -> Prepared<'_> {
        match self {
            Self::Stall { .. }
            | Self::StopReading { .. }
            | Self::ServeBoth { .. }
            | Self::Replies { .. }
            | Self::LieToPeers { .. } => Prepared::BeginsWhenDue,
        }
    }

    fn begin(&self, _: usize, cluster: &dyn Cluster) {
        match self {
            Self::Stall { executors, .. } => stall(executors, true, cluster),
            Self::StopReading { executors, .. } => {
                control(executors, cluster, |controls| controls.reads_nothing = true);
            }
            Self::ServeBoth { executors, .. } => {
                control(executors, cluster, |controls| controls.serves_both = true);
            }
            Self::Replies { executors, how, .. } => {
                control(executors, cluster, |controls| controls.replies = Some(*how));
            }
            Self::LieToPeers { executors, lie, .. } => {
                control(executors, cluster, |controls| controls.lie = Some(*lie));
            }
        }
    }

    fn end(&self, cluster: &dyn Cluster) {
        match self {
            Self::Stall { executors, .. } => stall(executors, false, cluster),
            Self::StopReading { executors, .. } => {
                control(executors, cluster, |controls| {
                    controls.reads_nothing = false
                });
            }
            Self::ServeBoth { executors, .. } => {
                control(executors, cluster, |controls| controls.serves_both = false);
            }
            Self::Replies { executors, .. } => {
                control(executors, cluster, |controls| controls.replies = None);
            }
            Self::LieToPeers { executors, .. } => {
                control(executors, cluster, |controls| controls.lie = None);
            }
        }
    }

    fn parts(&mut self) -> Parts<'_> {
        match self {
            Self::Stall { executors, for_ms }
            | Self::StopReading { executors, for_ms }
            | Self::ServeBoth { executors, for_ms } => {
                Parts::of_executors(executors).lasting(for_ms)
            }
            Self::Replies {
                executors,
                how,
                for_ms,
            } => {
                let parts = Parts::of_executors(executors).lasting(for_ms);
                match how {
                    Replies::Late { ms } => parts.amount(ms),
                    Replies::Silent | Replies::Lost | Replies::Refused => parts,
                }
            }
            Self::LieToPeers {
                executors,
                lie,
                for_ms,
            } => {
                let parts = Parts::of_executors(executors).lasting(for_ms);
                match lie {
                    Lie::Slow { ms } => parts.amount(ms),
                    Lie::FarEpoch
                    | Lie::OldEpoch
                    | Lie::OtherRoot
                    | Lie::Garbage
                    | Lie::Silence => parts,
                }
            }
        }
    }
}

impl fmt::Display for ExecutorFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stall {
                executors: numbers,
                for_ms,
            } => write!(f, "stall {} {}", executors(numbers), lasting(*for_ms)),
            Self::StopReading {
                executors: numbers,
                for_ms,
            } => {
                let (executors, lasting) = (executors(numbers), lasting(*for_ms));
                write!(f, "stop {executors} from reading block streams {lasting}")
            }
            Self::ServeBoth {
                executors: numbers,
                for_ms,
            } => {
                let (executors, lasting) = (executors(numbers), lasting(*for_ms));
                write!(
                    f,
                    "make {executors} read the previous block stream, too, {lasting}"
                )
            }
            Self::Replies {
                executors: numbers,
                how,
                for_ms,
            } => {
                let (executors, lasting) = (executors(numbers), lasting(*for_ms));
                match how {
                    Replies::Late { ms: late } => {
                        write!(f, "delay replies of {executors} by {} {lasting}", ms(*late))
                    }
                    Replies::Silent => write!(f, "suppress replies of {executors} {lasting}"),
                    Replies::Lost => write!(f, "lose replies of {executors} {lasting}"),
                    Replies::Refused => write!(f, "make {executors} reply with errors {lasting}"),
                }
            }
            Self::LieToPeers {
                executors: numbers,
                lie,
                for_ms,
            } => {
                let (executors, lasting) = (executors(numbers), lasting(*for_ms));
                let what = match lie {
                    Lie::FarEpoch => "a far epoch",
                    Lie::OldEpoch => "an old epoch",
                    Lie::OtherRoot => "other state roots",
                    Lie::Garbage => "garbage",
                    Lie::Silence => "nothing",
                    Lie::Slow { ms: late } => {
                        let late = ms(*late);
                        return write!(f, "make {executors} answer peers {late} late {lasting}");
                    }
                };
                write!(f, "make {executors} tell peers {what} {lasting}")
            }
        }
    }
}

fn control(executors: &[u16], cluster: &dyn Cluster, change: impl Fn(&mut Controls)) {
    for executor in executors {
        cluster.control(*executor, &change);
    }
}

fn stall(executors: &[u16], stalled: bool, cluster: &dyn Cluster) {
    let event = match stalled {
        true => WorldEvent::Stalled,
        false => WorldEvent::Unstalled,
    };
    for executor in executors {
        if cluster.control(*executor, &|controls| controls.stalled = stalled) {
            cluster.emit(ProcessId::Executor(*executor), event.clone());
        }
    }
}
