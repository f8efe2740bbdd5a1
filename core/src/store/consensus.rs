//! The stored state of consensus in one epoch: blocks, commits, and the commit votes of blocks.
//!
//! All data that is read back is compared with a digest, so that damage on disk is detected. Must not know which
//! commits are valid.

mod keys;
mod values;

use super::{Durability, Scan, ScanOrder, Store, StoreError, StoreFactory, WriteBatch};
use crate::types::{
    AuthorityIndex, BlockRef, Commit, CommitIndex, CommitRef, Epoch, Round, SubDag, VerifiedBlock,
};
use bytes::Bytes;
pub(crate) use keys::{BLOCKS, COMMITS};
use keys::{
    BLOCKS_BY_AUTHOR, COLUMNS, COMMIT_VOTES, all_after, all_with_prefix, author_key, block_key,
    commit_key, parse_author_key, parse_block_key, parse_commit_key, parse_vote_key, successor,
    vote_key, votes_prefix,
};
use std::{collections::BTreeSet, ops::Range, sync::Arc};
use values::{intact_block, intact_commit, stored_commit};

/// Blocks per read where the caller gives no limit.
const PAGE: usize = 256;

/// Consecutive commits, up to the first damaged one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitRun {
    pub intact: Vec<Commit>,
    /// The next commit, if it is damaged.
    pub damaged: Option<CommitIndex>,
}

/// The typed store of one epoch. Clones refer to the same store.
#[derive(Clone)]
pub struct ConsensusStore {
    store: Arc<dyn Store>,
}

impl ConsensusStore {
    /// Opens the store of `epoch`, creating it if it does not exist.
    ///
    /// # Errors
    /// If the disk fails, the store is damaged, or it is already open.
    pub fn open(factory: &dyn StoreFactory, epoch: Epoch) -> Result<Self, StoreError> {
        let store = factory.open(&Self::store_name(epoch), &COLUMNS)?;
        Ok(Self { store })
    }

    /// The name of the store of `epoch` in a [`StoreFactory`].
    #[must_use]
    pub fn store_name(epoch: Epoch) -> String {
        format!("epoch-{epoch}")
    }

    /// Writes blocks, their commit votes, and commits, atomically.
    ///
    /// # Errors
    /// If the disk fails. The write may then be lost, and the caller must not depend on it.
    pub fn write(
        &self,
        blocks: &[VerifiedBlock],
        commits: &[Commit],
        durability: Durability,
    ) -> Result<(), StoreError> {
        let mut batch = batch_of(blocks);
        for commit in commits {
            batch.put(COMMITS, &commit_key(commit.index), stored_commit(commit));
        }
        self.store.write(batch, durability)
    }

