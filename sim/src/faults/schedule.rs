//! Which faults are due: pure, from entries and the time.

use super::{PlannedFault, Trigger};
use crate::trace::{Entry, ProcessId, SimTime, What, WorldEvent};
use metanode_core::env::{CrashPoint, Event, ExecutorEvent, NodeEvent};
use std::collections::BTreeMap;

/// How often a process was at a crash point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occurrences {
    pub total: u32,
    /// Those of earlier incarnations of the process.
    pub before_last_start: u32,
}

/// What each fault waits for. Each is due once.
pub(crate) struct Schedule {
    /// By the number of the fault.
    waiting: Vec<Waiting>,
    reached: BTreeMap<(ProcessId, CrashPoint), Occurrences>,
    over: bool,
}

struct Waiting {
    trigger: Trigger,
    stored: bool,
    durable: bool,
    injected: bool,
}

impl Waiting {
    /// Whether all conditions except a crash point hold.
    fn ready(&self, now: SimTime) -> bool {
        let in_time = now >= SimTime::from_ms(self.trigger.at_ms);
        !self.injected && self.stored && self.durable && in_time
    }
}

impl Schedule {
    pub fn new(faults: &[PlannedFault]) -> Self {
        let waiting = faults.iter().map(|PlannedFault { trigger, .. }| Waiting {
            trigger: trigger.clone(),
            stored: trigger.stored.is_none(),
            durable: trigger.durable.is_none(),
            injected: false,
        });
        Self {
            waiting: waiting.collect(),
            reached: BTreeMap::new(),
            over: false,
        }
    }

    /// Observes an entry; returns the faults that become due.
    pub fn observe(&mut self, entry: &Entry) -> Vec<usize> {
        match (entry.process, &entry.what) {
            (
                ProcessId::Node(node),
                What::Process(Event::Node(NodeEvent::CommitStored { commit, .. })),
            ) => {
                for fault in &mut self.waiting {
                    let stored = fault.trigger.stored.as_ref();
                    fault.stored |=
                        stored.is_some_and(|at| at.node == node && commit.index >= at.commit);
                }
            }
            (
                ProcessId::Executor(executor),
                What::Process(Event::Executor(ExecutorEvent::Durable { watermark })),
            ) => {
                for fault in &mut self.waiting {
                    let durable = fault.trigger.durable.as_ref();
                    fault.durable |=
                        durable.is_some_and(|at| at.executor == executor && *watermark >= at.gei);
                }
            }
            (process, What::World(WorldEvent::Started { .. })) => {
                for ((of, _), occurrences) in &mut self.reached {
                    if *of == process {
                        occurrences.before_last_start = occurrences.total;
                    }
                }
                return vec![];
            }
            _ => return vec![],
        }
        self.due(entry.at)
    }

    /// A process has reached a crash point; returns the faults that become due.
    pub fn reach(&mut self, process: ProcessId, point: CrashPoint, now: SimTime) -> Vec<usize> {
        let occurrences = self.reached.entry((process, point)).or_default();
        occurrences.total += 1;
        let count = occurrences.total;
        let here = |trigger: &Trigger| {
            let reached = trigger.reached.as_ref();
            reached
                .is_some_and(|at| at.process == process && at.point == point && at.times == count)
        };
        self.take(|fault| here(&fault.trigger) && fault.ready(now))
    }

    /// How often each process reached each crash point.
    pub fn reached(&self) -> BTreeMap<(ProcessId, CrashPoint), Occurrences> {
        self.reached.clone()
    }

    /// The faults that are due, except those that wait for a crash point.
    pub fn due(&mut self, now: SimTime) -> Vec<usize> {
        self.take(|fault| fault.trigger.reached.is_none() && fault.ready(now))
    }

    /// No further fault becomes due.
    pub fn end(&mut self) {
        self.over = true;
    }

