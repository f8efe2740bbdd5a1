//! The committee of one epoch: the order of its members, what a quorum is, and who leads each round.

use crate::witness::Member;
use metanode_core::types::{AuthorityIndex, Epoch, Round};
use xxhash_rust::xxh3::xxh3_128_with_seed;

pub(super) struct Committee {
    epoch: Epoch,
    /// In the order of their indexes.
    members: Vec<Member>,
}

impl Committee {
    /// The order of authority keys defines the indexes (contract §7.4).
    pub fn new(epoch: Epoch, mut members: Vec<Member>) -> Self {
        members.sort_by(|a, b| a.authority_key.cmp(&b.authority_key));
        Self { epoch, members }
    }

    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// All members, in the order of their indexes.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    pub fn member(&self, index: AuthorityIndex) -> Option<&Member> {
        self.members.get(index.as_usize())
    }

    /// The stake of an authority, 0 if it does not exist.
    pub fn stake(&self, index: AuthorityIndex) -> u128 {
        self.member(index)
            .map_or(0, |member| u128::from(member.stake))
    }

    /// Whether these authorities, each counted once, have more than two thirds of the stake.
    pub fn is_quorum(&self, authors: impl IntoIterator<Item = AuthorityIndex>) -> bool {
        let mut authors: Vec<_> = authors.into_iter().collect();
        authors.sort_unstable();
        authors.dedup();
        let stake: u128 = authors.into_iter().map(|author| self.stake(author)).sum();
        let total: u128 = self.indexes().map(|index| self.stake(index)).sum();
        stake > total * 2 / 3
    }

    /// The leaders of a round, by offset (contract §13.1).
    pub fn leaders(&self, round: Round, leaders_per_round: u32) -> Vec<AuthorityIndex> {
        let drawn_from = [&self.epoch.0.to_le_bytes()[..], &round.0.to_le_bytes()[..]].concat();
        let mut candidates: Vec<_> = self.indexes().collect();
        let mut leaders = vec![];
        for offset in 0..u64::from(leaders_per_round.max(1)) {
            let remaining: u128 = candidates.iter().map(|index| self.stake(*index)).sum();
            let draw = xxh3_128_with_seed(&drawn_from, offset);
            let Some(ticket) = draw.checked_rem(remaining) else {
                break; // everybody leads already
            };
            let mut up_to_here = 0;
            let leader = candidates.iter().position(|index| {
                up_to_here += self.stake(*index);
                up_to_here > ticket
            });
            leaders.extend(leader.map(|position| candidates.remove(position)));
        }
        leaders
    }

    fn indexes(&self) -> impl Iterator<Item = AuthorityIndex> {
        (0..=u16::MAX).map(AuthorityIndex).take(self.members.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metanode_core::executor::{validators, wire::ValidatorInfo};
    use metanode_core::types::{Authority, NetworkKey, PublicKey, Stake};
    use std::collections::BTreeSet;

    fn of_stakes(epoch: u64, stakes: &[u64]) -> Committee {
        let members = stakes.iter().zip(1..).map(|(stake, key)| Member {
            authority_key: vec![key],
            protocol_key: [key; 32],
            stake: *stake,
            address: vec![key; 20],
        });
        Committee::new(Epoch(epoch), members.collect())
    }

    #[test]
    fn members_have_the_order_of_the_node() {
        let keys: [&[u8]; 5] = [&[9], &[2, 1], &[2], &[200, 0], &[10, 255]];
        let member = |key: &&[u8]| Member {
            authority_key: key.to_vec(),
            protocol_key: [key[0]; 32],
            stake: 7,
            address: vec![key[0]; 20],
        };
        let infos = keys.map(|key| {
            ValidatorInfo::from(&Authority {
                network_key: NetworkKey([key[0] + key.len() as u8; 32]),
                authority_key: key.to_vec(),
                protocol_key: PublicKey([key[0] + key.len() as u8; 32]),
                stake: Stake(7),
                address: [key[0]; 20],
                p2p_address: ([127, 0, 0, 1], 9000).into(),
                name: String::new(),
            })
        });
        let ours = Committee::new(Epoch(2), keys.iter().map(member).collect());
        let (theirs, _) = validators::committee(Epoch(2), &infos).unwrap();
        for (index, authority) in theirs.authorities() {
            assert_eq!(
                ours.member(index).unwrap().authority_key,
                authority.authority_key
            );
        }
        assert_eq!(ours.member(AuthorityIndex(5)), None);
    }

    #[test]
    fn a_quorum_is_more_than_two_thirds_of_the_stake() {
        let committee = of_stakes(0, &[1, 1, 1, 4]);
        let is_quorum =
            |authors: &[u16]| committee.is_quorum(authors.iter().copied().map(AuthorityIndex));
        assert!(is_quorum(&[0, 3]));
        assert!(!is_quorum(&[3]) && !is_quorum(&[3, 3]) && !is_quorum(&[0, 1, 2]));
        assert!(!is_quorum(&[3, 9]), "who is no member has no stake");
        for total in 1..100 {
            let theirs = (total * 2 / 3 + 1, total);
            for stake in 0..=total {
                let pair = of_stakes(0, &[stake, total - stake]);
                assert_eq!(
                    pair.is_quorum([AuthorityIndex(0)]),
                    stake >= theirs.0,
                    "{stake} of {theirs:?}"
                );
            }
        }
    }

    #[test]
    fn leaders_are_drawn_by_stake_without_replacement() {
        let committee = of_stakes(3, &[1, 2, 3, 4]);
        let mut led = [0; 4];
        for round in (2..4002).map(Round) {
            let leaders = committee.leaders(round, 3);
            assert_eq!(BTreeSet::from_iter(&leaders).len(), 3);
            assert_eq!(committee.leaders(round, 1), leaders[..1]);
            led[leaders[0].as_usize()] += 1;
        }
        for (count, expected) in led.into_iter().zip([400, 800, 1200, 1600]) {
            assert!(i32::abs(count - expected) < 120, "{led:?}");
        }
        // As the node draws them.
        for (round, leaders) in [
            (2, [2, 1, 3, 0]),
            (3, [2, 3, 1, 0]),
            (4, [1, 3, 2, 0]),
            (5, [0, 1, 2, 3]),
            (70_000, [3, 2, 1, 0]),
        ] {
            let expected = leaders.map(AuthorityIndex);
            assert_eq!(committee.leaders(Round(round), 9), expected);
        }
        assert_eq!(committee.leaders(Round(2), 0).len(), 1);
        assert_eq!(of_stakes(0, &[]).leaders(Round(2), 1), []);
    }
}
