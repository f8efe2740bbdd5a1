//! The threshold clock: the round advances when a quorum has blocks in it.

use crate::types::{AuthorityIndex, BlockRef, Committee, Round, Stake};
use std::{collections::BTreeSet, sync::Arc};

/// The round in which this node may propose next. Advances to `r + 1` when the authors of accepted blocks of round `r`
/// have 2f+1 stake, and never decreases.
pub(crate) struct ThresholdClock {
    committee: Arc<Committee>,
    round: Round,
    /// The authors of accepted blocks of `round`, and their stake.
    authors: BTreeSet<AuthorityIndex>,
    stake: Stake,
}

impl ThresholdClock {
    /// Starts in round 1: all authorities have a genesis block.
    #[must_use]
    pub fn new(committee: Arc<Committee>) -> Self {
        Self {
            committee,
            round: Round(1),
            authors: BTreeSet::new(),
            stake: Stake(0),
        }
    }

    /// Counts an accepted block. Returns the new round if the clock advanced.
    pub fn observe(&mut self, block: &BlockRef) -> Option<Round> {
        let before = self.round;
        // Occurs only after a gap: the block's parents are a quorum of the previous round.
        if block.round > self.round {
            self.start(block.round);
        }
        if block.round == self.round && self.authors.insert(block.author) {
            self.stake += self.committee.stake(block.author);
            if self.stake >= self.committee.quorum() {
                self.start(self.round.next());
            }
        }
        (self.round > before).then_some(self.round)
    }

    #[must_use]
    pub const fn round(&self) -> Round {
        self.round
    }

    fn start(&mut self, round: Round) {
        self.round = round;
        self.authors.clear();
        self.stake = Stake(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::test_dag::TestDag;

    #[test]
    fn the_clock_advances_when_a_quorum_of_authorities_has_blocks_in_its_round() {
        let mut test_dag = TestDag::of(4);
        test_dag.round("A A B C D").full_rounds(1);
        let mut clock = ThresholdClock::new(test_dag.committee.clone());
        let mut observe = |name| clock.observe(&test_dag.get(name).reference());
        assert_eq!(observe("A1"), None);
        assert_eq!(observe("A1'"), None, "an authority counts once");
        assert_eq!(observe("B1"), None);
        assert_eq!(observe("C1"), Some(Round(2)));
        assert_eq!(observe("D1"), None, "late");
        assert_eq!(observe("A2"), None);
        assert_eq!(clock.round(), Round(2));
    }

    #[test]
    fn a_block_of_a_later_round_advances_the_clock_to_it() {
        let mut test_dag = TestDag::of(4);
        test_dag.full_rounds(5);
        let mut clock = ThresholdClock::new(test_dag.committee.clone());
        let mut observe = |name| clock.observe(&test_dag.get(name).reference());
        assert_eq!(observe("A1"), None);
        assert_eq!(observe("A5"), Some(Round(5)));
        assert_eq!(observe("B1"), None);
        assert_eq!(observe("B5"), None);
        assert_eq!(observe("C5"), Some(Round(6)));
    }
}
