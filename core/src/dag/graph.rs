//! The blocks of one epoch above the garbage collection round, with marks of the committed ones.

use super::bug_switches;
use crate::types::{AuthorityIndex, Block, BlockRef, Committee, Round, Slot, VerifiedBlock};
use std::{collections::VecDeque, sync::Arc};

/// The in-memory DAG of one epoch. Rounds at or below [`Dag::gc_round`] are dropped; above it every block has all its
/// ancestors.
pub(crate) struct Dag {
    committee: Arc<Committee>,
    gc_depth: u32,
    gc_round: Round,
    /// The round of `rows[0]`.
    first: Round,
    rows: VecDeque<Row>,
    highest: Round,
    newest: Vec<VerifiedBlock>,
}

/// One round, by author; blocks of one equivocating author in the order of their arrival.
type Row = Vec<Entry>;

struct Entry {
    reference: BlockRef,
    /// `None` while only the mark is known: between the recovery of commits and that of blocks.
    block: Option<VerifiedBlock>,
    committed: bool,
}

impl Dag {
    /// The minimum of `gc_depth`: the parents of a leader must be present after the previous commit, which may have a
    /// leader of the same round.
    pub const MIN_GC_DEPTH: u32 = 2;

    /// A DAG with the genesis blocks.
    ///
    /// `gc_depth`: blocks this many rounds or more below a committed leader are left out of its commit and of all later
    /// ones. All nodes must use the same depth, at least [`Dag::MIN_GC_DEPTH`].
    #[must_use]
    pub fn new(committee: Arc<Committee>, gc_depth: u32) -> Self {
        assert!(
            gc_depth >= Self::MIN_GC_DEPTH,
            "gc_depth is {gc_depth} rounds, expected at least {}",
            Self::MIN_GC_DEPTH
        );
        let genesis: Vec<_> = committee
            .indexes()
            .map(|author| Block::genesis(committee.epoch(), author))
            .collect();
        let row = genesis
            .iter()
            .map(|block| Entry {
                reference: block.reference(),
                block: Some(block.clone()),
                committed: false,
            })
            .collect();
        Self {
            committee,
            gc_depth,
            gc_round: Round(0),
            first: Round(0),
            rows: VecDeque::from([row]),
            highest: Round(0),
            newest: genesis,
        }
    }

    #[must_use]
    pub fn committee(&self) -> &Arc<Committee> {
        &self.committee
    }

    /// Inserts a block whose ancestors are all [available](Dag::is_available). Inserting a block again has no effect; a
    /// block at or below the gc round only updates the author's newest block.
    pub fn insert(&mut self, block: VerifiedBlock) {
        debug_assert!(
            block.ancestors.iter().all(|a| self.is_available(a)),
            "{block:?} was inserted before its ancestors"
        );
        let newest = &mut self.newest[block.author.as_usize()];
        if block.round > newest.round {
            *newest = block.clone();
        }
        self.highest = self.highest.max(block.round);
        if let Some(entry) = self.entry_mut(&block.reference()) {
            entry.block.get_or_insert(block);
        }
    }

    /// Whether the DAG contains the block.
    #[must_use]
    pub fn contains(&self, reference: &BlockRef) -> bool {
        self.get(reference).is_some()
    }

    /// Whether the DAG contains the block or it is at or below the gc round, so that it may be an ancestor.
    #[must_use]
    pub fn is_available(&self, reference: &BlockRef) -> bool {
        reference.round <= self.gc_round || self.contains(reference)
    }

    #[must_use]
    pub fn get(&self, reference: &BlockRef) -> Option<&VerifiedBlock> {
        self.entry(reference)?.block.as_ref()
    }

    /// All blocks of a round, by author.
    pub fn blocks_at_round(&self, round: Round) -> impl Iterator<Item = &VerifiedBlock> {
        self.row(round).iter().filter_map(|e| e.block.as_ref())
    }

    /// The blocks of one slot in the order of their arrival; more than one if the author equivocated.
    pub fn blocks_at_slot(&self, slot: Slot) -> impl Iterator<Item = &VerifiedBlock> {
        self.slot(slot).iter().filter_map(|e| e.block.as_ref())
    }

    /// The highest round of all blocks that were inserted.
    #[must_use]
    pub const fn highest_round(&self) -> Round {
        self.highest
    }

    /// The block of `author` with the highest round, or its genesis block. It is not garbage collected. Of several
    /// blocks of one round it is the first that arrived, which may differ between nodes.
    ///
    /// `author` must be in the committee.
    #[must_use]
    pub fn newest_of(&self, author: AuthorityIndex) -> &VerifiedBlock {
        &self.newest[author.as_usize()]
    }

    /// Blocks at or below this round are dropped and count as available. 0 during the first `gc_depth` rounds.
    #[must_use]
    pub const fn gc_round(&self) -> Round {
        self.gc_round
    }

    /// The highest round that a commit with a leader of this round leaves out: `leader − gc_depth`, at least 0.
    #[must_use]
    pub const fn gc_round_for(&self, leader: Round) -> Round {
        Round(leader.0.saturating_sub(self.gc_depth))
    }

