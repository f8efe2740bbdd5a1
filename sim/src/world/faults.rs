//! Faults: when they are due, and what they do. All of them are in the plan; nothing here draws but what a power loss
//! leaves on a disk.

use super::{Job, World, lock, process::End};
use crate::{
    entropy::SeedEntropy,
    net::Settings,
    plan::{Action, Plan, PlannedFault, Trigger},
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
};
use metanode_core::env::{CrashPoint, Entropy, Event, ExecutorEvent, NodeEvent};
use rand_chacha::ChaCha8Rng;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A process that ended by itself is started again after this long, as a service manager would.
const RESTART_FAILED_AFTER_MS: u64 = 300;

/// What each fault still waits for.
pub(super) struct Schedule {
    faults: Vec<Waiting>,
    reached: BTreeMap<(ProcessId, CrashPoint), u32>,
    disk_loss: Option<ChaCha8Rng>,
    over: bool,
}

struct Waiting {
    when: Trigger,
    stored: bool,
    durable: bool,
    injected: bool,
}

impl Waiting {
    /// Whether everything but a crash point has come.
    fn ready(&self, now: SimTime) -> bool {
        !self.injected && self.stored && self.durable && now >= SimTime::from_ms(self.when.at_ms)
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
                injected: false,
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
                What::Process(Event::Node(NodeEvent::CommitStored { commit, .. })),
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
                What::Process(Event::Executor(ExecutorEvent::Durable { watermark })),
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
        let here = |when: &Trigger| {
            when.reached
                .as_ref()
                .is_some_and(|at| at.process == process && at.point == point && at.times == count)
        };
        let over = self.over;
        self.take(|fault| !over && here(&fault.when) && fault.ready(now))
    }

    /// How often each process was at each of its crash points.
    pub fn reached(&self) -> BTreeMap<(ProcessId, CrashPoint), u32> {
        self.reached.clone()
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
                fault.injected = true;
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
        backlog: network.backlog as usize,
        latency: Duration::from_millis(network.latency_ms.low)
            ..=Duration::from_millis(network.latency_ms.high),
    }
}

