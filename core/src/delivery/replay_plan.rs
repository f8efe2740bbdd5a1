//! What to replay after a start: a pure function of what the store holds and what the executor says (contract §6.3).

use crate::types::{CommitIndex, Epoch, EpochBase, GlobalExecIndex, IndexError, ReplayPlan};

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
