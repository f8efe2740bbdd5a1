//! From a plan whose run fails to the smallest one that fails in the same way. Pure: what is tried next follows from
//! the plan and from which attempts failed; a [`Trial`] runs them.
//!
//! The seed is kept. Every part of the world draws from its own streams, named by labels, so that removing a fault
//! changes only its consequences.

mod ddmin;
mod fault;
mod limits;
mod simplify;

use crate::{faults::PlannedFault, plan::Plan};
use ddmin::ddmin;
use simplify::steps;
use thiserror::Error;

/// Judges plans by running them.
pub trait Trial {
    /// The position of the first candidate that fails in the same way. They are in order of preference, all simpler
    /// than the last one that was found. All candidates before it must have been judged, those after it need not be.
    ///
    /// # Errors
    /// If the search must stop.
    fn first_failing(
        &mut self,
        step: &'static str,
        candidates: &[Plan],
    ) -> Result<Option<usize>, Stopped>;
}

/// The search was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("stopped before the plan was the smallest")]
pub struct Stopped;

/// Simplifies `plan`, whose run fails, until no step finds a simpler plan that fails: first the list of faults, then
/// everything else, repeatedly. Returns the simplest plan that was found, and whether it is a fixed point.
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

    /// Adopts the first failing candidate, if there is one. Returns its position.
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
