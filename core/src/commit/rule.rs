//! The commit rule: the decision rules of Mysticeti (Babel et al., 2023, section 3) with waves of three rounds.
//!
//! A leader block `L` of round `r`
//! - has a **vote** in every block of round `r+1` that names it as an ancestor,
//! - has a **certificate** in every block of round `r+2` with votes of 2f+1 stake for `L` among its ancestors.
//!
//! A block names at most one block of a slot, and honest authorities make one block per round, so at most one of
//! several blocks of an equivocating leader can be certified.

use super::{LeaderSchedule, LeaderSlot};
use crate::{
    dag::Dag,
    types::{BlockRef, Committee, Round, Slot, Stake, VerifiedBlock},
};
use std::collections::BTreeSet;

/// The decision on a leader slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Commit {
        slot: LeaderSlot,
        leader: VerifiedBlock,
        /// Decided by the slot's own wave, not by the anchor.
        direct: bool,
    },
    Skip {
        slot: LeaderSlot,
        direct: bool,
    },
}

impl Decision {
    #[must_use]
    pub const fn slot(&self) -> LeaderSlot {
        match self {
            Self::Commit { slot, .. } | Self::Skip { slot, .. } => *slot,
        }
    }
}

/// The first round with leaders. The timestamp of a commit is the median of those of its leader's parents (contract
/// §7); the parents of a block of round 1 are genesis blocks, whose timestamps are not from clocks.
pub(super) const FIRST_LEADER_ROUND: Round = Round(2);

/// Decides leader slots.
#[derive(Clone)]
pub(crate) struct CommitRule {
    schedule: LeaderSchedule,
    leaders_per_round: u32,
}

impl CommitRule {
    /// `leaders_per_round` is clamped to `1..=committee size`.
    #[must_use]
    pub fn new(schedule: LeaderSchedule, leaders_per_round: u32) -> Self {
        let size = u32::try_from(schedule.committee().size()).unwrap_or(u32::MAX);
        Self {
            schedule,
            leaders_per_round: leaders_per_round.clamp(1, size),
        }
    }

    /// The decisions on the slots after `last_decided`, in order, up to the first undecided slot.
    #[must_use]
    pub fn decide(&self, dag: &Dag, last_decided: LeaderSlot) -> Vec<Decision> {
        // From the last slot with a voting round down, because an indirect decision depends on later slots.
        let mut later: Vec<(LeaderSlot, Option<Decision>)> = vec![];
        for slot in self.slots_down_to(last_decided, dag.highest_round().prev()) {
            let decision = self
                .decide_directly(dag, slot)
                .or_else(|| self.decide_indirectly(dag, slot, &later));
            later.push((slot, decision));
        }
        later
            .into_iter()
            .rev()
            .map_while(|(_, decision)| decision)
            .collect()
    }

    /// The leader slot of this block, if its author is a leader of its round.
    #[must_use]
    pub fn slot_led_by(&self, block: &BlockRef) -> Option<LeaderSlot> {
        self.leaders(block.round)
            .zip(0..)
            .find(|(leader, _)| leader.author == block.author)
            .map(|(_, offset)| LeaderSlot {
                round: block.round,
                offset,
            })
    }

    /// The slots of rounds up to `top` after `last_decided`, in descending order.
    fn slots_down_to(
        &self,
        last_decided: LeaderSlot,
        top: Round,
    ) -> impl Iterator<Item = LeaderSlot> {
        let bottom = last_decided.round.max(FIRST_LEADER_ROUND);
        (bottom.0..=top.0)
            .rev()
            .flat_map(|round| {
                (0..self.leaders_per_round)
                    .rev()
                    .map(move |offset| LeaderSlot {
                        round: Round(round),
                        offset,
                    })
            })
            .take_while(move |slot| *slot > last_decided)
    }

    /// The slots of the blocks of a round's leaders, by offset. Empty before [`FIRST_LEADER_ROUND`].
    pub fn leaders(&self, round: Round) -> impl Iterator<Item = Slot> {
        let leaders = match round >= FIRST_LEADER_ROUND {
            true => self.leaders_per_round,
            false => 0,
        };
        (0..leaders).map(move |offset| self.block_slot(LeaderSlot { round, offset }))
    }

    /// The slot of the block of the leader of `slot`.
    #[must_use]
    pub fn block_slot(&self, slot: LeaderSlot) -> Slot {
        Slot {
            round: slot.round,
            author: self.schedule.leader(slot.round, slot.offset),
        }
    }

