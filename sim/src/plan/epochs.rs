//! Epochs: their duration, and the committee of each.

use derive_more::Display;
use metanode_core::{config::ConsensusParameters, types::Epoch};
use serde::{Deserialize, Serialize};

/// Epochs of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EpochPlan {
    /// Without a duration, epoch 0 does not end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Time from genesis to the start of the run: epoch 0 begins late by this much.
    pub genesis_age_ms: u64,
    /// Granularity of the start timestamps of epochs, in executors and nodes.
    pub start_granularity_ms: u32,
    /// Epochs before the running one that nodes keep.
    pub retained: u64,
    /// Validators whose nodes keep all epochs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub archives: Vec<u16>,
    /// In the order of their epochs; each applies until the next. Before the first, all validators are members with
    /// equal stake.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub committees: Vec<CommitteePlan>,
    /// Registrations that executors list beside the members of every epoch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<Unusable>,
}

/// Why a registered validator cannot be a member of a committee.
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unusable {
    #[display("its stake is no number")]
    Stake,
    #[display("it has no stake")]
    NoStake,
    #[display("its key is too short")]
    Key,
    #[display("its account is no account")]
    Account,
    #[display("its network address is none")]
    NetworkAddress,
    /// As that of a member, but with less stake, or later in the order of keys.
    #[display("its authority key belongs to a member")]
    TakenAuthorityKey,
    #[display("its protocol key belongs to a member")]
    TakenProtocolKey,
    #[display("its network key is too short")]
    NetworkKey,
    #[display("its network key belongs to a member")]
    TakenNetworkKey,
}

impl Unusable {
    pub const ALL: [Self; 9] = [
        Self::Stake,
        Self::NoStake,
        Self::Key,
        Self::Account,
        Self::NetworkAddress,
        Self::TakenAuthorityKey,
        Self::TakenProtocolKey,
        Self::NetworkKey,
        Self::TakenNetworkKey,
    ];
}

impl Default for EpochPlan {
    fn default() -> Self {
        Self {
            duration_ms: None,
            genesis_age_ms: 0,
            start_granularity_ms: 1,
            retained: ConsensusParameters::default().retained_epochs,
            archives: vec![],
            committees: vec![],
            unusable: vec![],
        }
    }
}

/// The members from an epoch on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitteePlan {
    pub from_epoch: Epoch,
    pub members: Vec<Member>,
}

/// One member of a committee. In files it is the number of the validator, or a table if stake or key are not the
/// default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "MemberText", into = "MemberText")]
pub struct Member {
    pub validator: u16,
    pub stake: u64,
    /// The index of the key with which it signs, from 0.
    pub key: u32,
}

impl Member {
    /// With stake 1 and its first key.
    #[must_use]
    pub const fn plain(validator: u16) -> Self {
        Self {
            validator,
            stake: 1,
            key: 0,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "the number of a validator, or a table of validator, stake and key"
)]
enum MemberText {
    Plain(u16),
    Special(SpecialMember),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpecialMember {
    validator: u16,
    #[serde(default = "one")]
    stake: u64,
    #[serde(default)]
    key: u32,
}

const fn one() -> u64 {
    1
}

impl From<MemberText> for Member {
    fn from(text: MemberText) -> Self {
        match text {
            MemberText::Plain(validator) => Self::plain(validator),
            MemberText::Special(SpecialMember {
                validator,
                stake,
                key,
            }) => Self {
                validator,
                stake,
                key,
            },
        }
    }
}

impl From<Member> for MemberText {
    fn from(member: Member) -> Self {
        let Member {
            validator,
            stake,
            key,
        } = member;
        if member == Member::plain(validator) {
            return Self::Plain(validator);
        }
        Self::Special(SpecialMember {
            validator,
            stake,
            key,
        })
    }
}

impl EpochPlan {
    /// How many epochs before the running one the node of a validator keeps.
    #[must_use]
    pub fn retained_by(&self, validator: u16) -> u64 {
        match self.archives.contains(&validator) {
            true => 1_000_000,
            false => self.retained,
        }
    }

    /// The committee of an epoch.
    #[must_use]
    pub fn members(&self, epoch: Epoch, validators: u16) -> Vec<Member> {
        let mut latest_first = self.committees.iter().rev();
        match latest_first.find(|committee| committee.from_epoch <= epoch) {
            Some(committee) => committee.members.clone(),
            None => (0..validators).map(Member::plain).collect(),
        }
    }

    /// The number of keys of a validator.
    pub(crate) fn keys_of(&self, validator: u16) -> u32 {
        let members = self.committees.iter().flat_map(|c| &c.members);
        let of = members.filter(|member| member.validator == validator);
        of.map(|member| member.key + 1).max().unwrap_or(1)
    }

    /// The number of validators of which any may be faulty in every epoch.
    #[must_use]
    pub fn tolerated(&self, validators: u16) -> u16 {
        let later = self.committees.iter().map(|c| c.from_epoch);
        [Epoch(0)]
            .into_iter()
            .chain(later)
            .map(|epoch| tolerated(&self.members(epoch, validators)))
            .min()
            .unwrap_or(0)
    }
}

/// The number of members of which any hold at most f of 3f+1 of the stake.
#[must_use]
pub fn tolerated(members: &[Member]) -> u16 {
    let mut stakes: Vec<u64> = members.iter().map(|member| member.stake).collect();
    stakes.sort_unstable_by(|a, b| b.cmp(a));
    let total: u64 = stakes.iter().sum();
    let mut left = total.saturating_sub(1) / 3;
    let fits = stakes.iter().take_while(|stake| {
        let fits = **stake <= left;
        left = left.saturating_sub(**stake);
        fits
    });
    u16::try_from(fits.count()).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(stakes: &[u64]) -> Vec<Member> {
        let member = |(validator, stake): (u16, &u64)| Member {
            stake: *stake,
            ..Member::plain(validator)
        };
        (0..).zip(stakes).map(member).collect()
    }

    #[test]
    fn the_largest_members_determine_what_a_committee_tolerates() {
        for (stakes, expected) in [
            (&[1, 1, 1, 1][..], 1),
            (&[1; 7], 2),
            (&[2, 1, 1, 1], 0),
            (&[3, 2, 2, 3], 1),
            (&[1], 0),
        ] {
            assert_eq!(tolerated(&members(stakes)), expected, "{stakes:?}");
        }
    }

    #[test]
    fn a_committee_stays_until_the_next() {
        let plan = EpochPlan {
            committees: vec![
                CommitteePlan {
                    from_epoch: Epoch(2),
                    members: members(&[1, 1, 1, 1]),
                },
                CommitteePlan {
                    from_epoch: Epoch(5),
                    members: members(&[3, 1]),
                },
            ],
            ..EpochPlan::default()
        };
        let sizes = [0, 1, 2, 4, 5, 9].map(|epoch| plan.members(Epoch(epoch), 7).len());
        assert_eq!(sizes, [7, 7, 4, 4, 2, 2]);
        assert_eq!(plan.tolerated(7), 0);
    }
}