    fn take(&mut self, due: impl Fn(&Waiting) -> bool) -> Vec<usize> {
        if self.over {
            return vec![];
        }
        let mut taken = vec![];
        for (number, fault) in self.waiting.iter_mut().enumerate() {
            if due(fault) {
                fault.injected = true;
                taken.push(number);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        faults::{ClockFault, DurableAt, Reached, StoredAt},
        trace::testing::{durable, executor, node, stored, world_event},
    };
    use metanode_core::types::{CommitIndex, GlobalExecIndex};

    fn schedule(triggers: &[Trigger]) -> Schedule {
        let fault = |trigger: &Trigger| PlannedFault {
            trigger: trigger.clone(),
            fault: ClockFault::JumpClock {
                hosts: vec![0],
                by_ms: 1,
            }
            .into(),
        };
        Schedule::new(&triggers.iter().map(fault).collect::<Vec<_>>())
    }

    const fn at(ms: u64) -> SimTime {
        SimTime::from_ms(ms)
    }

    /// Node 1 has stored commit 5 and executor 0 is durable at 7, not before 100 ms.
    fn conditions() -> Trigger {
        Trigger {
            stored: Some(StoredAt {
                node: 1,
                commit: CommitIndex(5),
            }),
            durable: Some(DurableAt {
                executor: 0,
                gei: GlobalExecIndex(7),
            }),
            ..Trigger::at_ms(100)
        }
    }

    #[test]
    fn a_fault_is_due_once_when_its_time_has_come() {
        let mut schedule = schedule(&[Trigger::at_ms(100), Trigger::default()]);
        assert_eq!(schedule.due(at(99)), [1]);
        assert_eq!(schedule.due(at(100)), [0]);
        assert_eq!(schedule.due(at(101)), [0; 0]);
    }

    #[test]
    fn all_conditions_must_hold_in_any_order() {
        let mut schedule = schedule(&[conditions()]);
        for early in [
            executor(101, 0, durable(8)),
            node(102, 1, stored(4)),
            node(103, 2, stored(9)),
        ] {
            assert_eq!(schedule.observe(&early), [0; 0], "{early:?}");
        }
        assert_eq!(schedule.observe(&node(104, 1, stored(6))), [0]);
    }

    #[test]
    fn conditions_may_hold_before_the_time() {
        let mut schedule = schedule(&[conditions()]);
        assert_eq!(schedule.observe(&node(1, 1, stored(5))), [0; 0]);
        assert_eq!(schedule.observe(&executor(2, 0, durable(7))), [0; 0]);
        assert_eq!(schedule.due(at(100)), [0]);
    }

    #[test]
    fn a_crash_point_is_counted_for_its_process_only() {
        let (process, point) = (ProcessId::Node(1), CrashPoint::NodeAfterStore);
        let mut schedule = schedule(&[Trigger {
            reached: Some(Reached {
                process,
                point,
                times: 2,
            }),
            ..Trigger::default()
        }]);
        assert_eq!(schedule.due(at(1)), [0; 0]);
        assert_eq!(schedule.reach(process, point, at(2)), [0; 0]);
        assert_eq!(schedule.reach(ProcessId::Node(2), point, at(3)), [0; 0]);
        assert_eq!(schedule.reach(process, point, at(4)), [0]);
        assert_eq!(schedule.reached()[&(process, point)].total, 2);
    }

    #[test]
    fn occurrences_of_earlier_incarnations_are_counted_apart() {
        let (process, point) = (ProcessId::Node(1), CrashPoint::NodeAfterStore);
        let mut schedule = schedule(&[]);
        for ms in [1, 2] {
            schedule.reach(process, point, at(ms));
        }
        schedule.observe(&world_event(3, process, WorldEvent::Started { start: 2 }));
        schedule.reach(process, point, at(4));
        let expected = Occurrences {
            total: 3,
            before_last_start: 2,
        };
        assert_eq!(schedule.reached()[&(process, point)], expected);
    }

    #[test]
    fn nothing_is_due_once_faults_are_over() {
        let mut schedule = schedule(&[Trigger::default()]);
        schedule.end();
        assert_eq!(schedule.due(at(1)), [0; 0]);
    }
}
