//! Many schedules of the tasks of delivery, with an executor that executes late, loses its tail and closes connections. The
//! scheduler may switch at every use of a lock, an atomic, a channel or a signal, so it finds what depends on the order of
//! two steps, and lost wake-ups. Timers are over at once.

use super::{Delivery, DeliverySetup, Numbered, Streams, number};
use crate::{
    config::{DeliveryParameters, RpcParameters},
    env::{BoxListener, BoxStream, Computed, Event, EventSink, Network, NodeEvent},
    executor::{
        ExecutorClient,
        wire::{
            CommittedEpochData, CurrentEpoch, LastBlockNumber, Request, RequestPayload, Response,
            ResponsePayload,
        },
    },
    framing::{Decoder, Framing, read_frame, write_frame},
    ingest::Journal,
    schedules,
    store::{CommitLog, ConsensusStore, Durability, MemoryDisk, MemoryStores},
    types::{Address, CommitIndex, Epoch, EpochBase, GlobalExecIndex},
};
use async_trait::async_trait;
use prost::Message;
use shuttle::rand::{Rng, thread_rng};
use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::io::DuplexStream;

const COMMITS: u32 = 12;
const WINDOW: u32 = 3;

/// # Panics
/// If a schedule shows a defect.
pub fn check() {
    schedules::run(deliver);
    schedules::run(publish_pressure);
}

/// Delivery to a new executor, with the log that it reads and the store behind it.
fn delivery() -> (Arc<Delivery>, Arc<CommitLog>, ConsensusStore) {
    let executor = Arc::new(Executor::default());
    let stores = Arc::new(MemoryStores::new(&MemoryDisk::default()));
    let store = ConsensusStore::open(stores.as_ref(), Epoch(0)).expect("memory");
    let log = Arc::new(CommitLog::new(store.clone(), CommitIndex(0)));
    let network = Arc::new(Sockets(executor.clone()));
    let env = schedules::env(network, executor, stores.clone());
    let delivery = Delivery::new(DeliverySetup {
        parameters: DeliveryParameters {
            window_blocks: WINDOW,
            recovery_batch_commits: 2,
            ..DeliveryParameters::default()
        },
        stream_address: stream_address(),
        client: Arc::new(ExecutorClient::new(
            env.clone(),
            rpc_address(),
            RpcParameters::default(),
        )),
        streams: Arc::new(Streams::default()),
        log: log.clone(),
        base: EpochBase::GENESIS,
        committee: schedules::committee(),
        watermark: GlobalExecIndex(0),
        assumes_watermark: false,
        journal: Arc::new(Journal::open(stores.as_ref(), 1 << 20).expect("memory")),
        env,
    });
    (Arc::new(delivery), log, store)
}

/// Two tasks publish backpressure at the same time: what is published last is what the window holds.
async fn publish_pressure() {
    let (delivery, ..) = delivery();
    let blocks = schedules::chain(WINDOW + 2).into_iter().map(|sub_dag| {
        let committee = schedules::committee();
        number(&sub_dag, EpochBase::GENESIS, &committee, &Computed).expect("a small block")
    });
    let mut blocks: Vec<_> = blocks.collect();
    let later = blocks.split_off(WINDOW as usize);
    let push = |delivery: &Delivery, blocks: Vec<Numbered>| {
        let mut window = delivery.window();
        for block in blocks {
            let _ = window.push(block.gei, block); // it may be full
        }
    };
    push(&delivery, blocks);
    delivery.update_pressure();
    let loader = delivery.clone();
    let loading = tokio::spawn(async move {
        push(&loader, later);
        loader.update_pressure();
    });
    delivery.window().learn(GlobalExecIndex(2));
    delivery.update_pressure();
    loading.await.expect("no panic");
    let (len, paused) = (delivery.window().len(), *delivery.pressure.borrow());
    assert_eq!(paused, len == WINDOW as usize, "{len} blocks");
}

/// Everything is delivered, and nothing waits afterwards.
async fn deliver() {
    let (delivery, log, store) = delivery();
    let commits = schedules::chain(COMMITS);
    let mut watermark = delivery.watermark();
    let mut pressure = delivery.pressure();
    let delivering = tokio::spawn(delivery.run());
    let mut delivered = watermark.clone();
    let consensus = tokio::spawn(async move {
        for sub_dag in commits {
            let last = u64::from(log.last().0);
            if thread_rng().gen_range(0..3) == 0 {
                // Everybody waits for the next commit.
                while delivered.borrow_and_update().0 < last {
                    delivered.changed().await.expect("it delivers");
                }
            }
            let commit = std::slice::from_ref(&sub_dag.commit);
            let stored = store.write(&sub_dag.blocks, commit, Durability::Synced);
            stored.expect("memory");
            log.publish(sub_dag);
        }
    });
    consensus.await.expect("no panic");
    while watermark.borrow_and_update().0 < u64::from(COMMITS) || *pressure.borrow_and_update() {
        tokio::select! {
            biased;
            changed = watermark.changed() => changed.expect("it delivers"),
            changed = pressure.changed() => changed.expect("it delivers"),
        }
    }
    delivering.abort();
}

