//! Columns, keys and values of the store of an executor.

use super::{Fact, bcs::Malformed};
use metanode_core::{
    store::Column,
    types::{Epoch, GlobalExecIndex, TimestampMs},
};

/// GEI, big-endian → the account entries of the flush up to it.
pub(super) const STATE: Column = Column("state");
/// GEI, big-endian → the body of its frame.
pub(super) const BLOCKS: Column = Column("blocks");
/// Epoch, big-endian → timestamp and boundary, big-endian.
pub(super) const EPOCHS: Column = Column("epochs");
/// Its only key is the watermark.
pub(super) const META: Column = Column("meta");
pub(super) const WATERMARK: &[u8] = b"watermark";

pub(super) fn number(bytes: &[u8], what: &str) -> Result<u64, Malformed> {
    let number = bytes.try_into().map(u64::from_be_bytes);
    number.map_err(|_| format!("{what} has {} bytes, expected 8", bytes.len()))
}

pub(super) fn gei(key: &[u8]) -> Result<GlobalExecIndex, Malformed> {
    number(key, "the key of a block or state row").map(GlobalExecIndex)
}

pub(super) fn epoch(key: &[u8], value: &[u8]) -> Result<Fact, Malformed> {
    let epoch = Epoch(number(key, "the key of an epoch")?);
    let (start_ms, boundary) = value.split_at_checked(8).unwrap_or_default();
    Ok(Fact::EpochEntered {
        epoch,
        start_ms: TimestampMs(number(start_ms, "the timestamp of an epoch")?),
        boundary: GlobalExecIndex(number(boundary, "the boundary of an epoch")?),
    })
}
