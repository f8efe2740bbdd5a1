//! Faults: when they are due, and what they do. All of them are in the plan; nothing here draws but what a power loss
//! leaves on a disk.

use super::{Job, World, lock, process::End};
use crate::{
    entropy::SeedEntropy,
    net::{Cut, Partition, Settings},
    plan::{Action, Plan, PlannedFault, When},
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
};
use metanode_core::env::{CrashPoint, Entropy, Event, ExecutorEvent, NodeEvent};
use mock_go_executor::Mode;
use rand_chacha::ChaCha8Rng;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What each fault still waits for.
pub(super) struct Schedule {
    faults: Vec<Waiting>,
    reached: BTreeMap<(ProcessId, CrashPoint), u32>,
    disk_loss: Option<ChaCha8Rng>,
    over: bool,
}

struct Waiting {
    when: When,
    stored: bool,
    durable: bool,
    struck: bool,
}

impl Waiting {
    /// Whether everything but a crash point has come.
    fn ready(&self, now: SimTime) -> bool {
        !self.struck && self.stored && self.durable && now >= SimTime::from_ms(self.when.at_ms)
    }
}

impl Schedule {
    pub fn new(faults: &[PlannedFault]) -> Self {
        let faults = faults
            .iter()
            .map(|fault| Waiting {
                when: fault.when.clone(),
                stored: fault.when.stored.is_none(),
                durable: fault.when.durable.is_none(),
                struck: false,
            })
            .collect();
        Self {
            faults,
            reached: BTreeMap::new(),
            disk_loss: None,
            over: false,
        }
    }

