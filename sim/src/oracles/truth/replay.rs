//! Whether the replay plan of a start follows from what its disk holds and what its executor answered, by the table of
//! contract §6.3.

use crate::witness::EpochRecord;
use metanode_core::types::{CommitIndex, Epoch, GlobalExecIndex, ReplayPlan};
use std::collections::BTreeMap;

/// What a node knows when it begins an epoch.
#[derive(Default)]
pub(super) struct Known {
    /// The last commit on the disk, by epoch.
    pub last_commits: BTreeMap<Epoch, CommitIndex>,
    /// Epoch and watermark of the executor.
    pub answered: Option<(Epoch, GlobalExecIndex)>,
}

impl Known {
    /// Whether this is the plan. `record` is the one on the disk of an epoch.
    pub fn leads_to<'a>(
        &self,
        plan: &ReplayPlan,
        record: impl Fn(Epoch) -> Option<&'a EpochRecord>,
    ) -> bool {
        let Some((epoch_of_executor, watermark)) = self.answered else {
            return false;
        };
        let last_commit = |epoch| self.last_commits.get(&epoch).map_or(0, |last| last.0);
        // The commit of this epoch that is the executor's last block.
        let durable = |epoch| {
            let base = record(epoch)?.base;
            watermark.0.checked_sub(base.0)
        };
        // The executor's, or an earlier one of which it lacks blocks.
        let lacks_blocks = |next: &EpochRecord| watermark < next.base;
        let continues_in = |epoch: Epoch| {
            epoch == epoch_of_executor
                || epoch < epoch_of_executor && record(epoch.next()).is_none_or(lacks_blocks)
        };
        match *plan {
            ReplayPlan::Replay { epoch, from, to } => {
                let durable = durable(epoch);
                continues_in(epoch)
                    && last_commit(epoch) == to.0
                    && durable.is_some_and(|durable| durable + 1 == u64::from(from.0))
                    && durable <= Some(to.0.into())
            }
            ReplayPlan::FetchOnly { epoch, from, to } => {
                (epoch == epoch_of_executor || record(epoch.next()).is_some_and(lacks_blocks))
                    && last_commit(epoch) + 1 == from.0
                    && durable(epoch) == Some(to.0.into())
                    && from <= to
            }
            ReplayPlan::PreviousTail { previous, from, to } => {
                let epoch = previous.next();
                epoch == epoch_of_executor
                    && from == watermark.next()
                    && record(epoch).is_none_or(|record| record.base == to)
                    && from <= to
            }
            ReplayPlan::ResumeEpochChange { node, executor } => {
                executor == epoch_of_executor && executor < node
            }
            ReplayPlan::JoinEpoch { node, executor } => {
                executor == epoch_of_executor && executor > node
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::witness::ChangeStep;
    use metanode_core::types::TimestampMs;

    const EPOCH: Epoch = Epoch(3);

    /// Whether this plan is the one of a node with ten commits in epoch 3, whose base is GEI 100.
    fn is_plan(answered: (u64, u64), plan: ReplayPlan) -> bool {
        let known = Known {
            last_commits: BTreeMap::from([(EPOCH, CommitIndex(10))]),
            answered: Some((Epoch(answered.0), GlobalExecIndex(answered.1))),
        };
        let record = EpochRecord {
            epoch: EPOCH,
            base: GlobalExecIndex(100),
            start_ms: TimestampMs(0),
            committee: vec![],
            step: ChangeStep::Running,
        };
        known.leads_to(&plan, |epoch| (epoch == EPOCH).then_some(&record))
    }

    fn replay(from: u32, to: u32) -> ReplayPlan {
        ReplayPlan::Replay {
            epoch: EPOCH,
            from: CommitIndex(from),
            to: CommitIndex(to),
        }
    }

    fn fetch(from: u32, to: u32) -> ReplayPlan {
        ReplayPlan::FetchOnly {
            epoch: EPOCH,
            from: CommitIndex(from),
            to: CommitIndex(to),
        }
    }

    fn tail(from: u64, to: u64) -> ReplayPlan {
        ReplayPlan::PreviousTail {
            previous: Epoch(2),
            from: GlobalExecIndex(from),
            to: GlobalExecIndex(to),
        }
    }

    fn join(node: u64, executor: u64) -> ReplayPlan {
        ReplayPlan::JoinEpoch {
            node: Epoch(node),
            executor: Epoch(executor),
        }
    }

    fn resume(node: u64, executor: u64) -> ReplayPlan {
        ReplayPlan::ResumeEpochChange {
            node: Epoch(node),
            executor: Epoch(executor),
        }
    }

    /// The executor is in epoch 4, which begins after GEI 110, and may lack blocks of epoch 3.
    #[test]
    fn delivery_continues_in_an_earlier_epoch_of_which_the_executor_lacks_blocks() {
        let is_plan = |watermark, known: bool, plan: ReplayPlan| {
            let state = Known {
                last_commits: BTreeMap::from([(EPOCH, CommitIndex(10))]),
                answered: Some((EPOCH.next(), GlobalExecIndex(watermark))),
            };
            let record = |epoch, base| EpochRecord {
                epoch,
                base: GlobalExecIndex(base),
                start_ms: TimestampMs(0),
                committee: vec![],
                step: ChangeStep::Running,
            };
            let records = [record(EPOCH, 100), record(EPOCH.next(), 110)];
            let records = &records[..1 + usize::from(known)];
            state.leads_to(&plan, |epoch| records.iter().find(|of| of.epoch == epoch))
        };
        assert!(is_plan(107, true, replay(8, 10)));
        assert!(is_plan(107, false, replay(8, 10)));
        assert!(!is_plan(110, true, replay(11, 10)), "it lacks nothing");
        assert!(!is_plan(107, true, replay(9, 10)));
    }

    /// Each row of the table at its edges, with the nearest wrong plans.
    #[test]
    fn each_answer_of_the_executor_leads_to_one_plan() {
        let rows = [
            ((3, 99), tail(100, 100), [tail(99, 100), replay(1, 10)]),
            ((3, 100), replay(1, 10), [replay(2, 10), tail(101, 100)]),
            ((3, 107), replay(8, 10), [replay(8, 9), replay(7, 10)]),
            ((3, 110), replay(11, 10), [replay(10, 10), fetch(11, 10)]),
            ((3, 111), fetch(11, 11), [fetch(10, 11), replay(12, 10)]),
            ((4, 111), join(3, 4), [join(3, 3), fetch(11, 11)]),
            ((2, 90), resume(3, 2), [resume(2, 2), tail(91, 100)]),
        ];
        for (answered, right, wrong) in rows {
            assert!(is_plan(answered, right), "{answered:?}: {right}");
            for wrong in wrong {
                assert!(!is_plan(answered, wrong), "{answered:?}: {wrong}");
            }
        }
    }
}
