//! `[epochs]`: the duration of epochs, and their committees.

use crate::{
    sampling::{Sampled, Sampler},
    source::{InputError, Source},
};
use metanode_core::types::Epoch;
use metanode_sim::plan::{CommitteePlan, EpochPlan, Member, Unusable, tolerated};
use serde::{Deserialize, Serialize};

/// Lowest size of a drawn committee: fewer members tolerate no fault.
const FEWEST_DRAWN_MEMBERS: u16 = 4;
/// Epochs up to this one may get a drawn committee.
const DRAWN_COMMITTEES: u64 = 30;

/// `[epochs]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Epochs {
    /// Age at which an epoch ends. If it is left out, there is only one epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<Sampled<u64>>,
    /// Age of the genesis at the start of the run.
    pub genesis_age_ms: Sampled<u64>,
    /// Granularity of the start timestamps of epochs: at most half of their duration.
    pub start_granularity_ms: Sampled<u32>,
    /// Number of earlier epochs whose stores nodes keep.
    pub retained: Sampled<u64>,
    /// Validators whose nodes keep the stores of all epochs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub archives: Vec<u16>,
    /// Whether each seed draws the committees with their stakes and keys.
    #[serde(skip_serializing_if = "is_false")]
    pub drawn_committees: bool,
    /// Registrations that cannot be members, which executors list beside those who can.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unusable: Vec<Unusable>,
    /// `[[epochs.committee]]`: fixed committees, in the order of their epochs.
    #[serde(rename = "committee", skip_serializing_if = "Vec::is_empty")]
    pub committees: Vec<CommitteePlan>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde calls
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Default for Epochs {
    fn default() -> Self {
        Self {
            duration_ms: None,
            genesis_age_ms: Sampled::fixed(0),
            start_granularity_ms: Sampled::fixed(EpochPlan::default().start_granularity_ms),
            retained: Sampled::fixed(EpochPlan::default().retained),
            archives: vec![],
            drawn_committees: false,
            unusable: vec![],
            committees: vec![],
        }
    }
}

impl Epochs {
    pub(super) fn draw(&self, sampler: &Sampler, validators: u16) -> EpochPlan {
        let duration_ms = self.duration_ms;
        EpochPlan {
            duration_ms: duration_ms.map(|duration| sampler.draw("epochs.duration_ms", duration)),
            genesis_age_ms: sampler.draw("epochs.genesis_age_ms", self.genesis_age_ms),
            start_granularity_ms: sampler
                .draw("epochs.start_granularity_ms", self.start_granularity_ms),
            retained: sampler.draw("epochs.retained", self.retained),
            archives: self.archives.clone(),
            committees: if self.drawn_committees {
                drawn_committees(sampler, validators)
            } else {
                self.committees.clone()
            },
            unusable: if self.drawn_committees {
                drawn_unusable(sampler)
            } else {
                self.unusable.clone()
            },
        }
    }

    /// The section from which every seed draws this plan.
    pub(super) fn fixed(plan: &EpochPlan) -> Self {
        let EpochPlan {
            duration_ms,
            genesis_age_ms,
            start_granularity_ms,
            retained,
            archives,
            committees,
            unusable,
        } = plan;
        Self {
            duration_ms: duration_ms.map(Sampled::fixed),
            genesis_age_ms: Sampled::fixed(*genesis_age_ms),
            start_granularity_ms: Sampled::fixed(*start_granularity_ms),
            retained: Sampled::fixed(*retained),
            archives: archives.clone(),
            drawn_committees: false,
            unusable: unusable.clone(),
            committees: committees.clone(),
        }
    }

    pub(super) fn least_values(&self) -> Vec<(&'static str, u64, u64)> {
        let granularity_ms = self.start_granularity_ms;
        let mut values = vec![
            ("epochs.retained", self.retained.low, 1),
            ("epochs.start_granularity_ms", granularity_ms.low.into(), 1),
        ];
        values.extend((self.duration_ms).map(|duration| ("epochs.duration_ms", duration.low, 2)));
        values
    }

