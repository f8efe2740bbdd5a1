//! The blocks of one epoch above its gc round: accepted ones, with all their ancestors, and those that wait.
//!
//! # Memory
//! What lies at or below the gc round is dropped. Of one author at most [`MOST_WAITING`] blocks wait, more are ignored.
//! Nothing that matters is lost by that: a node that accepts a block stores it after its ancestors, so the block is
//! seen again then and needs not wait. Accepted blocks of one slot are not limited, because which of them honest nodes
//! have accepted is not known.

use crate::witness::SeenBlock;
use metanode_core::types::{AuthorityIndex, BlockRef, Round};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Blocks of one author that wait, at most.
const MOST_WAITING: usize = 256;

#[derive(Default)]
pub(super) struct Dag {
    /// Blocks of this round and below are in no later commit. Genesis at first: nothing depends on its blocks.
    gc_round: Round,
    /// Of each round in the order of their names.
    accepted: BTreeMap<Round, Vec<(BlockRef, Arc<SeenBlock>)>>,
    /// By one of the ancestors that each lacks.
    waiting: BTreeMap<BlockRef, Vec<Arc<SeenBlock>>>,
    names_of_waiting: BTreeSet<BlockRef>,
}

impl Dag {
    /// Accepts a valid block if all its ancestors above the gc round are accepted; otherwise it waits. Returns the
    /// blocks that waited for it, to be added again. `None` if it is not accepted now.
    pub fn add(&mut self, block: &Arc<SeenBlock>) -> Option<Vec<Arc<SeenBlock>>> {
        let name = block.reference;
        if name.round <= self.gc_round
            || self.get(&name).is_some()
            || self.names_of_waiting.contains(&name)
        {
            return None;
        }
        let mut ancestors = block.ancestors.iter();
        if let Some(lacking) = ancestors.find(|ancestor| !self.is_available(ancestor)) {
            let of_author = |waiting: &&BlockRef| waiting.author == name.author;
            if self.names_of_waiting.iter().filter(of_author).count() < MOST_WAITING {
                self.names_of_waiting.insert(name);
                self.waiting
                    .entry(*lacking)
                    .or_default()
                    .push(block.clone());
            }
            return None;
        }
        let of_round = self.accepted.entry(name.round).or_default();
        let position = of_round.partition_point(|(before, _)| *before < name);
        of_round.insert(position, (name, block.clone()));
        let waited = self.waiting.remove(&name).unwrap_or_default();
        Some(self.woken(waited))
    }

    /// Raises the gc round. Returns the blocks that waited for what is at or below it, to be added again.
    pub fn collect(&mut self, gc_round: Round) -> Vec<Arc<SeenBlock>> {
        if gc_round <= self.gc_round {
            return vec![];
        }
        self.gc_round = gc_round;
        self.accepted = self.accepted.split_off(&gc_round.next());
        let first = BlockRef::first_of_round(gc_round.next());
        let still_waiting = self.waiting.split_off(&first);
        let waited = std::mem::replace(&mut self.waiting, still_waiting);
        self.woken(waited.into_values().flatten().collect())
    }

    fn woken(&mut self, blocks: Vec<Arc<SeenBlock>>) -> Vec<Arc<SeenBlock>> {
        for block in &blocks {
            self.names_of_waiting.remove(&block.reference);
        }
        blocks
    }

    fn is_available(&self, block: &BlockRef) -> bool {
        block.round <= self.gc_round || self.get(block).is_some()
    }

    pub fn get(&self, block: &BlockRef) -> Option<&Arc<SeenBlock>> {
        let of_round = self.accepted.get(&block.round)?;
        let position = of_round.binary_search_by_key(block, |(name, _)| *name);
        position.ok().map(|position| &of_round[position].1)
    }

    /// The accepted blocks of a round, in the order of their names.
    pub fn round(&self, round: Round) -> impl Iterator<Item = &Arc<SeenBlock>> {
        let of_round = self.accepted.get(&round).into_iter().flatten();
        of_round.map(|(_, block)| block)
    }

    /// The accepted blocks of a slot: several if its author equivocates.
    pub fn slot(
        &self,
        round: Round,
        author: AuthorityIndex,
    ) -> impl Iterator<Item = &Arc<SeenBlock>> {
        self.round(round)
            .filter(move |block| block.reference.author == author)
    }

    /// The highest round with an accepted block.
    pub fn highest_round(&self) -> Round {
        let last = self.accepted.last_key_value();
        last.map_or(self.gc_round, |(round, _)| *round)
    }

    /// A block with all its ancestors, direct or not, of rounds above `above` that are reached without one that is
    /// `left_out`. In the order of their names.
    pub fn history(
        &self,
        of: BlockRef,
        above: Round,
        left_out: impl Fn(&BlockRef) -> bool,
    ) -> BTreeSet<BlockRef> {
        let mut history = BTreeSet::from([of]);
        let mut open = vec![of];
        while let Some(name) = open.pop() {
            for ancestor in self.get(&name).iter().flat_map(|block| &block.ancestors) {
                let belongs = ancestor.round > above && !left_out(ancestor);
                if belongs && history.insert(*ancestor) {
                    open.push(*ancestor);
                }
            }
        }
        history
    }
}

#[cfg(test)]
impl Dag {
    /// How many blocks are accepted and how many wait.
    pub fn sizes(&self) -> (usize, usize) {
        let waiting = self.waiting.values().map(Vec::len).sum();
        assert_eq!(waiting, self.names_of_waiting.len());
        (self.accepted.values().map(Vec::len).sum(), waiting)
    }
}
