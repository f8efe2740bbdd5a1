//! Own blocks that no commit contains yet: their transactions are committed, or proposed again in smaller blocks. Pure.

use crate::{
    ingest::Pool,
    types::{OwnRound, Round, SubDag, VerifiedBlock},
};
use std::collections::BTreeMap;

/// A committed own block that fills half of the size limit raises the limit by this fraction, at least by
/// [`LEAST_RAISE_BYTES`]. A block that is left out halves it.
const RAISE_DIVISOR: usize = 8;

/// About the size of one transaction.
const LEAST_RAISE_BYTES: usize = 256;

/// The uncommitted own blocks.
pub(super) struct Uncommitted {
    /// The blocks with transactions.
    blocks: BTreeMap<Round, VerifiedBlock>,
    most_bytes: usize,
    block_bytes: usize,
}

impl Uncommitted {
    /// Starts an epoch with the size limit that the previous one has left in the pool.
    pub fn new(most_bytes: usize, pool: &Pool) -> Self {
        Self {
            blocks: BTreeMap::new(),
            most_bytes,
            block_bytes: pool.block_bytes.min(most_bytes),
        }
    }

    /// Limit of the transactions of the next block. A block that was left out may have been too large to arrive in
    /// time, so its transactions are proposed again in smaller blocks.
    pub const fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// The oldest of these blocks.
    pub fn oldest(&self) -> Option<OwnRound> {
        self.blocks.values().next().map(|block| block.own_round())
    }

    /// Adds an own block, new or recovered.
    pub fn add(&mut self, block: &VerifiedBlock) {
        if !block.transactions.is_empty() {
            self.blocks.insert(block.round, block.clone());
        }
    }

    /// Removes the own blocks of a commit.
    pub fn on_committed(&mut self, sub_dag: &SubDag, pool: &mut Pool) {
        for block in &sub_dag.blocks {
            if self.blocks.get(&block.round) != Some(block) {
                continue;
            }
            self.blocks.remove(&block.round);
            pool.settle(block.own_round());
            if block.bytes().len() >= self.block_bytes / 2 {
                let raise = (self.block_bytes / RAISE_DIVISOR).max(LEAST_RAISE_BYTES);
                self.block_bytes = (self.block_bytes + raise).min(self.most_bytes);
            }
        }
    }

    /// Removes blocks of rounds up to `collected`, which no commit will contain, and puts their transactions back
    /// into the pool. Returns their number.
    pub fn requeue(&mut self, collected: Round, pool: &mut Pool) -> u32 {
        let kept = self.blocks.split_off(&collected.next());
        let left_out = std::mem::replace(&mut self.blocks, kept);
        if !left_out.is_empty() {
            self.block_bytes /= 2;
        }
        requeue(&left_out, pool)
    }

    /// Ends the epoch, whose last commit has a leader of this round: puts the transactions of all remaining blocks
    /// back. Only blocks of earlier rounds were late. The limit is kept in the pool, because links do not change with
    /// the epoch.
    pub fn requeue_all(&mut self, last_leader: Round, pool: &mut Pool) -> u32 {
        let oldest = self.blocks.keys().next();
        if oldest.is_some_and(|oldest| *oldest < last_leader) {
            self.block_bytes /= 2;
        }
        pool.block_bytes = self.block_bytes;
        requeue(&std::mem::take(&mut self.blocks), pool)
    }
}

fn requeue(blocks: &BTreeMap<Round, VerifiedBlock>, pool: &mut Pool) -> u32 {
    for block in blocks.values() {
        pool.requeue(block.own_round(), &block.transactions);
    }
    let transactions: usize = blocks.values().map(|block| block.transactions.len()).sum();
    u32::try_from(transactions).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ingest,
        types::{
            AuthorityIndex, Block, ChainId, Commit, CommitDigest, CommitIndex, Epoch, KeyPair,
            SignatureScheme, TimestampMs, Transaction,
        },
    };

    fn own(round: u32, bytes: usize) -> VerifiedBlock {
        Block {
            epoch: Epoch(0),
            round: Round(round),
            author: AuthorityIndex(0),
            timestamp_ms: TimestampMs(0),
            ancestors: vec![],
            transactions: vec![Transaction(vec![1; bytes].into())],
            commit_votes: vec![],
            end_of_epoch: false,
        }
        .sign(
            &KeyPair::from_seed(SignatureScheme::KeyedHash, &[1; 32]),
            ChainId::default(),
        )
    }

    fn committed(block: &VerifiedBlock) -> SubDag {
        let commit = Commit {
            epoch: Epoch(0),
            index: CommitIndex(1),
            previous: CommitDigest::default(),
            leader: block.reference(),
            timestamp_ms: TimestampMs(0),
            epoch_began_ms: TimestampMs(0),
            ending: vec![],
            blocks: vec![block.reference()],
        };
        SubDag {
            reference: commit.reference(),
            commit,
            blocks: vec![block.clone()],
        }
    }

    /// The limit after blocks of these sizes were committed.
    fn after(limit: usize, committed_bytes: &[usize]) -> usize {
        let (_, mut pool) = ingest::pool(1);
        pool.block_bytes = limit;
        let mut uncommitted = Uncommitted::new(10_000, &pool);
        for (round, bytes) in (1..).zip(committed_bytes) {
            let block = own(round, *bytes);
            uncommitted.add(&block);
            uncommitted.on_committed(&committed(&block), &mut pool);
        }
        uncommitted.block_bytes()
    }

    #[test]
    fn committed_blocks_that_fill_half_of_the_limit_raise_it() {
        assert_eq!(after(8_000, &[8_000]), 9_000);
        assert_eq!(after(8_000, &[100]), 8_000, "the block is small");
        assert_eq!(
            after(9_500, &[9_000, 9_000]),
            10_000,
            "the limit exceeds the maximum"
        );
        assert_eq!(after(0, &[10]), LEAST_RAISE_BYTES);
    }

    #[test]
    fn a_block_that_is_left_out_halves_the_limit_and_is_requeued() {
        let (_, mut pool) = ingest::pool(8);
        let mut uncommitted = Uncommitted::new(10_000, &pool);
        for round in [3, 4, 9] {
            uncommitted.add(&own(round, 100));
        }
        assert_eq!(uncommitted.requeue(Round(2), &mut pool), 0);
        assert_eq!(uncommitted.block_bytes(), 10_000);
        assert_eq!(uncommitted.requeue(Round(4), &mut pool), 2);
        assert_eq!(uncommitted.block_bytes(), 5_000);
        assert_eq!(pool.take(10_000).len(), 2);
        assert_eq!(uncommitted.requeue_all(Round(9), &mut pool), 1);
        let mut next_epoch = Uncommitted::new(10_000, &pool);
        assert_eq!(
            next_epoch.block_bytes(),
            5_000,
            "the block of round 9 was not late"
        );
        next_epoch.add(&own(1, 100));
        assert_eq!(next_epoch.requeue_all(Round(2), &mut pool), 1);
        assert_eq!(Uncommitted::new(10_000, &pool).block_bytes(), 2_500);
    }
}
