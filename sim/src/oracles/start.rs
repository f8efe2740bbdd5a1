//! START: *a node start ends ready or in a stated wait, without panic.*
//!
//! Violations: a process fails or panics, at any time; a start that is neither ready nor in a stated wait, judged when
//! the process or the run ends, for longer than the plan's `settle_ms` (or than a few RPC exchanges take that are
//! answered just before their timeouts); a wait that is not stated again for longer than that and the longest pause
//! between two attempts; a wait of a node that has read, in the attempt before, the answers to all that a start asks.
//!
//! No violation: a process that ends with the error of its disk, if the world made the disk fail; an executor that ends
//! because another process answers at its hijacked path; a wait of any length that is stated again; a paused process;
//! the process of a Byzantine validator. An executor is ready when it emits `Started`.

use super::{Invariant, Oracle, Violation};
use crate::{
    faults::{DiskFault, Fault, SocketFault},
    net::Hijack,
    plan::Plan,
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
    witness::{Fact, Reply},
};
use metanode_core::{
    env::{Event, ExecutorEvent, NodeEvent},
    executor::bind::IN_USE,
    types::{Epoch, GlobalExecIndex},
};
use std::collections::{BTreeMap, BTreeSet};

/// RPC exchanges of a start between two events: epoch, genesis, committee, watermark, and one more.
const EXCHANGES: u64 = 5;

pub(super) struct Start {
    patience: SimTime,
    /// The same for a wait, which lasts as long as the longest pause between two attempts.
    patience_with_wait: SimTime,
    /// Processes that are not ready yet.
    beginning: BTreeMap<ProcessId, Beginning>,
    /// Processes that need not start.
    byzantine: BTreeSet<ProcessId>,
    /// Disks that the world made fail, with their errors.
    failing_disks: BTreeSet<(ProcessId, &'static str)>,
    /// The number of active faults that put a silent listener at a path of each executor.
    hijacked_executors: BTreeMap<ProcessId, u32>,
    /// The faults of the plan, by number.
    faults: Vec<Fault>,
}

/// A start that has not ended.
struct Beginning {
    /// Its start, its stated wait, or the entry that ended the wait.
    last: Entry,
    /// The time from which its duration counts.
    since: SimTime,
    waiting: bool,
    paused: bool,
    /// What this attempt was told by the executor.
    told: Told,
}

/// What a start asks (contract §6.1): the epoch, its boundary, the watermark, and, as long as the executor lacks blocks
/// before the boundary, that of the epoch before.
#[derive(Clone, Copy, Default)]
struct Told {
    epoch: Option<Epoch>,
    boundary: Option<GlobalExecIndex>,
    watermark: Option<GlobalExecIndex>,
}

impl Told {
    fn add(&mut self, reply: &Reply) {
        match reply {
            Reply::CurrentEpoch(epoch) => self.epoch = Some(*epoch),
            Reply::EpochBoundaryData { boundary, .. } => self.boundary = Some(*boundary),
            reply => self.watermark = reply.watermark().or(self.watermark),
        }
    }

    fn is_all(&self) -> bool {
        self.epoch.is_some() && self.boundary.is_some() && self.boundary <= self.watermark
    }
}

impl Start {
    pub(super) fn new(plan: &Plan) -> Self {
        let (_, timeout_ms) = plan.extremes(|node| node.rpc.timeout_ms);
        let (_, retry_ms) = plan.extremes(|node| node.rpc.start_retry_max_ms);
        let patience_ms = plan.settle_ms.max(EXCHANGES * timeout_ms);
        Self {
            patience: SimTime::from_ms(patience_ms),
            patience_with_wait: SimTime::from_ms(patience_ms + retry_ms),
            beginning: BTreeMap::new(),
            byzantine: (plan.byzantine.iter())
                .map(|byzantine| ProcessId::Node(byzantine.validator))
                .collect(),
            failing_disks: BTreeSet::new(),
            hijacked_executors: BTreeMap::new(),
            faults: (plan.faults.iter())
                .map(|planned| planned.fault.clone())
                .collect(),
        }
    }

    /// A message if the start is overdue.
    fn overdue(&self, beginning: &Beginning, now: SimTime) -> Option<String> {
        let elapsed = now.since(beginning.since);
        let (patience, otherwise) = match beginning.waiting {
            true => (self.patience_with_wait, "the wait was not stated again"),
            false => (self.patience, "it was neither"),
        };
        (!beginning.paused && elapsed > patience).then(|| {
            format!(
                "expected the start to be ready or in a stated wait within {} ms, {otherwise} for {} ms",
                patience.as_ms(),
                elapsed.as_ms()
            )
        })
    }

    /// The process did something else than end or become ready.
    fn did(&mut self, event: &Event, entry: &Entry) -> Result<(), Box<Violation>> {
        let Some(beginning) = self.beginning.get_mut(&entry.process) else {
            return Ok(());
        };
        let attempt = match event {
            Event::Node(NodeEvent::Waiting { attempt, .. }) => Some(*attempt),
            _ => None,
        };
        let waits = attempt.is_some();
        if !waits && !beginning.waiting {
            return Ok(());
        }
        let earlier = std::mem::replace(&mut beginning.last, entry.clone());
        beginning.since = entry.at;
        beginning.waiting = waits;
        // Before the first attempt it may have been told for the epoch before.
        let is_repeated = attempt.is_some_and(|attempt| attempt > 1);
        if waits && std::mem::take(&mut beginning.told).is_all() && is_repeated {
            let message = "expected the start to go on, it waits although its executor has told it epoch, boundary and watermark";
            return Err(violation(
                entry,
                "waits-for-nothing",
                message.to_owned(),
                Some(earlier),
            ));
        }
        Ok(())
    }

