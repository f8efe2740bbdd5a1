//! The authorities of one epoch.

use super::{AuthorityIndex, CommitteeDigest, Epoch, NetworkKey, PublicKey, Stake};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use thiserror::Error;

/// One member of the committee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// Defines the order of the committee (contract §7.4).
    pub authority_key: Vec<u8>,
    /// Verifies this authority's blocks.
    pub protocol_key: PublicKey,
    /// Proves to peers who this authority is.
    pub network_key: NetworkKey,
    pub stake: Stake,
    /// The account, sent as `leader_address` in delivered blocks.
    pub address: [u8; 20],
    /// Where this authority's consensus P2P listens.
    pub p2p_address: SocketAddr,
    /// For logs and reports only.
    pub name: String,
}

/// The authorities of one epoch in the order that defines their indexes, with the thresholds of their stake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committee {
    epoch: Epoch,
    authorities: Vec<Authority>,
    total: Stake,
}

/// Why a set of validators does not form a committee.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommitteeError {
    #[error("the committee of epoch {0} is empty: at least one validator with stake is needed")]
    Empty(Epoch),
    #[error(
        "the committee of epoch {epoch} has {size} validators, expected at most {}",
        Committee::MAX_MEMBERS
    )]
    TooLarge { epoch: Epoch, size: usize },
    #[error("validator {name} of epoch {epoch} has stake 0: remove it or give it stake")]
    NoStake { epoch: Epoch, name: String },
    #[error("validators {first} and {second} of epoch {epoch} have the same authority key")]
    RepeatedKey {
        epoch: Epoch,
        first: String,
        second: String,
    },
    #[error("the total stake of epoch {0} exceeds {max}", max = Committee::MAX_TOTAL_STAKE)]
    StakeOverflow(Epoch),
}

impl Committee {
    /// Maximum number of members: an [`AuthorityIndex`] names each.
    pub const MAX_MEMBERS: usize = u16::MAX as usize;
    /// Maximum total stake, so that thresholds are computed in 64 bits.
    pub const MAX_TOTAL_STAKE: Stake = Stake(u64::MAX / 2);

    /// Sorts the authorities by authority key bytes, which defines their indexes.
    ///
    /// # Errors
    /// If the set is empty or too large, its stake is, a stake is zero, or a key occurs twice.
    pub fn new(epoch: Epoch, mut authorities: Vec<Authority>) -> Result<Self, CommitteeError> {
        authorities.sort_by(|a, b| a.authority_key.cmp(&b.authority_key));
        if authorities.is_empty() {
            return Err(CommitteeError::Empty(epoch));
        }
        if authorities.len() > Self::MAX_MEMBERS {
            let size = authorities.len();
            return Err(CommitteeError::TooLarge { epoch, size });
        }
        if let Some(idle) = authorities.iter().find(|a| a.stake == Stake(0)) {
            let name = idle.name.clone();
            return Err(CommitteeError::NoStake { epoch, name });
        }
        if let Some(pair) = authorities
            .windows(2)
            .find(|pair| pair[0].authority_key == pair[1].authority_key)
        {
            return Err(CommitteeError::RepeatedKey {
                epoch,
                first: pair[0].name.clone(),
                second: pair[1].name.clone(),
            });
        }
        let total = authorities
            .iter()
            .try_fold(0u64, |sum, a| sum.checked_add(a.stake.0))
            .map(Stake)
            .filter(|total| *total <= Self::MAX_TOTAL_STAKE)
            .ok_or(CommitteeError::StakeOverflow(epoch))?;
        Ok(Self {
            epoch,
            authorities,
            total,
        })
    }

    /// A committee of the authority at `index` alone, which gets index 0.
    #[must_use]
    pub fn alone(&self, index: AuthorityIndex) -> Self {
        let authority = self.authority(index).clone();
        Self {
            epoch: self.epoch,
            total: authority.stake,
            authorities: vec![authority],
        }
    }

    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Digest of the epoch and of all members with their stake, in order.
    #[must_use]
    #[allow(clippy::expect_used)]
    pub fn digest(&self) -> CommitteeDigest {
        CommitteeDigest::of(&bcs::to_bytes(self).expect("structs without maps always encode"))
    }

