//! The decision rules of Mysticeti (Babel et al., 2023, section 3), with waves of three rounds.
//!
//! For a leader block of round `r`, a block of `r+1` that names it is a *vote*, and a block of `r+2` that names votes
//! of a quorum is a *certificate*. A *blame* is a block of `r+1` that names no block of the leader's slot.

use super::{committee::Committee, dag::Dag};
use crate::witness::SeenBlock;
use metanode_core::types::{AuthorityIndex, BlockRef, Round};
use std::collections::BTreeMap;

/// Slots are decided in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LeaderSlot {
    pub round: Round,
    /// Position among the leaders of the round.
    pub offset: usize,
}

impl LeaderSlot {
    /// Leaders have parents with timestamps of clocks, so the first ones are of round 2 (contract §7.8).
    pub const FIRST: Self = Self {
        round: Round(2),
        offset: 0,
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Commit(BlockRef),
    Skip,
    /// More blocks are needed.
    Undecided,
}

/// Decides slots of the DAG as it is now.
pub(super) struct Rule<'a> {
    dag: &'a Dag,
    committee: &'a Committee,
    leaders_per_round: u32,
    decisions: BTreeMap<LeaderSlot, Decision>,
}

impl<'a> Rule<'a> {
    pub const fn new(dag: &'a Dag, committee: &'a Committee, leaders_per_round: u32) -> Self {
        Self {
            dag,
            committee,
            leaders_per_round,
            decisions: BTreeMap::new(),
        }
    }

    /// The slot after this one.
    pub fn after(&self, slot: LeaderSlot) -> LeaderSlot {
        let offset = slot.offset + 1;
        if offset < self.leaders(slot.round).len() {
            return LeaderSlot { offset, ..slot };
        }
        LeaderSlot {
            round: slot.round.next(),
            offset: 0,
        }
    }

    pub fn decide(&mut self, slot: LeaderSlot) -> Decision {
        if let Some(decision) = self.decisions.get(&slot) {
            return *decision;
        }
        let decision = match self.decide_directly(slot) {
            Decision::Undecided => self.decide_by_anchor(slot),
            decided => decided,
        };
        self.decisions.insert(slot, decision);
        decision
    }

    /// By a quorum of certificates or of blames.
    fn decide_directly(&self, slot: LeaderSlot) -> Decision {
        let Some(leader) = self.leader(slot) else {
            return Decision::Undecided;
        };
        let (voting, certifying) = (slot.round.next(), slot.round.next().next());
        let may_certify = self.is_quorum(self.dag.round(certifying));
        let leaders = self.dag.slot(slot.round, leader);
        for block in leaders.filter(|_| may_certify) {
            let certificates =
                (self.dag.round(certifying)).filter(|b| self.is_certificate(b, &block.reference));
            if self.is_quorum(certificates) {
                return Decision::Commit(block.reference);
            }
        }
        let blames = (self.dag.round(voting)).filter(|b| !names_slot(b, slot.round, leader));
        if self.is_quorum(blames) {
            return Decision::Skip;
        }
        Decision::Undecided
    }

    /// By the anchor, the first slot after the wave that is not skipped: whether its history contains a certificate.
    fn decide_by_anchor(&mut self, slot: LeaderSlot) -> Decision {
        let certifying = slot.round.next().next();
        let mut anchor = LeaderSlot {
            round: certifying.next(),
            offset: 0,
        };
        while anchor.round <= self.dag.highest_round() {
            match self.decide(anchor) {
                Decision::Skip => anchor = self.after(anchor),
                Decision::Undecided => return Decision::Undecided,
                Decision::Commit(anchor) => return self.certified_in(slot, anchor),
            }
        }
        Decision::Undecided
    }

    fn certified_in(&self, slot: LeaderSlot, anchor: BlockRef) -> Decision {
        let certifying = slot.round.next().next();
        let history = self.dag.history(anchor, slot.round.next(), |_| false);
        let history = history.iter().filter(|name| name.round == certifying);
        let history: Vec<_> = history.filter_map(|name| self.dag.get(name)).collect();
        let leader = self.leader(slot);
        let of_slot = leader.into_iter();
        of_slot
            .flat_map(|leader| self.dag.slot(slot.round, leader))
            .map(|block| block.reference)
            .find(|block| history.iter().any(|b| self.is_certificate(b, block)))
            .map_or(Decision::Skip, Decision::Commit)
    }

    fn is_certificate(&self, block: &SeenBlock, leader: &BlockRef) -> bool {
        let is_vote = |ancestor: &&BlockRef| {
            let vote = self.dag.get(ancestor);
            ancestor.round == leader.round.next()
                && vote.is_some_and(|vote| vote.ancestors.contains(leader))
        };
        let votes = block.ancestors.iter().filter(is_vote);
        self.committee.is_quorum(votes.map(|vote| vote.author))
    }

    fn is_quorum<'b>(&self, blocks: impl Iterator<Item = &'b std::sync::Arc<SeenBlock>>) -> bool {
        let authors = blocks.map(|block| block.reference.author);
        self.committee.is_quorum(authors)
    }

    fn leader(&self, slot: LeaderSlot) -> Option<AuthorityIndex> {
        self.leaders(slot.round).get(slot.offset).copied()
    }

    fn leaders(&self, round: Round) -> Vec<AuthorityIndex> {
        self.committee.leaders(round, self.leaders_per_round)
    }
}

fn names_slot(block: &SeenBlock, round: Round, author: AuthorityIndex) -> bool {
    let mut ancestors = block.ancestors.iter();
    ancestors.any(|ancestor| (ancestor.round, ancestor.author) == (round, author))
}
