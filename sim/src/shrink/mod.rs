//! From a plan whose run fails to the smallest one that fails in the same way. Pure: what is tried next follows from
//! the plan and from which attempts failed; whoever runs them is behind [`Trial`].
//!
//! The seed stays. Every part of the world draws from streams of its own, named by labels, so that leaving out a fault
//! moves nothing but what followed from it.

mod ddmin;
mod fault;
mod limits;
mod simplify;

use crate::{faults::PlannedFault, plan::Plan};
use ddmin::ddmin;
use simplify::steps;
use thiserror::Error;

/// Runs plans.
pub trait Trial {
    /// The position of the first of these that fails in the way that is looked for. They are in order of preference,
    /// all simpler than the last one that was found. Those before the first must all have been judged, those behind
    /// it need not be.
    ///
    /// # Errors
    /// If no more shall be tried.
    fn first_failing(
        &mut self,
        step: &'static str,
        candidates: &[Plan],
    ) -> Result<Option<usize>, Stopped>;
}

/// No more shall be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("stopped before the plan was the smallest")]
pub struct Stopped;

/// Simplifies `plan`, whose run fails, until no step finds anything simpler that fails: first the list of faults, then
/// everything else, again and again. Returns the simplest that was found, and whether it is a fixed point.
pub fn shrink(
    plan: Plan,
    has_deadline: bool,
    trial: &mut impl Trial,
) -> (Plan, Result<(), Stopped>) {
    let mut search = Search { best: plan, trial };
    let ended = search.reach_fixed_point(has_deadline);
    (search.best, ended)
}

struct Search<'a, T> {
    best: Plan,
    trial: &'a mut T,
}

impl<T: Trial> Search<'_, T> {
    fn reach_fixed_point(&mut self, has_deadline: bool) -> Result<(), Stopped> {
        loop {
            let before = self.best.clone();
            self.fewer_faults()?;
            for step in steps(&self.best, has_deadline) {
                while self
                    .adopt(step.name, step.candidates(&self.best))?
                    .is_some()
                {}
            }
            if self.best == before {
                return Ok(());
            }
        }
    }

    fn fewer_faults(&mut self) -> Result<(), Stopped> {
        let faults = self.best.faults.clone();
        ddmin(faults, |lists: &[Vec<PlannedFault>]| {
            let with = |faults: &Vec<PlannedFault>| Plan {
                faults: faults.clone(),
                ..self.best.clone()
            };
            let candidates = lists.iter().map(with).collect();
            self.adopt("faults", candidates)
        })?;
        Ok(())
    }

    /// Goes on with the first candidate that fails, if one does; says which.
    fn adopt(
        &mut self,
        step: &'static str,
        mut candidates: Vec<Plan>,
    ) -> Result<Option<usize>, Stopped> {
        if candidates.is_empty() {
            return Ok(None);
        }
        let found = self.trial.first_failing(step, &candidates)?;
        if let Some(position) = found {
            self.best = candidates.swap_remove(position);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
