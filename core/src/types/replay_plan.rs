//! The replay plan of a start, as a value that events carry. `delivery::replay_plan` computes it.

use super::{CommitIndex, Epoch, GlobalExecIndex};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One row of the table of contract §6.3. Delivery always continues at W+1; the rows differ in where those commits come
/// from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplayPlan {
    /// W is in the stored range: replay these commits (both ends included, empty if `from > to`).
    Replay {
        epoch: Epoch,
        from: CommitIndex,
        to: CommitIndex,
    },
    /// W is in the previous epoch: deliver `from..=to` from its retained store first, then this epoch from its first
    /// commit.
    PreviousTail {
        previous: Epoch,
        from: GlobalExecIndex,
        to: GlobalExecIndex,
    },
    /// The node lost commits that it had delivered: replay nothing, fetch these from peers without delivering them.
    FetchOnly {
        epoch: Epoch,
        from: CommitIndex,
        to: CommitIndex,
    },
    /// The executor is in an earlier epoch: resume the interrupted epoch change (contract §7).
    ResumeEpochChange { node: Epoch, executor: Epoch },
    /// The executor is in a later epoch: start there.
    JoinEpoch { node: Epoch, executor: Epoch },
}

impl ReplayPlan {
    /// The epoch that is delivered first, or in which the node is.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        match self {
            Self::Replay { epoch, .. } | Self::FetchOnly { epoch, .. } => *epoch,
            Self::PreviousTail { previous, .. } => *previous,
            Self::ResumeEpochChange { node, .. } | Self::JoinEpoch { node, .. } => *node,
        }
    }
}

impl fmt::Display for ReplayPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replay { epoch, from, to } if from > to => {
                write!(
                    f,
                    "epoch {epoch}: nothing to replay, {to} commits are durable"
                )
            }
            Self::Replay { epoch, from, to } => {
                write!(f, "epoch {epoch}: replay commits {from}..={to}")
            }
            Self::PreviousTail { previous, from, to } => write!(
                f,
                "deliver GEI {from}..={to} from the retained store of epoch {previous} first"
            ),
            Self::FetchOnly { epoch, from, to } => write!(
                f,
                "epoch {epoch}: commits {from}..={to} are durable in the executor but not in the store: \
                 fetch them from peers, deliver none of them"
            ),
            Self::ResumeEpochChange { node, executor } => write!(
                f,
                "the executor is in epoch {executor}, the node in {node}: resume the epoch change"
            ),
            Self::JoinEpoch { node, executor } => write!(
                f,
                "the executor is in epoch {executor}, the node in {node}: start in the executor's epoch"
            ),
        }
    }
}
