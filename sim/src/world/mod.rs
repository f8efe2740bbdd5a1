//! The world of one run: hosts with their disks and clocks, the processes on them, and everything that befalls them.
//!
//! A process is one madsim node. It has **lives**: a start until its end by kill, power loss or by itself. What a task
//! of an ended incarnation still says or writes counts for nothing, the way a killed process says nothing.

mod faults;
mod hooks;
mod network_faults;
mod process;
mod settings;
mod workload;

pub use workload::Workload;

use crate::{
    clock::HostClock,
    disk::{Disks, Snapshot},
    entropy::SeedEntropy,
    hashes::SharedHashes,
    net::{HijackGuard, Kernel, RuleGuard},
    panics::Panic,
    plan::Plan,
    recorder::Recorder,
    run::Status,
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
};
use faults::Schedule;
use madsim::{runtime::Handle, time::TimeHandle};
use metanode_core::{
    env::{Event, ExecutorEvent, NodeEvent},
    types::GlobalExecIndex,
};
use process::Process;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Notify, mpsc};

/// Something that the world does at a certain time.
pub(crate) enum Job {
    Start(ProcessId),
    Resume(ProcessId),
    /// The fault of this number is over.
    End(usize),
    /// Keep what is on an executor's disk for the fault of this number.
    Snapshot(usize, u16),
    /// The process has ended by itself: its sockets close, and it is started again.
    RestartFailed(ProcessId),
    /// The time of some fault has come; its other conditions may hold or not.
    Consider,
}

/// What the second phase still demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// It has not begun, or there is nothing left.
    None,
    /// Every executor that is fed has this durable.
    Tip(GlobalExecIndex),
    /// They have; now the oracles get what they demand by the end.
    NothingOutstanding,
}

/// Everything a run is made of. Shared by all its tasks, which run one at a time.
pub struct World {
    plan: Plan,
    runtime: Handle,
    time: TimeHandle,
    kernel: Kernel,
    entropy: SeedEntropy,
    hashes: Arc<SharedHashes>,
    recorder: Arc<Mutex<Recorder>>,
    status: Arc<Status>,
    processes: Mutex<BTreeMap<ProcessId, Process>>,
    schedule: Mutex<Schedule>,
    clocks: Vec<HostClock>,
    /// Rules of faults that last, by the number of the fault.
    rules: Mutex<BTreeMap<usize, Vec<RuleGuard>>>,
    /// Hijacked socket files, by the number of the fault.
    hijacks: Mutex<BTreeMap<usize, Vec<HijackGuard>>>,
    /// Faults that have begun and are not over.
    lasting: Mutex<BTreeSet<usize>>,
    /// Hosts without power are silent: nobody is told that their connections are gone.
    powerless: Mutex<BTreeMap<u16, RuleGuard>>,
    snapshots: Mutex<BTreeMap<(usize, u16), (SimTime, Snapshot)>>,
    jobs: mpsc::UnboundedSender<(SimTime, Job)>,
    /// A violation was found, or the goal of the second phase was reached.
    pub(crate) decided: Notify,
    goal: Mutex<Goal>,
}