    /// Syncs all that was written before.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.store.write(WriteBatch::default(), Durability::Synced)
    }

    /// One block; `None` if it is absent or damaged, as in [`Self::blocks`].
    ///
    /// # Errors
    /// If the disk fails.
    pub fn block(&self, reference: &BlockRef) -> Result<Option<VerifiedBlock>, StoreError> {
        let bytes = self.store.get(BLOCKS, &block_key(reference))?;
        Ok(bytes.and_then(|bytes| intact_block(*reference, bytes)))
    }

    /// Blocks in the order of `references`. A damaged block is logged and returned as absent: the caller fetches it
    /// from peers like any other missing block.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn blocks(
        &self,
        references: &[BlockRef],
    ) -> Result<Vec<Option<VerifiedBlock>>, StoreError> {
        let keys: Vec<_> = references.iter().map(block_key).collect();
        let values = self.store.get_many(BLOCKS, &keys)?;
        Ok(references
            .iter()
            .zip(values)
            .map(|(reference, bytes)| intact_block(*reference, bytes?))
            .collect())
    }

    /// All undamaged blocks of `round` and above, by (round, author, digest). They are all in memory afterwards, so
    /// `round` should be the lowest that recovery needs.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn blocks_from_round(&self, round: Round) -> Result<Vec<VerifiedBlock>, StoreError> {
        let mut blocks = vec![];
        let mut range = all_after(&round.0.to_be_bytes());
        loop {
            let rest = &range.start[..]..&range.end[..];
            let page = (self.store).scan(Scan {
                column: BLOCKS,
                range: rest,
                order: ScanOrder::Ascending,
                limit: PAGE,
            })?;
            let Some((last, _)) = page.last() else {
                return Ok(blocks);
            };
            range.start = successor(last);
            for (key, bytes) in page {
                let reference = parse_block_key(&key)?;
                blocks.extend(intact_block(reference, bytes));
            }
        }
    }

    /// The highest round of a stored block of `author`, damaged or not: it decides in which rounds this authority may
    /// sign (invariant NOEQUIV).
    ///
    /// # Errors
    /// If the disk fails.
    pub fn newest_round_of(&self, author: AuthorityIndex) -> Result<Option<Round>, StoreError> {
        let range = all_with_prefix(&author.0.to_be_bytes());
        let found = self.references_of(range, ScanOrder::Descending, 1)?;
        Ok(found.first().map(|reference| reference.round))
    }

    /// The stored block of `author` with the highest round, or its reference if it is damaged. An older block is never
    /// returned instead, because callers conclude that there is none above it.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn newest_block_of(
        &self,
        author: AuthorityIndex,
    ) -> Result<Option<Result<VerifiedBlock, BlockRef>>, StoreError> {
        let range = all_with_prefix(&author.0.to_be_bytes());
        let found = self.references_of(range, ScanOrder::Descending, 1)?;
        let Some(reference) = found.first() else {
            return Ok(None);
        };
        Ok(Some(self.block(reference)?.ok_or(*reference)))
    }

    /// At most `limit` blocks of `author` from round `from` on, ascending, without damaged ones; empty only if there is
    /// no undamaged one. `limit` must not be 0.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn blocks_of(
        &self,
        author: AuthorityIndex,
        mut from: Round,
        limit: usize,
    ) -> Result<Vec<VerifiedBlock>, StoreError> {
        loop {
            let page = self.references_by(author, from, limit)?;
            let Some(last) = page.last() else {
                return Ok(vec![]);
            };
            let intact: Vec<_> = self.blocks(&page)?.into_iter().flatten().collect();
            if !intact.is_empty() {
                return Ok(intact);
            }
            // Callers take an empty answer for the end, and would wait for ever in front of a damaged page.
            from = last.round.next();
        }
    }

    /// The references of at most `limit` blocks of `author` from round `from` on, ascending, damaged or not.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn references_by(
        &self,
        author: AuthorityIndex,
        from: Round,
        limit: usize,
    ) -> Result<Vec<BlockRef>, StoreError> {
        let mut range = all_with_prefix(&author.0.to_be_bytes());
        range.start.extend(from.0.to_be_bytes());
        self.references_of(range, ScanOrder::Ascending, limit)
    }

    /// The highest index of a stored commit, damaged or not.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn last_commit(&self) -> Result<Option<CommitIndex>, StoreError> {
        let Range { start, end } = all_after(&[]);
        let last = (self.store).scan(Scan {
            column: COMMITS,
            range: &start..&end,
            order: ScanOrder::Descending,
            limit: 1,
        })?;
        last.first()
            .map(|(key, _)| parse_commit_key(key))
            .transpose()
    }

    /// The commit at `index`. A damaged commit is logged and returned as absent.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn commit(&self, index: CommitIndex) -> Result<Option<Commit>, StoreError> {
        let value = self.store.get(COMMITS, &commit_key(index))?;
        Ok(value.and_then(|value| intact_commit(index, &value)))
    }

    /// The commits `from..=to` without a gap, up to the first damaged one, which is logged. The caller must bound the
    /// range.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if there is a gap; others if the disk fails.
    pub fn commits(&self, from: CommitIndex, to: CommitIndex) -> Result<CommitRun, StoreError> {
        let keys: Vec<_> = (from.0..=to.0)
            .map(|i| commit_key(CommitIndex(i)))
            .collect();
        let values = self.store.get_many(COMMITS, &keys)?;
        let mut run = CommitRun::default();
        for (index, value) in (from.0..=to.0).map(CommitIndex).zip(values) {
            let value = value.ok_or_else(|| StoreError::Missing {
                column: COMMITS.0,
                what: format!("commit {index}"),
            })?;
            match intact_commit(index, &value) {
                Some(commit) => run.intact.push(commit),
                None => {
                    run.damaged = Some(index);
                    break;
                }
            }
        }
        Ok(run)
    }

    /// Deletes the commits from `from` on, durably. They are decided or fetched again.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn cut_commits(&self, from: CommitIndex) -> Result<(), StoreError> {
        let Range { end, .. } = all_after(&[]);
        let start = commit_key(from);
        let cut = (self.store).scan(Scan {
            column: COMMITS,
            range: &start..&end,
            order: ScanOrder::Ascending,
            limit: usize::MAX,
        })?;
        let mut batch = WriteBatch::default();
        for (key, _) in cut {
            batch.delete(COMMITS, &key);
        }
        self.store.write(batch, Durability::Synced)
    }

    /// The commit with its blocks, or the references of blocks that are absent or damaged.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn sub_dag(&self, commit: &Commit) -> Result<Result<SubDag, Vec<BlockRef>>, StoreError> {
        let found = self.blocks(&commit.blocks)?;
        let named = found.iter().zip(&commit.blocks);
        let missing: Vec<_> = named
            .filter(|(block, _)| block.is_none())
            .map(|(_, reference)| *reference)
            .collect();
        if !missing.is_empty() {
            return Ok(Err(missing));
        }
        Ok(Ok(SubDag {
            commit: commit.clone(),
            reference: commit.reference(),
            blocks: found.into_iter().flatten().collect(),
        }))
    }

    /// Blocks that vote for this commit, of each author the earliest one, whose authors are a quorum. `None` if there are no
    /// such blocks, without damaged ones.
    ///
    /// An author may repeat its vote in each of its blocks, and a block may be large: no more are read than it takes.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn quorum_for(
        &self,
        commit: CommitRef,
        is_quorum: impl Fn(&BTreeSet<AuthorityIndex>) -> bool,
    ) -> Result<Option<Vec<VerifiedBlock>>, StoreError> {
        const PAGE: usize = 64;
        let mut range = all_with_prefix(&votes_prefix(commit));
        let (mut known, mut voters) = (BTreeSet::new(), vec![]);
        // Authors of blocks that are read, and those of blocks that are not read yet.
        let (mut intact, mut authors) = (BTreeSet::new(), BTreeSet::new());
        let mut unread = vec![];
        loop {
            let votes = self.store.scan(Scan {
                column: COMMIT_VOTES,
                range: &range.start..&range.end,
                order: ScanOrder::Ascending,
                limit: PAGE,
            })?;
            for (key, _) in &votes {
                let voter = parse_vote_key(key)?;
                if known.insert(voter.author) {
                    authors.insert(voter.author);
                    unread.push(voter);
                }
            }
            if is_quorum(&authors) {
                let read = self.blocks(&std::mem::take(&mut unread))?;
                let read = read.into_iter().flatten();
                voters.extend(read.filter(|voter| voter.commit_votes.contains(&commit)));
                intact.extend(voters.iter().map(|voter: &VerifiedBlock| voter.author));
                if is_quorum(&intact) {
                    return Ok(Some(voters));
                }
                authors.clone_from(&intact);
            }
            match votes.last() {
                Some((last, _)) if votes.len() == PAGE => {
                    range.start = [last, &[0][..]].concat(); // the next key
                }
                _ => return Ok(None),
            }
        }
    }

    fn references_of(
        &self,
        range: Range<Vec<u8>>,
        order: ScanOrder,
        limit: usize,
    ) -> Result<Vec<BlockRef>, StoreError> {
        let Range { start, end } = range;
        let entries = (self.store).scan(Scan {
            column: BLOCKS_BY_AUTHOR,
            range: &start..&end,
            order,
            limit,
        })?;
        entries
            .iter()
            .map(|(key, _)| parse_author_key(key))
            .collect()
    }
}

/// The writes of these blocks, their index and their commit votes.
fn batch_of(blocks: &[VerifiedBlock]) -> WriteBatch {
    let mut batch = WriteBatch::default();
    for block in blocks {
        let reference = block.reference();
        let key = block_key(&reference);
        batch.put(BLOCKS, &key, block.bytes().clone());
        batch.put(BLOCKS_BY_AUTHOR, &author_key(&reference), Bytes::new());
        for commit in &block.commit_votes {
            batch.put(COMMIT_VOTES, &vote_key(*commit, &key), Bytes::new());
        }
    }
    batch
}
