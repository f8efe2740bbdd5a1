//! What the reference model derives from the blocks that were seen.

use crate::witness::{Frame, Member, SeenCommit, StateRoot};
use derive_more::Display;
use metanode_core::types::{
    AuthorityIndex, BlockRef, Epoch, GlobalExecIndex, SpentNonce, TimestampMs, TransactionHash,
};
use serde::Serialize;
use std::sync::Arc;

/// One result of the model. They are derived in the order of the chain.
#[derive(Clone, Debug, Display, PartialEq, Eq, Serialize)]
pub enum Derived {
    /// The next commit of the chain.
    #[display("the blocks decide {commit}: {frame}")]
    Commit {
        commit: Arc<SeenCommit>,
        /// The block that must be delivered.
        frame: Arc<Frame>,
        /// The hashes of its transactions in order, each with the author of the block that contains it.
        #[serde(skip)]
        transactions: Arc<[(TransactionHash, AuthorityIndex)]>,
        /// The root of the sequential ledger after it.
        state_root: StateRoot,
        /// What its transactions spend that change the state, in order.
        #[serde(skip)]
        applied: Arc<[SpentNonce]>,
    },
    /// The next epoch, after its predecessor's boundary; epoch 0 before everything else.
    #[display("epoch {epoch} begins after {base}, at {start_ms} ms")]
    EpochBegan {
        epoch: Epoch,
        base: GlobalExecIndex,
        start_ms: TimestampMs,
        /// In the order of authority indexes.
        #[serde(skip)]
        committee: Arc<[Member]>,
    },
    /// A block that no honest node may accept, the first time that it is seen.
    #[display("{block} is invalid: {reason}")]
    InvalidBlock {
        block: BlockRef,
        #[serde(skip)]
        reason: String,
    },
}
