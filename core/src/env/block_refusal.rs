//! Why an executor does not execute a block of a stream.

use crate::types::{Epoch, GlobalExecIndex};
use derive_more::Display;
use serde::{Deserialize, Serialize};

/// The reason, with what would have been executed.
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlockRefusal {
    /// The sender should have known that it is executed.
    #[display("a duplicate, which its sender could know: expected {expected}")]
    Duplicate { expected: GlobalExecIndex },
    /// Blocks before it are missing.
    #[display("the blocks from {expected} on are missing before it")]
    Gap { expected: GlobalExecIndex },
    /// As [`Self::Gap`], from an executor that keeps such blocks and has no room for this one.
    #[display("the blocks from {expected} on are missing before it, and no more can wait for them")]
    NoRoomToWait { expected: GlobalExecIndex },
    /// It follows the last executed block, and names another epoch than it belongs to.
    #[display("it was sent as one of epoch {sent}, and belongs to epoch {expected}")]
    WrongEpoch { sent: Epoch, expected: Epoch },
}
