//! A block in a reply to `GetBlocksRange`: the message `BlockData` of contract §3.

use super::{
    Blocks, Frame, StateRoot,
    bcs::Malformed,
    protobuf::{Value, fields},
};
use bytes::Bytes;
use metanode_core::types::GlobalExecIndex;
use serde::Serialize;
use std::sync::Arc;

/// A block that an executor sent to a follower.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SentBlock {
    pub number: GlobalExecIndex,
    /// After the block.
    pub state_root: StateRoot,
    /// The content; `None` if it is a part, or has another hash than it should.
    pub frame: Option<Arc<Frame>>,
}

/// Decodes a block.
///
/// # Errors
/// If it is no message, its root has another size, or its content has the right hash and does not decode.
pub(super) fn sent_block(message: &Bytes, seen: &Blocks) -> Result<SentBlock, Malformed> {
    let (mut number, mut hash, mut root, mut content) = (0, &[][..], &[][..], &[][..]);
    for field in fields(message) {
        match field? {
            (1, value) => number = value.number(),
            (2, Value::Bytes(bytes)) => hash = bytes,
            (6, Value::Bytes(bytes)) => root = bytes,
            (12, Value::Bytes(bytes)) => content = bytes,
            _ => {}
        }
    }
    let root = <[u8; 32]>::try_from(root)
        .map_err(|_| format!("expected a state root of 32 bytes, found {}", root.len()))?;
    let is_whole = blake3::hash(content).as_bytes()[..] == *hash;
    let frame = is_whole.then(|| seen.frame(content, || message.slice_ref(content)));
    Ok(SentBlock {
        number: GlobalExecIndex(number),
        state_root: StateRoot(root),
        frame: frame.transpose()?,
    })
}
