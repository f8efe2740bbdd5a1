//! The logical clock of the DAG: a round is over when a quorum has spoken in it.

use crate::types::{AuthorityIndex, BlockRef, Committee, Round, Stake};
use std::{collections::BTreeSet, sync::Arc};

/// The round that this node may propose for next. Ticks to `r + 1` when accepted blocks of round `r` hold 2f+1 stake,
/// and never back.
pub struct ThresholdClock {
    committee: Arc<Committee>,
    round: Round,
    /// Whose blocks of `round` are accepted, and their stake.
    authors: BTreeSet<AuthorityIndex>,
    stake: Stake,
}

impl ThresholdClock {
    /// At round 1: genesis is everyone's.
    #[must_use]
    pub fn new(committee: Arc<Committee>) -> Self {
        Self {
            committee,
            round: Round(1),
            authors: BTreeSet::new(),
            stake: Stake(0),
        }
    }

    /// Takes note of an accepted block, and returns the new round if that made the clock tick.
    pub fn observe(&mut self, block: &BlockRef) -> Option<Round> {
        let before = self.round;
        // Seen after a jump only: the block's parents are a quorum of the round before it.
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
