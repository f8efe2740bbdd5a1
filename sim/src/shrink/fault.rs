//! Simpler faults. [`Parts`] is the one place that knows what each kind of fault is made of; the rest treats all kinds
//! alike.

use super::integer::toward;
use crate::{
    plan::{Action, PlannedFault, Replies, Trigger},
    trace::ProcessId,
};

/// What an action is made of.
#[derive(Default)]
pub(super) struct Parts<'a> {
    pub processes: Option<&'a mut Vec<ProcessId>>,
    /// Validators, for all that they run.
    pub hosts: Option<&'a mut Vec<u16>>,
    pub executors: Option<&'a mut Vec<u16>>,
    /// Until the world heals if there is none.
    pub lasting_ms: Option<&'a mut Option<u64>>,
    /// A delay, or another amount whose simplest is 0.
    pub late_ms: Option<&'a mut u64>,
}

impl<'a> Parts<'a> {
    pub fn of(action: &'a mut Action) -> Self {
        let none = Self::default();
        match action {
            Action::Kill {
                processes,
                down_ms: lasting_ms,
            }
            | Action::Pause {
                processes,
                for_ms: lasting_ms,
            }
            | Action::DiskFails {
                processes,
                how: _,
                for_ms: lasting_ms,
            } => Self {
                processes: Some(processes),
                lasting_ms: Some(lasting_ms),
                ..none
            },
            Action::PowerLoss {
                hosts,
                torn: _,
                down_ms: lasting_ms,
            }
            | Action::Partition {
                hosts,
                cut: _,
                for_ms: lasting_ms,
            }
            | Action::ShortWrites {
                hosts,
                max_bytes: _,
                for_ms: lasting_ms,
            } => Self {
                hosts: Some(hosts),
                lasting_ms: Some(lasting_ms),
                ..none
            },
            Action::SlowLinks {
                hosts,
                extra_ms,
                for_ms,
            } => Self {
                hosts: Some(hosts),
                lasting_ms: Some(for_ms),
                late_ms: Some(extra_ms),
                ..none
            },
            Action::StartLate { processes, for_ms } => Self {
                processes: Some(processes),
                late_ms: Some(for_ms),
                ..none
            },
            Action::Stall { executors, for_ms }
            | Action::StopReading { executors, for_ms }
            | Action::ServeBoth { executors, for_ms }
            | Action::HijackSocket {
                executors,
                channel: _,
                how: _,
                for_ms,
            }
            | Action::Replies {
                executors,
                how: Replies::Silent | Replies::Refused,
                for_ms,
            } => Self {
                executors: Some(executors),
                lasting_ms: Some(for_ms),
                ..none
            },
            Action::Replies {
                executors,
                how: Replies::Late { ms },
                for_ms,
            } => Self {
                executors: Some(executors),
                lasting_ms: Some(for_ms),
                late_ms: Some(ms),
                ..none
            },
            Action::Restore {
                executors,
                taken_ms,
                down_ms,
            } => Self {
                executors: Some(executors),
                lasting_ms: Some(down_ms),
                late_ms: Some(taken_ms),
                ..none
            },
            Action::Truncate {
                hosts,
                channel: _,
                after_bytes: late_ms,
            }
            | Action::DelayReply {
                hosts,
                channel: _,
                extra_ms: late_ms,
            } => Self {
                hosts: Some(hosts),
                late_ms: Some(late_ms),
                ..none
            },
            Action::Reset { hosts, channel: _ }
            | Action::HalfClose {
                hosts,
                channel: _,
                side: _,
            }
            | Action::JumpClock { hosts, by_ms: _ }
            | Action::FlipBits {
                nodes: hosts,
                blocks: _,
                commits: _,
            } => Self {
                hosts: Some(hosts),
                ..none
            },
        }
    }

    /// How many it strikes.
    pub fn targets(&self) -> usize {
        self.processes.as_ref().map_or(0, |list| list.len())
            + self.hosts.as_ref().map_or(0, |list| list.len())
            + self.executors.as_ref().map_or(0, |list| list.len())
    }

    /// Keeps the targets that `to` keeps, under the numbers that it gives them.
    fn renumber(&mut self, to: impl Fn(ProcessId) -> Option<ProcessId>) {
        if let Some(processes) = &mut self.processes {
            **processes = processes.iter().filter_map(|id| to(*id)).collect();
            processes.sort_unstable();
        }
        let numbers = |list: &mut Vec<u16>, kind: fn(u16) -> ProcessId| {
            let kept = list.iter().filter_map(|n| match to(kind(*n))? {
                ProcessId::Node(n) | ProcessId::Executor(n) => Some(n),
                ProcessId::World => None,
            });
            *list = kept.collect();
            list.sort_unstable();
        };
        if let Some(hosts) = &mut self.hosts {
            numbers(hosts, ProcessId::Node);
        }
        if let Some(executors) = &mut self.executors {
            numbers(executors, ProcessId::Executor);
        }
    }

