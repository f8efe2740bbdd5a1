//! The simulated cluster, as faults see and change it. The world implements it.

use super::{Act, ActiveFaults, PlannedFault};
use crate::{
    clock::{HostClock, SimTime},
    disk::Disk,
    net::Kernel,
    process_id::ProcessId,
    stranger::StrangerGuard,
    trace::WorldEvent,
};
use mock_go_executor::Controls;
use rand_chacha::ChaCha8Rng;
use std::{collections::BTreeSet, sync::MutexGuard};

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its writes are kept.
    Kill,
    /// It is asked to end by itself, which takes as long as it takes. A Byzantine node is killed.
    Stop,
    /// It has ended by itself.
    Exit,
    /// Writes that were not synced may be lost, and one may be torn.
    PowerLoss { torn: bool },
}

/// Scheduled jobs of faults.
pub(crate) enum FaultJob {
    /// The time of some fault has come; it is due if its other conditions hold.
    Due,
    /// The fault with this number ends.
    End(usize),
    /// Takes a backup of an executor's disk for the fault with this number.
    Backup(usize, ProcessId),
}

/// The cluster of a run. A host has the number of its validator; delays count from the call.
pub(crate) trait Cluster {
    /// The faults of the plan, by number.
    fn planned_faults(&self) -> &[PlannedFault];

    /// The state of the faults of the run. The lock must not be held while calling other methods.
    fn faults(&self) -> MutexGuard<'_, ActiveFaults>;

    /// The number of validators.
    fn validators(&self) -> u16;

    /// The other validators that were members of the committee with the last commit of this node, before and after it.
    fn fellow_members(&self, node: ProcessId) -> Vec<u16>;

    /// Whether the validator deviates from the protocol.
    fn is_byzantine(&self, validator: u16) -> bool;

    /// Whether the process will be down for good when faults have ended.
    fn stays_down(&self, process: ProcessId) -> bool;

    /// The number of honest validators that may be down at once because of faults. `None`: no limit.
    fn max_faulty(&self) -> Option<u16>;

    /// The validators of which a process is paused, or down after it was up.
    fn down(&self) -> BTreeSet<u16>;

    /// All processes, executors first.
    fn process_ids(&self) -> Vec<ProcessId>;

    /// Simulated time since the start.
    fn now(&self) -> SimTime;

    /// The sockets of all processes.
    fn kernel(&self) -> &Kernel;

    /// The wall clock of a host.
    fn clock(&self, host: u16) -> &HostClock;

    /// The disk of a process. `None` if there is no such process.
    fn disk(&self, process: ProcessId) -> Option<Disk>;

    /// The random stream of this name.
    fn random(&self, label: &str) -> ChaCha8Rng;

    /// Ends a process that is up.
    fn end_process(&self, process: ProcessId, how: End);

    /// Starts a process after this delay, unless it is up by then.
    fn start_after(&self, after_ms: u64, process: ProcessId);

    /// Pauses a process. Returns whether it was running.
    fn pause(&self, process: ProcessId) -> bool;

    /// Resumes a process after this delay, unless it is running by then.
    fn resume_after(&self, after_ms: u64, process: ProcessId);

    /// Changes the controls of an executor until its present incarnation ends. Returns whether that changed anything.
    fn control(&self, executor: u16, change: &dyn Fn(&mut Controls)) -> bool;

    /// Schedules a job.
    fn perform_after(&self, after_ms: u64, job: FaultJob);

    /// Lets a stranger connect to these hosts, for the fault with this number.
    fn stranger(&self, number: usize, hosts: &[u16], act: Option<Act>) -> StrangerGuard;

    /// Records an event.
    fn emit(&self, process: ProcessId, event: WorldEvent);
}
