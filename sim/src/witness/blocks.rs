//! The blocks, commits and delivered blocks that were seen. Each distinct one is decoded once, however often it is sent and
//! stored.

use super::{
    Frame, SeenBlock, SeenCommit,
    bcs::{Malformed, Reader},
    delivered,
    once::Once,
};
use crate::process_id::ProcessId;
use bytes::Bytes;
use metanode_core::types::{
    AuthorityIndex, BlockDigest, BlockRef, CommitDigest, CommitIndex, Epoch, Round, TimestampMs,
};
use rustc_hash::FxHashMap;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use xxhash_rust::xxh3::xxh3_128;

/// Blocks that are remembered, at most. One that is forgotten is decoded again.
const CAPACITY: usize = 1 << 15;

/// The blocks of one run, and what is made of them. Clones are the same.
#[derive(Clone, Default)]
pub struct Blocks(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// By the hash of all bytes.
    digests: FxHashMap<u128, BlockDigest>,
    blocks: FxHashMap<BlockDigest, Sightings>,
    /// Oldest first.
    order: VecDeque<(u128, BlockDigest)>,
    commits: Once<SeenCommit>,
    frames: Once<Frame>,
}

/// A block with those who had it.
struct Sightings {
    block: Arc<SeenBlock>,
    sent_by: Vec<ProcessId>,
    /// The first two.
    stored_by: Vec<ProcessId>,
}

impl Blocks {
    /// The block with these bytes.
    ///
    /// # Errors
    /// If they are no block.
    pub fn decode(&self, bytes: &[u8]) -> Result<Arc<SeenBlock>, Malformed> {
        let hash = xxh3_128(bytes);
        let mut known = self.lock();
        if let Some(digest) = known.digests.get(&hash)
            && let Some(sightings) = known.blocks.get(digest)
        {
            return Ok(sightings.block.clone());
        }
        let block = Arc::new(decode(Bytes::copy_from_slice(bytes))?);
        known.add(hash, &block);
        Ok(block)
    }

    /// The commit that is stored as these bytes.
    ///
    /// # Errors
    /// That of `decode`, if they were not seen before.
    pub(super) fn commit(
        &self,
        bytes: &[u8],
        decode: impl FnOnce() -> Result<SeenCommit, Malformed>,
    ) -> Result<Arc<SeenCommit>, Malformed> {
        self.lock().commits.decode(bytes, decode)
    }

