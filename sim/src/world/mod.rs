//! The world of one run: hosts with disks and clocks, the processes on them, and the record of events.
//!
//! A process is one madsim node. An **incarnation** lasts from a start to its end by kill, power loss or by itself.
//! Events and writes of tasks of an ended incarnation are ignored.

mod cluster;
mod hooks;
mod process;
mod settings;
mod status;
mod witnesses;
mod workload;

pub(crate) use settings::genesis;
pub(crate) use status::Status;
pub use workload::Workload;

use crate::{
    allocator,
    clock::HostClock,
    disk::Disks,
    entropy::SeedEntropy,
    faults::{self, ActiveFaults, End, FaultJob, Occurrences},
    hashes::SharedHashes,
    net::Kernel,
    panics::Panic,
    plan::Plan,
    recorder::Recorder,
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
};
use madsim::{runtime::Handle, time::TimeHandle};
use metanode_core::env::{CrashPoint, Entropy, Event, ExecutorEvent, NodeEvent, SubEvent};
use process::Process;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::{Notify, mpsc};
use witnesses::Witnesses;

/// A process that ended by itself is restarted after this time, as by a service manager.
const RESTART_FAILED_AFTER_MS: u64 = 300;

/// What the world does at a scheduled time.
pub(crate) enum Job {
    Start(ProcessId),
    Resume(ProcessId),
    /// The process has ended by itself: its sockets are closed, and it is restarted.
    RestartFailed(ProcessId),
    /// The process has stopped because it was asked to: its sockets are closed.
    Stopped(ProcessId),
    Fault(FaultJob),
}