    /// Takes in an entry; returns the faults that are due because of it.
    pub fn observe(&mut self, entry: &Entry) -> Vec<usize> {
        match (entry.process, &entry.what) {
            (
                ProcessId::Node(node),
                What::Did(Event::Node(NodeEvent::CommitStored { commit, .. })),
            ) => {
                for fault in &mut self.faults {
                    fault.stored |= fault
                        .when
                        .stored
                        .as_ref()
                        .is_some_and(|at| at.node == node && commit.index >= at.commit);
                }
            }
            (
                ProcessId::Executor(executor),
                What::Did(Event::Executor(ExecutorEvent::Durable { watermark })),
            ) => {
                for fault in &mut self.faults {
                    fault.durable |= fault
                        .when
                        .durable
                        .as_ref()
                        .is_some_and(|at| at.executor == executor && *watermark >= at.gei);
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
        let here = |when: &When| {
            when.reached
                .as_ref()
                .is_some_and(|at| at.process == process && at.point == point && at.times == count)
        };
        let over = self.over;
        self.take(|fault| !over && here(&fault.when) && fault.ready(now))
    }

    /// The faults whose time and conditions have come, except those that wait for a crash point.
    pub fn due(&mut self, now: SimTime) -> Vec<usize> {
        let over = self.over;
        self.take(|fault| !over && fault.when.reached.is_none() && fault.ready(now))
    }

    /// No fault strikes any more.
    pub fn end(&mut self) {
        self.over = true;
    }

    /// Decides what a power loss leaves.
    pub fn disk_loss(&mut self, entropy: &SeedEntropy) -> &mut ChaCha8Rng {
        self.disk_loss
            .get_or_insert_with(|| entropy.stream("power loss"))
    }

    fn take(&mut self, due: impl Fn(&Waiting) -> bool) -> Vec<usize> {
        let mut taken = vec![];
        for (index, fault) in self.faults.iter_mut().enumerate() {
            if due(fault) {
                fault.struck = true;
                taken.push(index);
            }
        }
        taken
    }
}

/// The kernel's settings of a plan.
pub(super) fn network_settings(plan: &Plan) -> Settings {
    let network = &plan.network;
    let bytes = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    Settings {
        unix_buffer_bytes: bytes(network.unix_buffer_bytes),
        tcp_buffer_bytes: bytes(network.tcp_buffer_bytes),
        latency: Duration::from_millis(network.latency_ms.low)
            ..=Duration::from_millis(network.latency_ms.high),
        ..Settings::default()
    }
}

impl World {
    /// Starts what is not planned to start late, and puts every time of a fault into the supervisor's calendar.
    pub(crate) fn begin(self: &Arc<Self>) {
        let mut late = BTreeMap::new();
        for fault in &self.plan.faults {
            if let Action::StartLate { processes, for_ms } = &fault.action {
                late.extend(processes.iter().map(|id| (*id, *for_ms)));
            } else if fault.when.reached.is_none() {
                self.later(fault.when.at_ms, Job::Consider);
            }
        }
        for id in self.process_ids() {
            match late.get(&id) {
                Some(after_ms) => self.later(*after_ms, Job::Start(id)),
                None => self.start(id),
            }
        }
    }

    /// Does what the calendar says.
    pub(crate) fn perform(self: &Arc<Self>, job: Job) {
        match job {
            Job::Start(id) => self.start(id),
            Job::Resume(id) => self.resume(id),
            Job::Unstall(executor) => self.set_mode(executor, Mode::Running),
            Job::HealPartition(number) => self.heal_partition(number),
            Job::Consider => {
                let due = lock(&self.schedule).due(self.now());
                for fault in due {
                    self.strike(fault);
                }
            }
        }
    }

    /// Lets fault number `fault` happen.
    pub(super) fn strike(&self, fault: usize) {
        match &self.plan.faults[fault].action {
            Action::Kill { processes, down_ms } => self.bring_down(processes, End::Kill, *down_ms),
            Action::PowerLoss { hosts, down_ms } => {
                let on_hosts = |id: &ProcessId| match id {
                    ProcessId::Node(n) | ProcessId::Executor(n) => hosts.contains(n),
                    ProcessId::World => false,
                };
                let processes: Vec<_> = self.process_ids().into_iter().filter(on_hosts).collect();
                self.bring_down(&processes, End::PowerLoss, *down_ms);
            }
            Action::Pause { processes, for_ms } => {
                for id in processes {
                    if self.pause(*id)
                        && let Some(for_ms) = for_ms
                    {
                        self.later(*for_ms, Job::Resume(*id));
                    }
                }
            }
            Action::StartLate { .. } => {}
            Action::Stall { executors, for_ms } => {
                for executor in executors {
                    self.set_mode(*executor, Mode::Stalled);
                    if let Some(for_ms) = for_ms {
                        self.later(*for_ms, Job::Unstall(*executor));
                    }
                }
            }
            Action::Partition { hosts, for_ms } => self.partition(fault, hosts, *for_ms),
        }
    }

    /// Faults are over: everything is healed, and what is down starts again.
    pub(crate) fn heal(self: &Arc<Self>) {
        lock(&self.schedule).end();
        let partitions: Vec<_> = lock(&self.partitions).keys().copied().collect();
        for number in partitions {
            self.heal_partition(number);
        }
        for id in self.process_ids() {
            self.resume(id);
            if let ProcessId::Executor(executor) = id {
                self.set_mode(executor, Mode::Running);
            }
            self.start(id);
        }
    }

    fn bring_down(&self, processes: &[ProcessId], how: End, down_ms: Option<u64>) {
        for id in processes {
            self.end(*id, how);
            if let Some(down_ms) = down_ms {
                self.later(down_ms, Job::Start(*id));
            }
        }
    }

    fn partition(&self, number: usize, hosts: &[u16], for_ms: Option<u64>) {
        let number = number as u64;
        let inside = hosts.iter().map(|n| super::settings::host(*n)).collect();
        let outside = (0..self.plan.validators)
            .filter(|n| !hosts.contains(n))
            .map(super::settings::host)
            .collect();
        let guard = self.kernel.install(Partition {
            a: inside,
            b: outside,
            cut: Cut::Both,
        });
        lock(&self.partitions).insert(number, (hosts.to_vec(), guard));
        self.befall(
            ProcessId::World,
            WorldEvent::Partitioned {
                hosts: hosts.to_vec(),
            },
        );
        if let Some(for_ms) = for_ms {
            self.later(for_ms, Job::HealPartition(number));
        }
    }

    fn heal_partition(&self, number: u64) {
        let Some((hosts, guard)) = lock(&self.partitions).remove(&number) else {
            return;
        };
        drop(guard);
        self.befall(ProcessId::World, WorldEvent::PartitionHealed { hosts });
    }
}
