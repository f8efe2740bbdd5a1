//! Columns and keys of blocks, commits and votes. Integers are big-endian, so that keys are ordered by round, author
//! and commit index.

use crate::{
    store::{Column, Key, StoreError},
    types::{AuthorityIndex, BlockDigest, BlockRef, CommitIndex, CommitRef, Round},
};
use std::ops::Range;

/// (round, author, digest) → bytes of the signed block.
pub(crate) const BLOCKS: Column = Column("blocks");
/// (author, round, digest) → empty: an index of the blocks of one author by round.
pub(super) const BLOCKS_BY_AUTHOR: Column = Column("blocks_by_author");
/// commit index → digest of the commit followed by its bytes.
pub(crate) const COMMITS: Column = Column("commits");
/// (commit index, prefix of the commit's digest, round, author, digest of a block that votes for it) → empty.
pub(super) const COMMIT_VOTES: Column = Column("commit_votes");

pub(super) const COLUMNS: [Column; 4] = [BLOCKS, BLOCKS_BY_AUTHOR, COMMITS, COMMIT_VOTES];

const COMMIT_BYTES: usize = 4;
const ROUND_BYTES: usize = 4;
const AUTHOR_BYTES: usize = 2;
const DIGEST_BYTES: usize = 32;
/// Part of the commit's digest in a vote key, so that a scan does not return votes for other commits of the same index.
const DIGEST_PREFIX_BYTES: usize = 6;
const BLOCK_KEY_BYTES: usize = ROUND_BYTES + AUTHOR_BYTES + DIGEST_BYTES;

pub(super) fn commit_key(index: CommitIndex) -> Key {
    Key::from_slice(&index.0.to_be_bytes())
}

pub(super) fn parse_commit_key(key: &[u8]) -> Result<CommitIndex, StoreError> {
    match key.try_into() {
        Ok(bytes) => Ok(CommitIndex(u32::from_be_bytes(bytes))),
        Err(_) => Err(damaged_key(COMMITS, key)),
    }
}

pub(super) fn block_key(reference: &BlockRef) -> Key {
    let mut key = Key::new();
    key.extend_from_slice(&reference.round.0.to_be_bytes());
    key.extend_from_slice(&reference.author.0.to_be_bytes());
    key.extend_from_slice(&reference.digest.0);
    key
}

pub(super) fn author_key(reference: &BlockRef) -> Key {
    let mut key = block_key(reference);
    key[..ROUND_BYTES + AUTHOR_BYTES].rotate_left(ROUND_BYTES);
    key
}

pub(super) fn parse_block_key(key: &[u8]) -> Result<BlockRef, StoreError> {
    parse_reference(key).ok_or_else(|| damaged_key(BLOCKS, key))
}

pub(super) fn parse_author_key(key: &[u8]) -> Result<BlockRef, StoreError> {
    let mut block_key = key.to_vec();
    if key.len() == BLOCK_KEY_BYTES {
        block_key[..ROUND_BYTES + AUTHOR_BYTES].rotate_right(ROUND_BYTES);
    }
    parse_reference(&block_key).ok_or_else(|| damaged_key(BLOCKS_BY_AUTHOR, key))
}

fn parse_reference(key: &[u8]) -> Option<BlockRef> {
    let (round, rest) = key.split_first_chunk()?;
    let (author, digest) = rest.split_first_chunk()?;
    Some(BlockRef {
        round: Round(u32::from_be_bytes(*round)),
        author: AuthorityIndex(u16::from_be_bytes(*author)),
        digest: BlockDigest(digest.try_into().ok()?),
    })
}

/// The common prefix of the keys of all votes for the commit.
pub(super) fn votes_prefix(commit: CommitRef) -> Key {
    let mut key = commit_key(commit.index);
    key.extend_from_slice(&commit.digest.0[..DIGEST_PREFIX_BYTES]);
    key
}

/// The prefix of the commit followed by the key of the block that votes for it.
pub(super) fn vote_key(commit: CommitRef, voter: &Key) -> Key {
    let mut key = votes_prefix(commit);
    key.extend_from_slice(voter);
    key
}

pub(super) fn parse_vote_key(key: &[u8]) -> Result<BlockRef, StoreError> {
    key.get(COMMIT_BYTES + DIGEST_PREFIX_BYTES..)
        .and_then(parse_reference)
        .ok_or_else(|| damaged_key(COMMIT_VOTES, key))
}

fn damaged_key(column: Column, key: &[u8]) -> StoreError {
    StoreError::Damaged {
        column: column.0,
        key: format!("{key:02x?}"),
        reason: format!("a key of {} bytes is not valid in this column", key.len()),
    }
}

/// The range of all keys from `start` on.
pub(super) fn all_after(start: &[u8]) -> Range<Vec<u8>> {
    start.to_vec()..vec![u8::MAX; BLOCK_KEY_BYTES + 1]
}

/// The range of all keys that start with `prefix` and are at most a block key longer.
pub(super) fn all_with_prefix(prefix: &[u8]) -> Range<Vec<u8>> {
    let mut end = prefix.to_vec();
    end.resize(prefix.len() + BLOCK_KEY_BYTES + 1, u8::MAX);
    prefix.to_vec()..end
}

/// The first key after `key`.
pub(super) fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = key.to_vec();
    next.push(0);
    next
}
