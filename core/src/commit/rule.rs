//! The commit rule: the decision rules of Mysticeti (Babel et al., 2023, section 3) with waves of three rounds.
//!
//! A leader block `L` of round `r`
//! - has a **vote** in every block of round `r+1` that names it as an ancestor,
//! - has a **certificate** in every block of round `r+2` with votes of 2f+1 stake for `L` among its ancestors.
//!
//! A block names at most one block of a slot, and honest authorities make one block per round, so at most one of
//! several blocks of an equivocating leader can be certified, as long as at most f stake is faulty.

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
    /// Two blocks of the slot are certified, which more than f faulty stake can bring about. Neither may be chosen, and
    /// nothing after it is decided.
    Conflict {
        slot: LeaderSlot,
        certified: [BlockRef; 2],
    },
}

impl Decision {
    #[must_use]
    pub const fn slot(&self) -> LeaderSlot {
        match self {
            Self::Commit { slot, .. } | Self::Skip { slot, .. } | Self::Conflict { slot, .. } => {
                *slot
            }
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
        self.decide_with(last_decided, &mut Histories::of(dag))
    }

    fn decide_with(
        &self,
        last_decided: LeaderSlot,
        histories: &mut Histories<'_>,
    ) -> Vec<Decision> {
        let dag = histories.dag;
        // From the last slot with a voting round down, because an indirect decision depends on later slots.
        let mut later: Vec<(LeaderSlot, Option<Decision>)> = vec![];
        for slot in self.slots_down_to(last_decided, dag.highest_round().prev()) {
            let decision = self
                .decide_directly(dag, slot)
                .or_else(|| self.decide_indirectly(histories, slot, &later));
            if matches!(decision, Some(Decision::Conflict { .. })) {
                return Vec::from_iter(decision);
            }
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
        let certified = dag.blocks_at_slot(leader_slot).filter(|leader| {
            let votes = Votes::collect(dag, leader);
            let certificates = certifying().filter(|block| votes.certified_by(block));
            votes.reach_quorum() && stake_of_authors(committee, certificates) >= committee.quorum()
        });
        commit_of(slot, certified, true)
    }

    /// Decides by the anchor: the first leader slot after the slot's wave that is not skipped. If another node decides
    /// the slot directly, the history of every possible anchor leads to the same decision, because two quorums share an
    /// honest authority.
    fn decide_indirectly(
        &self,
        histories: &mut Histories<'_>,
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
        let dag = histories.dag;
        let certified = dag.blocks_at_slot(self.block_slot(slot)).filter(|leader| {
            let votes = Votes::collect(dag, leader);
            votes.reach_quorum()
                && (histories.of_anchor(anchor, certifying_round))
                    .any(|block| votes.certified_by(block))
        });
        Some(commit_of(slot, certified, false).unwrap_or(Decision::Skip {
            slot,
            direct: false,
        }))
    }
}

/// The decision on a slot with these certified blocks; `None` if there are none.
fn commit_of<'a>(
    slot: LeaderSlot,
    mut certified: impl Iterator<Item = &'a VerifiedBlock>,
    direct: bool,
) -> Option<Decision> {
    let leader = certified.next()?;
    Some(match certified.next() {
        None => Decision::Commit {
            slot,
            leader: leader.clone(),
            direct,
        },
        Some(twin) => Decision::Conflict {
            slot,
            certified: [leader.reference(), twin.reference()],
        },
    })
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

/// The causal histories of anchors. Each is walked once, from the anchor down, because slots are decided in descending
/// order and mostly by the same anchor as the slot after them.
struct Histories<'a> {
    dag: &'a Dag,
    anchor: Option<BlockRef>,
    /// Blocks of the history down to the round asked for last, and of all rounds below those that they name.
    open: BTreeSet<BlockRef>,
    /// Blocks that were walked through.
    #[cfg(test)]
    walked: usize,
}

impl<'a> Histories<'a> {
    const fn of(dag: &'a Dag) -> Self {
        Self {
            dag,
            anchor: None,
            open: BTreeSet::new(),
            #[cfg(test)]
            walked: 0,
        }
    }