    /// The process has ended, and so has its start.
    fn ended(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        let Some(beginning) = self.beginning.remove(&entry.process) else {
            return Ok(());
        };
        match self.overdue(&beginning, entry.at) {
            None => Ok(()),
            Some(message) => Err(violation(entry, "overdue", message, Some(beginning.last))),
        }
    }

    /// A process ended by itself, with an error.
    fn gave_up(&mut self, reason: &str, entry: &Entry) -> Result<(), Box<Violation>> {
        let process = entry.process;
        let earlier = self.beginning.remove(&process);
        let disk_failed = (self.failing_disks.iter())
            .any(|(id, modelled)| *id == process && reason.contains(modelled));
        let hijacked = self.hijacked_executors.get(&process);
        let hijacked = hijacked.is_some_and(|n| *n > 0);
        if disk_failed || hijacked && reason.contains(IN_USE) {
            return Ok(());
        }
        let message = format!("expected the process to run or wait, it gave up: {reason}");
        let earlier = earlier.map(|start| start.last);
        Err(violation(entry, "gave-up", message, earlier))
    }

    fn fault_began(&mut self, number: usize) {
        let fault = &self.faults[number];
        if let Fault::Disk(DiskFault::DiskFails { processes, how, .. }) = fault {
            let failing = processes.iter().map(|id| (*id, how.reason()));
            self.failing_disks.extend(failing);
        }
        for executor in hijacked_executors(fault) {
            *self.hijacked_executors.entry(executor).or_default() += 1;
        }
    }

    fn fault_ended(&mut self, number: usize) {
        for executor in hijacked_executors(&self.faults[number]) {
            *self.hijacked_executors.entry(executor).or_default() -= 1;
        }
    }
}

/// The executors with a silent listener at one of their paths.
fn hijacked_executors(fault: &Fault) -> Vec<ProcessId> {
    match fault {
        Fault::Socket(SocketFault::HijackSocket {
            executors,
            how: Hijack::Silent,
            ..
        }) => executors.iter().map(|n| ProcessId::Executor(*n)).collect(),
        _ => vec![],
    }
}

fn violation(
    entry: &Entry,
    clause: &'static str,
    message: String,
    earlier: Option<Entry>,
) -> Box<Violation> {
    Violation::by(entry, Invariant::Start, clause, message, earlier)
}

impl Oracle for Start {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        let process = entry.process;
        match &entry.what {
            What::World(WorldEvent::Started { .. })
                if self.byzantine.contains(&process) || matches!(process, ProcessId::Sub(_)) => {}
            What::World(WorldEvent::Started { .. }) => {
                let beginning = Beginning {
                    last: entry.clone(),
                    since: entry.at,
                    waiting: false,
                    paused: false,
                    told: Told::default(),
                };
                self.beginning.insert(process, beginning);
            }
            What::Process(
                Event::Node(NodeEvent::Ready) | Event::Executor(ExecutorEvent::Started { .. }),
            ) => {
                self.beginning.remove(&process);
            }
            What::World(event @ (WorldEvent::Paused | WorldEvent::Resumed)) => {
                if let Some(beginning) = self.beginning.get_mut(&process) {
                    beginning.paused = *event == WorldEvent::Paused;
                    beginning.since = entry.at;
                }
            }
            What::World(WorldEvent::Killed | WorldEvent::Exited | WorldEvent::PowerLost { .. })
            | What::Process(
                Event::Node(NodeEvent::Stopped) | Event::Executor(ExecutorEvent::Stopped),
            ) => return self.ended(entry),
            What::World(WorldEvent::Panicked { message }) => {
                let earlier = self.beginning.remove(&process);
                let message = format!("expected no panic, the process panicked: {message}");
                return Err(violation(
                    entry,
                    "panicked",
                    message,
                    earlier.map(|start| start.last),
                ));
            }
            What::Process(
                Event::Node(NodeEvent::Failed { reason })
                | Event::Executor(ExecutorEvent::Failed { reason }),
            ) => {
                return self.gave_up(reason, entry);
            }
            What::Process(event) => return self.did(event, entry),
            What::Seen(Fact::ReplyRead { reply, .. }) => {
                if let Some(beginning) = self.beginning.get_mut(&process) {
                    beginning.told.add(reply);
                }
            }
            What::World(WorldEvent::FaultBegan { number, .. }) => self.fault_began(*number),
            What::World(WorldEvent::FaultEnded { number, .. }) => self.fault_ended(*number),
            What::World(_) | What::Seen(_) | What::Derived(_) => {}
        }
        Ok(())
    }

    fn finish(&mut self, end: SimTime) -> Result<(), Box<Violation>> {
        for (process, beginning) in &self.beginning {
            if let Some(message) = self.overdue(beginning, end) {
                return Err(Box::new(Violation {
                    invariant: Invariant::Start,
                    clause: "overdue",
                    at: end,
                    process: *process,
                    message,
                    evidence: vec![beginning.last.clone()],
                }));
            }
        }
        Ok(())
    }
}
