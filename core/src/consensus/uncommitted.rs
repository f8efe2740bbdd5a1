//! Own blocks that no commit contains yet: their transactions are committed, or proposed again in smaller blocks. Pure.

use crate::{
    ingest::Pool,
    types::{BlockDigest, Round, SubDag, VerifiedBlock},
};
use std::collections::BTreeMap;

/// The blocks with transactions. Of one round there are two after a start that no quorum of peers could tell what this
/// authority had signed.
type Blocks = BTreeMap<(Round, BlockDigest), OwnBlock>;

struct OwnBlock {
    block: VerifiedBlock,
    /// Of its transactions.
    bytes: usize,
    /// Whether it was found in the store or came from a peer.
    is_older: bool,
}

/// A committed own block that fills half of the limit raises it: to twice as much up to half of what was on its way when the
/// limit was lowered, above that by this fraction, at least by [`LEAST_RAISE_BYTES`]. When a block is left out, the limit
/// becomes half of the largest block that was on its way. Each limit is raised and lowered once, by blocks that were made under
/// it. So TCP finds the size of its window: slow start and congestion avoidance ([RFC 5681](https://www.rfc-editor.org/rfc/rfc5681),
/// §3.1).
const RAISE_DIVISOR: usize = 8;

/// About the size of one transaction.
const LEAST_RAISE_BYTES: usize = 256;

/// The uncommitted own blocks.
pub(super) struct Uncommitted {
    blocks: Blocks,
    most_bytes: usize,
    /// Of the transactions that are on their way, unless it is the largest one: then of each block.
    limit_bytes: usize,
    /// Half of what was on its way when the limit was lowered last.
    doubles_to_bytes: usize,
    /// The newest own block.
    newest: Round,
    /// The newest own block when the limit was raised last: only later ones show whether it may be raised again.
    raised_after: Round,
    /// The newest own block when the limit was lowered last: it and older ones say nothing about this limit.
    lowered_after: Round,
}

impl Uncommitted {
    /// Starts an epoch with the size limit that the previous one has left in the pool.
    pub fn new(most_bytes: usize, pool: &Pool) -> Self {
        Self {
            blocks: Blocks::new(),
            most_bytes,
            limit_bytes: pool.block_bytes.min(most_bytes),
            doubles_to_bytes: 0,
            newest: Round(0),
            raised_after: Round(0),
            lowered_after: Round(0),
        }
    }

    /// Limit of the transactions of the next block, which gets none if there is no limit. A block that was left out may have
    /// been too large to arrive in time, so its transactions are proposed again in smaller blocks; and several blocks that
    /// would arrive alone may delay each other, so they share the limit.
    pub fn block_bytes(&self) -> Option<usize> {
        let under_way = self.under_way_bytes();
        if self.limit_bytes >= self.most_bytes || under_way == 0 {
            return Some(self.limit_bytes);
        }
        let free = self.limit_bytes.saturating_sub(under_way);
        (free >= LEAST_RAISE_BYTES).then_some(free)
    }

    fn under_way_bytes(&self) -> usize {
        self.blocks.values().map(|own| own.bytes).sum()
    }

    /// Adds an own block. `is_older`: it was found in the store or came from a peer.
    pub fn add(&mut self, block: &VerifiedBlock, is_older: bool) {
        self.newest = self.newest.max(block.round);
        if !block.transactions.is_empty() {
            let own = OwnBlock {
                bytes: transaction_bytes(block),
                block: block.clone(),
                is_older,
            };
            self.blocks.insert(key(block), own);
        }
    }

    /// Removes the own blocks of a commit.
    pub fn on_committed(&mut self, sub_dag: &SubDag) {
        for block in &sub_dag.blocks {
            if self.blocks.remove(&key(block)).is_some() {
                self.raise_limit(block);
            }
        }
    }

    /// Raises the limit if this committed block was made under it and fills half of it.
    fn raise_limit(&mut self, committed: &VerifiedBlock) {
        let is_of_this_limit = committed.round > self.raised_after.max(self.lowered_after);
        let limit = self.limit_bytes;
        if is_of_this_limit && committed.bytes().len() >= limit / 2 {
            let raise = match 2 * limit <= self.doubles_to_bytes {
                true => limit,
                false => limit / RAISE_DIVISOR,
            };
            self.limit_bytes = (limit + raise.max(LEAST_RAISE_BYTES)).min(self.most_bytes);
            self.raised_after = self.newest;
        }
    }

