//! Searches for known bugs: an entry of [`metanode_core::bugs`] is switched on in ordinary runs until one of its
//! declared finders reports it. There are no scenarios for single bugs: a bug that is not found is a defect of the
//! harness.

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
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The result of the search for one bug.
#[derive(Clone, Debug)]
pub struct Search {
    pub entry: Entry,
    /// Number of runs with the bug, up to the last one that showed it as often as was asked for.
    pub runs: u64,
    pub wall: Duration,
    /// Number of runs that showed the bug.
    pub findings: u64,
    /// The declared finder that reported the bug first, and the run in which it did.
    pub found: Option<(Finder, Finished)>,
    /// The smallest run that fails in the same way.
    pub smallest: Option<Outcome>,
    /// Number of runs that failed but do not show the bug, by how they failed.
    pub failed_otherwise: BTreeMap<FailedOtherwise, u64>,
    /// Runs that fail without the bug and its guards, too, and so do not count.
    pub failing_anyway: Vec<Plan>,
}

/// A finder as entries declare it: the id of an invariant, or [`ASSERTION`].
pub type Finder = String;

/// How a run that does not show the bug failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailedOtherwise {
    /// By an invariant that is not a declared finder.
    Broken(Finder),
    /// By a panic, although [`ASSERTION`] is not declared.
    Panicked,
    /// By a declared finder, which also reports the run in which only the masking guards are switched off.
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
            findings: 0,
            found: None,
            smallest: None,
            failed_otherwise: BTreeMap::new(),
            failing_anyway: vec![],
        }
    }

    /// The declared finder that reported the bug.
    #[must_use]
    pub fn finder(&self) -> Option<&str> {
        self.found.as_ref().map(|(finder, _)| finder.as_str())
    }

    fn is_declared(&self, symptom: &Symptom) -> bool {
        let finder = finder(symptom);
        self.entry.found_by.contains(&finder.as_str())
    }

    /// Classifies a run that failed with the bug. `without` is the same run without bugs, if it fails, too; `run` executes
    /// it with other bugs.
    fn classify(
        &mut self,
        symptom: &Symptom,
        finished: Finished,
        without: Option<Plan>,
        run: impl Fn(&[KnownBug]) -> Option<Outcome>,
    ) {
        if !self.is_declared(symptom) {
            let how = match symptom {
                Symptom::Broken { .. } => FailedOtherwise::Broken(finder(symptom)),
                Symptom::Panicked { .. } => FailedOtherwise::Panicked,
            };
            return self.count(how);
        }
        if let Some(without) = without {
            return self.failing_anyway.push(without);
        }
        let masks = self.entry.masked_by;
        let alone = (!masks.is_empty()).then(|| run(masks)).flatten();
        let alone = alone.and_then(|outcome| Symptom::of(&outcome));
        if alone.is_some_and(|symptom| self.is_declared(&symptom)) {
            return self.count(FailedOtherwise::WithoutTheBug);
        }
        self.findings += 1;
        self.found
            .get_or_insert_with(|| (finder(symptom), finished));
    }

    fn count(&mut self, how: FailedOtherwise) {
        *self.failed_otherwise.entry(how).or_default() += 1;
    }
}

/// The scenario for this seed, in turn. Each round begins one position later: otherwise a scenario could get seeds of
/// one parity only, which decides the topology of many scenarios.
#[must_use]
fn scenario_of<T>(scenarios: &[T], seed: u64) -> Option<&T> {
    let count = u64::try_from(scenarios.len()).ok()?;
    let turn = seed.checked_div(count)?;
    usize::try_from((seed % count + turn) % count)
        .ok()
        .and_then(|position| scenarios.get(position))
}

/// The run of a seed with these bugs.
#[must_use]
pub fn job(scenarios: &[Arc<Named>], seed: u64, bugs: &[KnownBug]) -> Option<Job> {
    let mut named = Named::clone(scenario_of(scenarios, seed)?);
    named.scenario.bugs.extend_from_slice(bugs);
    Some(Job {
        scenario: Arc::new(named),
        seed,
        store: Backend::Memory,
    })
}

/// The scenarios in which bugs are searched.
pub struct Grounds {
    scenarios: Vec<Arc<Named>>,
    /// For seeds that were run without bugs: the plan, if the run failed. The same for all bugs.
    failing_anyway: Mutex<BTreeMap<u64, Option<Plan>>>,
}

impl Grounds {
    /// Without scenarios that have a bug of their own to find.
    #[must_use]
    pub fn new(scenarios: Vec<Arc<Named>>) -> Self {
        let is_ordinary = |named: &Arc<Named>| named.scenario.finds.is_empty();
        Self {
            scenarios: scenarios.into_iter().filter(is_ordinary).collect(),
            failing_anyway: Mutex::default(),
        }
    }

    fn run(&self, seed: u64, bugs: &[KnownBug]) -> Option<Finished> {
        let job = job(&self.scenarios, seed, bugs)?;
        Some(job.run(&OUTCOME_ONLY))
    }

    /// The run of this seed without bugs, if it fails.
    fn fails_anyway(&self, seed: u64) -> Option<Plan> {
        let known = || lock(&self.failing_anyway);
        if let Some(failing) = known().get(&seed) {
            return failing.clone();
        }
        let outcome = self.run(seed, &[])?.outcome;
        let failing = Symptom::of(&outcome).map(|_| outcome.plan);
        known().insert(seed, failing.clone());
        failing
    }
}

/// Tries one seed after the other until a declared finder has reported the bug in this many runs.
#[must_use]
pub fn search(grounds: &Grounds, entry: Entry, seeds: Range<u64>, findings: u64) -> Search {
    let mut search = Search::new(entry);
    for seed in seeds {
        let run = |bugs: &[KnownBug]| grounds.run(seed, bugs);
        let Some(finished) = run(&entry.switches()) else {
            break;
        };
        search.runs += 1;
        search.wall += finished.wall;
        if let Some(symptom) = Symptom::of(&finished.outcome) {
            let without = search
                .is_declared(&symptom)
                .then(|| grounds.fails_anyway(seed))
                .flatten();
            let again = |bugs: &[KnownBug]| run(bugs).map(|finished| finished.outcome);
            search.classify(&symptom, finished, without, again);
        }
        if search.findings >= findings {
            break;
        }
    }
    search
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the bug is the cause of this failure. A run that became smaller may fail in the same way without it.
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
    fn every_declared_finder_is_an_invariant_or_an_assertion() {
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
    fn every_scenario_gets_seeds_of_both_parities() {
        let scenarios = ["a", "b", "c", "d"];
        let pairs: BTreeSet<_> = (0..8)
            .map(|seed| (scenario_of(&scenarios, seed), seed % 2))
            .collect();
        assert_eq!(pairs.len(), 8);
        assert_eq!(scenario_of::<&str>(&[], 3), None);
    }
}
