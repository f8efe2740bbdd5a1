//! The stores of a node, write by write: one per epoch with its blocks and commits, one with the records of epochs, and
//! the journal.
//!
//! A block is looked at when one of the first two nodes stores it. For all others it costs one look-up.

use super::{
    Blocks, Fact,
    bcs::Malformed,
    boundary_votes::BoundaryVotes,
    epoch_record::record,
    journal::{self, Journal},
    stored_commit::{commit, commit_index},
};
use crate::process_id::ProcessId;
use bytes::Bytes;
use metanode_core::{
    store::{Column, Durability, Key, Scan, ScanOrder, Store, Write, WriteBatch},
    types::{AuthorityIndex, BlockDigest, BlockRef, CommitDigest, CommitIndex, Epoch, Round},
};
use std::sync::Arc;

/// (round, author, digest), big-endian → signed block.
pub(super) const BLOCKS: Column = Column("blocks");
/// Commit index, big-endian → digest, then commit.
pub(super) const COMMITS: Column = Column("commits");
/// Epoch, big-endian → record. The only column of its store.
pub(super) const RECORDS: Column = Column("records");

const RECORDS_STORE: &str = "epochs";

/// The stores of one node.
pub(super) struct NodeDisk {
    process: ProcessId,
    blocks: Blocks,
    boundary_votes: BoundaryVotes,
    journal: Journal,
}

/// Which store it is.
enum StoreName {
    Epoch(Epoch),
    Records,
    Journal,
}

impl StoreName {
    fn parse(name: &str) -> Option<Self> {
        if name == RECORDS_STORE {
            return Some(Self::Records);
        }
        if name == journal::STORE {
            return Some(Self::Journal);
        }
        let number = name.strip_prefix("epoch-")?.parse().ok()?;
        Some(Self::Epoch(Epoch(number)))
    }
}

impl NodeDisk {
    pub fn new(process: ProcessId, blocks: Blocks) -> Self {
        Self {
            process,
            blocks,
            boundary_votes: BoundaryVotes::default(),
            journal: Journal::default(),
        }
    }

    /// A start of the node, or the next epoch, opened the store.
    pub fn opened(&mut self, name: &str, store: &Arc<dyn Store>, facts: &mut Vec<Fact>) {
        let epoch = match StoreName::parse(name) {
            Some(StoreName::Epoch(epoch)) => epoch,
            Some(StoreName::Journal) => return self.journal.opened(store.as_ref(), facts),
            Some(StoreName::Records) | None => return,
        };
        self.boundary_votes.opened(epoch, store);
        match last_commit(store.as_ref()) {
            Ok(last_commit) => facts.push(Fact::NodeFound { epoch, last_commit }),
            Err(reason) => facts.push(Fact::DamagedValue { reason }),
        }
    }

    /// The batch was written.
    pub fn written(
        &mut self,
        name: &str,
        batch: &WriteBatch,
        durability: Durability,
        facts: &mut Vec<Fact>,
    ) {
        match StoreName::parse(name) {
            Some(StoreName::Epoch(epoch)) => self.written_in(epoch, batch, durability, facts),
            Some(StoreName::Records) => self.written_records(batch, facts),
            Some(StoreName::Journal) => self.journal.written(batch, durability, facts),
            None => {}
        }
    }

    /// Commits are stored from the first one on, each names the one before it, and all of their blocks are stored.
    ///
    /// # Errors
    /// The first commit with which that is not so.
    pub fn check_whole(&self, name: &str, store: &dyn Store) -> Result<(), Malformed> {
        let Some(StoreName::Epoch(epoch)) = StoreName::parse(name) else {
            return Ok(());
        };
        let mut log = Log {
            blocks: &self.blocks,
            epoch,
            last: CommitIndex(0),
            digest: None,
        };
        let stored = store.scan(Scan {
            column: COMMITS,
            range: &[]..&[0xff; 64],
            order: ScanOrder::Ascending,
            limit: usize::MAX,
        });
        let mut stored = stored.map_err(|e| e.to_string())?.into_iter();
        stored.try_for_each(|(key, value)| log.read(&key, &value, store))
    }

