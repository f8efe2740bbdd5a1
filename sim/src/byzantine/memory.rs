//! The blocks that a Byzantine validator has received, and the block that an honest validator would build on them.
//! Pure.

use metanode_core::types::{
    AuthorityIndex, Block, BlockRef, Committee, Round, Stake, TimestampMs, VerifiedBlock,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Rounds behind the newest that are kept.
const DEPTH: u32 = 200;

/// Blocks of the last rounds, in plain memory: a restart forgets them.
pub struct Memory {
    own: AuthorityIndex,
    committee: Arc<Committee>,
    /// The highest round of a received block, by author.
    newest: Vec<Round>,
    blocks: BTreeMap<BlockRef, VerifiedBlock>,
    /// The last block that an honest validator would have made.
    previous: BlockRef,
}

impl Memory {
    /// Only genesis.
    pub fn new(own: AuthorityIndex, committee: Arc<Committee>) -> Self {
        let genesis = |author| Block::genesis(committee.epoch(), author);
        Self {
            own,
            newest: vec![Round(0); committee.size()],
            blocks: (committee.indexes().map(genesis))
                .map(|block| (block.reference(), block))
                .collect(),
            previous: genesis(own).reference(),
            committee,
        }
    }

    /// Keeps a verified block.
    pub fn keep(&mut self, block: VerifiedBlock) {
        let newest = &mut self.newest[block.author.as_usize()];
        *newest = block.round.max(*newest);
        self.blocks.insert(block.reference(), block);
        let oldest = Round(self.round().0.saturating_sub(DEPTH));
        self.blocks = self.blocks.split_off(&BlockRef::first_of_round(oldest));
    }

    /// The round after the last one that a quorum has reached, so that other Byzantine validators cannot move it alone.
    fn round(&self) -> Round {
        let mut reached: Vec<_> = self
            .newest
            .iter()
            .copied()
            .zip(self.committee.indexes())
            .collect();
        reached.sort_unstable_by(|a, b| b.cmp(a));
        let mut stake = Stake(0);
        let last = reached.into_iter().find(|(_, author)| {
            stake += self.committee.stake(*author);
            stake >= self.committee.quorum()
        });
        last.map_or(Round(0), |(round, _)| round).next()
    }

    /// The block of the current round. `None` if it was already built, or ancestors are missing.
    pub fn draft(&self, timestamp_ms: TimestampMs) -> Option<Block> {
        let round = self.round();
        if self.previous.round >= round {
            return None;
        }
        let mut ancestors = self.newest_below(round);
        ancestors[0] = self.previous;
        let parents: Stake = (ancestors.iter())
            .filter(|ancestor| ancestor.round.next() == round)
            .map(|parent| self.committee.stake(parent.author))
            .sum();
        (parents >= self.committee.quorum()).then(|| Block {
            epoch: self.committee.epoch(),
            round,
            author: self.own,
            timestamp_ms,
            ancestors,
            transactions: vec![],
            commit_votes: vec![],
            end_of_epoch: false,
        })
    }

    /// The newest block of each author below this round, its own first.
    pub fn newest_below(&self, round: Round) -> Vec<BlockRef> {
        let below = || self.blocks.range(..BlockRef::first_of_round(round)).rev();
        let references = || below().map(|(reference, _)| *reference);
        let own = references().find(|reference| reference.author == self.own);
        let genesis = || Block::genesis(self.committee.epoch(), self.own).reference();
        let mut seen = BTreeSet::from([self.own]);
        let others = references().filter(|reference| seen.insert(reference.author));
        std::iter::once(own.unwrap_or_else(genesis))
            .chain(others)
            .collect()
    }

    /// Records the honest block of a round, which is an ancestor of the next one.
    pub fn made(&mut self, block: &VerifiedBlock) {
        self.previous = block.reference();
        self.keep(block.clone());
    }

    /// The requested blocks that are kept.
    pub fn find(&self, wanted: &[BlockRef]) -> Vec<&VerifiedBlock> {
        let found = wanted.iter().filter_map(|name| self.blocks.get(name));
        found.filter(|block| block.round > Round(0)).collect()
    }

    /// All kept blocks of `author` except genesis, oldest first.
    pub fn blocks_of(
        &self,
        author: AuthorityIndex,
    ) -> impl DoubleEndedIterator<Item = &VerifiedBlock> {
        let blocks = self.blocks.values();
        blocks.filter(move |block| block.author == author && block.round > Round(0))
    }

    pub const fn own(&self) -> AuthorityIndex {
        self.own
    }
}

#[cfg(test)]
mod tests {
    use crate::byzantine::testing::Bench;
    use metanode_core::types::{Round, TimestampMs};

    #[test]
    fn a_block_is_built_once_on_a_quorum_and_verifies() {
        let mut bench = Bench::new();
        let first = bench.make().expect("genesis is known");
        assert_eq!(first.round, Round(1));
        assert!(bench.make().is_none(), "the block of the round exists");
        bench.receive_round(Round(1), 1);
        assert!(bench.make().is_none(), "two of three");
        bench.receive_round(Round(1), 2);
        let second = bench.make().expect("three of four");
        assert_eq!(second.round, Round(2));
        assert_eq!(second.ancestors[0], first.reference());
        assert!(bench.verifies(second.bytes()).is_ok());
    }

    #[test]
    fn missed_rounds_are_skipped() {
        let mut bench = Bench::new();
        for round in 1..=5 {
            bench.receive_round(Round(round), 3);
        }
        let block = bench.make().expect("a quorum of round 5");
        assert_eq!(block.round, Round(6));
        assert_eq!(block.ancestors[0].round, Round(0));
        assert!(bench.verifies(block.bytes()).is_ok());
        assert!(bench.memory.draft(TimestampMs(9)).is_none());
    }
}
