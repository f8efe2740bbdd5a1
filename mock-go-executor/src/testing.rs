//! Test support: transactions, blocks, and an environment in memory that records events.

pub mod running;

use crate::{chain::ReceivedBlock, ledger::AccountAddress};
use async_trait::async_trait;
use bytes::Bytes;
use metanode_core::{
    env::{
        BoxListener, BoxStream, Computed, CrashPoint, CrashPoints, Entropy, Env, Event, EventSink,
        ExecutorEvent, Listener, Network, Unmonitored, WallClock,
    },
    executor::wire::{CommittedBlock, CommittedEpochData, TransactionExe},
    store::{MemoryDisk, MemoryStores},
    types::{Address, ClientTransaction, GlobalExecIndex, TimestampMs},
};
use prost::Message;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Mutex},
};
use tokio::{
    io::DuplexStream,
    sync::{Notify, mpsc},
};

pub fn account(n: u8) -> AccountAddress {
    AccountAddress([n; 20])
}

pub fn transfer(from: u8, to: u8, amount: u64, nonce: u64) -> Bytes {
    let transaction = ClientTransaction {
        from_address: account(from).0.to_vec().into(),
        to_address: account(to).0.to_vec().into(),
        amount: amount.to_be_bytes().to_vec().into(),
        nonce: nonce.to_be_bytes().to_vec().into(),
        ..ClientTransaction::default()
    };
    transaction.encode_to_vec().into()
}

/// Block `gei` of epoch 0.
pub fn block(gei: u64, transactions: impl IntoIterator<Item = Bytes>) -> CommittedEpochData {
    let transaction = |digest| TransactionExe {
        digest,
        worker_id: 0,
    };
    CommittedEpochData {
        blocks: vec![CommittedBlock {
            epoch: 0,
            height: gei,
            transactions: transactions.into_iter().map(transaction).collect(),
        }],
        global_exec_index: gei,
        commit_index: u32::try_from(gei).unwrap(),
        ..CommittedEpochData::default()
    }
}

pub fn received(gei: u64, transactions: impl IntoIterator<Item = Bytes>) -> ReceivedBlock {
    let block = block(gei, transactions);
    let body = block.encode_to_vec().into();
    ReceivedBlock { block, body }
}

/// The environment of one executor start.
pub struct TestWorld {
    pub env: Env,
    events: Arc<Recorder>,
    crash: Arc<CrashAt>,
}

impl TestWorld {
    pub fn new(disk: &MemoryDisk) -> Self {
        Self::with(disk, CrashAt::default())
    }

    /// A world in which the process ends when it reaches `point` for the n-th time.
    pub fn crashing_at(disk: &MemoryDisk, point: CrashPoint, times: u32) -> Self {
        Self::with(disk, CrashAt(Mutex::new(Some((point, times)))))
    }

    /// Another process in the same network.
    pub fn sharing_network(&self, disk: &MemoryDisk) -> Self {
        let mut other = Self::new(disk);
        other.env.network = self.env.network.clone();
        other
    }

    fn with(disk: &MemoryDisk, crash: CrashAt) -> Self {
        let (crash, events) = (Arc::new(crash), Arc::new(Recorder::default()));
        let env = Env {
            network: Arc::new(TestNetwork::default()),
            clock: Arc::new(Timeless),
            stores: Arc::new(MemoryStores::new(disk)),
            entropy: Arc::new(Timeless),
            crash_points: crash.clone(),
            events: events.clone(),
            monitor: Arc::new(Unmonitored),
            hashes: Arc::new(Computed),
        };
        Self { env, events, crash }
    }

    pub fn has_crashed(&self) -> bool {
        matches!(*self.crash.0.lock().unwrap(), Some((_, 0)))
    }

    pub fn events(&self) -> Vec<ExecutorEvent> {
        self.events.events.lock().unwrap().clone()
    }

    pub fn last<T>(&self, select: impl Fn(&ExecutorEvent) -> Option<T>) -> Option<T> {
        self.events().iter().rev().find_map(select)
    }

    /// Waits for an event that `select` accepts, past events included.
    pub async fn until<T>(&self, select: impl Fn(&ExecutorEvent) -> Option<T>) -> T {
        loop {
            let more = self.events.more.notified();
            if let Some(found) = self.last(&select) {
                return found;
            }
            more.await;
        }
    }

    pub fn started(&self) -> (GlobalExecIndex, [u8; 32]) {
        let started = self.last(|event| match event {
            ExecutorEvent::Started {
                watermark,
                state_root,
            } => Some((*watermark, *state_root)),
            _ => None,
        });
        started.unwrap()
    }

    pub fn last_durable(&self) -> Option<GlobalExecIndex> {
        self.last(|event| match event {
            ExecutorEvent::Durable { watermark } => Some(*watermark),
            _ => None,
        })
    }

    pub fn last_executed_root(&self) -> Option<[u8; 32]> {
        self.last(|event| match event {
            ExecutorEvent::Executed { state_root, .. } => Some(*state_root),
            _ => None,
        })
    }
}

#[derive(Default)]
struct Recorder {
    events: Mutex<Vec<ExecutorEvent>>,
    more: Notify,
}

impl EventSink for Recorder {
    fn emit(&self, event: Event) {
        if let Event::Executor(event) = event {
            self.events.lock().unwrap().push(event);
            self.more.notify_waiters();
        }
    }
}

/// The point and how many times are left until it ends the process.
#[derive(Default)]
struct CrashAt(Mutex<Option<(CrashPoint, u32)>>);

#[async_trait]
impl CrashPoints for CrashAt {
    async fn reach(&self, point: CrashPoint) {
        let ends = match &mut *self.0.lock().unwrap() {
            Some((at, times)) if *at == point => {
                *times -= 1;
                *times == 0
            }
            _ => false,
        };
        if ends {
            std::future::pending().await
        }
    }
}

struct Timeless;

impl WallClock for Timeless {
    fn now(&self) -> TimestampMs {
        TimestampMs(0)
    }
}

impl Entropy for Timeless {
    fn stream(&self, label: &str) -> ChaCha8Rng {
        ChaCha8Rng::from_seed(*blake3::hash(label.as_bytes()).as_bytes())
    }
}

/// Listeners by address; connections are pipes in memory with small buffers.
#[derive(Default)]
pub struct TestNetwork {
    bound: Mutex<BTreeMap<Address, mpsc::UnboundedSender<DuplexStream>>>,
}

const PIPE_BYTES: usize = 256;

struct TestListener(tokio::sync::Mutex<mpsc::UnboundedReceiver<DuplexStream>>);

#[async_trait]
impl Listener for TestListener {
    async fn accept(&self) -> io::Result<BoxStream> {
        match self.0.lock().await.recv().await {
            Some(stream) => Ok(Box::new(stream)),
            None => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Network for TestNetwork {
    async fn connect(&self, address: &Address) -> io::Result<BoxStream> {
        let bound = self.bound.lock().unwrap();
        let backlog = bound.get(address).ok_or(io::ErrorKind::NotFound)?;
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        backlog
            .send(theirs)
            .map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(Box::new(ours))
    }

    async fn listen(&self, address: &Address) -> io::Result<BoxListener> {
        let mut bound = self.bound.lock().unwrap();
        if bound.contains_key(address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (backlog, accepted) = mpsc::unbounded_channel();
        bound.insert(address.clone(), backlog);
        Ok(Box::new(TestListener(tokio::sync::Mutex::new(accepted))))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        let address = Address::Unix(path.to_owned());
        let removed = self.bound.lock().unwrap().remove(&address);
        removed.map(drop).ok_or(io::ErrorKind::NotFound.into())
    }
}
