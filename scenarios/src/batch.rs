//! Many runs on a few threads. Each run is a world of its own; the order in which they finish is nobody's business:
//! results come in the order of the jobs.

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

/// Options of a run whose trace entries nobody reads.
pub(crate) const OUTCOME_ONLY: RunOptions = RunOptions { keep_entries: 1 };

/// One run to do.
#[derive(Clone, Debug)]
pub struct Job {
    pub scenario: Arc<Named>,
    pub seed: u64,
    pub store: Backend,
}

/// One run that was done.
#[derive(Clone, Debug)]
pub struct Finished {
    pub outcome: Outcome,
    /// How long it took.
    pub wall: Duration,
}

impl Job {
    #[must_use]
    pub fn plan(&self) -> Plan {
        let Named { name, scenario } = &*self.scenario;
        scenario.draw(name, self.seed, self.store)
    }

    /// Runs it on a thread of its own and waits.
    #[must_use]
    pub fn run(&self, options: &RunOptions) -> Finished {
        Self::run_plan(self.plan(), options)
    }

    /// As [`Self::run`], for a plan that no seed draws.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "how long the run took outside, for the report alone"
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

/// Does the work for every item on up to `threads` threads and hands over the results in the order of the items, each
/// as soon as it and all before it are there.
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
    fn results_come_in_the_order_of_the_items_whatever_finishes_first() {
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
    fn no_items_are_no_work() {
        in_order(&[], 4, |_: &u8| panic!("there is nothing to do"), |()| {});
    }
}
