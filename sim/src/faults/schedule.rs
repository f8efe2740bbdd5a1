//! Which faults are due: pure, from what happens and the time.

use super::{PlannedFault, Trigger};
use crate::trace::{Entry, ProcessId, SimTime, What};
use metanode_core::env::{CrashPoint, Event, ExecutorEvent, NodeEvent};
use std::collections::BTreeMap;

/// What each fault of a plan still waits for. Each is due once.
pub(crate) struct Schedule {
    /// By the number of the fault.
    waiting: Vec<Waiting>,
    reached: BTreeMap<(ProcessId, CrashPoint), u32>,
    over: bool,
}

struct Waiting {
    trigger: Trigger,
    stored: bool,
    durable: bool,
    injected: bool,
}

impl Waiting {
    /// Whether everything but a crash point has come.
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

    /// Takes in an entry; returns the faults that are due because of it.
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
            _ => return vec![],
        }
        self.due(entry.at)
    }

    /// A process is at a crash point; returns the faults that are due because of it.
    pub fn reach(&mut self, process: ProcessId, point: CrashPoint, now: SimTime) -> Vec<usize> {
        let count = self.reached.entry((process, point)).or_default();
        *count += 1;
        let count = *count;
        let here = |trigger: &Trigger| {
            let reached = trigger.reached.as_ref();
            reached
                .is_some_and(|at| at.process == process && at.point == point && at.times == count)
        };
        self.take(|fault| here(&fault.trigger) && fault.ready(now))
    }

    /// How often each process was at each of its crash points.
    pub fn reached(&self) -> BTreeMap<(ProcessId, CrashPoint), u32> {
        self.reached.clone()
    }

    /// The faults whose time and conditions have come, except those that wait for a crash point.
    pub fn due(&mut self, now: SimTime) -> Vec<usize> {
        self.take(|fault| fault.trigger.reached.is_none() && fault.ready(now))
    }

    /// No fault is due any more.
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
