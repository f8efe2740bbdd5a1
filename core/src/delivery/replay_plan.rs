//! The replay plan of a start: a pure function of store, W and the executor's epoch (contract §6.3).

use crate::types::{CommitIndex, Epoch, EpochBase, GlobalExecIndex, IndexError, ReplayPlan};

/// The state of the node's store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreView {
    /// The node's epoch with its base.
    pub base: EpochBase,
    /// The last stored commit of that epoch, 0 if there is none.
    pub last_commit: CommitIndex,
}

/// The state that the executor reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorView {
    pub epoch: Epoch,
    /// W, the highest GEI whose effects are durable.
    pub watermark: GlobalExecIndex,
}

/// Computes the replay plan.
///
/// # Errors
/// If W is further above the epoch's base than a commit index can count: executor and node are of different chains.
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
