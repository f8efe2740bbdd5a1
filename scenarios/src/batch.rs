//! Runs jobs on several threads. Jobs are independent; results are returned in the order of the jobs.

use crate::catalog::Named;
use metanode_sim::{
    plan::{Backend, Plan},
    run::{Outcome, RunOptions, run},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

/// For runs whose trace entries are not needed.
pub(crate) const OUTCOME_ONLY: RunOptions = RunOptions { keep_entries: 1 };

/// A run to execute.
#[derive(Clone, Debug)]
pub struct Job {
    pub scenario: Arc<Named>,
    pub seed: u64,
    pub store: Backend,
}

/// An executed run.
#[derive(Clone, Debug)]
pub struct Finished {
    pub outcome: Outcome,
    /// Wall-clock time of the run.
    pub wall: Duration,
}

impl Job {
    #[must_use]
    pub fn plan(&self) -> Plan {
        let Named { name, scenario } = &*self.scenario;
        scenario.draw(name, self.seed, self.store)
    }

    /// Executes the run and waits for its result.
    #[must_use]
    pub fn run(&self, options: &RunOptions) -> Finished {
        Self::run_plan(self.plan(), options)
    }

    /// As [`Self::run`], for a plan that is not drawn from a seed.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "wall-clock time, for the report alone"
    )]
    pub(crate) fn run_plan(plan: Plan, options: &RunOptions) -> Finished {
        let begin = std::time::Instant::now();
        let outcome = run(plan, options);
        Finished {
            outcome,
            wall: begin.elapsed(),
        }
    }
}

/// Calls `work` for every item on up to `threads` threads, and `each` for every result in the order of the items, as
/// soon as that result and all before it exist.
pub(crate) fn in_order<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> R + Sync,
    mut each: impl FnMut(R),
) {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let (next, work) = (&next, &work);
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, items.len().max(1)) {
            let sender = sender.clone();
            scope.spawn(move || {
                loop {
                    let position = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(position) else {
                        return;
                    };
                    if sender.send((position, work(item))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut expected = 0;
        for (position, result) in receiver {
            early.insert(position, result);
            while let Some(result) = early.remove(&expected) {
                each(result);
                expected += 1;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        // The first item finishes only after the second has begun on another thread.
        let both = Barrier::new(2);
        let mut results = vec![];
        let items: Vec<u32> = (0..50).collect();
        in_order(
            &items,
            4,
            |item| {
                if *item < 2 {
                    both.wait();
                }
                *item * 2
            },
            |result| results.push(result),
        );
        assert_eq!(results, items.iter().map(|i| i * 2).collect::<Vec<_>>());
    }

    #[test]
    fn without_items_nothing_is_called() {
        in_order(&[], 4, |_: &u8| panic!("there is nothing to do"), |()| {});
    }
}
