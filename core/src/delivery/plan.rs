//! What to replay after a start: a pure function of what the store holds and what the executor says (contract §6.3).

use crate::types::{CommitIndex, Epoch, EpochBase, GlobalExecIndex, IndexError};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What the node's store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreView {
    /// The epoch of the open store, with its base.
    pub base: EpochBase,
    /// The last stored commit of that epoch, 0 if there is none.
    pub last_commit: CommitIndex,
}

/// What the executor said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorView {
    pub epoch: Epoch,
    /// Highest GEI whose effects are durable.
    pub watermark: GlobalExecIndex,
}

/// One row of the table of contract §6.3. Delivery always goes on at `watermark + 1`; the rows differ in where those
/// commits come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReplayPlan {
    /// The executor is inside the stored range: replay these commits (both ends included, empty if `from > to`).
    Replay {
        epoch: Epoch,
        from: CommitIndex,
        to: CommitIndex,
    },
    /// The executor has not finished the epoch before: deliver `from..=to` out of its retained store first, then
    /// this epoch from its first commit.
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
    /// The executor never entered the node's epoch: the change was interrupted and resumes (contract §7).
    ResumeEpochChange { node: Epoch, executor: Epoch },
    /// The network moved on: start in the executor's epoch.
    JoinEpoch { node: Epoch, executor: Epoch },
}

/// Decides what to replay.
///
/// # Errors
/// If the watermark lies further above the epoch's base than a commit index reaches: executor and node are not of
/// one chain.
pub fn replay_plan(store: StoreView, executor: ExecutorView) -> Result<ReplayPlan, IndexError> {
    let StoreView { base, last_commit } = store;
    let ExecutorView { epoch, watermark } = executor;
    let node = base.epoch;
    if epoch < node {
        return Ok(ReplayPlan::ResumeEpochChange {
            node,
            executor: epoch,
        });
    }
    if epoch > node {
        return Ok(ReplayPlan::JoinEpoch {
            node,
            executor: epoch,
        });
    }
    if watermark < base.base {
        return Ok(ReplayPlan::PreviousTail {
            previous: node.prev(),
            from: watermark.next(),
            to: base.base,
        });
    }
    let durable = base.commit_index(watermark)?;
    Ok(if durable > last_commit {
        ReplayPlan::FetchOnly {
            epoch,
            from: last_commit.next(),
            to: durable,
        }
    } else {
        ReplayPlan::Replay {
            epoch,
            from: durable.next(),
            to: last_commit,
        }
    })
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