impl World {
    /// Builds the world of a plan inside a running simulation. Nothing is started yet.
    pub(crate) fn new(
        plan: Plan,
        recorder: Arc<Mutex<Recorder>>,
        status: Arc<Status>,
        disks: &Disks,
        jobs: mpsc::UnboundedSender<(SimTime, Job)>,
    ) -> Arc<Self> {
        let entropy = SeedEntropy::new(plan.seed);
        let kernel = Kernel::current();
        kernel.configure(
            faults::network_settings(&plan),
            Arc::new(entropy.child("links")),
        );
        let nodes = (0..plan.validators).map(ProcessId::Node);
        let executors = (0..plan.executors.len()).map(|i| {
            #[allow(clippy::cast_possible_truncation)] // at most one per validator
            ProcessId::Executor(i as u16)
        });
        let processes = executors
            .chain(nodes)
            .map(|id| (id, Process::new(disks.new_disk())))
            .collect();
        let drift = |host| plan.clock_drift_ppm.get(host).copied().unwrap_or(0);
        let clocks = (plan.clock_skew_ms.iter().enumerate())
            .map(|(host, skew_ms)| HostClock::new(TimeHandle::current(), *skew_ms, drift(host)))
            .collect();
        Arc::new(Self {
            schedule: Mutex::new(Schedule::new(&plan.faults)),
            plan,
            runtime: Handle::current(),
            time: TimeHandle::current(),
            kernel,
            entropy,
            hashes: Arc::default(),
            recorder,
            status,
            processes: Mutex::new(processes),
            clocks,
            rules: Mutex::default(),
            hijacks: Mutex::default(),
            lasting: Mutex::default(),
            powerless: Mutex::default(),
            snapshots: Mutex::default(),
            jobs,
            decided: Notify::new(),
            goal: Mutex::new(Goal::None),
        })
    }

    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Simulated time since the start.
    #[must_use]
    pub fn now(&self) -> SimTime {
        SimTime {
            ns: u64::try_from(self.time.elapsed().as_nanos()).unwrap_or(u64::MAX),
        }
    }

    pub(crate) fn emit(&self, process: ProcessId, event: WorldEvent) {
        self.record(process, What::World(event));
    }

    /// A task of the process panicked: the run ends with it.
    fn panicked(&self, process: ProcessId, message: &str) {
        lock(&self.recorder).record_panic(Panic::caught(message, Some(process)));
        let message = message.to_owned();
        self.emit(process, WorldEvent::Panicked { message });
    }

    /// Writes an entry and lets the faults that wait for it strike, before anything else happens.
    fn record(&self, process: ProcessId, what: What) {
        let entry = Entry {
            at: self.now(),
            process,
            what,
        };
        let due = lock(&self.schedule).observe(&entry);
        if let What::Process(
            Event::Node(NodeEvent::Failed { .. }) | Event::Executor(ExecutorEvent::Failed { .. }),
        ) = &entry.what
        {
            self.later(0, Job::RestartFailed(process));
        }
        let decided = {
            let mut recorder = lock(&self.recorder);
            recorder.record(entry);
            recorder.is_over() || self.goal_reached(&mut recorder)
        };
        if decided {
            self.decided.notify_one();
        }
        for fault in due {
            self.inject(fault);
        }
    }

    /// Demands that every executor reaches the tip that any node has stored, and `beyond` more, and that no oracle
    /// waits for anything.
    pub(crate) fn set_goal(&self, beyond: u64) {
        let stored = lock(&self.recorder)
            .nodes()
            .iter()
            .map(|node| node.last_gei)
            .max();
        let tip = GlobalExecIndex(stored.unwrap_or_default().0 + beyond);
        *lock(&self.goal) = Goal::Tip(tip);
    }

    fn goal_reached(&self, recorder: &mut Recorder) -> bool {
        let mut goal = lock(&self.goal);
        if let Goal::Tip(tip) = *goal
            && self.all_have(tip, recorder)
        {
            *goal = Goal::NothingOutstanding;
            recorder.record(Entry {
                at: self.now(),
                process: ProcessId::World,
                what: What::World(WorldEvent::CaughtUp { tip }),
            });
        }
        let reached = *goal == Goal::NothingOutstanding && recorder.is_satisfied();
        if reached {
            *goal = Goal::None;
        }
        reached
    }

    fn all_have(&self, tip: GlobalExecIndex, recorder: &Recorder) -> bool {
        let executors = recorder.executors().iter().zip(0..);
        // Nobody feeds the executor of a Byzantine validator.
        let mut fed = executors.filter(|(_, n)| self.plan.strategy_of(*n).is_none());
        fed.all(|(executor, _)| executor.last_block_number >= tip)
    }

    fn later(&self, after_ms: u64, job: Job) {
        let at = SimTime {
            ns: self.now().ns + after_ms * 1_000_000,
        };
        // The supervisor outlives all that could be said to it; when it is gone the run is over.
        let _ = self.jobs.send((at, job));
    }
}

/// A simulation runs on one thread: a poisoned lock means that it panicked and is over.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
