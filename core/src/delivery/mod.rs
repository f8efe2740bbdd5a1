//! Delivery: sends the commits of the log above the watermark to the executor, in order and without a gap.
//!
//! The commit log in the store **is** the queue, so recovery and live delivery are one path and no channel holds
//! commits. Memory holds a [`Window`] over the log; a block stays in it until the executor reports it durable (contract
//! §5).
//!
//! Three tasks share the window: the loader fills it, the sender writes its blocks to the block stream, and the
//! watermark follower, the only task that queries W, trims it.

mod bug_switches;
mod loader;
mod numbering;
mod replay_plan;
#[cfg(shuttle)]
pub mod schedules;
mod sender;
mod standstill;
mod watermark;
mod window;

use numbering::{Numbered, number};
pub use replay_plan::{ExecutorView, StoreView, replay_plan};
use window::Window;

use crate::{
    config::DeliveryParameters,
    env::{Env, Quantity},
    executor::ExecutorClient,
    framing::FrameError,
    ingest::Journal,
    store::{CommitLog, StoreError},
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    tasks::Tasks,
    types::{Address, CommitRef, Committee, EpochBase, GlobalExecIndex},
};
use std::sync::{Arc, PoisonError};
use thiserror::Error;
use tokio::sync::{Notify, mpsc, watch};

/// Delivers one epoch's commit log to one executor.
pub(crate) struct Delivery {
    env: Env,
    parameters: DeliveryParameters,
    stream_address: Address,
    client: Arc<ExecutorClient>,
    streams: Arc<Streams>,
    log: Arc<CommitLog>,
    base: EpochBase,
    committee: Arc<Committee>,
    window: Mutex<Window<Numbered>>,
    /// The window has free capacity or was reset.
    window_changed: Notify,
    /// The window may contain blocks to send.
    frames_ready: Notify,
    /// Blocks were written that may not be durable.
    outstanding: Notify,
    /// The window is starved, see [`Window::is_starved`].
    starved: Notify,
    frames_written: AtomicU64,
    assumes_watermark: bool,
    /// The executor has reported an earlier epoch.
    is_before_epoch: AtomicBool,
    pressure: watch::Sender<bool>,
    /// The last watermark that the executor reported.
    watermark: watch::Sender<GlobalExecIndex>,
    journal: Arc<Journal>,
}

/// The block streams of this process, over all epochs.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// How many were opened, for the numbers of connections in events.
    opened: AtomicU64,
    written_bytes: AtomicU64,
}

/// The inputs of [`Delivery::new`].
pub(crate) struct DeliverySetup {
    pub env: Env,
    pub parameters: DeliveryParameters,
    pub stream_address: Address,
    pub client: Arc<ExecutorClient>,
    pub streams: Arc<Streams>,
    pub log: Arc<CommitLog>,
    pub base: EpochBase,
    pub committee: Arc<Committee>,
    /// W of the replay plan: delivery starts at W+1.
    pub watermark: GlobalExecIndex,
    /// Whether a stream starts at the last known W if the executor does not report it (contract §6.2).
    pub assumes_watermark: bool,
    pub journal: Arc<Journal>,
}

impl Delivery {
    #[must_use]
    pub fn new(setup: DeliverySetup) -> Self {
        let setup = bug_switches::setup(setup);
        let capacity = bug_switches::capacity(setup.parameters.window_blocks, &setup);
        Self {
            window: Mutex::new(Window::new(capacity, setup.watermark)),
            watermark: watch::channel(setup.watermark).0,
            env: setup.env,
            parameters: setup.parameters,
            stream_address: setup.stream_address,
            client: setup.client,
            streams: setup.streams,
            log: setup.log,
            base: setup.base,
            committee: setup.committee,
            assumes_watermark: setup.assumes_watermark,
            journal: setup.journal,
            window_changed: Notify::new(),
            frames_ready: Notify::new(),
            outstanding: Notify::new(),
            starved: Notify::new(),
            frames_written: AtomicU64::new(0),
            is_before_epoch: AtomicBool::new(false),
            pressure: watch::channel(false).0,
        }
    }

    /// Lets metrics read the window and what was written.
    pub fn measure(self: &Arc<Self>) {
        let capacity = self.window().capacity() as u64;
        let delivery = Arc::downgrade(self);
        self.env.measure(Quantity::WindowBlocks, move || {
            delivery.upgrade().map_or(0, |it| it.window().len() as u64)
        });
        self.env
            .measure(Quantity::WindowCapacityBlocks, move || capacity);
        let streams = self.streams.clone();
        self.env.measure(Quantity::StreamBytesWritten, move || {
            streams.written_bytes.load(Ordering::Relaxed)
        });
    }

    /// Watches whether backpressure pauses proposals.
    #[must_use]
    pub fn pressure(&self) -> watch::Receiver<bool> {
        self.pressure.subscribe()
    }

    /// Watches the last watermark that the executor reported. Only one task may wait for a change.
    #[must_use]
    pub fn watermark(&self) -> watch::Receiver<GlobalExecIndex> {
        self.watermark.subscribe()
    }

    /// Delivers until the executor turns out to be in an earlier epoch, which must be delivered first. Failures of the
    /// socket or the executor are retried for ever.
    ///
    /// # Errors
    /// If the store fails or a block exceeds the frame limit.
    pub async fn run(self: Arc<Self>) -> Result<(), DeliveryError> {
        let tasks = Tasks::new(self.env.monitor.clone());
        let (sender, follower) = (self.clone(), self.clone());
        let (queries, requested) = mpsc::channel(1);
        tasks.spawn(async move { sender.send(&queries).await });
        tasks.spawn(async move { follower.follow_watermark(requested).await });
        self.load().await
    }

    fn window(&self) -> MutexGuard<'_, Window<Numbered>> {
        // A panic while the window is locked ends the process.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error from which delivery cannot recover.
#[derive(Debug, Error)]
pub enum DeliveryError {
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    #[error("commit {commit} cannot be delivered: {source}")]
    TooLarge {
        commit: CommitRef,
        source: FrameError,
    },
}
