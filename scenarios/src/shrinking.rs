//! Shrinking by running: [`metanode_sim::shrink`] says what to try, this tries it. What is tried is the plan that the
//! scenario file of a candidate draws: what is kept in the end is a file, and it must fail like the run it came from.
//!
//! What comes out depends on the plan and the budget alone, not on how many runs go on at once: runs that were begun
//! beyond the first that fails are neither looked at nor counted.

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

/// How far it goes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// No more runs than these.
    pub budget_runs: u64,
    /// How many at once.
    pub threads: usize,
}

/// Who watches.
pub trait Watcher {
    /// A simpler plan fails in the same way.
    ///
    /// # Errors
    /// If it cannot be taken down: the search ends.
    fn found(&mut self, outcome: &Outcome) -> Result<(), Stopped>;

    /// So many runs were made; the next ones are about this.
    fn tried(&mut self, runs: u64, step: &str);
}

/// Nobody watches.
pub struct Unwatched;

impl Watcher for Unwatched {
    fn found(&mut self, _: &Outcome) -> Result<(), Stopped> {
        Ok(())
    }

    fn tried(&mut self, _: u64, _: &str) {}
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Shrunk {
    pub plan: Plan,
    pub runs: u64,
    /// Nothing simpler fails in the same way; else the budget was used up.
    pub complete: bool,
}

/// The simplest plan that fails in the same way as this one, which does.
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
    /// Hashes of plans that do not fail in this way: later rounds come upon many of them again.
    passed: BTreeSet<[u8; 32]>,
}

impl<W: Watcher> Trial for Runs<'_, W> {
    fn first_failing(
        &mut self,
        step: &'static str,
        candidates: &[Plan],
    ) -> Result<Option<usize>, Stopped> {
        let candidates = candidates.iter().enumerate();
        // A candidate that no file can express, or that reads otherwise than it was written, is none.
        let said = candidates.filter(|(_, plan)| reread(plan).as_ref() == Some(plan));
        let unknown = said.map(|(position, plan)| (position, plan, hash(plan)));
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

/// The plan that the scenario file of this one draws.
fn reread(plan: &Plan) -> Option<Plan> {
    let text = Scenario::explicit(plan, "Shrunk.".to_owned()).text();
    let scenario = Scenario::parse("shrunk", &text).ok()?;
    Some(scenario.draw(&plan.scenario, plan.seed, plan.store))
}

fn hash(plan: &Plan) -> [u8; 32] {
    *blake3::hash(format!("{plan:?}").as_bytes()).as_bytes()
}