    fn decide_directly(&self, dag: &Dag, slot: LeaderSlot) -> Option<Decision> {
        let committee = dag.committee();
        let leader_slot = self.block_slot(slot);
        let blaming = dag
            .blocks_at_round(slot.round.next())
            .filter(|block| block.ancestors.iter().all(|a| a.slot() != leader_slot));
        if stake_of_authors(committee, blaming) >= committee.quorum() {
            return Some(Decision::Skip { slot, direct: true });
        }
        let certifying = || dag.blocks_at_round(slot.round.next().next());
        if stake_of_authors(committee, certifying()) < committee.quorum() {
            return None;
        }
        dag.blocks_at_slot(leader_slot)
            .find(|leader| {
                let votes = Votes::collect(dag, leader);
                let certificates = certifying().filter(|block| votes.certified_by(block));
                votes.reach_quorum()
                    && stake_of_authors(committee, certificates) >= committee.quorum()
            })
            .map(|leader| Decision::Commit {
                slot,
                leader: leader.clone(),
                direct: true,
            })
    }

    /// Decides by the anchor: the first leader slot after the slot's wave that is not skipped. If another node decides
    /// the slot directly, the history of every possible anchor leads to the same decision, because two quorums share an
    /// honest authority.
    fn decide_indirectly(
        &self,
        dag: &Dag,
        slot: LeaderSlot,
        later: &[(LeaderSlot, Option<Decision>)],
    ) -> Option<Decision> {
        let certifying_round = slot.round.next().next();
        let anchor = later
            .iter()
            .rev()
            .skip_while(|(after, _)| after.round <= certifying_round)
            .map(|(_, decision)| decision)
            .find(|decision| !matches!(decision, Some(Decision::Skip { .. })))?;
        let Some(Decision::Commit { leader: anchor, .. }) = anchor else {
            return None;
        };
        let history = history_at(dag, anchor, certifying_round);
        let certified = dag.blocks_at_slot(self.block_slot(slot)).find(|leader| {
            let votes = Votes::collect(dag, leader);
            votes.reach_quorum() && history.iter().any(|block| votes.certified_by(block))
        });
        Some(match certified {
            Some(leader) => Decision::Commit {
                slot,
                leader: leader.clone(),
                direct: false,
            },
            None => Decision::Skip {
                slot,
                direct: false,
            },
        })
    }
}

/// The known votes for one leader block.
struct Votes<'a> {
    committee: &'a Committee,
    /// Sorted.
    voters: Vec<BlockRef>,
    stake: Stake,
}

impl<'a> Votes<'a> {
    fn collect(dag: &'a Dag, leader: &VerifiedBlock) -> Self {
        let committee = dag.committee();
        let leader = leader.reference();
        let votes = || {
            dag.blocks_at_round(leader.round.next())
                .filter(|block| block.ancestors.contains(&leader))
        };
        let mut voters: Vec<_> = votes().map(VerifiedBlock::reference).collect();
        voters.sort_unstable();
        Self {
            committee,
            voters,
            stake: stake_of_authors(committee, votes()),
        }
    }

    /// Whether a certificate can exist.
    fn reach_quorum(&self) -> bool {
        self.stake >= self.committee.quorum()
    }

    /// Whether this block of round `r+2` is a certificate. A block has at most one ancestor of each authority, so no
    /// authority counts twice.
    fn certified_by(&self, block: &VerifiedBlock) -> bool {
        let stake: Stake = block
            .ancestors
            .iter()
            .filter(|ancestor| self.voters.binary_search(ancestor).is_ok())
            .map(|vote| self.committee.stake(vote.author))
            .sum();
        stake >= self.committee.quorum()
    }
}

/// The stake of the authors of these blocks of one round, each author counted once. The blocks must be ordered by
/// author.
fn stake_of_authors<'a>(
    committee: &Committee,
    blocks: impl Iterator<Item = &'a VerifiedBlock>,
) -> Stake {
    let mut stake = Stake(0);
    let mut last = None;
    for block in blocks {
        if last.replace(block.author) != Some(block.author) {
            stake += committee.stake(block.author);
        }
    }
    stake
}

/// The blocks of `round` in the causal history of a later block.
fn history_at<'a>(dag: &'a Dag, from: &VerifiedBlock, round: Round) -> Vec<&'a VerifiedBlock> {
    let mut found = vec![];
    let mut open = BTreeSet::from([from.reference()]);
    while let Some(reference) = open.pop_last() {
        let Some(block) = dag.get(&reference) else {
            unreachable!("{reference} is above the gc round: the DAG is causally complete there");
        };
        if block.round == round {
            found.push(block);
        } else {
            open.extend(block.ancestors.iter().filter(|a| a.round >= round));
        }
    }
    found
}
