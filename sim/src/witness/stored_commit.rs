//! A commit in the store of a node: its digest, then its encoding.

use super::{
    Blocks, SeenCommit,
    bcs::{Malformed, Reader},
    blocks::block_ref,
};
use bytes::Bytes;
use metanode_core::types::{AuthorityIndex, CommitDigest, CommitIndex, Epoch, TimestampMs};
use std::sync::Arc;

pub(super) fn commit_index(key: &[u8]) -> Result<CommitIndex, Malformed> {
    let index = key.try_into().map(u32::from_be_bytes).map(CommitIndex);
    index.map_err(|_| format!("{key:02x?} is no key of a commit"))
}

/// The stored commit of this epoch.
pub(super) fn commit(
    epoch: Epoch,
    key: &[u8],
    value: &Bytes,
    blocks: &Blocks,
) -> Result<Arc<SeenCommit>, Malformed> {
    let index = commit_index(key)?;
    let damaged = |reason: String| format!("commit {index} of epoch {epoch}: {reason}");
    let found = (blocks.commit(value, || stored_commit(value))).map_err(damaged)?;
    if (found.epoch, found.index) != (epoch, index) {
        return Err(damaged(format!("found {found}")));
    }
    Ok(found)
}

fn stored_commit(value: &Bytes) -> Result<SeenCommit, Malformed> {
    let Some((digest, bytes)) = value.split_first_chunk::<32>() else {
        return Err(format!("{} bytes have no digest", value.len()));
    };
    if blake3::hash(bytes) != *digest {
        return Err("its digest is not that of its bytes".to_owned());
    }
    decode_commit(CommitDigest(*digest), value.slice(32..))
}

fn decode_commit(digest: CommitDigest, bytes: Bytes) -> Result<SeenCommit, Malformed> {
    let mut reader = Reader::new(bytes);
    let commit = SeenCommit {
        epoch: Epoch(reader.u64()?),
        index: CommitIndex(reader.u32()?),
        digest,
        previous: CommitDigest(reader.sized()?),
        leader: block_ref(&mut reader)?,
        timestamp_ms: TimestampMs(reader.u64()?),
        epoch_began_ms: TimestampMs(reader.u64()?),
        ending: reader.list(|reader| reader.u16().map(AuthorityIndex))?,
        blocks: reader.list(block_ref)?,
    };
    reader.end()?;
    Ok(commit)
}
