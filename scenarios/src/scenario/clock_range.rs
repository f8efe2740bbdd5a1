//! How far the clocks of a swarm differ.

use crate::sampling::{Sampled, Sampler};

/// The range of clock skews of a seed: a part of the scenario's, mostly a small one, because the epoch does not end
/// before the clocks of a quorum are beyond its end.
#[must_use]
pub(super) fn narrowed(sampler: &Sampler, range: Sampled<i64>) -> Sampled<i64> {
    const WHOLE: i64 = 1_000;
    let part = sampler
        .stream("swarm.clock_skew_ms")
        .low(WHOLE.unsigned_abs()) as i64;
    let of = |bound: i64| bound.saturating_mul(part) / WHOLE;
    Sampled {
        low: of(range.low),
        high: of(range.high),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_mostly_differ_little_and_sometimes_by_the_whole_range() {
        let range = Sampled {
            low: -120_000,
            high: 120_000,
        };
        let highest = (0..300).map(|seed| narrowed(&Sampler::of_seed(seed), range).high);
        let highest: Vec<i64> = highest.collect();
        let differ_by_less = highest.iter().filter(|high| **high < 4_000).count();
        assert!((100..200).contains(&differ_by_less), "{differ_by_less}");
        assert!(highest.iter().any(|high| *high > 60_000));
    }
}
