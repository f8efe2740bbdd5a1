//! Processes: started, killed, paused; each start is a new incarnation on the same disk.

use super::{
    World,
    hooks::{Incarnation, ProcessHooks},
    lock, settings,
};
use crate::{
    allocator,
    byzantine::{self, ByzantinePlan},
    disk::{Disk, Lost},
    faults::End,
    log::ProcessLog,
    net::{HostId, SimNetwork},
    stranger,
    trace::{ProcessId, WorldEvent},
};
use bytes::Bytes;
use madsim::{runtime::NodeHandle, task::NodeId};
use metanode_core::{env::Env, tasks::monitored};
use mock_go_executor::{Controls, sub};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::{mpsc, oneshot, watch};

/// Transactions that wait until a Sub puts them into batches.
const WAITING_TRANSACTIONS: usize = 10_000;

/// One process, with what it keeps between incarnations.
pub(super) struct Process {
    disk: Disk,
    /// Created at the first start.
    node: Option<NodeId>,
    starts: u32,
    incarnation: Option<Incarnation>,
    paused: bool,
    /// Asks the present incarnation to stop.
    stop: Option<oneshot::Sender<()>>,
    /// It was to start while its present incarnation, which had been asked to stop, had not ended yet.
    starts_once_stopped: bool,
    /// Transactions for the present incarnation of a Sub.
    transactions: Option<mpsc::Sender<Bytes>>,
    /// Controls the present incarnation of an executor.
    controls: watch::Sender<Controls>,
}

impl Process {
    pub fn new(disk: Disk) -> Self {
        Self {
            disk,
            node: None,
            starts: 0,
            incarnation: None,
            paused: false,
            stop: None,
            starts_once_stopped: false,
            transactions: None,
            controls: watch::Sender::default(),
        }
    }
}

impl World {
    /// Starts a process that is down.
    pub(crate) fn start(self: &Arc<Self>, id: ProcessId) {
        let Some((start, incarnation)) = self.begin_incarnation(id) else {
            return;
        };
        if let Some(host) = id.validator() {
            // Its peers learn that their open connections are closed.
            let silence = self.faults().restore_power(host);
            drop(silence);
        }
        self.emit(id, WorldEvent::Started { start });
        let Some(node) = self.runtime.get_node(self.madsim_node(id)) else {
            return;
        };
        self.spawn(id, start, &node, self.env(id, start, incarnation));
    }

    /// The number of the start, from 1, and the new incarnation. `None` if the process is up.
    fn begin_incarnation(&self, id: ProcessId) -> Option<(u32, Incarnation)> {
        let mut processes = lock(&self.processes);
        let process = processes.get_mut(&id)?;
        if process.incarnation.is_some() {
            process.starts_once_stopped = process.stop.is_none();
            return None;
        }
        let incarnation = Incarnation::new();
        allocator::begin(id);
        process.starts += 1;
        process.incarnation = Some(incarnation.clone());
        process.paused = false;
        process.starts_once_stopped = false;
        process.controls = watch::Sender::default();
        Some((process.starts, incarnation))
    }

    /// The madsim node of a process, created or restarted.
    fn madsim_node(&self, id: ProcessId) -> NodeId {
        let existing = lock(&self.processes)[&id].node;
        if let Some(node) = existing {
            self.runtime.restart(node);
            return node;
        }
        let node = self.runtime.create_node().name(id.to_string()).build().id();
        if let Some(process) = lock(&self.processes).get_mut(&id) {
            process.node = Some(node);
        }
        node
    }

    /// Spawns the main task of a process.
    fn spawn(&self, id: ProcessId, start: u32, node: &NodeHandle, env: Env) {
        let monitor = env.monitor.clone();
        match id {
            ProcessId::Node(index) if let Some(byzantine) = self.plan.byzantine(index) => {
                let setup = self.byzantine_setup(byzantine, env);
                node.spawn(monitored(monitor, byzantine::run(setup)));
            }
            ProcessId::Node(index) => {
                let config = settings::node(&self.plan, index, start);
                // A node that ends by itself emits an event.
                let stopped = self.stopped(id);
                let run = metanode_core::node::run(env, config, stopped);
                node.spawn(monitored(monitor, run));
            }
            ProcessId::Executor(index) => {
                let config = settings::executor(&self.plan, index);
                let controls = lock(&self.processes)[&id].controls.subscribe();
                let stopped = self.stopped(id);
                let run = mock_go_executor::run(env, config, controls, stopped);
                node.spawn(monitored(monitor, run));
            }
            ProcessId::Sub(index) => {
                let (sender, transactions) = mpsc::channel(WAITING_TRANSACTIONS);
                if let Some(process) = lock(&self.processes).get_mut(&id) {
                    process.transactions = Some(sender);
                }
                let stopped = self.stopped(id);
                let run = sub::run(env, settings::sub(&self.plan, index), transactions, stopped);
                node.spawn(monitored(monitor, run));
            }
            ProcessId::World => {}
        }
    }

