//! The environment of one incarnation of a node or an executor: the real one with a network and a disk in memory, in which
//! other threads may overtake at every step. When the process is killed, nothing that still runs of it has an effect.

use crate::{facts::Facts, network::Wires, random::Random};
use async_trait::async_trait;
use bytes::Bytes;
use metanode_core::{
    env::{
        Computed, CrashPoint, CrashPoints, Env, Event, EventSink, Quantity, Reading, TaskMonitor,
        real::{OsClock, OsEntropy},
    },
    store::{
        Column, Durability, Entry, Key, MemoryDisk, MemoryStores, Scan, Store, StoreError,
        StoreFactory, WriteBatch,
    },
};
use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::task::JoinHandle;

/// Which process of the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    pub is_node: bool,
    pub member: u16,
    pub incarnation: u32,
}

/// What an incarnation and everything that it holds share.
pub struct Process {
    pub name: Name,
    pub random: Arc<Random>,
    facts: Arc<Facts>,
    is_killed: AtomicBool,
    readings: Mutex<BTreeMap<Quantity, Reading>>,
}

impl Process {
    pub fn is_killed(&self) -> bool {
        self.is_killed.load(Ordering::SeqCst)
    }

    /// Reads a quantity, as metrics do, with all others.
    pub fn read(&self, quantity: Quantity) -> Option<u64> {
        let readings = self.readings.lock().unwrap();
        let read: BTreeMap<_, _> = readings.iter().map(|(of, read)| (of, read())).collect();
        read.get(&quantity).copied()
    }
}

/// A process that runs.
pub struct Running {
    pub process: Arc<Process>,
    disk: MemoryDisk,
    task: JoinHandle<()>,
}

impl Running {
    /// Starts a process with what is on this disk.
    pub fn start<F>(
        name: Name,
        disk: &MemoryDisk,
        (facts, wires, random): (&Arc<Facts>, &Arc<Wires>, &Arc<Random>),
        run: impl FnOnce(Env) -> F,
    ) -> Self
    where
        F: Future<Output = String> + Send + 'static,
    {
        let process = Arc::new(Process {
            name,
            random: random.clone(),
            facts: facts.clone(),
            is_killed: AtomicBool::new(false),
            readings: Mutex::default(),
        });
        let env = Env {
            network: wires.of(&process),
            clock: Arc::new(OsClock),
            stores: Arc::new(Disk {
                stores: MemoryStores::new(disk),
                process: process.clone(),
            }),
            entropy: Arc::new(OsEntropy::new().unwrap()),
            crash_points: process.clone(),
            events: process.clone(),
            monitor: process.clone(),
            hashes: Arc::new(Computed),
        };
        let running = run(env);
        let ended = process.clone();
        let task = tokio::spawn(async move {
            let why = running.await;
            if !ended.is_killed() {
                (ended.facts).violation(format!("{:?} ended by itself: {why}", ended.name));
            }
        });
        Self {
            process,
            disk: disk.clone(),
            task,
        }
    }

    /// The host loses its power: of what was not synced, a part is lost.
    pub async fn lose_power(self) {
        self.process.is_killed.store(true, Ordering::SeqCst);
        let random = &self.process.random;
        (self.disk).power_lost(|unsynced| random.from(0..unsynced as u64 + 1) as usize);
        self.task.abort();
        let _ = self.task.await; // it was aborted
    }
}

#[async_trait]
impl CrashPoints for Process {
    async fn reach(&self, _: CrashPoint) {
        self.random.be_overtaken_by_tasks().await;
        if self.is_killed() {
            std::future::pending().await
        }
    }
}

impl EventSink for Process {
    fn emit(&self, event: Event) {
        self.random.be_overtaken();
        if !self.is_killed() {
            self.facts.observe(self.name, &event);
        }
        self.random.be_overtaken();
    }

    fn measure(&self, quantity: Quantity, read: Reading) {
        self.readings.lock().unwrap().insert(quantity, read);
    }
}

#[async_trait]
impl TaskMonitor for Process {
    fn poll_begins(&self) {
        self.random.be_overtaken();
    }

    async fn panicked(&self, message: &str) {
        if !self.is_killed() {
            (self.facts).violation(format!("{:?} panicked: {message}", self.name));
        }
    }
}

/// The disk, at whose calls other threads overtake.
struct Disk {
    stores: MemoryStores,
    process: Arc<Process>,
}

impl StoreFactory for Disk {
    fn open(&self, name: &str, columns: &[Column]) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(Opened {
            store: self.stores.open(name, columns)?,
            process: self.process.clone(),
        }))
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        self.stores.list()
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.stores.remove(name)
    }
}

struct Opened {
    store: Arc<dyn Store>,
    process: Arc<Process>,
}

impl Opened {
    fn overtaken<T>(&self, call: impl FnOnce(&dyn Store) -> T) -> T {
        self.process.random.be_overtaken();
        let result = call(self.store.as_ref());
        self.process.random.be_overtaken();
        result
    }
}

impl Store for Opened {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.overtaken(|store| store.get(column, key))
    }

    fn get_many(&self, column: Column, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.overtaken(|store| store.get_many(column, keys))
    }

    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        self.overtaken(|store| store.scan(scan))
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        self.overtaken(|store| store.write(batch, durability))
    }
}
