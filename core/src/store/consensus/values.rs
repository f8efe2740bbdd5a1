//! Values of the store of an epoch: each is compared with a digest when it is read, and a damaged one is logged.

use crate::types::{BlockRef, Commit, CommitDigest, CommitIndex, VerifiedBlock};
use bytes::Bytes;
use tracing::warn;

/// Decodes a block; `None` if it is not the one with this reference.
pub(super) fn intact_block(reference: BlockRef, bytes: Bytes) -> Option<VerifiedBlock> {
    let reason = match VerifiedBlock::decode(bytes) {
        Ok(block) if block.reference() == reference => return Some(block),
        Ok(block) => format!("expected this block, found {}", block.reference()),
        Err(error) => error.to_string(),
    };
    warn!(%reference, reason, "a stored block is damaged and treated as missing");
    None
}

/// The stored value of a commit: its digest, then its bytes.
pub(super) fn stored_commit(commit: &Commit) -> Vec<u8> {
    let bytes = commit.encode();
    let mut value = CommitDigest::of(&bytes).0.to_vec();
    value.extend(bytes);
    value
}

/// Decodes a commit; `None` if the value does not match its digest or `index`.
pub(super) fn intact_commit(index: CommitIndex, value: &[u8]) -> Option<Commit> {
    let reason = match value.split_first_chunk() {
        None => format!("{} bytes are too few for a digest", value.len()),
        Some((digest, bytes)) if CommitDigest(*digest) != CommitDigest::of(bytes) => {
            "the digest does not match the bytes".to_owned()
        }
        Some((_, bytes)) => match Commit::decode(bytes) {
            Ok(commit) if commit.index == index => return Some(commit),
            Ok(commit) => format!("expected this commit, found commit {}", commit.index),
            Err(error) => error.to_string(),
        },
    };
    warn!(%index, reason, "a stored commit is damaged and treated as missing");
    None
}