    /// Completes when the present incarnation is asked to stop.
    fn stopped(&self, id: ProcessId) -> impl Future<Output = ()> + Send + use<> {
        let (stop, stopped) = oneshot::channel();
        if let Some(process) = lock(&self.processes).get_mut(&id) {
            process.stop = Some(stop);
        }
        async {
            if stopped.await.is_err() {
                // The process ends in another way.
                std::future::pending().await
            }
        }
    }

    /// Asks a process to stop. Returns whether it can be asked.
    fn ask_to_stop(&self, id: ProcessId) -> bool {
        let stop = lock(&self.processes)
            .get_mut(&id)
            .filter(|process| process.incarnation.is_some())
            .and_then(|process| process.stop.take());
        stop.is_some_and(|stop| stop.send(()).is_ok())
    }

    /// The process ended because it was asked to.
    pub(super) fn stopped_in_order(self: &Arc<Self>, id: ProcessId) {
        self.end(id, End::Exit);
        let starts = (lock(&self.processes).get(&id)).is_some_and(|it| it.starts_once_stopped);
        if starts {
            self.start(id);
        }
    }

    /// What strangers know.
    pub(super) fn public(&self) -> Arc<stranger::Public> {
        let plan = self.plan.clone();
        Arc::new(stranger::Public {
            chain: settings::chain(&plan),
            encryption: plan.encryption,
            committee: Box::new(move |epoch, host| {
                let found = settings::identity(&plan, host.0, epoch)?;
                Some((found.committee, found.own))
            }),
        })
    }

    fn byzantine_setup(&self, byzantine: &ByzantinePlan, env: Env) -> byzantine::Setup {
        let plan = self.plan.clone();
        let index = byzantine.validator;
        let consensus = &self.plan.node.consensus;
        byzantine::Setup {
            env,
            address: settings::p2p_address(index),
            scheme: self.plan.signatures,
            chain: settings::chain(&self.plan),
            plan: byzantine.clone(),
            min_round_delay: Duration::from_millis(consensus.min_round_delay_ms),
            peer_timeout: Duration::from_millis(consensus.peer_timeout_ms),
            link_bytes_per_second: self.plan.network.carried_bytes_per_second(),
            identity: Box::new(move |epoch| {
                let identity = settings::identity(&plan, index, epoch)?;
                let others = plan.byzantine.iter().map(|other| other.validator);
                let others = others.filter(|other| *other != index);
                let others = others.filter_map(|other| settings::identity(&plan, other, epoch));
                Some(byzantine::Identity {
                    own: identity.own,
                    keys: identity.keys,
                    network_keys: identity.network_keys,
                    committee: Arc::new(identity.committee),
                    colluders: others.map(|other| other.own).collect(),
                })
            }),
        }
    }

    /// Ends a process that is up.
    pub(crate) fn end(&self, id: ProcessId, how: End) {
        if how == End::Stop && self.ask_to_stop(id) {
            return;
        }
        let (node, disk) = {
            let mut processes = lock(&self.processes);
            let Some(process) = processes.get_mut(&id) else {
                return;
            };
            let Some(incarnation) = process.incarnation.take() else {
                return;
            };
            incarnation.end();
            process.transactions = None;
            process.stop = None;
            (process.node, process.disk.clone())
        };
        let event = match how {
            End::Kill | End::Stop => {
                disk.process_killed();
                WorldEvent::Killed
            }
            End::Exit => {
                disk.process_killed();
                WorldEvent::Exited
            }
            End::PowerLoss { torn } => {
                let Lost { writes, torn } = disk.power_lost(&mut self.faults().disk_damage, torn);
                WorldEvent::PowerLost {
                    lost_writes: writes,
                    torn_writes: torn,
                }
            }
        };
        if let Some(node) = node {
            self.runtime.kill(node);
        }
        self.emit(id, event);
    }