    #[must_use]
    pub fn size(&self) -> usize {
        self.authorities.len()
    }

    #[must_use]
    pub const fn total_stake(&self) -> Stake {
        self.total
    }

    /// 2f+1: the smallest stake above two thirds of the total. Any two quorums share an honest authority.
    #[must_use]
    pub const fn quorum(&self) -> Stake {
        Stake(self.total.0 * 2 / 3 + 1)
    }

    #[must_use]
    pub fn stake(&self, index: AuthorityIndex) -> Stake {
        self.authorities[index.as_usize()].stake
    }

    /// The authority at `index`. Panics if `index` is outside of the committee.
    #[must_use]
    pub fn authority(&self, index: AuthorityIndex) -> &Authority {
        &self.authorities[index.as_usize()]
    }

    /// All authorities with their indexes, in order.
    pub fn authorities(&self) -> impl Iterator<Item = (AuthorityIndex, &Authority)> {
        self.indexes().zip(&self.authorities)
    }

    /// All indexes, in order.
    pub fn indexes(&self) -> impl Iterator<Item = AuthorityIndex> + use<> {
        #[allow(clippy::cast_possible_truncation)] // at most u16::MAX, see `new`
        (0..self.authorities.len() as u16).map(AuthorityIndex)
    }

    /// The index of the authority that signs with `key`.
    #[must_use]
    pub fn index_of(&self, key: PublicKey) -> Option<AuthorityIndex> {
        self.authorities()
            .find(|(_, authority)| authority.protocol_key == key)
            .map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authority(key: u8, stake: u64) -> Authority {
        Authority {
            authority_key: vec![key],
            protocol_key: PublicKey([key; 32]),
            network_key: NetworkKey([key; 32]),
            stake: Stake(stake),
            address: [key; 20],
            p2p_address: ([0, 0, 0, 0], 0).into(),
            name: format!("validator-{key}"),
        }
    }

    #[test]
    fn authorities_are_ordered_by_key_bytes() {
        let committee = Committee::new(
            Epoch(1),
            vec![authority(9, 1), authority(2, 1), authority(5, 1)],
        )
        .unwrap();
        let keys: Vec<u8> = committee
            .authorities()
            .map(|(_, a)| a.authority_key[0])
            .collect();
        assert_eq!(keys, [2, 5, 9]);
        assert_eq!(
            committee.index_of(PublicKey([9; 32])),
            Some(AuthorityIndex(2))
        );
    }

    #[test]
    fn in_a_committee_of_one_the_authority_is_a_quorum() {
        let authorities = vec![authority(2, 5), authority(9, 7)];
        let committee = Committee::new(Epoch(1), authorities).unwrap();
        let alone = committee.alone(AuthorityIndex(1));
        assert_eq!(alone.index_of(PublicKey([9; 32])), Some(AuthorityIndex(0)));
        assert_eq!((alone.epoch(), alone.size()), (Epoch(1), 1));
        assert_eq!(alone.total_stake(), Stake(7));
        assert!(alone.stake(AuthorityIndex(0)) >= alone.quorum());
    }

    #[test]
    fn any_two_quorums_share_more_than_f_stake() {
        for total in 1..200u64 {
            let committee = Committee::new(Epoch(0), vec![authority(1, total)]).unwrap();
            let quorum = committee.quorum().0;
            let faulty = (total - 1) / 3;
            assert!(2 * quorum - total > faulty, "total {total}");
            assert!(
                quorum <= total - faulty,
                "honest stake is not a quorum, total {total}"
            );
        }
    }

    #[test]
    fn invalid_validator_sets_are_errors() {
        let repeated = Committee::new(Epoch(0), vec![authority(1, 1), authority(1, 1)]);
        assert!(matches!(repeated, Err(CommitteeError::RepeatedKey { .. })));
        let idle = Committee::new(Epoch(0), vec![authority(1, 0)]);
        assert!(matches!(idle, Err(CommitteeError::NoStake { .. })));
        let huge = Committee::new(Epoch(0), vec![authority(1, u64::MAX), authority(2, 1)]);
        assert!(matches!(huge, Err(CommitteeError::StakeOverflow(_))));
    }
}
