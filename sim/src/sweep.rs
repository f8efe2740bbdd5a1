//! A crash at every crash point that a run reaches, for the first times that it reaches it: in the node and in the
//! executor of one validator, each alone and both, by a kill and by a power loss of their host; and a second crash during
//! the recovery from each. Pure: from the crash points that a run reached to the plans of the next ones.
//!
//! Nothing is drawn. Up to its first crash a run is equal to the base run, and up to the second one to the run with the
//! first crash alone, so these always happen. The second crash of a pair may not: after the first one the other process
//! may behave differently.

use crate::{
    faults::{Occurrences, PlannedFault, ProcessFault, Reached, Trigger},
    plan::Plan,
    trace::ProcessId,
};
use metanode_core::env::CrashPoint;
use std::collections::BTreeMap;

/// A crashed process restarts after this time.
const DOWN_MS: u64 = 200;

/// How often each process was at each of its crash points.
type AllReached = BTreeMap<(ProcessId, CrashPoint), Occurrences>;

/// What a crash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// The process ends. Its writes are kept.
    Kill,
    /// Its host loses power: node and executor end, unsynced writes are lost, and a part of the first lost one is on the
    /// disk.
    PowerLoss,
}

/// One crash: when `process` reaches `point` for the n-th time, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crash {
    pub manner: Manner,
    pub process: ProcessId,
    pub point: CrashPoint,
    pub times: u32,
}

impl Crash {
    fn planned(&self) -> PlannedFault {
        let down_ms = Some(DOWN_MS);
        let fault = match self.manner {
            Manner::Kill => ProcessFault::Kill {
                processes: vec![self.process],
                down_ms,
            },
            Manner::PowerLoss => ProcessFault::PowerLoss {
                hosts: self.process.validator().into_iter().collect(),
                torn: true,
                down_ms,
            },
        };
        PlannedFault {
            trigger: Trigger {
                reached: Some(Reached {
                    process: self.process,
                    point: self.point,
                    times: self.times,
                }),
                ..Trigger::default()
            },
            fault: fault.into(),
        }
    }
}

/// One run of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Alone(Crash),
    /// One crash of the node and one of the executor.
    Pair {
        node: Crash,
        executor: Crash,
    },
    /// A crash, and another one of the same process after its last start.
    Recovery {
        first: Crash,
        second: Crash,
    },
}

impl Case {
    /// In the order in which they happen, as far as it is known.
    #[must_use]
    pub fn crashes(&self) -> Vec<Crash> {
        match *self {
            Self::Alone(crash) => vec![crash],
            Self::Pair { node, executor } => vec![node, executor],
            Self::Recovery { first, second } => vec![first, second],
        }
    }

    /// The plan with these crashes in addition to its own faults.
    #[must_use]
    pub fn plan(&self, base: &Plan) -> Plan {
        let mut plan = base.clone();
        // A sweep crashes in any state, also while other validators are down.
        plan.max_faulty = None;
        // The expectations of the scenario apply to the base run only.
        plan.expect.clear();
        for crash in self.crashes() {
            let Crash { point, times, .. } = crash;
            // Failure files are named by it.
            plan.scenario.push_str(&match crash.manner {
                Manner::Kill => format!("+{point}-{times}"),
                Manner::PowerLoss => format!("+power-loss-{point}-{times}"),
            });
            plan.faults.push(crash.planned());
        }
        plan
    }
}

/// All crashes of one process: at each crash point that it reached, for the first `most` times.
fn crashes(reached: &AllReached, manner: Manner, process: ProcessId, most: u32) -> Vec<Crash> {
    let own = reached.iter().filter(|((at, _), _)| *at == process);
    own.flat_map(|(&(process, point), occurrences)| {
        (1..=occurrences.total.min(most)).map(move |times| Crash {
            manner,
            process,
            point,
            times,
        })
    })
    .collect()
}