    /// Ends all processes and shows the witnesses what is on their disks.
    pub(crate) fn read_disks(&self) {
        let disks: Vec<_> = lock(&self.processes)
            .iter_mut()
            .map(|(id, process)| {
                if let Some(incarnation) = process.incarnation.take() {
                    incarnation.end();
                }
                (*id, process.disk.clone())
            })
            .collect();
        for (id, disk) in disks {
            disk.mend();
            if let Err(error) = disk.read_at_end() {
                let message = format!("the disk cannot be read at the end of the run: {error}");
                self.panicked(id, &message);
            }
        }
    }

    /// Ends all processes at the end of the run, without events. Tasks hold the world and the world holds their
    /// runtime, so without this neither would be freed, nor the files of its disks.
    pub(crate) async fn close(&self) {
        let nodes: Vec<_> = lock(&self.processes)
            .values_mut()
            .filter_map(|process| {
                if let Some(incarnation) = process.incarnation.take() {
                    incarnation.end();
                }
                process.transactions = None;
                process.node
            })
            .collect();
        for node in nodes {
            self.runtime.kill(node);
        }
        // A killed task is dropped when it is scheduled next: wait until all were.
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }

    /// Pauses a process. Returns whether it was running.
    pub(super) fn pause(&self, id: ProcessId) -> bool {
        let Some(node) = self.set_paused(id, true) else {
            return false;
        };
        self.runtime.pause(node);
        self.emit(id, WorldEvent::Paused);
        true
    }

    /// Resumes a paused process.
    pub(super) fn resume(&self, id: ProcessId) {
        if let Some(node) = self.set_paused(id, false) {
            self.runtime.resume(node);
            self.emit(id, WorldEvent::Resumed);
        }
    }

    /// The madsim node of the process, if it is up and its state changes.
    fn set_paused(&self, id: ProcessId, paused: bool) -> Option<NodeId> {
        let mut processes = lock(&self.processes);
        let process = processes.get_mut(&id)?;
        if process.incarnation.is_none() || process.paused == paused {
            return None;
        }
        process.paused = paused;
        process.node
    }

    /// Changes the controls of an executor until its present incarnation ends. Returns whether that changed anything.
    pub(super) fn control(&self, executor: u16, change: &dyn Fn(&mut Controls)) -> bool {
        let processes = lock(&self.processes);
        let Some(process) = processes.get(&ProcessId::Executor(executor)) else {
            return false;
        };
        process.controls.send_if_modified(|controls| {
            let before = *controls;
            change(controls);
            *controls != before
        })
    }

    /// The validators of which a process is paused, or down after it was up.
    pub(super) fn down(&self) -> BTreeSet<u16> {
        let processes = lock(&self.processes);
        let down = processes.iter().filter(|(_, process)| {
            process.starts > 0 && (process.incarnation.is_none() || process.paused)
        });
        down.filter_map(|(id, _)| id.faulty()).collect()
    }

    /// The disk of a process.
    pub(super) fn disk(&self, id: ProcessId) -> Option<Disk> {
        lock(&self.processes)
            .get(&id)
            .map(|process| process.disk.clone())
    }

    /// Gives a transaction to the Sub of a validator. It is dropped if the Sub is down, or has no room for it.
    pub(super) fn offer(&self, validator: u16, transaction: Bytes) {
        let sub = ProcessId::Sub(validator);
        if let Some(process) = lock(&self.processes).get(&sub)
            && let Some(transactions) = &process.transactions
        {
            let _ = transactions.try_send(transaction);
        }
    }

    /// All processes, executors first.
    pub(super) fn process_ids(&self) -> Vec<ProcessId> {
        let mut ids: Vec<_> = lock(&self.processes).keys().copied().collect();
        ids.sort_by_key(|id| matches!(id, ProcessId::Node(_)));
        ids
    }

    fn env(self: &Arc<Self>, id: ProcessId, start: u32, incarnation: Incarnation) -> Env {
        let index = id.validator().unwrap_or(0);
        let hooks = Arc::new(ProcessHooks {
            world: self.clone(),
            process: id,
            incarnation,
            log: ProcessLog::default(),
        });
        Env {
            network: Arc::new(SimNetwork::new(self.kernel.clone(), HostId(index)).of(id)),
            clock: Arc::new(self.clocks[usize::from(index)].clone()),
            stores: lock(&self.processes)[&id].disk.stores(),
            entropy: Arc::new(self.entropy.child(&format!("{id}/{start}"))),
            crash_points: hooks.clone(),
            events: hooks.clone(),
            monitor: hooks,
            hashes: self.hashes.clone(),
        }
    }
}
