//! Shrinking: [`metanode_sim::shrink`] proposes simpler plans, this module runs them. The result is a scenario file, so
//! a candidate counts only if its scenario file draws it again.
//!
//! The result depends on the plan and the budget alone, not on the number of threads: runs after the first failing one
//! of a round are ignored and not counted.

use crate::{
    batch::{OUTCOME_ONLY, in_order},
    failure::Symptom,
    scenario::Scenario,
};
use metanode_sim::{
    plan::Plan,
    run::{Outcome, run},
    shrink::{self, Stopped, Trial},
};
use std::collections::BTreeSet;

/// The extent of a search.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of runs.
    pub budget_runs: u64,
    /// Number of parallel runs.
    pub threads: usize,
}

/// Observes the progress of a search.
pub trait Watcher {
    /// A simpler plan fails in the same way.
    ///
    /// # Errors
    /// If the plan cannot be recorded. The search ends.
    fn found(&mut self, outcome: &Outcome) -> Result<(), Stopped>;

    /// `runs` runs are over; the next ones belong to `step`.
    fn tried(&mut self, runs: u64, step: &str);
}

/// Ignores progress.
pub struct Unwatched;

impl Watcher for Unwatched {
    fn found(&mut self, _: &Outcome) -> Result<(), Stopped> {
        Ok(())
    }

    fn tried(&mut self, _: u64, _: &str) {}
}

/// The result of a search.
#[derive(Clone, Debug)]
pub struct Shrunk {
    pub plan: Plan,
    pub runs: u64,
    /// Whether nothing simpler fails in the same way. Otherwise the budget is used up.
    pub complete: bool,
}

/// Searches for the simplest plan that fails with `symptom`, as `plan` does.
pub fn shrink(plan: Plan, symptom: Symptom, limits: Limits, watcher: &mut impl Watcher) -> Shrunk {
    let has_deadline = symptom.has_deadline();
    let mut runs = Runs {
        symptom,
        limits,
        watcher,
        made: 0,
        passed: BTreeSet::new(),
    };
    let (plan, ended) = shrink::shrink(plan, has_deadline, &mut runs);
    Shrunk {
        plan,
        runs: runs.made,
        complete: ended.is_ok(),
    }
}

struct Runs<'a, W> {
    symptom: Symptom,
    limits: Limits,
    watcher: &'a mut W,
    made: u64,
    /// Hashes of plans that do not fail in this way; later rounds propose many of them again.
    passed: BTreeSet<[u8; 32]>,
}

impl<W: Watcher> Trial for Runs<'_, W> {
    fn first_failing(
        &mut self,
        step: &'static str,
        candidates: &[Plan],
    ) -> Result<Option<usize>, Stopped> {
        let candidates = candidates.iter().enumerate();
        let expressible = candidates.filter(|(_, plan)| reread(plan).as_ref() == Some(plan));
        let unknown = expressible.map(|(position, plan)| (position, plan, hash(plan)));
        let unknown: Vec<_> = unknown
            .filter(|(_, _, hash)| !self.passed.contains(hash))
            .collect();
        let mut rest = &unknown[..];
        while !rest.is_empty() {
            let left = self.limits.budget_runs.saturating_sub(self.made);
            if left == 0 {
                return Err(Stopped);
            }
            self.watcher.tried(self.made, step);
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(rest.len().min(self.limits.threads.max(1)).min(left));
            rest = later;
            let mut outcomes = vec![];
            in_order(
                now,
                self.limits.threads,
                |(_, plan, _)| run((*plan).clone(), &OUTCOME_ONLY),
                |outcome| outcomes.push(outcome),
            );
            for ((position, _, hash), outcome) in now.iter().zip(outcomes) {
                self.made += 1;
                if Symptom::of(&outcome).as_ref() == Some(&self.symptom) {
                    self.watcher.found(&outcome)?;
                    return Ok(Some(*position));
                }
                self.passed.insert(*hash);
            }
        }
        Ok(None)
    }
}

/// The plan that the scenario file of this plan draws. None if no file can express it.
fn reread(plan: &Plan) -> Option<Plan> {
    let text = Scenario::explicit(plan, "Shrunk.".to_owned()).text();
    let scenario = Scenario::parse("shrunk", &text).ok()?;
    Some(scenario.draw(&plan.scenario, plan.seed, plan.store))
}

fn hash(plan: &Plan) -> [u8; 32] {
    *blake3::hash(format!("{plan:?}").as_bytes()).as_bytes()
}