    /// Removes the target at this position of all of them.
    fn drop_target(&mut self, mut position: usize) {
        if let Some(processes) = &mut self.processes {
            if position < processes.len() {
                processes.remove(position);
                return;
            }
            position -= processes.len();
        }
        for list in [&mut self.hosts, &mut self.executors].into_iter().flatten() {
            if position < list.len() {
                list.remove(position);
                return;
            }
            position -= list.len();
        }
    }
}

/// The fault with the processes that `to` keeps, under the numbers that it gives them; none if nobody is left that it
/// strikes or waits for.
pub(super) fn renumbered(
    fault: &PlannedFault,
    to: impl Fn(ProcessId) -> Option<ProcessId>,
) -> Option<PlannedFault> {
    let mut fault = fault.clone();
    let mut parts = Parts::of(&mut fault.action);
    parts.renumber(&to);
    if parts.targets() == 0 {
        return None;
    }
    let Trigger {
        at_ms: _,
        stored,
        durable,
        reached,
    } = &mut fault.when;
    if let Some(stored) = stored {
        stored.node = match to(ProcessId::Node(stored.node))? {
            ProcessId::Node(n) | ProcessId::Executor(n) => n,
            ProcessId::World => return None,
        };
    }
    if let Some(durable) = durable {
        durable.executor = match to(ProcessId::Executor(durable.executor))? {
            ProcessId::Node(n) | ProcessId::Executor(n) => n,
            ProcessId::World => return None,
        };
    }
    if let Some(reached) = reached {
        reached.process = to(reached.process)?;
    }
    Some(fault)
}

/// Strictly simpler faults of the same kind: fewer conditions, fewer targets, then rounder and smaller numbers.
pub(super) fn simpler(fault: &PlannedFault) -> Vec<PlannedFault> {
    let mut found = vec![];
    let mut offer = |change: &dyn Fn(&mut PlannedFault)| {
        let mut simpler = fault.clone();
        change(&mut simpler);
        found.push(simpler);
    };
    let Trigger {
        at_ms,
        stored,
        durable,
        reached,
    } = &fault.when;
    if stored.is_some() {
        offer(&|fault| fault.when.stored = None);
    }
    if durable.is_some() {
        offer(&|fault| fault.when.durable = None);
    }
    if reached.is_some() {
        offer(&|fault| fault.when.reached = None);
    }
    let mut action = fault.action.clone();
    let parts = Parts::of(&mut action);
    let targets = parts.targets();
    if targets > 1 {
        for position in 0..targets {
            offer(&|fault| Parts::of(&mut fault.action).drop_target(position));
        }
    }
    for at_ms in toward(*at_ms, 0) {
        offer(&|fault| fault.when.at_ms = at_ms);
    }
    if let Some(stored) = stored {
        for commit in toward(stored.commit.0.into(), 1) {
            offer(&|fault| {
                if let Some(stored) = &mut fault.when.stored {
                    stored.commit.0 = narrow(commit);
                }
            });
        }
    }
    if let Some(durable) = durable {
        for gei in toward(durable.gei.0, 1) {
            offer(&|fault| {
                if let Some(durable) = &mut fault.when.durable {
                    durable.gei.0 = gei;
                }
            });
        }
    }
    if let Some(reached) = reached {
        for times in toward(reached.times.into(), 1) {
            offer(&|fault| {
                if let Some(reached) = &mut fault.when.reached {
                    reached.times = narrow(times);
                }
            });
        }
    }
    if let Some(Some(lasting_ms)) = parts.lasting_ms {
        let shorter = toward(*lasting_ms, 0).into_iter().map(Some);
        for lasting_ms in [None].into_iter().chain(shorter) {
            offer(&|fault| {
                if let Some(lasting) = Parts::of(&mut fault.action).lasting_ms {
                    *lasting = lasting_ms;
                }
            });
        }
    }
    if let Some(late_ms) = parts.late_ms {
        for late_ms in toward(*late_ms, 0) {
            offer(&|fault| {
                if let Some(late) = Parts::of(&mut fault.action).late_ms {
                    *late = late_ms;
                }
            });
        }
    }
    found
}

/// Back to the type it came from, nearer to a smaller number than it was.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