    /// The store was removed.
    pub fn removed(&mut self, name: &str, facts: &mut Vec<Fact>) {
        if let Some(StoreName::Epoch(epoch)) = StoreName::parse(name) {
            self.boundary_votes.removed(epoch);
            facts.push(Fact::EpochRemoved { epoch });
        }
    }

    fn written_in(
        &mut self,
        epoch: Epoch,
        batch: &WriteBatch,
        durability: Durability,
        facts: &mut Vec<Fact>,
    ) {
        let mut cut_from: Option<CommitIndex> = None;
        for write in &batch.writes {
            let fact = match write {
                Write::Put { column, key, value } if *column == BLOCKS => {
                    self.block(epoch, key, value, durability)
                }
                Write::Put { column, key, value } if *column == COMMITS => {
                    commit(epoch, key, value, &self.blocks).map(|commit| {
                        let durability = durability.into();
                        Some(Fact::CommitStored { commit, durability })
                    })
                }
                Write::Delete { column, key } if *column == COMMITS => {
                    commit_index(key).map(|index| {
                        cut_from = Some(cut_from.map_or(index, |from| from.min(index)));
                        None
                    })
                }
                Write::Put { .. } | Write::Delete { .. } => Ok(None),
            };
            facts.extend(fact.unwrap_or_else(|reason| Some(Fact::DamagedValue { reason })));
        }
        facts.extend(cut_from.map(|from| Fact::CommitsCut { epoch, from }));
        if durability == Durability::Synced {
            self.boundary_votes.synced(epoch);
        }
    }

    fn written_records(&self, batch: &WriteBatch, facts: &mut Vec<Fact>) {
        for write in &batch.writes {
            let Write::Put { column, key, value } = write else {
                continue;
            };
            if *column != RECORDS {
                continue;
            }
            match record(key, value) {
                Ok(record) => {
                    facts.extend(self.boundary_votes.at(&record));
                    let record = Arc::new(record);
                    facts.push(Fact::EpochRecorded { record });
                }
                Err(reason) => facts.push(Fact::DamagedValue { reason }),
            }
        }
    }

    fn block(
        &mut self,
        epoch: Epoch,
        key: &Key,
        value: &[u8],
        durability: Durability,
    ) -> Result<Option<Fact>, Malformed> {
        let reference = block_key(key)?;
        self.boundary_votes.written(epoch, key);
        if !self.blocks.is_first_stored(reference.digest, self.process) {
            return Ok(None);
        }
        let block = self.blocks.decode(value);
        let block = block.map_err(|reason| format!("block {reference}: {reason}"))?;
        if (block.epoch, block.reference) != (epoch, reference) {
            return Err(format!(
                "expected block {reference} of epoch {epoch}, found {} of epoch {}",
                block.reference, block.epoch
            ));
        }
        // A block that was not known before it was decoded has no sightings until now.
        let _ = self.blocks.is_first_stored(reference.digest, self.process);
        let durability = durability.into();
        Ok(Some(Fact::BlockStored { block, durability }))
    }
}

/// The log of commits as it is read from its first entry to its last.
struct Log<'a> {
    blocks: &'a Blocks,
    epoch: Epoch,
    last: CommitIndex,
    /// The digest of the last one.
    digest: Option<CommitDigest>,
}

impl Log<'_> {
    fn read(&mut self, key: &[u8], value: &Bytes, store: &dyn Store) -> Result<(), Malformed> {
        let commit = commit(self.epoch, key, value, self.blocks)?;
        let expected = self.last.next();
        if commit.index != expected {
            return Err(format!(
                "expected commit {expected} of epoch {} after {}, found {commit}",
                self.epoch, self.last
            ));
        }
        if self.digest.is_some_and(|digest| digest != commit.previous) {
            return Err(format!("{commit} does not name the commit before it"));
        }
        let keys: Vec<_> = commit.blocks.iter().map(key_of).collect();
        let stored = store.get_many(BLOCKS, &keys).map_err(|e| e.to_string())?;
        let mut blocks = stored.iter().zip(&commit.blocks);
        if let Some((_, block)) = blocks.find(|(stored, _)| stored.is_none()) {
            return Err(format!("{commit} contains {block}, which is not stored"));
        }
        (self.last, self.digest) = (commit.index, Some(commit.digest));
        Ok(())
    }
}

