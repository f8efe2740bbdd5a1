//! The synced votes for the last commit of an epoch on the disk of a node, read when the node records that its executor
//! has, or has left, the epoch: from then on it may be the only one that can prove the end of the epoch to others.

use super::{ChangeStep, EpochRecord, Fact, SeenBoundary, node_disk::BLOCKS};
use metanode_core::{
    store::{Column, Key, Scan, ScanOrder, Store},
    types::{AuthorityIndex, Epoch},
};
use rustc_hash::FxHashSet;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Weak},
};

/// (commit index, 6 bytes of the commit's digest, key of the block that votes), big-endian → empty.
const COMMIT_VOTES: Column = Column("commit_votes");
const COMMIT_BYTES: usize = 4 + 6;

/// The blocks of each epoch that a power loss may remove, by their keys.
#[derive(Default)]
pub(super) struct BoundaryVotes(BTreeMap<Epoch, EpochStore>);

struct EpochStore {
    store: Weak<dyn Store>,
    unsynced: Vec<Key>,
    /// At least the last [`REMEMBERED`] blocks that were synced: a node may write them again.
    synced: FxHashSet<Key>,
    synced_before: FxHashSet<Key>,
}

/// More than the blocks of the rounds in which an epoch ends.
const REMEMBERED: usize = 4_096;

impl BoundaryVotes {
    /// The store of this epoch is open. Blocks that an earlier process did not sync are still not; some may be lost.
    pub fn opened(&mut self, epoch: Epoch, opened: &Arc<dyn Store>) {
        let store = Arc::downgrade(opened);
        match self.0.get_mut(&epoch) {
            Some(known) => {
                known.store = store;
                let is_stored = |block: &Key| {
                    let found = opened.get(BLOCKS, block);
                    found.is_ok_and(|found| found.is_some())
                };
                known.unsynced.retain(is_stored);
                known.synced.retain(is_stored);
                known.synced_before.retain(is_stored);
            }
            None => {
                let opened = EpochStore {
                    store,
                    unsynced: vec![],
                    synced: FxHashSet::default(),
                    synced_before: FxHashSet::default(),
                };
                self.0.insert(epoch, opened);
            }
        }
    }

    pub fn removed(&mut self, epoch: Epoch) {
        self.0.remove(&epoch);
    }

    /// A block was written. If it was synced with that, [`Self::synced`] follows.
    pub fn written(&mut self, epoch: Epoch, block: &Key) {
        if let Some(of) = self.0.get_mut(&epoch)
            && !of.synced.contains(block)
            && !of.synced_before.contains(block)
        {
            of.unsynced.push(block.clone());
        }
    }

    /// A write was synced, and with it everything that was written before.
    pub fn synced(&mut self, epoch: Epoch) {
        if let Some(of) = self.0.get_mut(&epoch) {
            if of.synced.len() > REMEMBERED {
                of.synced_before = std::mem::take(&mut of.synced);
            }
            of.synced.extend(of.unsynced.drain(..));
        }
    }

    /// Whose votes for the boundary are synced, if the record says that the executor has the whole epoch.
    pub fn at(&self, record: &EpochRecord) -> Option<Fact> {
        let (ChangeStep::Drained(boundary) | ChangeStep::Advanced(boundary)) = record.step else {
            return None;
        };
        let of = self.0.get(&record.epoch)?;
        let store = of.store.upgrade()?;
        Some(match voters(store.as_ref(), boundary, &of.unsynced) {
            Ok(authors) => Fact::BoundaryVotes {
                epoch: record.epoch,
                commit: boundary.commit,
                authors,
            },
            Err(reason) => Fact::DamagedValue { reason },
        })
    }
}

