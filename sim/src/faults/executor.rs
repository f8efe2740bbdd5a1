//! Faults of how executors behave while they run: stall, stop reading, serve two block streams, reply wrongly.

use super::{
    Lasting, Parts, Replies, Subject,
    text::{agreeing, executors, lasting},
};
use crate::amounts::ms;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// An executor that is started again behaves as it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum ExecutorFault {
    /// Executors stop executing; they still read until their queues are full, and answer.
    Stall {
        executors: Vec<u16>,
        for_ms: Option<u64>,
    },
    /// Executors accept block streams and read nothing from them; they still execute what they have, and answer.
    StopReading {
        executors: Vec<u16>,
        for_ms: Option<u64>,
    },
    /// Executors go on reading the block stream that was there before the newest one.
    ServeBoth {
        executors: Vec<u16>,
        for_ms: Option<u64>,
    },
    /// Executors answer requests in another way than they should.
    Replies {
        executors: Vec<u16>,
        how: Replies,
        for_ms: Option<u64>,
    },
}

impl Subject for ExecutorFault {
    fn takes_down(&self) -> BTreeSet<u16> {
        match self {
            Self::Stall { .. }
            | Self::StopReading { .. }
            | Self::ServeBoth { .. }
            | Self::Replies { .. } => BTreeSet::new(),
        }
    }

    fn lasting(&self) -> Lasting {
        match self {
            Self::Stall { for_ms, .. }
            | Self::StopReading { for_ms, .. }
            | Self::ServeBoth { for_ms, .. }
            | Self::Replies { for_ms, .. } => Lasting::Until(*for_ms),
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
                    Replies::Silent | Replies::Refused => parts,
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
                let stop = agreeing(
                    numbers,
                    "stops reading its block stream",
                    "stop reading their block streams",
                );
                write!(f, "{} {stop} {}", executors(numbers), lasting(*for_ms))
            }
            Self::ServeBoth {
                executors: numbers,
                for_ms,
            } => {
                let read = agreeing(
                    numbers,
                    "reads its previous block stream",
                    "read their previous block streams",
                );
                let (executors, lasting) = (executors(numbers), lasting(*for_ms));
                write!(f, "{executors} {read} beside the newest {lasting}")
            }
            Self::Replies {
                executors: numbers,
                how,
                for_ms,
            } => {
                let answer = agreeing(numbers, "answers", "answer");
                let (executors, lasting) = (executors(numbers), lasting(*for_ms));
                match how {
                    Replies::Late { ms: late } => {
                        write!(f, "{executors} {answer} {} late {lasting}", ms(*late))
                    }
                    Replies::Silent => write!(f, "{executors} {answer} no requests {lasting}"),
                    Replies::Refused => write!(f, "{executors} {answer} with errors {lasting}"),
                }
            }
        }
    }
}
