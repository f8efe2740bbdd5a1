//! A crash at every crash point that a run reaches, for the first times that it reaches it: in the node and in the
//! executor of one validator, each alone and both. Pure: from the crash points that the base run reached to the plans
//! of the sweep.
//!
//! Nothing is drawn. Up to its first crash a run is equal to the base run, so that crash always happens. The second
//! crash of a pair may not: after the first one the other process may behave differently.

use crate::{
    faults::{PlannedFault, ProcessFault, Reached, Trigger},
    plan::Plan,
    trace::ProcessId,
};
use metanode_core::env::CrashPoint;
use std::collections::BTreeMap;

/// A crashed process restarts after this time.
const DOWN_MS: u64 = 200;

/// One crash: when `process` reaches `point` for the n-th time, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crash {
    pub process: ProcessId,
    pub point: CrashPoint,
    pub times: u32,
}

/// One run of a sweep: a single crash, or one of the node and one of the executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub crashes: Vec<Crash>,
}

impl Case {
    /// The plan with these crashes in addition to its own faults.
    #[must_use]
    pub fn plan(&self, base: &Plan) -> Plan {
        let mut plan = base.clone();
        // A sweep crashes in any state, also while other validators are down.
        plan.max_faulty = None;
        // The expectations of the scenario apply to the base run only.
        plan.expect.clear();
        for Crash { point, times, .. } in &self.crashes {
            plan.scenario.push_str(&format!("+{point}-{times}"));
        }
        plan.faults.extend(self.crashes.iter().map(|crash| {
            PlannedFault {
                trigger: Trigger {
                    reached: Some(Reached {
                        process: crash.process,
                        point: crash.point,
                        times: crash.times,
                    }),
                    ..Trigger::default()
                },
                fault: ProcessFault::Kill {
                    processes: vec![crash.process],
                    down_ms: Some(DOWN_MS),
                }
                .into(),
            }
        }));
        plan
    }
}

/// All crashes of one process: at each crash point that it reached, for the first `most` times.
#[must_use]
pub fn crashes(
    reached: &BTreeMap<(ProcessId, CrashPoint), u32>,
    process: ProcessId,
    most: u32,
) -> Vec<Crash> {
    let own = reached.iter().filter(|((at, _), _)| *at == process);
    own.flat_map(|(&(process, point), &count)| {
        (1..=count.min(most)).map(move |times| Crash {
            process,
            point,
            times,
        })
    })
    .collect()
}

/// All cases of a sweep: first each crash alone, then each of the node with each of the executor.
#[must_use]
pub fn cases(
    reached: &BTreeMap<(ProcessId, CrashPoint), u32>,
    validator: u16,
    most: u32,
) -> Vec<Case> {
    let node = crashes(reached, ProcessId::Node(validator), most);
    let executor = crashes(reached, ProcessId::Executor(validator), most);
    let alone = node.iter().chain(&executor).map(|crash| vec![*crash]);
    let pairs = node
        .iter()
        .flat_map(|node| executor.iter().map(|executor| vec![*node, *executor]));
    alone.chain(pairs).map(|crashes| Case { crashes }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: ProcessId = ProcessId::Node(0);
    const EXECUTOR: ProcessId = ProcessId::Executor(0);

    fn reached() -> BTreeMap<(ProcessId, CrashPoint), u32> {
        BTreeMap::from([
            ((NODE, CrashPoint::NodeReplayPlanned), 1),
            ((NODE, CrashPoint::NodeAfterStore), 9),
            ((EXECUTOR, CrashPoint::ExecutorReceived), 2),
            ((ProcessId::Node(1), CrashPoint::NodeAfterStore), 9),
        ])
    }

    #[test]
    fn a_sweep_has_every_crash_alone_and_every_pair_once() {
        let cases = cases(&reached(), 0, 3);
        let (alone, pairs): (Vec<_>, Vec<_>) =
            cases.iter().partition(|case| case.crashes.len() == 1);
        assert_eq!((alone.len(), pairs.len()), (1 + 3 + 2, (1 + 3) * 2));
        for case in &cases {
            assert_eq!(cases.iter().filter(|other| *other == case).count(), 1);
            assert!(
                case.crashes
                    .iter()
                    .all(|crash| [NODE, EXECUTOR].contains(&crash.process))
            );
        }
    }

    #[test]
    fn a_point_is_swept_as_often_as_it_is_reached_up_to_the_limit() {
        let times = |most| {
            let crashes = crashes(&reached(), NODE, most).into_iter();
            crashes.map(|crash| crash.times).collect::<Vec<_>>()
        };
        assert_eq!(times(2), [1, 1, 2]);
        assert_eq!(times(0), [0; 0]);
    }

    #[test]
    fn crashes_are_added_to_the_faults_of_the_plan() {
        let mut base = Plan::example();
        base.faults.push(PlannedFault {
            trigger: Trigger::default(),
            fault: ProcessFault::PowerLoss {
                torn: false,
                hosts: vec![2],
                down_ms: None,
            }
            .into(),
        });
        for case in cases(&reached(), 0, 1) {
            let plan = case.plan(&base);
            assert_eq!(plan.faults[0], base.faults[0]);
            assert_eq!(plan.faults.len(), 1 + case.crashes.len());
        }
    }
}