impl World {
    /// Starts what is not planned to start late, and puts every time of a fault into the supervisor's calendar.
    pub(crate) fn begin(self: &Arc<Self>) {
        for byzantine in &self.plan.byzantine {
            let strategy = byzantine.strategy;
            let event = WorldEvent::TurnedByzantine { strategy };
            self.emit(ProcessId::Node(byzantine.validator), event);
        }
        let mut late = BTreeMap::new();
        for (number, fault) in self.plan.faults.iter().enumerate() {
            if let Action::StartLate { processes, for_ms } = &fault.action {
                late.extend(processes.iter().map(|id| (*id, *for_ms)));
                continue;
            }
            if let Action::Restore {
                executors,
                taken_ms,
                ..
            } = &fault.action
            {
                for executor in executors {
                    self.later(*taken_ms, Job::Snapshot(number, *executor));
                }
            }
            if fault.when.reached.is_none() {
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

    /// How often each process was at each of its crash points.
    pub(crate) fn reached(&self) -> BTreeMap<(ProcessId, CrashPoint), u32> {
        lock(&self.schedule).reached()
    }

    /// Does what the calendar says.
    pub(crate) fn perform(self: &Arc<Self>, job: Job) {
        match job {
            Job::Start(id) => self.start(id),
            Job::Resume(id) => self.resume(id),
            Job::End(fault) => self.end_fault(fault),
            Job::Snapshot(fault, executor) => self.take_snapshot(fault, executor),
            Job::RestartFailed(id) => {
                self.end(id, End::Kill);
                self.later(RESTART_FAILED_AFTER_MS, Job::Start(id));
            }
            Job::Consider => {
                let due = lock(&self.schedule).due(self.now());
                for fault in due {
                    self.inject(fault);
                }
            }
        }
    }

    /// Lets fault number `fault` happen, if that leaves enough validators.
    pub(super) fn inject(&self, fault: usize) {
        let action = &self.plan.faults[fault].action;
        if self.is_too_much(action) {
            let action = action.clone();
            return self.emit(
                ProcessId::World,
                WorldEvent::FaultSkipped {
                    number: fault,
                    action,
                },
            );
        }
        match action {
            Action::Kill { processes, down_ms } => self.bring_down(processes, End::Kill, *down_ms),
            Action::PowerLoss {
                hosts,
                torn,
                down_ms,
            } => {
                let on_hosts = |id: &ProcessId| match id {
                    ProcessId::Node(n) | ProcessId::Executor(n) => hosts.contains(n),
                    ProcessId::World => false,
                };
                for host in hosts {
                    self.cut_power(*host);
                }
                let processes: Vec<_> = self.process_ids().into_iter().filter(on_hosts).collect();
                self.bring_down(&processes, End::PowerLoss { torn: *torn }, *down_ms);
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
            Action::Restore {
                executors, down_ms, ..
            } => {
                for executor in executors {
                    self.restore(fault, *executor, *down_ms);
                }
            }
            _ => self.begin_fault(fault),
        }
    }

    /// Faults are over: everything is healed, and what is down starts again.
    pub(crate) fn heal(self: &Arc<Self>) {
        lock(&self.schedule).end();
        let lasting: Vec<_> = lock(&self.lasting).iter().copied().collect();
        for fault in lasting {
            self.end_fault(fault);
        }
        lock(&self.rules).clear();
        for id in self.process_ids() {
            self.resume(id);
            self.start(id);
        }
    }

    /// Byzantine validators are not counted: nobody relies on them, up or down.
    fn is_too_much(&self, action: &Action) -> bool {
        let Some(most) = self.plan.max_faulty else {
            return false;
        };
        let honest = |n: &u16| self.plan.strategy_of(*n).is_none();
        let mut more = action.takes_down();
        more.retain(honest);
        let mut down = self.down();
        down.retain(honest);
        !more.is_empty() && down.union(&more).count() > usize::from(most)
    }

    fn bring_down(&self, processes: &[ProcessId], how: End, down_ms: Option<u64>) {
        for id in processes {
            self.end(*id, how);
            if let Some(down_ms) = down_ms {
                self.later(down_ms, Job::Start(*id));
            }
        }
    }

    fn flip_bits(&self, id: ProcessId, blocks: u32, commits: u32) {
        let Some(disk) = self.disk(id) else { return };
        let others = (0..self.plan.validators).map(ProcessId::Node);
        let others = others.filter(|other| *other != id);
        let others: Vec<_> = others.filter_map(|other| self.disk(other)).collect();
        let commits = {
            let mut schedule = lock(&self.schedule);
            let rng = schedule.disk_loss(&self.entropy);
            disk.flip_blocks(blocks, rng, &others);
            disk.flip_commits(commits, rng, &others)
        };
        if !commits.is_empty() {
            self.emit(id, WorldEvent::CommitsDamaged { commits });
        }
    }

    fn take_snapshot(&self, fault: usize, executor: u16) {
        let disk = self.disk(ProcessId::Executor(executor));
        if let Some(Ok(snapshot)) = disk.map(|disk| disk.snapshot()) {
            lock(&self.snapshots).insert((fault, executor), (self.now(), snapshot));
        }
    }

    fn restore(&self, fault: usize, executor: u16, down_ms: Option<u64>) {
        let id = ProcessId::Executor(executor);
        let snapshot = lock(&self.snapshots).remove(&(fault, executor));
        let (Some((taken, snapshot)), Some(disk)) = (snapshot, self.disk(id)) else {
            let action = self.plan.faults[fault].action.clone();
            return self.emit(
                ProcessId::World,
                WorldEvent::FaultSkipped {
                    number: fault,
                    action,
                },
            );
        };
        // Backups of a past that did not happen any more are none.
        lock(&self.snapshots).retain(|(_, of), (later, _)| *of != executor || *later <= taken);
        self.bring_down(&[id], End::Kill, down_ms);
        if disk.restore(snapshot).is_ok() {
            self.emit(id, WorldEvent::DiskRestored { taken });
        }
    }

    /// Begins a fault that is over later, or at once.
    fn begin_fault(&self, fault: usize) {
        let action = &self.plan.faults[fault].action;
        let event = match action {
            Action::Stall { executors, .. } => {
                for executor in executors {
                    if self.control(*executor, |controls| controls.stalled = true) {
                        self.emit(ProcessId::Executor(*executor), WorldEvent::Stalled);
                    }
                }
                None
            }
            Action::Partition { hosts, .. } => Some(WorldEvent::Partitioned {
                hosts: hosts.clone(),
            }),
            _ => Some(WorldEvent::FaultBegan {
                number: fault,
                action: action.clone(),
            }),
        };
        if let Some(event) = event {
            self.emit(ProcessId::World, event);
        }
        match action {
            Action::StopReading { executors, .. } => {
                for executor in executors {
                    self.control(*executor, |controls| controls.reads_nothing = true);
                }
            }
            Action::ServeBoth { executors, .. } => {
                for executor in executors {
                    self.control(*executor, |controls| controls.serves_both = true);
                }
            }
            Action::Replies { executors, how, .. } => {
                for executor in executors {
                    self.control(*executor, |controls| controls.replies = Some(*how));
                }
            }
            Action::DiskFails { processes, how, .. } => {
                for disk in processes.iter().filter_map(|id| self.disk(*id)) {
                    disk.begin_failing(*how);
                }
            }
            Action::FlipBits {
                nodes,
                blocks,
                commits,
            } => {
                for id in nodes.iter().map(|n| ProcessId::Node(*n)) {
                    self.flip_bits(id, *blocks, *commits);
                }
            }
            Action::JumpClock { hosts, by_ms } => {
                for host in hosts {
                    self.clocks[usize::from(*host)].jump(*by_ms);
                }
            }
            _ => self.begin_network_fault(fault, action),
        }
        match action.lasts_ms() {
            Some(0) => {}
            lasts_ms => {
                lock(&self.lasting).insert(fault);
                if let Some(lasts_ms) = lasts_ms {
                    self.later(lasts_ms, Job::End(fault));
                }
            }
        }
    }

    fn end_fault(&self, fault: usize) {
        if !lock(&self.lasting).remove(&fault) {
            return;
        }
        let rules = lock(&self.rules).remove(&fault);
        drop(rules);
        let hijacks = lock(&self.hijacks).remove(&fault);
        drop(hijacks);
        let action = &self.plan.faults[fault].action;
        match action {
            Action::Stall { executors, .. } => {
                for executor in executors {
                    if self.control(*executor, |controls| controls.stalled = false) {
                        self.emit(ProcessId::Executor(*executor), WorldEvent::Unstalled);
                    }
                }
                return;
            }
            Action::Partition { hosts, .. } => {
                let hosts = hosts.clone();
                return self.emit(ProcessId::World, WorldEvent::PartitionHealed { hosts });
            }
            Action::StopReading { executors, .. } => {
                for executor in executors {
                    self.control(*executor, |controls| controls.reads_nothing = false);
                }
            }
            Action::ServeBoth { executors, .. } => {
                for executor in executors {
                    self.control(*executor, |controls| controls.serves_both = false);
                }
            }
            Action::Replies { executors, .. } => {
                for executor in executors {
                    self.control(*executor, |controls| controls.replies = None);
                }
            }
            Action::DiskFails { processes, .. } => {
                for disk in processes.iter().filter_map(|id| self.disk(*id)) {
                    disk.mend();
                }
            }
            _ => {}
        }
        self.emit(
            ProcessId::World,
            WorldEvent::FaultEnded {
                number: fault,
                action: action.clone(),
            },
        );
    }
}
