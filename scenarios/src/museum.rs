//! Does the harness find bugs that systems of this kind really had? Each museum entry of [`metanode_core::bugs`] is
//! switched on in ordinary runs until one of its declared finders notices. No scenario is made for any of them: a bug
//! that is not found is a defect of the harness.

use crate::{
    batch::{Finished, Job, OUTCOME_ONLY},
    catalog::Named,
    failure::Symptom,
    shrinking::{Limits, Unwatched, shrink},
};
use metanode_core::bugs::{ASSERTION, Entry, KnownBug};
use metanode_sim::{
    plan::{Backend, Plan},
    run::{Outcome, run},
};
use std::{collections::BTreeMap, ops::Range, sync::Arc, time::Duration};

/// What a search for one bug came to.
#[derive(Clone, Debug)]
pub struct Search {
    pub entry: Entry,
    /// Runs with the bug: none but the last was failed by a declared finder.
    pub runs: u64,
    pub wall: Duration,
    /// The run that a declared finder failed, and which one.
    pub found: Option<(Finder, Finished)>,
    /// The smallest run that fails as that one does.
    pub smallest: Option<Outcome>,
    /// Runs that failed without showing the bug, by how they failed.
    pub failed_otherwise: BTreeMap<FailedOtherwise, u64>,
    /// Runs that fail with nothing switched on, and so prove nothing.
    pub failing_anyway: Vec<Plan>,
}

/// What makes a run fail, as entries declare it: the id of an invariant or [`ASSERTION`].
pub type Finder = String;

/// How a run failed that does not show the bug.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailedOtherwise {
    /// An invariant that is no declared finder.
    Broken(Finder),
    /// A panic where [`ASSERTION`] is not declared.
    Panicked,
    /// A declared finder notices, but it does so with the masking guards alone switched off, too.
    WithoutTheBug,
}

fn finder(symptom: &Symptom) -> Finder {
    match symptom {
        Symptom::Broken { invariant, .. } => invariant.to_string(),
        Symptom::Panicked { .. } => ASSERTION.to_owned(),
    }
}

impl Search {
    fn new(entry: Entry) -> Self {
        Self {
            entry,
            runs: 0,
            wall: Duration::ZERO,
            found: None,
            smallest: None,
            failed_otherwise: BTreeMap::new(),
            failing_anyway: vec![],
        }
    }

    /// The declared finder that noticed.
    #[must_use]
    pub fn finder(&self) -> Option<&str> {
        self.found.as_ref().map(|(finder, _)| finder.as_str())
    }

    fn is_declared(&self, symptom: &Symptom) -> bool {
        let finder = finder(symptom);
        self.entry.found_by.contains(&finder.as_str())
    }

    /// Takes in a run that failed in this way with the bug. `run` is the same run with other bugs.
    fn take_failed(
        &mut self,
        symptom: &Symptom,
        finished: Finished,
        run: impl Fn(&[KnownBug]) -> Option<Outcome>,
    ) {
        if !self.is_declared(symptom) {
            let how = match symptom {
                Symptom::Broken { .. } => FailedOtherwise::Broken(finder(symptom)),
                Symptom::Panicked { .. } => FailedOtherwise::Panicked,
            };
            return self.count(how);
        }
        if let Some(sound) = run(&[])
            && Symptom::of(&sound).is_some()
        {
            return self.failing_anyway.push(sound.plan);
        }
        let masks = self.entry.masked_by;
        let alone = (!masks.is_empty()).then(|| run(masks)).flatten();
        let alone = alone.and_then(|outcome| Symptom::of(&outcome));
        if alone.is_some_and(|symptom| self.is_declared(&symptom)) {
            return self.count(FailedOtherwise::WithoutTheBug);
        }
        self.found = Some((finder(symptom), finished));
    }

    fn count(&mut self, how: FailedOtherwise) {
        *self.failed_otherwise.entry(how).or_default() += 1;
    }
}

/// The scenario of this seed, in turn. Each round begins one further, so that a scenario does not always meet seeds of
/// one parity, which is what decides the topology of many.
#[must_use]
fn scenario_of<T>(mixed: &[T], seed: u64) -> Option<&T> {
    let count = u64::try_from(mixed.len()).ok()?;
    let turn = seed.checked_div(count)?;
    usize::try_from((seed % count + turn) % count)
        .ok()
        .and_then(|position| mixed.get(position))
}

/// The run of this seed with these bugs.
#[must_use]
fn job(mixed: &[Arc<Named>], seed: u64, bugs: &[KnownBug]) -> Option<Job> {
    let mut named = Named::clone(scenario_of(mixed, seed)?);
    named.scenario.bugs.extend_from_slice(bugs);
    Some(Job {
        scenario: Arc::new(named),
        seed,
        store: Backend::Memory,
    })
}

/// Runs one seed after the other until a declared finder notices the bug.
#[must_use]
pub fn search(mixed: &[Arc<Named>], entry: Entry, seeds: Range<u64>) -> Search {
    let mut search = Search::new(entry);
    for seed in seeds {
        let run = |bugs: &[KnownBug]| job(mixed, seed, bugs).map(|job| job.run(&OUTCOME_ONLY));
        let Some(finished) = run(&entry.switches()) else {
            break;
        };
        search.runs += 1;
        search.wall += finished.wall;
        if let Some(symptom) = Symptom::of(&finished.outcome) {
            let again = |bugs: &[KnownBug]| run(bugs).map(|finished| finished.outcome);
            search.take_failed(&symptom, finished, again);
        }
        if search.found.is_some() {
            break;
        }
    }
    search
}

/// Whether the run of this plan, which fails in this way, does so because of the bug: a smaller run may do so for a
/// reason of its own.
fn shows(plan: &Plan, bug: KnownBug, symptom: &Symptom) -> bool {
    let mut without = plan.clone();
    without.bugs.retain(|other| *other != bug);
    without.bugs.len() < plan.bugs.len()
        && Symptom::of(&run(without, &OUTCOME_ONLY)).as_ref() != Some(symptom)
}

/// Shrinks the run that found the bug, on this thread.
pub(crate) fn shrink_found(search: &mut Search, budget_runs: u64) {
    let Some((_, found)) = &search.found else {
        return;
    };
    let Some(symptom) = Symptom::of(&found.outcome) else {
        return;
    };
    let limits = Limits {
        budget_runs,
        threads: 1,
    };
    let shrunk = shrink(
        found.outcome.plan.clone(),
        symptom.clone(),
        limits,
        &mut Unwatched,
    );
    let smallest = [shrunk.plan, found.outcome.plan.clone()]
        .into_iter()
        .find(|plan| shows(plan, search.entry.bug, &symptom));
    search.smallest = smallest.map(|plan| run(plan, &OUTCOME_ONLY));
}

#[cfg(test)]
mod tests {
    use super::*;
    use metanode_sim::oracles::Invariant;
    use serde::{Deserialize, de::value::StrDeserializer};
    use std::collections::BTreeSet;

    #[test]
    fn every_declared_finder_is_an_invariant_that_is_watched_or_an_assertion() {
        let is_invariant = |id: &str| {
            let text = StrDeserializer::<serde::de::value::Error>::new(id);
            Invariant::deserialize(text).is_ok_and(|invariant| invariant.to_string() == id)
        };
        assert!(!is_invariant("NONE"));
        for entry in KnownBug::ENTRIES {
            for id in entry.found_by {
                let name = entry.bug.name();
                assert!(*id == ASSERTION || is_invariant(id), "{name}: {id}");
            }
        }
    }

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
