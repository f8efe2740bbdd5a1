//! Events of an executor.

use super::{BlockRefusal, RpcKind, for_people};
use crate::types::{CommitIndex, Epoch, GlobalExecIndex, SpentNonce, TimestampMs, fixed_bytes};
use derive_more::Display;
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// Events of an executor. `connection` counts the accepted block streams of one incarnation, from 1.
#[derive(Clone, Debug, Display, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecutorEvent {
    /// The process started and read this watermark and state root from its disk.
    #[display("finds block {watermark} on its disk, root {}", FirstBytes(state_root))]
    Started {
        watermark: GlobalExecIndex,
        #[serde(with = "fixed_bytes")]
        state_root: [u8; 32],
    },
    /// A metanode connected to the block stream; an older stream is closed.
    #[display("accepts stream {connection}")]
    StreamAccepted { connection: u64 },
    /// A block stream ended or was closed because of an error.
    #[display("closes stream {connection}: {reason}")]
    StreamClosed {
        connection: u64,
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
    /// A frame of a block stream did not decode; the stream is closed.
    #[display("cannot decode a frame of stream {connection}")]
    Malformed { connection: u64 },
    /// A complete frame was read.
    #[display("reads GEI {gei} from stream {connection}")]
    Received {
        connection: u64,
        gei: GlobalExecIndex,
    },
    /// The guard refused a block.
    #[display("refuses GEI {gei}: {reason}")]
    Refused {
        gei: GlobalExecIndex,
        reason: BlockRefusal,
    },
    /// A block above a gap is kept until the gap is filled.
    #[display("keeps GEI {gei}: the blocks from {expected} on are missing before it")]
    Parked {
        gei: GlobalExecIndex,
        expected: GlobalExecIndex,
    },
    /// A block was executed in memory.
    #[display("executes GEI {gei}, commit {commit} of epoch {epoch} with content {content:032x}: {} applied, {skipped} skipped, root {}", applied.len(), FirstBytes(state_root))]
    Executed {
        gei: GlobalExecIndex,
        epoch: Epoch,
        commit: CommitIndex,
        /// xxh3 of the frame's bytes, to compare contents. Not secure, and need not be.
        #[serde(with = "hex_u128")]
        content: u128,
        /// State root after the block.
        #[serde(with = "fixed_bytes")]
        state_root: [u8; 32],
        /// Nonces used by the applied transactions, in order.
        applied: Arc<[SpentNonce]>,
        /// Number of transactions without effect (used nonce, no funds, undecodable).
        skipped: u32,
    },
    /// The watermark and the state up to it are durable.
    #[display("is durable at {watermark}")]
    Durable { watermark: GlobalExecIndex },
    /// The start of an epoch is durable.
    #[display("enters epoch {epoch} after GEI {boundary}, at {start_timestamp_ms} ms")]
    EpochEntered {
        epoch: Epoch,
        boundary: GlobalExecIndex,
        start_timestamp_ms: TimestampMs,
    },
    /// The executor returned this watermark to a requester.
    #[display("reports {watermark}")]
    Reported { watermark: GlobalExecIndex },
    /// A request was answered.
    #[display("answers {kind:?}")]
    Replied { kind: RpcKind },
    /// The process shut down cleanly.
    #[display("stops")]
    Stopped,
    /// The process ends because of an error from which it cannot recover.
    #[display("fails: {reason}")]
    Failed {
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
}

/// Displays the first bytes of a digest.
struct FirstBytes<'a>(&'a [u8; 32]);

impl fmt::Display for FirstBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Serializes a 128-bit number as 32 hexadecimal digits in human-readable formats, because JSON has no numbers of that
/// size.
mod hex_u128 {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub fn serialize<S: Serializer>(number: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&format_args!("{number:032x}"))
        } else {
            number.serialize(serializer)
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        if !deserializer.is_human_readable() {
            return u128::deserialize(deserializer);
        }
        let digits = String::deserialize(deserializer)?;
        u128::from_str_radix(&digits, 16).map_err(|_| {
            D::Error::custom(format_args!(
                "expected up to 32 hexadecimal digits, found `{digits}`"
            ))
        })
    }
}
