//! `[[swarm.rarely]]`: what a few seeds draw from other ranges, because in all of them it would cost too much time.

use super::check::MOST_VALIDATORS;
use crate::{
    sampling::{Sampled, Sampler},
    source::{InputError, Source},
};
use metanode_core::types::SignatureScheme;
use metanode_sim::plan::NodeParameters;
use serde::{Deserialize, Serialize};

/// What some seeds draw instead of what the scenario says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rarely {
    /// One seed of this many.
    pub one_in: u64,
    pub validators: Option<Sampled<u16>>,
    pub duration_ms: Option<Sampled<u64>>,
    pub settle_ms: Option<Sampled<u64>>,
    pub signatures: Option<SignatureScheme>,
    pub min_round_delay_ms: Option<Sampled<u64>>,
}

impl Rarely {
    /// The first of these that applies to a seed; nothing, if none does.
    pub(super) fn of_seed(all: &[Self], sampler: &Sampler) -> Self {
        let applies = |(number, rarely): &(usize, &Self)| {
            let mut stream = sampler.stream(&format!("swarm.rarely.{number}"));
            stream.one_in(rarely.one_in)
        };
        let found = all.iter().enumerate().find(applies);
        found.map(|(_, rarely)| rarely.clone()).unwrap_or_default()
    }

    /// The limits of the nodes, with those that this draws otherwise.
    pub(super) fn apply(&self, mut node: NodeParameters, sampler: &Sampler) -> NodeParameters {
        if let Some(range) = self.min_round_delay_ms {
            node.consensus.min_round_delay_ms =
                sampler.draw("swarm.rarely.min_round_delay_ms", range);
        }
        node
    }

    /// # Errors
    /// What the entry at `position` could draw is not valid.
    pub(super) fn check(&self, position: usize, source: &Source<'_>) -> Result<(), InputError> {
        let key = |key: &str| format!("swarm.rarely.{position}.{key}");
        source.at_least(&key("one_in"), self.one_in, 1)?;
        for (name, ms) in [
            ("duration_ms", self.duration_ms),
            ("settle_ms", self.settle_ms),
            ("min_round_delay_ms", self.min_round_delay_ms),
        ] {
            source.at_least(&key(name), ms.map_or(1, |ms| ms.low), 1)?;
        }
        let Some(validators) = self.validators else {
            return Ok(());
        };
        source.at_least(&key("validators"), validators.low.into(), 4)?;
        if validators.high > MOST_VALIDATORS {
            let message = format!("is too high: expected at most {MOST_VALIDATORS}");
            return Err(source.error(&key("validators"), message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_applies_as_often_as_it_says_and_the_first_counts() {
        let large = Rarely {
            one_in: 10,
            validators: Some((8, 10).into()),
            ..Rarely::default()
        };
        let always = Rarely {
            one_in: 1,
            duration_ms: Some(Sampled::fixed(5)),
            ..Rarely::default()
        };
        let all = [large, always];
        let drawn: Vec<_> = (0..1_000)
            .map(|seed| Rarely::of_seed(&all, &Sampler::of_seed(seed)))
            .collect();
        let large = drawn.iter().filter(|rarely| rarely.validators.is_some());
        assert!((60..140).contains(&large.count()));
        let both = |rarely: &&Rarely| rarely.validators.is_some() == rarely.duration_ms.is_some();
        assert_eq!(drawn.iter().filter(both).count(), 0);
        let none = Rarely::of_seed(&[], &Sampler::of_seed(1));
        assert!(none.validators.is_none() && none.duration_ms.is_none());
    }

    #[test]
    fn what_cannot_be_drawn_is_refused_with_its_key() {
        for (entry, error) in [
            ("one_in = 0", "`swarm.rarely.0.one_in`: 0 is too low"),
            (
                "one_in = 2\nvalidators = 3",
                "`swarm.rarely.0.validators`: 3 is too low",
            ),
            (
                "one_in = 2\nvalidators = 101",
                "`swarm.rarely.0.validators`: is too high",
            ),
            (
                "one_in = 2\nmin_round_delay_ms = 0",
                "`swarm.rarely.0.min_round_delay_ms`: 0 is too low",
            ),
            (
                "one_in = 2\nduration_ms = 0",
                "`swarm.rarely.0.duration_ms`: 0 is too low",
            ),
        ] {
            let text = format!("story = \"x\"\n[[swarm.rarely]]\n{entry}\n");
            let refused = super::super::Scenario::parse("s.toml", &text).expect_err(entry);
            assert!(refused.to_string().contains(error), "{refused}");
        }
    }
}