fn stream_address() -> Address {
    Address::Unix("/blocks".into())
}

fn rpc_address() -> Address {
    Address::Unix("/rpc".into())
}

/// An executor that checks what it is sent. All of its state is behind one lock, at which the scheduler does not switch.
#[derive(Default)]
struct Executor(Mutex<State>);

#[derive(Default)]
struct State {
    executed: u64,
    /// What it keeps when it loses its tail.
    durable: u64,
    /// The newest block stream.
    stream: u64,
    /// Times that it may still lose its tail or close a stream.
    faults: u64,
    is_paused: bool,
}

const FAULTS: u64 = 3;

impl Executor {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A block of a stream arrives. Returns whether the stream goes on.
    fn receives(&mut self, stream: u64, gei: u64, previous: Option<u64>) -> bool {
        if self.stream != stream {
            return false;
        }
        assert!(
            previous.is_none_or(|previous| gei > previous),
            "block {gei} after {previous:?}"
        );
        let next = self.executed + 1;
        assert!(gei <= next, "expected block {next}, received {gei}");
        self.executed = self.executed.max(gei);
        self.misbehaves()
    }

    /// Whether the stream goes on. A crash closes it, too.
    fn misbehaves(&mut self) -> bool {
        if self.faults < FAULTS && thread_rng().gen_range(0..4) == 0 {
            self.faults += 1;
            if thread_rng().gen_range(0..2) == 0 {
                self.executed = self.durable;
            }
            return false;
        }
        if thread_rng().gen_range(0..3) == 0 {
            self.durable = self.executed;
        }
        true
    }
}

impl EventSink for Executor {
    fn emit(&self, event: Event) {
        let Event::Node(event) = event else { return };
        let mut state = self.state();
        match event {
            NodeEvent::ProposalsPaused { .. } | NodeEvent::ProposalsResumed { .. } => {
                let is_paused = matches!(event, NodeEvent::ProposalsPaused { .. });
                assert_ne!(state.is_paused, is_paused, "{event:?} again");
                state.is_paused = is_paused;
            }
            _ => {}
        }
    }
}

/// Connections to the executor.
struct Sockets(Arc<Executor>);

#[async_trait]
impl Network for Sockets {
    async fn connect(&self, address: &Address) -> io::Result<BoxStream> {
        let (near, far) = tokio::io::duplex(1 << 16);
        let executor = self.0.clone();
        if *address == rpc_address() {
            tokio::spawn(executor.answers(far));
        } else {
            tokio::spawn(executor.executes(far));
        }
        Ok(Box::new(near))
    }

    async fn listen(&self, _: &Address) -> io::Result<BoxListener> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn unlink(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl Executor {
    async fn executes(self: Arc<Self>, mut connection: DuplexStream) {
        let stream = {
            let mut state = self.state();
            state.stream += 1;
            state.stream
        };
        let mut decoder = Decoder::new(Framing::BLOCK_STREAM);
        let mut previous = None;
        while let Ok(Some(body)) = read_frame(&mut connection, &mut decoder).await {
            let block = CommittedEpochData::decode(body).expect("a block");
            let gei = block.global_exec_index;
            if !self.state().receives(stream, gei, previous.replace(gei)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn answers(self: Arc<Self>, mut connection: DuplexStream) {
        let mut decoder = Decoder::new(Framing::RPC);
        while let Ok(Some(body)) = read_frame(&mut connection, &mut decoder).await {
            let request = Request::decode(body).expect("a request");
            let last_block_number = self.state().executed;
            let answer = match request.payload {
                Some(RequestPayload::GetLastBlockNumber(_)) => {
                    ResponsePayload::LastBlockNumber(LastBlockNumber { last_block_number })
                }
                Some(RequestPayload::GetCurrentEpoch(_)) => {
                    ResponsePayload::CurrentEpoch(CurrentEpoch { epoch: 0 })
                }
                other => panic!("{other:?}"),
            };
            tokio::task::yield_now().await;
            let payload = Some(answer);
            let frame = Framing::RPC.encode(&Response { payload });
            let frame = frame.expect("a short answer");
            if write_frame(&mut connection, &frame).await.is_err() {
                return;
            }
        }
    }
}