    /// The blocks of `round` in the history of an anchor.
    fn of_anchor(
        &mut self,
        anchor: &VerifiedBlock,
        round: Round,
    ) -> impl Iterator<Item = &'a VerifiedBlock> {
        let reference = anchor.reference();
        let is_passed = self.open.last().is_none_or(|last| last.round < round);
        if self.anchor != Some(reference) || is_passed {
            self.anchor = Some(reference);
            self.open = BTreeSet::from([reference]);
        }
        while let Some(last) = self.open.last().copied().filter(|last| last.round > round) {
            self.open.remove(&last);
            #[cfg(test)]
            {
                self.walked += 1;
            }
            self.open.extend(known(self.dag, &last).ancestors.iter());
        }
        let blocks = self.open.range(BlockRef::first_of_round(round)..);
        let dag = self.dag;
        blocks.map(move |reference| known(dag, reference))
    }
}

/// A block of a history. Above the gc round the DAG is causally complete.
fn known<'a>(dag: &'a Dag, reference: &BlockRef) -> &'a VerifiedBlock {
    let Some(block) = dag.get(reference) else {
        unreachable!("{reference} is above the gc round: the DAG is causally complete there");
    };
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::test_dag::TestDag;

    const NAMES: [char; 4] = ['A', 'B', 'C', 'D'];
    const ROUNDS: usize = 100;

    /// The position in [`NAMES`] of the leader of a round.
    fn leader(test_dag: &TestDag, round: usize) -> usize {
        let schedule = LeaderSchedule::new(test_dag.committee.clone());
        schedule.leader(Round(round as u32), 0).as_usize()
    }

    /// A round in which each author names three blocks of the round before, its own among them: `must` is named by all,
    /// and the leader of the round before by all but `against`.
    fn line(leader: usize, must: usize, against: &[usize]) -> String {
        let author = |own: usize| {
            let mut named = vec![own];
            let wanted = [must, leader, 0, 1, 2, 3];
            for other in wanted {
                let is_against = other == leader && against.contains(&own);
                if named.len() < 3 && !named.contains(&other) && !is_against {
                    named.push(other);
                }
            }
            named.sort_unstable();
            let named: String = named.into_iter().map(|n| NAMES[n]).collect();
            format!("{}:{named}", NAMES[own])
        };
        (0..4).map(author).collect::<Vec<_>>().join(" ")
    }

    fn decide(test_dag: &TestDag) -> (Vec<Decision>, usize) {
        let schedule = LeaderSchedule::new(test_dag.committee.clone());
        let dag = test_dag.dag();
        let mut histories = Histories::of(&dag);
        let decisions =
            CommitRule::new(schedule, 1).decide_with(LeaderSlot::GENESIS, &mut histories);
        (decisions, histories.walked)
    }

    #[test]
    fn the_history_of_an_anchor_is_walked_once_for_all_slots_that_it_decides() {
        let mut test_dag = TestDag::of(4);
        test_dag.full_rounds(2);
        // Every leader has three votes, but all later blocks name the fourth block and so two of them.
        let mut non_voter = leader(&test_dag, 1);
        for round in 3..ROUNDS {
            let (of_votes, next) = (leader(&test_dag, round - 1), leader(&test_dag, round));
            let against = (0..4).find(|n| *n != of_votes && *n != next).unwrap_or(0);
            test_dag.round(&line(of_votes, non_voter, &[against]));
            non_voter = against;
        }
        assert_eq!(decide(&test_dag).1, 0, "undecided without a walk");
        test_dag.full_rounds(5);
        let (decisions, walked) = decide(&test_dag);
        assert!(decisions.len() >= ROUNDS - 5, "{}", decisions.len());
        let indirect = (decisions.iter())
            .filter(|decision| matches!(decision, Decision::Skip { direct: false, .. }));
        assert!(indirect.count() > ROUNDS / 2);
        assert!(walked <= test_dag.blocks.len(), "{walked} blocks");
    }

    #[test]
    fn no_history_is_walked_for_a_leader_that_cannot_be_certified() {
        let mut test_dag = TestDag::of(4);
        test_dag.full_rounds(2);
        for round in 3..ROUNDS {
            let of_votes = leader(&test_dag, round - 1);
            let others: Vec<usize> = (0..4).filter(|n| *n != of_votes).collect();
            test_dag.round(&line(of_votes, others[2], &others[..2]));
        }
        test_dag.full_rounds(5);
        let (decisions, walked) = decide(&test_dag);
        assert!(decisions.len() >= ROUNDS - 5, "{}", decisions.len());
        assert!(walked <= 40, "{walked} blocks");
    }
}
