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
    /// Of the whole content.
    #[serde(skip)]
    pub hash: [u8; 32],
    /// Of the block before.
    #[serde(skip)]
    pub parent: [u8; 32],
    /// After the block.
    pub state_root: StateRoot,
    /// The content; `None` if it is a part, or has another hash than it should.
    pub frame: Option<Arc<Frame>>,
}

/// Decodes a block.
///
/// # Errors
/// If it is no message, a hash or its root has another size, or its content has the right hash and does not decode.
pub(super) fn sent_block(message: &Bytes, seen: &Blocks) -> Result<SentBlock, Malformed> {
    let mut number = 0;
    let [mut hash, mut parent, mut root, mut content] = [&[][..]; 4];
    for field in fields(message) {
        match field? {
            (1, value) => number = value.number(),
            (2, Value::Bytes(bytes)) => hash = bytes,
            (5, Value::Bytes(bytes)) => parent = bytes,
            (6, Value::Bytes(bytes)) => root = bytes,
            (12, Value::Bytes(bytes)) => content = bytes,
            _ => {}
        }
    }
    let digest = |what: &str, bytes: &[u8]| {
        let found = bytes.len();
        let wrong = |_| format!("expected {what} of 32 bytes, found {found}");
        <[u8; 32]>::try_from(bytes).map_err(wrong)
    };
    let hash = digest("a block hash", hash)?;
    let is_whole = *blake3::hash(content).as_bytes() == hash;
    let frame = is_whole.then(|| seen.frame(content, || message.slice_ref(content)));
    Ok(SentBlock {
        number: GlobalExecIndex(number),
        hash,
        parent: digest("a parent hash", parent)?,
        state_root: StateRoot(digest("a state root", root)?),
        frame: frame.transpose()?,
    })
}