/// The cases that follow from the base run: first each crash alone, by a kill and by a power loss, then each kill of the
/// node with each of the executor.
#[must_use]
pub fn cases(reached: &AllReached, validator: u16, most: u32) -> Vec<Case> {
    let of = |manner, process| crashes(reached, manner, process, most);
    let (node, executor) = (ProcessId::Node(validator), ProcessId::Executor(validator));
    let sub = ProcessId::Sub(validator);
    let alone = [Manner::Kill, Manner::PowerLoss]
        .into_iter()
        .flat_map(|manner| {
            [node, executor, sub]
                .map(|process| of(manner, process))
                .concat()
        });
    let (nodes, executors) = (of(Manner::Kill, node), of(Manner::Kill, executor));
    let pairs = nodes.iter().flat_map(|&node| {
        let executors = executors.iter();
        executors.map(move |&executor| Case::Pair { node, executor })
    });
    alone.map(Case::Alone).chain(pairs).collect()
}

/// The cases that follow from a run with one crash: the process crashes in the same manner at each crash point that it
/// reached after its last start, as soon as it reaches it. None for other cases.
#[must_use]
pub fn recoveries(case: &Case, reached: &AllReached) -> Vec<Case> {
    let Case::Alone(first) = *case else {
        return vec![];
    };
    let own = reached.iter().filter(|((at, _), occurrences)| {
        *at == first.process && occurrences.total > occurrences.before_last_start
    });
    own.map(|(&(_, point), occurrences)| Case::Recovery {
        first,
        second: Crash {
            point,
            times: occurrences.before_last_start + 1,
            ..first
        },
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const NODE: ProcessId = ProcessId::Node(0);
    const EXECUTOR: ProcessId = ProcessId::Executor(0);

    fn times(total: u32) -> Occurrences {
        Occurrences {
            total,
            before_last_start: 0,
        }
    }

    fn reached() -> AllReached {
        BTreeMap::from([
            ((NODE, CrashPoint::NodeReplayPlanned), times(1)),
            ((NODE, CrashPoint::NodeAfterStore), times(9)),
            ((EXECUTOR, CrashPoint::ExecutorReceived), times(2)),
            ((ProcessId::Node(1), CrashPoint::NodeAfterStore), times(9)),
        ])
    }

    #[test]
    fn a_sweep_has_every_crash_alone_in_both_manners_and_every_pair_of_kills_once() {
        let cases = cases(&reached(), 0, 3);
        let alone = cases.iter().filter(|case| matches!(case, Case::Alone(_)));
        let alone = alone.count();
        assert_eq!((alone, cases.len() - alone), (2 * (1 + 3 + 2), (1 + 3) * 2));
        let distinct: BTreeSet<_> = cases.iter().map(Case::crashes).collect();
        assert_eq!(distinct.len(), cases.len());
        for crash in cases.iter().flat_map(Case::crashes) {
            assert!([NODE, EXECUTOR].contains(&crash.process));
        }
    }

    #[test]
    fn a_point_is_swept_as_often_as_it_is_reached_up_to_the_limit() {
        let times = |most| {
            let crashes = crashes(&reached(), Manner::Kill, NODE, most).into_iter();
            crashes.map(|crash| crash.times).collect::<Vec<_>>()
        };
        assert_eq!(times(2), [1, 1, 2]);
        assert_eq!(times(0), [0; 0]);
    }

    #[test]
    fn a_recovery_crashes_again_where_the_last_incarnation_was() {
        let first = Crash {
            manner: Manner::PowerLoss,
            process: NODE,
            point: CrashPoint::NodeAfterStore,
            times: 4,
        };
        let occurrences = |total, before_last_start| Occurrences {
            total,
            before_last_start,
        };
        let reached = BTreeMap::from([
            ((NODE, CrashPoint::NodeAfterStore), occurrences(9, 4)),
            ((NODE, CrashPoint::NodeEpochRemoved), occurrences(2, 2)),
            ((EXECUTOR, CrashPoint::ExecutorReceived), occurrences(7, 3)),
        ]);
        let second = Crash { times: 5, ..first };
        let recovery = Case::Recovery { first, second };
        assert_eq!(recoveries(&Case::Alone(first), &reached), [recovery]);
        assert_eq!(recoveries(&recovery, &reached), []);
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
        let mut names = BTreeSet::new();
        for case in cases(&reached(), 0, 1) {
            let plan = case.plan(&base);
            assert!(names.insert(plan.scenario.clone()), "{}", plan.scenario);
            assert_eq!(plan.faults[0], base.faults[0]);
            assert_eq!(plan.faults.len(), 1 + case.crashes().len());
        }
    }
}
