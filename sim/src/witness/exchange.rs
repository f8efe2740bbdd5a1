//! Requests and replies of the executor RPC, as facts have them.

use super::{Member, SentBlock};
use derive_more::Display;
use metanode_core::types::{Epoch, GlobalExecIndex, TimestampMs};
use serde::Serialize;

/// A request of the executor RPC (contract §3).
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq, Serialize)]
pub enum Request {
    GetActiveValidators,
    #[display("GetValidatorsAtBlock {block}")]
    GetValidatorsAtBlock {
        block: GlobalExecIndex,
    },
    GetLastBlockNumber,
    GetCurrentEpoch,
    #[display("GetEpochStartTimestamp {epoch}")]
    GetEpochStartTimestamp {
        epoch: Epoch,
    },
    #[display("AdvanceEpoch to {epoch}, after {boundary}, at {start_ms} ms")]
    AdvanceEpoch {
        epoch: Epoch,
        start_ms: TimestampMs,
        boundary: GlobalExecIndex,
    },
    #[display("GetEpochBoundaryData {epoch}")]
    GetEpochBoundaryData {
        epoch: Epoch,
    },
    #[display("GetBlocksRange {from} to {to}")]
    GetBlocksRange {
        from: GlobalExecIndex,
        to: GlobalExecIndex,
    },
    /// Any other payload.
    Unknown,
}

/// A reply of the executor RPC.
#[derive(Clone, Debug, Display, PartialEq, Eq, Serialize)]
pub enum Reply {
    #[display("{} validators, last block {last_block}", validators.len())]
    Validators {
        validators: Vec<Member>,
        epoch_start_ms: TimestampMs,
        last_block: GlobalExecIndex,
    },
    #[display("last block {_0}")]
    LastBlockNumber(GlobalExecIndex),
    #[display("epoch {_0}")]
    CurrentEpoch(Epoch),
    #[display("epoch starts at {_0} ms")]
    EpochStartTimestamp(TimestampMs),
    #[display("advanced to epoch {epoch}, at {start_ms} ms")]
    AdvanceEpoch { epoch: Epoch, start_ms: TimestampMs },
    #[display("epoch {epoch} after {boundary}, at {start_ms} ms, {} validators", validators.len())]
    EpochBoundaryData {
        epoch: Epoch,
        start_ms: TimestampMs,
        boundary: GlobalExecIndex,
        validators: Vec<Member>,
    },
    #[display("{} blocks", _0.len())]
    Blocks(Vec<SentBlock>),
    #[display("error: {_0}")]
    Error(String),
    /// Any other payload.
    Unknown,
    /// The number of the last block of an executor that counts blocks and GEIs apart: no watermark.
    #[display("last block {_0} of those with transactions")]
    BlockCount(u64),
}

impl Reply {
    /// What it says is durable: the watermark that it reports, or the last of its blocks.
    #[must_use]
    pub fn durable(&self) -> Option<GlobalExecIndex> {
        match self {
            Self::Blocks(blocks) => blocks.last().map(|block| block.number),
            _ => self.watermark(),
        }
    }

    /// Whether it has a part of a block that is larger than a reply.
    #[must_use]
    pub fn is_part_of_a_block(&self) -> bool {
        matches!(self, Self::Blocks(blocks) if blocks.iter().any(|block| block.frame.is_none()))
    }

    /// The watermark that it reports.
    #[must_use]
    pub const fn watermark(&self) -> Option<GlobalExecIndex> {
        match self {
            Self::LastBlockNumber(watermark)
            | Self::Validators {
                last_block: watermark,
                ..
            } => Some(*watermark),
            _ => None,
        }
    }
}
