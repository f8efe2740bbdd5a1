//! Does the harness find bugs that really happened? Each bug of [`metanode_core::bugs`] is switched on in
//! ordinary runs until an oracle fires that is quiet without it. No scenario is made for any of them: a bug that
//! stays hidden is a defect of the harness.

use crate::{
    batch::{Finished, Job},
    catalog::Named,
    determinism::HASH_ONLY,
    failure::Symptom,
    shrinking::{Limits, Unwatched, shrink},
};
use metanode_core::bugs::KnownBug;
use metanode_sim::{
    oracles::Invariant,
    plan::{Backend, Plan},
    run::{Outcome, Verdict, run},
};
use std::{ops::Range, sync::Arc, time::Duration};

/// What a search for one bug came to.
#[derive(Clone, Debug)]
pub struct Search {
    pub bug: KnownBug,
    /// Runs that were done: all but the last found nothing.
    pub runs: u64,
    pub wall: Duration,
    /// The run that found it.
    pub found: Option<Finished>,
    /// The smallest run that fails as that one does.
    pub smallest: Option<Outcome>,
    /// Runs that fail with nothing switched on, and so prove nothing.
    pub failing_anyway: Vec<Plan>,
}

impl Search {
    /// The invariant that was broken; `None` if a process panicked first.
    #[must_use]
    pub fn oracle(&self) -> Option<Invariant> {
        let outcome = &self.found.as_ref()?.outcome;
        outcome
            .violations
            .first()
            .map(|violation| violation.invariant)
    }
}

/// The scenario of this seed, in turn. Each round begins one further, so that a scenario does not always meet seeds of
/// one parity, which is what decides the topology of many.
#[must_use]
pub fn scenario_of<T>(mixed: &[T], seed: u64) -> Option<&T> {
    let count = u64::try_from(mixed.len()).ok()?;
    let turn = seed.checked_div(count)?;
    usize::try_from((seed % count + turn) % count)
        .ok()
        .and_then(|position| mixed.get(position))
}

/// The run of this seed with these bugs.
#[must_use]
pub fn job(mixed: &[Arc<Named>], seed: u64, bugs: &[KnownBug]) -> Option<Job> {
    let mut named = Named::clone(scenario_of(mixed, seed)?);
    named.scenario.bugs.extend_from_slice(bugs);
    Some(Job {
        scenario: Arc::new(named),
        seed,
        store: Backend::Memory,
    })
}

/// Runs one seed after the other until the bug is found.
#[must_use]
pub fn search(mixed: &[Arc<Named>], bug: KnownBug, seeds: Range<u64>) -> Search {
    let mut search = Search {
        bug,
        runs: 0,
        wall: Duration::ZERO,
        found: None,
        smallest: None,
        failing_anyway: vec![],
    };
    for seed in seeds {
        let run = |bugs: &[KnownBug]| job(mixed, seed, bugs).map(|job| job.run(&HASH_ONLY));
        let Some(finished) = run(&[bug]) else {
            break;
        };
        search.runs += 1;
        search.wall += finished.wall;
        if finished.outcome.verdict == Verdict::Passed {
            continue;
        }
        match run(&[]) {
            Some(sound) if sound.outcome.verdict != Verdict::Passed => {
                search.failing_anyway.push(sound.outcome.plan);
            }
            _ => {
                search.found = Some(finished);
                break;
            }
        }
    }
    search
}

/// Shrinks the run that found the bug, on this thread.
pub fn shrink_found(search: &mut Search, budget_runs: u64) {
    let Some(found) = &search.found else {
        return;
    };
    let Some(symptom) = Symptom::of(&found.outcome) else {
        return;
    };
    let limits = Limits {
        budget_runs,
        threads: 1,
    };
    let shrunk = shrink(found.outcome.plan.clone(), symptom, limits, &mut Unwatched);
    search.smallest = Some(run(shrunk.plan, &HASH_ONLY));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_scenario_meets_seeds_of_both_parities() {
        let mixed = ["a", "b", "c", "d"];
        let met: BTreeSet<_> = (0..8)
            .map(|seed| (scenario_of(&mixed, seed), seed % 2))
            .collect();
        assert_eq!(met.len(), 8);
        assert_eq!(scenario_of::<&str>(&[], 3), None);
    }
}