    /// Drops the rounds that neither the commit with a leader of this round nor a later one can contain. Each author's
    /// newest block is kept.
    pub fn advance_gc(&mut self, leader: Round) {
        let gc_round = self.gc_round_for(leader);
        if gc_round <= self.gc_round {
            return;
        }
        self.gc_round = gc_round;
        let collected = bug_switches::collected(gc_round.next().0 - self.first.0);
        self.rows.drain(..self.rows.len().min(collected as usize));
        self.first = Round(self.first.0 + collected);
    }

    /// Marks a block as committed and returns whether the mark is new. It may be set before the block is inserted; at
    /// or below the gc round it has no effect.
    pub fn mark_committed(&mut self, reference: &BlockRef) -> bool {
        self.entry_mut(reference)
            .is_some_and(|entry| !std::mem::replace(&mut entry.committed, true))
    }

    /// Whether a commit contains this block. Always `false` at or below the gc round.
    #[must_use]
    pub fn is_committed(&self, reference: &BlockRef) -> bool {
        self.entry(reference).is_some_and(|entry| entry.committed)
    }

    fn row(&self, round: Round) -> &[Entry] {
        round
            .0
            .checked_sub(self.first.0)
            .and_then(|distance| self.rows.get(distance as usize))
            .map_or(&[], Vec::as_slice)
    }

    fn slot(&self, slot: Slot) -> &[Entry] {
        let row = self.row(slot.round);
        let start = row.partition_point(|e| e.reference.author < slot.author);
        let len = row[start..].partition_point(|e| e.reference.author == slot.author);
        &row[start..start + len]
    }

    fn entry(&self, reference: &BlockRef) -> Option<&Entry> {
        self.slot(reference.slot())
            .iter()
            .find(|entry| entry.reference == *reference)
    }

    /// The entry of this reference, created if absent. `None` at or below the gc round.
    fn entry_mut(&mut self, reference: &BlockRef) -> Option<&mut Entry> {
        let distance = reference.round.0.checked_sub(self.first.0)? as usize;
        if distance >= self.rows.len() {
            self.rows.resize_with(distance + 1, Row::new);
        }
        let row = &mut self.rows[distance];
        let known = row.iter().position(|e| e.reference == *reference);
        let index = known.unwrap_or_else(|| {
            let end = row.partition_point(|e| e.reference.author <= reference.author);
            row.insert(
                end,
                Entry {
                    reference: *reference,
                    block: None,
                    committed: false,
                },
            );
            end
        });
        row.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::test_dag::TestDag;

    fn refs<'a>(blocks: impl Iterator<Item = &'a VerifiedBlock>) -> Vec<BlockRef> {
        blocks.map(VerifiedBlock::reference).collect()
    }

    #[test]
    fn blocks_of_a_round_are_ordered_by_author_then_arrival() {
        let mut test_dag = TestDag::of(4);
        test_dag.round("D B B A");
        let dag = test_dag.dag();
        let expected = ["A1", "B1", "B1'", "D1"].map(|name| test_dag.get(name).reference());
        assert_eq!(refs(dag.blocks_at_round(Round(1))), expected);
        assert_eq!(refs(dag.blocks_at_slot(expected[1].slot())), expected[1..3]);
        assert_eq!(dag.newest_of(AuthorityIndex(1)), &test_dag.get("B1"));
        assert_eq!(dag.newest_of(AuthorityIndex(2)).round, Round(0));
        assert_eq!(dag.highest_round(), Round(1));
    }

    #[test]
    fn garbage_collection_keeps_the_newest_block_of_each_author() {
        let mut test_dag = TestDag::of(4);
        test_dag
            .full_rounds(1)
            .round("A B C")
            .round("A B C")
            .round("A B C");
        let mut dag = Dag::new(test_dag.committee.clone(), 2);
        for block in &test_dag.blocks {
            dag.insert(block.clone());
        }
        dag.advance_gc(Round(2));
        assert_eq!(dag.gc_round(), Round(0));
        assert_eq!(
            dag.blocks_at_round(Round(0)).count(),
            4,
            "genesis is not available"
        );

        dag.advance_gc(Round(3));
        dag.advance_gc(Round(2));
        assert_eq!(dag.gc_round(), Round(1), "the gc round decreased");
        let collected = test_dag.get("D1").reference();
        assert!(!dag.contains(&collected) && dag.is_available(&collected));
        assert_eq!(dag.newest_of(AuthorityIndex(3)), &test_dag.get("D1"));
        assert!(dag.contains(&test_dag.get("A2").reference()));
    }

    #[test]
    fn a_block_may_be_marked_before_it_is_inserted() {
        let mut test_dag = TestDag::of(4);
        test_dag.full_rounds(1);
        let mut dag = Dag::new(test_dag.committee.clone(), 2);
        let block = test_dag.get("A1");
        assert!(dag.mark_committed(&block.reference()));
        assert!(!dag.mark_committed(&block.reference()), "not new");
        assert!(!dag.contains(&block.reference()));
        dag.insert(block.clone());
        assert!(dag.contains(&block.reference()) && dag.is_committed(&block.reference()));
        assert!(!dag.is_committed(&test_dag.get("B1").reference()));
    }
}