/// The state of a run. Shared by all its tasks, which run one at a time.
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
    clocks: Vec<HostClock>,
    faults: Mutex<ActiveFaults>,
    jobs: mpsc::UnboundedSender<(SimTime, Job)>,
    /// Notified when a violation is found, or everything has happened that oracles demand after faults ended.
    pub(crate) decided: Arc<Notify>,
    /// Faults have ended, and progress is demanded.
    settling: AtomicBool,
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
        kernel.configure(settings::network(&plan), Arc::new(entropy.child("links")));
        let decided = Arc::new(Notify::new());
        let witnesses = Witnesses::new(recorder.clone(), decided.clone(), &plan);
        witnesses.observe_sockets(&kernel);
        let nodes = (0..plan.validators).map(ProcessId::Node);
        let executors = (0..plan.executors.len()).map(|i| {
            #[allow(clippy::cast_possible_truncation)] // at most one per validator
            ProcessId::Executor(i as u16)
        });
        let subs = (0..plan.validators).filter(|n| !plan.is_byzantine(*n));
        let processes = executors
            .chain(nodes)
            .chain(subs.map(ProcessId::Sub))
            .map(|id| (id, Process::new(witnesses.observed(id, disks.new_disk()))))
            .collect();
        let drift = |host| plan.clock_drift_ppm.get(host).copied().unwrap_or(0);
        let clocks = (plan.clock_skew_ms.iter().enumerate())
            .map(|(host, skew_ms)| HostClock::new(TimeHandle::current(), *skew_ms, drift(host)))
            .collect();
        Arc::new(Self {
            faults: Mutex::new(ActiveFaults::new(
                &plan.faults,
                entropy.stream("power loss"),
            )),
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
            jobs,
            decided,
            settling: AtomicBool::new(false),
        })
    }

    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// A task of this process is about to run. If only some validators have bugs, the switches of the thread follow.
    fn enable_bugs_of(&self, process: ProcessId) {
        let Plan {
            bugs,
            buggy_validators,
            ..
        } = &self.plan;
        if let (false, Some(validator)) = (buggy_validators.is_empty(), process.validator()) {
            let enabled = buggy_validators.contains(&validator);
            metanode_core::bugs::enable(if enabled { bugs } else { &[] });
        }
    }

    /// Simulated time since the start.
    #[must_use]
    pub fn now(&self) -> SimTime {
        SimTime {
            ns: u64::try_from(self.time.elapsed().as_nanos()).unwrap_or(u64::MAX),
        }
    }

    /// The state of the faults of the run. The lock must not be held while calling other methods of the world.
    fn faults(&self) -> MutexGuard<'_, ActiveFaults> {
        lock(&self.faults)
    }

    /// How often each process reached each crash point.
    pub(crate) fn reached(&self) -> BTreeMap<(ProcessId, CrashPoint), Occurrences> {
        self.faults().schedule.reached()
    }

    /// Starts all processes except those that a fault starts late.
    pub(crate) fn begin(self: &Arc<Self>) {
        for byzantine in &self.plan.byzantine {
            let strategy = byzantine.strategy;
            let event = WorldEvent::TurnedByzantine { strategy };
            self.emit(ProcessId::Node(byzantine.validator), event);
        }
        let late = faults::prepare(self.as_ref());
        for id in self.process_ids() {
            match late.get(&id) {
                Some(after_ms) => self.later(*after_ms, Job::Start(id)),
                None => self.start(id),
            }
        }
    }

    /// Ends all faults, and starts or resumes all processes that are down or paused, except those that stay down.
    pub(crate) fn heal(self: &Arc<Self>) {
        faults::end_all(self.as_ref());
        for id in self.process_ids() {
            self.resume(id);
            match self.stays_down(id) {
                true => self.end(id, End::Kill),
                false => self.start(id),
            }
        }
    }

    /// Whether the process is down for good when faults have ended.
    fn stays_down(&self, id: ProcessId) -> bool {
        let stays_down = |n: u16| self.plan.stays_down.contains(&n);
        id.validator().is_some_and(stays_down)
    }

    /// Performs a job of the calendar.
    pub(crate) fn perform(self: &Arc<Self>, job: Job) {
        match job {
            Job::Start(id) => self.start(id),
            Job::Resume(id) => self.resume(id),
            Job::RestartFailed(id) => {
                self.end(id, End::Exit);
                self.later(RESTART_FAILED_AFTER_MS, Job::Start(id));
            }
            Job::Stopped(id) => self.stopped_in_order(id),
            Job::Fault(job) => faults::perform(job, self.as_ref()),
        }
    }

    /// Records an event of the world.
    pub(crate) fn emit(&self, process: ProcessId, event: WorldEvent) {
        self.record(process, What::World(event));
    }

    /// A task of the process panicked, which ends the run.
    fn panicked(&self, process: ProcessId, message: &str) {
        lock(&self.recorder).record_panic(Panic::caught(message, Some(process)));
        let message = message.to_owned();
        self.emit(process, WorldEvent::Panicked { message });
    }

    /// Records an entry, and injects the faults that become due before anything else happens.
    fn record(&self, process: ProcessId, what: What) {
        let entry = Entry {
            at: self.now(),
            process,
            what,
        };
        let due = self.faults().schedule.observe(&entry);
        match &entry.what {
            What::World(event) => tracing::info!(target: "simulation", "{process}: {event:?}"),
            What::Process(
                Event::Node(NodeEvent::Failed { .. })
                | Event::Executor(ExecutorEvent::Failed { .. })
                | Event::Sub(SubEvent::Failed { .. }),
            ) => self.later(0, Job::RestartFailed(process)),
            What::Process(
                Event::Node(NodeEvent::Stopped)
                | Event::Executor(ExecutorEvent::Stopped)
                | Event::Sub(SubEvent::Stopped),
            ) => self.later(0, Job::Stopped(process)),
            _ => {}
        }
        let decided = {
            let mut recorder = lock(&self.recorder);
            recorder.record(entry);
            let settling = self.settling.load(Ordering::Relaxed);
            recorder.is_over() || settling && recorder.is_satisfied()
        };
        if decided {
            self.decided.notify_one();
        }
        for fault in due {
            faults::inject(fault, self);
        }
    }

    /// Records how much memory the processes have in use, if it is measured.
    pub(crate) fn look_at_memory(&self) {
        lock(&self.recorder).in_use(self.now(), allocator::in_use_bytes());
    }

    /// Progress is demanded from now on: the run ends when all oracles are satisfied.
    pub(crate) fn demand_progress(&self) {
        self.emit(ProcessId::World, WorldEvent::FaultsEnded);
        self.settling.store(true, Ordering::Relaxed);
    }

    /// Schedules a job.
    pub(crate) fn later(&self, after_ms: u64, job: Job) {
        let at = SimTime {
            ns: self.now().ns + after_ms * 1_000_000,
        };
        // Without the supervisor the run is over.
        let _ = self.jobs.send((at, job));
    }
}

/// A simulation runs on one thread: a poisoned lock means that it has panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