    /// Lowers the limit if blocks of rounds up to `late` were made since it was lowered last.
    ///
    /// Several blocks are left out one after the other before the first smaller one can arrive. If each halved the
    /// limit, it would collapse to a single transaction; TCP reduces its window once per round trip for the same reason,
    /// and to half of what was on its way: half of a limit that no block reaches would change nothing.
    fn lower_limit(&mut self, late: Round) {
        let first = (self.lowered_after.next(), BlockDigest::default());
        let mut made_since = self.blocks.range(first..).peekable();
        if (made_since.peek()).is_none_or(|((oldest, _), _)| *oldest > late) {
            return;
        }
        let largest = made_since.map(|(_, own)| own.bytes).max();
        self.doubles_to_bytes = self.under_way_bytes() / 2;
        self.limit_bytes = largest.map_or(self.limit_bytes, |l| l.min(self.limit_bytes)) / 2;
        self.lowered_after = self.newest;
    }

    /// Removes blocks of rounds up to `collected`, which no commit will contain, and puts their transactions back
    /// into the pool. Returns the number of those that no other commit contains.
    pub fn requeue(&mut self, collected: Round, pool: &mut Pool) -> u32 {
        self.lower_limit(collected);
        let first_kept = (collected.next(), BlockDigest::default());
        let kept = self.blocks.split_off(&first_kept);
        let left_out = std::mem::replace(&mut self.blocks, kept);
        requeue(&left_out, pool)
    }

    /// Ends the epoch, whose last commit has a leader of this round: puts the transactions of all remaining blocks
    /// back. Only blocks of earlier rounds were late. The limit is kept in the pool, because links do not change with
    /// the epoch.
    pub fn requeue_all(&mut self, last_leader: Round, pool: &mut Pool) -> u32 {
        self.lower_limit(last_leader.prev());
        pool.block_bytes = self.limit_bytes;
        requeue(&std::mem::take(&mut self.blocks), pool)
    }
}

fn key(block: &VerifiedBlock) -> (Round, BlockDigest) {
    (block.round, block.reference().digest)
}

/// The bytes of its transactions, as the limit counts them.
fn transaction_bytes(block: &VerifiedBlock) -> usize {
    let bytes = block.transactions.iter().map(|t| t.0.len().max(1));
    bytes.sum()
}