    /// Checks the section for scenarios with at least `fewest` validators.
    pub(super) fn check(&self, source: &Source<'_>, fewest: u16) -> Result<(), InputError> {
        let wrong = |key: &str, message: String| Err(source.error(key, message));
        if self.drawn_committees && !self.committees.is_empty() {
            let message = "excludes `drawn_committees`: expected one of the two".to_owned();
            return wrong("epochs.committee", message);
        }
        if self.drawn_committees && !self.unusable.is_empty() {
            let message =
                "excludes `drawn_committees`, which draws it: expected one of the two".to_owned();
            return wrong("epochs.unusable", message);
        }
        let granularity_ms = u64::from(self.start_granularity_ms.high);
        if let Some(duration_ms) = self.duration_ms
            && duration_ms.low < 2 * granularity_ms
        {
            let message = format!(
                "is up to {granularity_ms}: expected at most half of `epochs.duration_ms`, which is {} at least",
                duration_ms.low
            );
            return wrong("epochs.start_granularity_ms", message);
        }
        let mut next = Epoch(0);
        for (
            position,
            CommitteePlan {
                from_epoch,
                members,
            },
        ) in self.committees.iter().enumerate()
        {
            let key = |key: &str| format!("epochs.committee.{position}.{key}");
            if *from_epoch < next {
                let message =
                    format!("is {from_epoch}: expected at least {next}, in ascending order");
                return wrong(&key("from_epoch"), message);
            }
            next = from_epoch.next();
            if members.is_empty() {
                let message = "is empty: expected at least one validator".to_owned();
                return wrong(&key("members"), message);
            }
            for (n, member) in members.iter().enumerate() {
                let number = member.validator;
                let message = if number >= fewest {
                    let last = fewest - 1;
                    format!("is {number}: expected 0 to {last}, which exist in every run")
                } else if members[..n].iter().any(|m| m.validator == number) {
                    format!("is {number}, which is listed already: expected each validator once")
                } else if !(1..=1_000_000).contains(&member.stake) {
                    format!("has stake {}: expected 1 to 1000000", member.stake)
                } else if member.key > 100 {
                    format!("has key {}: expected 0 to 100", member.key)
                } else {
                    continue;
                };
                return wrong(&key(&format!("members.{n}")), message);
            }
        }
        Ok(())
    }
}

/// In one seed of four, draws registrations that cannot be members.
fn drawn_unusable(sampler: &Sampler) -> Vec<Unusable> {
    let mut stream = sampler.stream("epochs.unusable");
    if stream.below(4) != 0 {
        return vec![];
    }
    let mut drawn = Unusable::ALL.to_vec();
    drawn.retain(|_| stream.one_in(3));
    drawn
}

/// Draws committees that differ in their members, stakes and keys.
fn drawn_committees(sampler: &Sampler, validators: u16) -> Vec<CommitteePlan> {
    let mut stream = sampler.stream("epochs.committees");
    let mut keys = vec![0; usize::from(validators)];
    let mut committees = vec![];
    // In one seed of eight, some committees have a validator with a quorum of the stake.
    let may_dominate = sampler.stream("epochs.dominant").one_in(8);
    for from_epoch in 0..=DRAWN_COMMITTEES {
        if stream.one_in(2) {
            continue;
        }
        let size = FEWEST_DRAWN_MEMBERS
            + stream.below(u64::from(validators - FEWEST_DRAWN_MEMBERS) + 1) as u16;
        let mut others: Vec<u16> = (0..validators).collect();
        while others.len() > usize::from(size) {
            others.remove(stream.below(others.len() as u64) as usize);
        }
        if from_epoch > 0 && stream.one_in(3) {
            keys[usize::from(others[stream.below(others.len() as u64) as usize])] += 1;
        }
        let unequal = stream.one_in(2);
        let mut members: Vec<Member> = (others.iter())
            .map(|validator| Member {
                validator: *validator,
                stake: if unequal { 2 + stream.below(3) } else { 1 },
                key: keys[usize::from(*validator)],
            })
            .collect();
        if may_dominate && stream.one_in(4) {
            let dominant = stream.below(members.len() as u64) as usize;
            let others: u64 = members.iter().map(|member| member.stake).sum();
            members[dominant].stake = 3 * others;
            if stream.one_in(2) {
                members = vec![members[dominant]];
            }
        } else if tolerated(&members) == 0 {
            members.iter_mut().for_each(|member| member.stake = 1);
        }
        committees.push(CommitteePlan {
            from_epoch: Epoch(from_epoch),
            members,
        });
    }
    committees
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_committees_change_and_most_tolerate_a_fault() {
        let (mut sizes, mut keys) = (std::collections::BTreeSet::new(), 0);
        let mut dominated = 0;
        for seed in 0..100 {
            let committees = drawn_committees(&Sampler::of_seed(seed), 7);
            for CommitteePlan { members, .. } in &committees {
                dominated += u32::from(tolerated(members) == 0);
                sizes.insert(members.len());
                keys = keys.max(members.iter().map(|member| member.key).max().unwrap_or(0));
            }
        }
        assert_eq!(sizes, [1, 4, 5, 6, 7].into());
        assert!((10..200).contains(&dominated), "{dominated}");
        assert!(keys > 1);
    }
}