    /// The delivered block with this body, of which `shared` are bytes to keep.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn frame(
        &self,
        body: &[u8],
        shared: impl FnOnce() -> Bytes,
    ) -> Result<Arc<Frame>, Malformed> {
        let decode = || delivered::frame(shared());
        self.lock().frames.decode(body, decode)
    }

    /// The block with this digest, if it was seen.
    #[must_use]
    pub fn get(&self, digest: BlockDigest) -> Option<Arc<SeenBlock>> {
        let known = self.lock();
        let sightings = known.blocks.get(&digest);
        sightings.map(|sightings| sightings.block.clone())
    }

    /// Whether this process sends the block for the first time.
    #[must_use]
    pub fn is_first_sent(&self, digest: BlockDigest, process: ProcessId) -> bool {
        let mut known = self.lock();
        let sightings = known.blocks.get_mut(&digest);
        sightings.is_none_or(|sightings| add_new(&mut sightings.sent_by, process, usize::MAX))
    }

    /// Whether this process is one of the first two that store the block, and stores it for the first time.
    #[must_use]
    pub fn is_first_stored(&self, digest: BlockDigest, process: ProcessId) -> bool {
        let mut known = self.lock();
        let sightings = known.blocks.get_mut(&digest);
        sightings.is_none_or(|sightings| add_new(&mut sightings.stored_by, process, 2))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds a process to at most `limit`; false if it is there or there is no space.
fn add_new(processes: &mut Vec<ProcessId>, process: ProcessId, limit: usize) -> bool {
    let is_new = processes.len() < limit && !processes.contains(&process);
    if is_new {
        processes.push(process);
    }
    is_new
}

impl Known {
    fn add(&mut self, hash: u128, block: &Arc<SeenBlock>) {
        let digest = block.reference.digest;
        if self.order.len() == CAPACITY
            && let Some((hash, digest)) = self.order.pop_front()
        {
            self.digests.remove(&hash);
            self.blocks.remove(&digest);
        }
        self.digests.insert(hash, digest);
        self.order.push_back((hash, digest));
        let sightings = Sightings {
            block: block.clone(),
            sent_by: vec![],
            stored_by: vec![],
        };
        self.blocks.insert(digest, sightings);
    }
}

/// Decodes a signed block: its content, then its signature. The digest covers both.
fn decode(bytes: Bytes) -> Result<SeenBlock, Malformed> {
    let mut reader = Reader::new(bytes.clone());
    let epoch = Epoch(reader.u64()?);
    let round = Round(reader.u32()?);
    let author = AuthorityIndex(reader.u16()?);
    let timestamp_ms = TimestampMs(reader.u64()?);
    let ancestors = reader.list(block_ref)?;
    let transactions = reader.list(Reader::bytes)?;
    let commit_votes = reader.list(commit_ref)?;
    let end_of_epoch = reader.bool()?;
    let content = &bytes[..bytes.len() - reader.remaining()];
    let signature = reader.bytes()?;
    reader.end()?;
    let mut hasher = blake3::Hasher::new();
    let content_digest = *hasher.update(content).finalize().as_bytes();
    let digest = *hasher.update(&bytes[content.len()..]).finalize().as_bytes();
    Ok(SeenBlock {
        epoch,
        reference: BlockRef {
            round,
            author,
            digest: BlockDigest(digest),
        },
        timestamp_ms,
        ancestors,
        transactions,
        commit_votes,
        end_of_epoch,
        content_digest,
        signature,
    })
}

/// A reference of a block.
pub(super) fn block_ref(reader: &mut Reader) -> Result<BlockRef, Malformed> {
    Ok(BlockRef {
        round: Round(reader.u32()?),
        author: AuthorityIndex(reader.u16()?),
        digest: BlockDigest(reader.sized()?),
    })
}

/// A reference of a commit.
pub(super) fn commit_ref(reader: &mut Reader) -> Result<(CommitIndex, CommitDigest), Malformed> {
    Ok((CommitIndex(reader.u32()?), CommitDigest(reader.sized()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use metanode_core::types::{Block, ChainId, CommitRef, KeyPair, SignatureScheme, Transaction};

    #[test]
    fn a_block_of_the_node_is_seen_as_it_is() {
        let keys = KeyPair::from_seed(SignatureScheme::KeyedHash, &[7; 32]);
        let ancestor = Block::genesis(Epoch(3), AuthorityIndex(1)).reference();
        let block = Block {
            epoch: Epoch(3),
            round: Round(1),
            author: AuthorityIndex(2),
            timestamp_ms: TimestampMs(99),
            ancestors: vec![ancestor],
            transactions: vec![Transaction(Bytes::from(vec![5; 300]))],
            commit_votes: vec![CommitRef {
                index: CommitIndex(4),
                digest: CommitDigest([8; 32]),
            }],
            end_of_epoch: true,
        }
        .sign(&keys, ChainId::default());
        let blocks = Blocks::default();
        let seen = blocks.decode(block.bytes()).unwrap();
        assert_eq!(seen.reference, block.reference());
        assert_eq!((seen.epoch, seen.timestamp_ms), (Epoch(3), TimestampMs(99)));
        assert_eq!(seen.ancestors, [ancestor]);
        assert_eq!(seen.transactions, [Bytes::from(vec![5; 300])]);
        assert_eq!(seen.commit_votes, [(CommitIndex(4), CommitDigest([8; 32]))]);
        assert!(seen.end_of_epoch);
        let message = [&b"block"[..], &seen.content_digest].concat();
        let message = blake3::keyed_hash(&ChainId::default().0, &message);
        assert!(keys.public().verifies(
            SignatureScheme::KeyedHash,
            message.as_bytes(),
            &seen.signature
        ));
        let again = blocks.decode(block.bytes()).unwrap();
        assert!(Arc::ptr_eq(&seen, &again));
        let cut = &block.bytes()[..block.bytes().len() - 1];
        assert!(blocks.decode(cut).is_err());
    }

    #[test]
    fn each_process_sends_once_and_the_first_two_store_once() {
        let keys = KeyPair::from_seed(SignatureScheme::KeyedHash, &[7; 32]);
        let genesis = Block::genesis(Epoch(0), AuthorityIndex(0));
        let block = Block::clone(&genesis).sign(&keys, ChainId::default());
        let blocks = Blocks::default();
        let digest = blocks.decode(block.bytes()).unwrap().reference.digest;
        let [a, b, c] = [0, 1, 2].map(ProcessId::Node);
        let sent = [a, a, b, c, b].map(|process| blocks.is_first_sent(digest, process));
        assert_eq!(sent, [true, false, true, true, false]);
        let stored = [a, a, b, c, b].map(|process| blocks.is_first_stored(digest, process));
        assert_eq!(stored, [true, false, true, false, false]);
    }
}
