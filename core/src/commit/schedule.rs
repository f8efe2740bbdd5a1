//! The leader schedule.

use super::bug_switches;
use crate::types::{AuthorityIndex, Committee, Round};
use std::{fmt, sync::Arc};
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// A leader slot, ordered as leaders are decided: by round, then by offset among the leaders of the round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LeaderSlot {
    pub round: Round,
    pub offset: u32,
}

impl LeaderSlot {
    /// Precedes all slots that are decided: the genesis round has no leaders.
    pub const GENESIS: Self = Self {
        round: Round(0),
        offset: 0,
    };
}

impl fmt::Display for LeaderSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "L{}.{}", self.round, self.offset)
    }
}

/// Draws the leaders of each round by stake, without replacement: a function of the committee, the same on every node.
#[derive(Clone)]
pub(crate) struct LeaderSchedule {
    committee: Arc<Committee>,
}

impl LeaderSchedule {
    #[must_use]
    pub const fn new(committee: Arc<Committee>) -> Self {
        Self { committee }
    }

    #[must_use]
    pub fn committee(&self) -> &Committee {
        &self.committee
    }

    /// The leader at `offset` of `round`. Different offsets of one round have different leaders.
    ///
    /// `offset` must be below the size of the committee.
    #[must_use]
    pub fn leader(&self, round: Round, offset: u32) -> AuthorityIndex {
        let mut key = [0; 12];
        key[..8].copy_from_slice(&self.committee.epoch().0.to_le_bytes());
        key[8..].copy_from_slice(&round.0.to_le_bytes());
        let mut remaining = self.committee.total_stake().0;
        let mut drawn = Vec::with_capacity(offset as usize);
        loop {
            // The draw must be uniform but not unpredictable. It has 128 bits and the stake at most 64, so the bias of
            // the remainder is below 2^-64.
            let draw = xxh3_128_with_seed(&key, drawn.len() as u64);
            #[allow(clippy::cast_possible_truncation)] // a remainder of a u64
            let mut ticket = (draw % u128::from(remaining)) as u64;
            let leader = self
                .committee
                .authorities()
                .filter(|(index, _)| !drawn.contains(index))
                .find_map(|(index, authority)| {
                    let stake = authority.stake.0;
                    let hit = ticket < stake;
                    ticket = ticket.saturating_sub(stake);
                    hit.then_some((index, stake))
                });
            let Some((leader, stake)) = leader else {
                unreachable!(
                    "a draw below the remaining stake is within the stake of an authority"
                );
            };
            if drawn.len() == offset as usize {
                return bug_switches::leader(leader, &self.committee);
            }
            drawn.push(leader);
            remaining -= stake;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dag::test_dag::TestDag, types::Epoch};
    use std::collections::BTreeSet;

    fn schedule(epoch: u64, stakes: &[u64]) -> LeaderSchedule {
        LeaderSchedule::new(TestDag::with_stakes(Epoch(epoch), stakes).committee)
    }

    #[test]
    fn the_leaders_of_a_round_are_distinct() {
        let schedule = schedule(0, &[1, 5, 1, 300, 2]);
        for round in (1..200).map(Round) {
            let leaders: BTreeSet<_> = (0..5)
                .map(|offset| schedule.leader(round, offset))
                .collect();
            assert_eq!(leaders.len(), 5);
        }
    }

    #[test]
    fn authorities_lead_in_proportion_to_their_stake() {
        let schedule = schedule(0, &[1, 2, 3, 4]);
        let mut led = [0; 4];
        for round in (0..10_000).map(Round) {
            led[schedule.leader(round, 0).as_usize()] += 1;
        }
        for (count, expected) in led.into_iter().zip([1000, 2000, 3000, 4000]) {
            assert!(i32::abs(count - expected) < 200, "{led:?}");
        }
    }

    #[test]
    fn epochs_have_different_schedules() {
        let leaders = |epoch| {
            let schedule = schedule(epoch, &[1; 4]);
            (1..50)
                .map(|round| schedule.leader(Round(round), 0))
                .collect::<Vec<_>>()
        };
        assert_eq!(leaders(3), leaders(3));
        assert_ne!(leaders(3), leaders(4));
    }
}