fn key_of(block: &BlockRef) -> Key {
    let mut key = Key::from_slice(&block.round.0.to_be_bytes());
    key.extend_from_slice(&block.author.0.to_be_bytes());
    key.extend_from_slice(&block.digest.0);
    key
}

fn last_commit(store: &dyn Store) -> Result<CommitIndex, Malformed> {
    let last = store.scan(Scan {
        column: COMMITS,
        range: &[]..&[0xff; 64],
        order: ScanOrder::Descending,
        limit: 1,
    });
    let last = last.map_err(|e| e.to_string())?;
    let index = last.first().map(|(key, _)| commit_index(key));
    index.unwrap_or(Ok(CommitIndex(0)))
}

pub(super) fn block_key(key: &[u8]) -> Result<BlockRef, Malformed> {
    let parse = || {
        let (round, rest) = key.split_first_chunk()?;
        let (author, digest) = rest.split_first_chunk()?;
        Some(BlockRef {
            round: Round(u32::from_be_bytes(*round)),
            author: AuthorityIndex(u16::from_be_bytes(*author)),
            digest: BlockDigest(digest.try_into().ok()?),
        })
    };
    parse().ok_or_else(|| format!("{key:02x?} is no key of a block"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::witness::{Durability as Seen, SeenCommit};
    use metanode_core::types::{
        AuthorityIndex, Block, ChainId, Commit, CommitDigest, KeyPair, SignatureScheme,
        TimestampMs, VerifiedBlock,
    };
    use proptest::{collection::vec, prelude::*};

    const EPOCH: Epoch = Epoch(3);

    fn block(author: u16) -> VerifiedBlock {
        let keys = KeyPair::from_seed(SignatureScheme::KeyedHash, &[7; 32]);
        let genesis = Block::genesis(EPOCH, AuthorityIndex(author));
        Block::clone(&genesis).sign(&keys, ChainId::default())
    }

    fn key_of(block: &VerifiedBlock) -> Vec<u8> {
        let BlockRef {
            round,
            author,
            digest,
        } = block.reference();
        [
            &round.0.to_be_bytes()[..],
            &author.0.to_be_bytes(),
            &digest.0,
        ]
        .concat()
    }

    fn commit() -> Commit {
        Commit {
            epoch: EPOCH,
            index: CommitIndex(5),
            previous: CommitDigest([1; 32]),
            leader: block(2).reference(),
            timestamp_ms: TimestampMs(90),
            epoch_began_ms: TimestampMs(40),
            ending: vec![AuthorityIndex(0), AuthorityIndex(300)],
            blocks: vec![block(1).reference(), block(2).reference()],
        }
    }

    fn stored(bytes: &[u8]) -> Vec<u8> {
        [blake3::hash(bytes).as_bytes(), bytes].concat()
    }

    fn facts_of(disk: &mut NodeDisk, name: &str, batch: &WriteBatch) -> Vec<Fact> {
        let mut facts = vec![];
        disk.written(name, batch, Durability::Synced, &mut facts);
        facts
    }

    fn facts_of_put(name: &str, column: Column, key: &[u8], value: &[u8]) -> Vec<Fact> {
        let mut batch = WriteBatch::default();
        batch.put(column, key, value.to_vec());
        facts_of(&mut node(0, &Blocks::default()), name, &batch)
    }

    fn node(index: u16, blocks: &Blocks) -> NodeDisk {
        NodeDisk::new(ProcessId::Node(index), blocks.clone())
    }

    fn is_damaged(facts: &[Fact]) -> bool {
        matches!(facts, [Fact::DamagedValue { .. }])
    }

    #[test]
    fn a_block_is_a_fact_for_the_first_two_nodes_that_store_it() {
        let blocks = Blocks::default();
        let block = block(1);
        let mut batch = WriteBatch::default();
        batch.put(BLOCKS, &key_of(&block), block.bytes().clone());
        let stored = [0, 0, 1, 2, 1].map(|index| {
            let facts = facts_of(&mut node(index, &blocks), "epoch-3", &batch);
            let is_block = |fact: &Fact| {
                matches!(fact, Fact::BlockStored { block: found, durability: Seen::Synced }
                    if found.reference == block.reference())
            };
            assert!(facts.iter().all(is_block), "{facts:?}");
            facts.len()
        });
        assert_eq!(stored, [1, 0, 1, 0, 0]);
    }

    #[test]
    fn a_block_under_another_key_is_damaged() {
        let (one, other) = (block(1), block(2));
        let wrong_epoch = facts_of_put("epoch-4", BLOCKS, &key_of(&one), one.bytes());
        assert!(is_damaged(&wrong_epoch));
        assert!(is_damaged(&facts_of_put(
            "epoch-3",
            BLOCKS,
            &key_of(&one),
            other.bytes()
        )));
        assert!(is_damaged(&facts_of_put(
            "epoch-3",
            BLOCKS,
            &key_of(&one)[1..],
            one.bytes()
        )));
        assert!(is_damaged(&facts_of_put(
            "epoch-3",
            BLOCKS,
            &key_of(&one),
            &one.bytes()[1..]
        )));
    }

    #[test]
    fn a_commit_of_the_node_is_seen_as_it_is() {
        let commit = commit();
        let value = stored(&commit.encode());
        let facts = facts_of_put("epoch-3", COMMITS, &[0, 0, 0, 5], &value);
        let [
            Fact::CommitStored {
                commit: seen,
                durability: Seen::Synced,
            },
        ] = &facts[..]
        else {
            panic!("{facts:?}");
        };
        let expected = SeenCommit {
            epoch: commit.epoch,
            index: commit.index,
            digest: commit.reference().digest,
            previous: commit.previous,
            leader: commit.leader,
            timestamp_ms: commit.timestamp_ms,
            epoch_began_ms: commit.epoch_began_ms,
            ending: commit.ending,
            blocks: commit.blocks,
        };
        assert_eq!(**seen, expected);
    }

    #[test]
    fn a_commit_that_is_not_what_its_key_says_is_damaged() {
        let encoded = commit().encode();
        let mut flipped = stored(&encoded);
        flipped[40] ^= 1;
        let long = stored(&[&encoded[..], &[0]].concat());
        for (name, key, value) in [
            ("epoch-3", &[0, 0, 0, 5][..], &flipped),
            ("epoch-3", &[0, 0, 0, 5], &long),
            ("epoch-3", &[0, 0, 0, 6], &stored(&encoded)),
            ("epoch-3", &[0, 0, 5], &stored(&encoded)),
            ("epoch-2", &[0, 0, 0, 5], &stored(&encoded)),
        ] {
            assert!(is_damaged(&facts_of_put(name, COMMITS, key, value)));
        }
    }

    #[test]
    fn deleted_commits_are_one_fact() {
        let mut batch = WriteBatch::default();
        for index in [9_u32, 7, 8] {
            batch.delete(COMMITS, &index.to_be_bytes());
        }
        let facts = facts_of(&mut node(0, &Blocks::default()), "epoch-3", &batch);
        let from = CommitIndex(7);
        assert_eq!(facts, [Fact::CommitsCut { epoch: EPOCH, from }]);
    }

    #[test]
    fn a_damaged_record_is_a_fact_of_its_own_store_only() {
        assert!(is_damaged(&facts_of_put("epochs", RECORDS, &[0; 8], &[])));
        assert_eq!(facts_of_put("epoch-3", RECORDS, &[0; 8], &[]), []);
        assert_eq!(facts_of_put("executor", RECORDS, &[0; 8], &[]), []);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(
            name in prop::sample::select(vec!["epoch-3", "epochs", "epoch-", "executor"]),
            column in prop::sample::select(vec![BLOCKS, COMMITS, RECORDS, Column("commit_votes")]),
            key in vec(any::<u8>(), 0..50),
            mut value in vec(any::<u8>(), 0..300),
            has_digest: bool,
        ) {
            if has_digest {
                value = stored(&value);
            }
            facts_of_put(name, column, &key, &value);
            facts_of_put(name, COMMITS, &[0; 4], &value);
        }

        #[test]
        fn a_changed_byte_is_read(position: prop::sample::Index, byte: u8) {
            let mut bytes = commit().encode();
            let position = position.index(bytes.len());
            bytes[position] = byte;
            facts_of_put("epoch-3", COMMITS, &[0, 0, 0, 5], &stored(&bytes));
        }
    }
}
