//! The world as the cluster that faults act on.

use super::{Job, World, lock};
use crate::{
    clock::HostClock,
    disk::Disk,
    faults::{Act, ActiveFaults, Cluster, End, FaultJob, PlannedFault},
    net::Kernel,
    stranger::{self, StrangerGuard},
    trace::{ProcessId, SimTime, WorldEvent},
};
use metanode_core::{env::Entropy, types::Epoch};
use mock_go_executor::Controls;
use rand_chacha::ChaCha8Rng;
use std::{collections::BTreeSet, sync::MutexGuard};

/// `World::x` is the method of the world itself.
impl Cluster for World {
    fn planned_faults(&self) -> &[PlannedFault] {
        &self.plan.faults
    }

    fn faults(&self) -> MutexGuard<'_, ActiveFaults> {
        World::faults(self)
    }

    fn validators(&self) -> u16 {
        self.plan.validators
    }

    fn fellow_members(&self, node: ProcessId) -> Vec<u16> {
        let ProcessId::Node(n) = node else {
            return vec![];
        };
        let epoch = lock(&self.recorder).nodes()[usize::from(n)].epoch;
        let is_member = |of: Epoch, other: u16| {
            let members = self.plan.epochs.members(of, self.plan.validators);
            members.iter().any(|member| member.validator == other)
        };
        let around = [epoch.prev(), epoch, epoch.next()];
        let others = (0..self.plan.validators).filter(|other| *other != n);
        others
            .filter(|other| around.iter().all(|of| is_member(*of, *other)))
            .collect()
    }

    fn is_byzantine(&self, validator: u16) -> bool {
        self.plan.is_byzantine(validator)
    }

    fn stays_down(&self, process: ProcessId) -> bool {
        World::stays_down(self, process)
    }

    fn max_faulty(&self) -> Option<u16> {
        self.plan.max_faulty
    }

    fn down(&self) -> BTreeSet<u16> {
        World::down(self)
    }

    fn process_ids(&self) -> Vec<ProcessId> {
        World::process_ids(self)
    }

    fn now(&self) -> SimTime {
        World::now(self)
    }

    fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    fn clock(&self, host: u16) -> &HostClock {
        &self.clocks[usize::from(host)]
    }

    fn disk(&self, process: ProcessId) -> Option<Disk> {
        World::disk(self, process)
    }

    fn random(&self, label: &str) -> ChaCha8Rng {
        self.entropy.stream(label)
    }

    fn end_process(&self, process: ProcessId, how: End) {
        self.end(process, how);
    }

    fn start_after(&self, after_ms: u64, process: ProcessId) {
        self.later(after_ms, Job::Start(process));
    }

    fn pause(&self, process: ProcessId) -> bool {
        World::pause(self, process)
    }

    fn resume_after(&self, after_ms: u64, process: ProcessId) {
        self.later(after_ms, Job::Resume(process));
    }

    fn control(&self, executor: u16, change: &dyn Fn(&mut Controls)) -> bool {
        World::control(self, executor, change)
    }

    fn perform_after(&self, after_ms: u64, job: FaultJob) {
        self.later(after_ms, Job::Fault(job));
    }

    fn stranger(&self, number: usize, hosts: &[u16], act: Option<Act>) -> StrangerGuard {
        let name = format!("stranger/{number}");
        let run = stranger::run(
            self.kernel.clone(),
            hosts.to_vec(),
            self.public(),
            act,
            self.entropy.stream(&name),
        );
        StrangerGuard::spawn(&self.runtime, name, run)
    }

    fn emit(&self, process: ProcessId, event: WorldEvent) {
        World::emit(self, process, event);
    }
}