fn requeue(blocks: &Blocks, pool: &mut Pool) -> u32 {
    let blocks = blocks.values();
    let requeued = blocks.map(|own| {
        let block = &own.block;
        pool.requeue(block.own_round(), &block.transactions, own.is_older)
    });
    requeued.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ingest::testing::pool_of,
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
        let mut pool = pool_of(&[]);
        pool.block_bytes = limit;
        let mut uncommitted = Uncommitted::new(10_000, &pool);
        for (round, bytes) in (1..).zip(committed_bytes) {
            let block = own(round, *bytes);
            uncommitted.add(&block, true);
            uncommitted.on_committed(&committed(&block));
        }
        uncommitted.limit_bytes
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
    fn a_block_that_is_left_out_lowers_the_limit_and_is_requeued() {
        let mut pool = pool_of(&[]);
        let mut uncommitted = Uncommitted::new(10_000, &pool);
        for (round, bytes) in [(3, 9_000), (4, 100), (9, 100)] {
            uncommitted.add(&own(round, bytes), true);
        }
        assert_eq!(uncommitted.requeue(Round(2), &mut pool), 0);
        assert_eq!(uncommitted.block_bytes(), Some(10_000));
        assert_eq!(uncommitted.requeue(Round(4), &mut pool), 2);
        assert_eq!(uncommitted.limit_bytes, 4_500);
        assert_eq!(pool.fill(10_000).len(), 2);
        uncommitted.add(&own(10, 100), true);
        assert_eq!(uncommitted.requeue_all(Round(10), &mut pool), 2);
        let mut next_epoch = Uncommitted::new(10_000, &pool);
        assert_eq!(
            next_epoch.block_bytes(),
            Some(4_500),
            "the block of round 9 is older than the limit, that of round 10 was not late"
        );
        next_epoch.add(&own(1, 4_500), true);
        assert_eq!(next_epoch.requeue_all(Round(2), &mut pool), 1);
        assert_eq!(Uncommitted::new(10_000, &pool).block_bytes(), Some(2_250));
    }

    /// The limit after the blocks up to this round were left out.
    fn left_out(uncommitted: &mut Uncommitted, round: u32, pool: &mut Pool) -> usize {
        uncommitted.requeue(Round(round), pool);
        uncommitted.limit_bytes
    }

    #[test]
    fn of_two_own_blocks_of_one_round_the_other_is_requeued() {
        let mut pool = pool_of(&[]);
        let mut uncommitted = Uncommitted::new(10_000, &pool);
        let [new, lost] = [own(3, 10), own(3, 20)];
        uncommitted.add(&new, true);
        uncommitted.add(&lost, true);
        uncommitted.on_committed(&committed(&lost));
        assert_eq!(uncommitted.requeue(Round(3), &mut pool), 1);
        assert_eq!(pool.fill(10_000), new.transactions);
    }

    #[test]
    fn blocks_that_were_made_under_one_limit_lower_it_once() {
        let mut pool = pool_of(&[]);
        let mut uncommitted = Uncommitted::new(10_000, &pool);
        for round in 1..=8 {
            uncommitted.add(&own(round, 10_000), true);
        }
        assert_eq!(left_out(&mut uncommitted, 1, &mut pool), 5_000);
        for round in 9..=12 {
            uncommitted.add(&own(round, 5_000), true);
        }
        for round in 2..=8 {
            let limit = left_out(&mut uncommitted, round, &mut pool);
            assert_eq!(limit, 5_000, "block {round} is older than the limit");
        }
        assert_eq!(left_out(&mut uncommitted, 9, &mut pool), 2_500);
        assert_eq!(left_out(&mut uncommitted, 12, &mut pool), 2_500);
        uncommitted.add(&own(13, 2_500), true);
        assert_eq!(left_out(&mut uncommitted, 13, &mut pool), 1_250);
    }

    #[test]
    fn a_limit_that_no_block_reaches_becomes_half_of_the_largest_one() {
        let mut pool = pool_of(&[]);
        let mut uncommitted = Uncommitted::new(10_000, &pool);
        uncommitted.add(&own(1, 10), true);
        uncommitted.add(&own(2, 800), true);
        assert_eq!(
            left_out(&mut uncommitted, 1, &mut pool),
            400,
            "the small block waited for the large one, or for one before it"
        );
    }

    #[test]
    fn blocks_that_were_made_under_one_limit_raise_it_once() {
        let mut pool = pool_of(&[]);
        pool.block_bytes = 8_000;
        let mut uncommitted = Uncommitted::new(100_000, &pool);
        let blocks: Vec<_> = (1..=6).map(|round| own(round, 8_000)).collect();
        let mut raised = vec![];
        for block in &blocks[..3] {
            uncommitted.add(block, true);
        }
        for block in &blocks[..3] {
            uncommitted.on_committed(&committed(block));
            raised.push(uncommitted.limit_bytes);
        }
        assert_eq!(raised, [9_000; 3]);
        for block in &blocks[3..] {
            uncommitted.add(block, true);
        }
        assert_eq!(left_out(&mut uncommitted, 4, &mut pool), 4_000);
        uncommitted.on_committed(&committed(&blocks[4]));
        assert_eq!(uncommitted.limit_bytes, 4_000, "block 5 is older");
        let mut limit_after = |round, bytes| {
            uncommitted.add(&own(round, bytes), true);
            uncommitted.on_committed(&committed(&own(round, bytes)));
            uncommitted.limit_bytes
        };
        assert_eq!(
            limit_after(7, 4_000),
            8_000,
            "12,000 of 24,000 bytes arrived"
        );
        assert_eq!(limit_after(8, 8_000), 9_000);
    }

    #[test]
    fn blocks_share_a_limit_that_was_lowered() {
        let mut pool = pool_of(&[]);
        let mut uncommitted = Uncommitted::new(10_000, &pool);
        for round in 1..=3 {
            uncommitted.add(&own(round, 8_000), true);
            assert_eq!(uncommitted.block_bytes(), Some(10_000));
        }
        assert_eq!(left_out(&mut uncommitted, 1, &mut pool), 4_000);
        assert_eq!(
            uncommitted.block_bytes(),
            None,
            "blocks 2 and 3 are under way"
        );
        uncommitted.requeue(Round(3), &mut pool);
        uncommitted.add(&own(4, 3_000), true);
        assert_eq!(uncommitted.block_bytes(), Some(1_000));
        let small = own(5, 800);
        uncommitted.add(&small, true);
        assert_eq!(uncommitted.block_bytes(), None, "no transaction fits");
        uncommitted.on_committed(&committed(&small));
        assert_eq!(uncommitted.block_bytes(), Some(1_000));
    }
}