fn voters(
    store: &dyn Store,
    boundary: SeenBoundary,
    unsynced: &[Key],
) -> Result<BTreeSet<AuthorityIndex>, String> {
    let digest = &boundary.digest.0[..COMMIT_BYTES - 4];
    let commit = [&boundary.commit.0.to_be_bytes()[..], digest].concat();
    let votes = store.scan(Scan {
        column: COMMIT_VOTES,
        range: &commit..&[&commit[..], &[0xff; 64]].concat(),
        order: ScanOrder::Ascending,
        limit: usize::MAX,
    });
    let mut authors = BTreeSet::new();
    for (key, _) in votes.map_err(|e| e.to_string())? {
        let block = &key[COMMIT_BYTES..];
        let Some([_, _, _, _, high, low]) = block.first_chunk() else {
            return Err(format!("{key:02x?} is no key of a commit vote"));
        };
        if !unsynced.iter().any(|unsynced| unsynced[..] == *block) {
            authors.insert(AuthorityIndex(u16::from_be_bytes([*high, *low])));
        }
    }
    Ok(authors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use metanode_core::{
        store::{Durability, MemoryDisk, MemoryStores, StoreFactory, WriteBatch},
        types::{CommitDigest, CommitIndex, GlobalExecIndex, TimestampMs},
    };

    const EPOCH: Epoch = Epoch(3);
    const BOUNDARY: SeenBoundary = SeenBoundary {
        commit: CommitIndex(4),
        digest: CommitDigest([8; 32]),
        gei: GlobalExecIndex(15),
        timestamp_ms: TimestampMs(120),
    };

    fn record(step: ChangeStep) -> EpochRecord {
        EpochRecord {
            epoch: EPOCH,
            base: GlobalExecIndex(11),
            start_ms: TimestampMs(99),
            committee: vec![],
            step,
        }
    }

    fn key(author: u8) -> Key {
        Key::from_slice(&[&[0, 0, 0, 9, 0, author][..], &[author; 32]].concat())
    }

    /// A vote of this author for commit 4 with this digest.
    fn vote(store: &dyn Store, author: u8, commit: u8) -> Key {
        let block = key(author);
        let vote = [&[0, 0, 0, 4][..], &[commit; 6], &block].concat();
        let mut batch = WriteBatch::default();
        batch.put(COMMIT_VOTES, &vote, vec![]);
        batch.put(BLOCKS, &block, vec![]);
        store.write(batch, Durability::Buffered).unwrap();
        block
    }

    #[test]
    fn votes_that_a_power_loss_may_remove_are_left_out() {
        let stores = MemoryStores::new(&MemoryDisk::default());
        let store = stores.open("epoch-3", &[COMMIT_VOTES, BLOCKS]).unwrap();
        let mut votes = BoundaryVotes::default();
        votes.opened(EPOCH, &store);
        vote(store.as_ref(), 1, 8);
        for author in [2, 3] {
            votes.written(EPOCH, &vote(store.as_ref(), author, 8));
        }
        vote(store.as_ref(), 4, 7); // for another commit
        let at = |votes: &BoundaryVotes, step| votes.at(&record(step));
        let authors = |authors: &[u16]| {
            Some(Fact::BoundaryVotes {
                epoch: EPOCH,
                commit: BOUNDARY.commit,
                authors: authors.iter().copied().map(AuthorityIndex).collect(),
            })
        };
        assert_eq!(at(&votes, ChangeStep::Running), None);
        assert_eq!(at(&votes, ChangeStep::BoundaryCommitted(BOUNDARY)), None);
        assert_eq!(at(&votes, ChangeStep::Drained(BOUNDARY)), authors(&[1]));
        // The next process of the same disk.
        votes.opened(EPOCH, &store);
        assert_eq!(at(&votes, ChangeStep::Advanced(BOUNDARY)), authors(&[1]));
        votes.synced(EPOCH);
        votes.written(EPOCH, &key(3)); // written again
        assert_eq!(
            at(&votes, ChangeStep::Advanced(BOUNDARY)),
            authors(&[1, 2, 3])
        );
        // A disk that has lost them.
        let other = MemoryStores::new(&MemoryDisk::default());
        let other = other.open("epoch-3", &[COMMIT_VOTES, BLOCKS]).unwrap();
        votes.opened(EPOCH, &other);
        votes.written(EPOCH, &vote(other.as_ref(), 3, 8));
        assert_eq!(at(&votes, ChangeStep::Drained(BOUNDARY)), authors(&[]));
    }
}
