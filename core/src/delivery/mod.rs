//! Delivery: from the commit log to the executor, each block in order, none lost, none at or below the watermark.
//!
//! The commit log in the store **is** the queue, so recovery and live delivery are one path and no channel holds
//! commits. Memory holds a [`Window`] over the log; what is written to the socket counts for nothing until the
//! executor reports it durable (contract §5).
//!
//! Three tasks share the window: the loader fills it, the sender writes it out, and the follower, the only task that asks
//! for the watermark, trims it.

mod bug_switches;
mod loader;
mod numbering;
mod replay_plan;
mod sender;
mod watermark;
mod window;

pub use numbering::{Numbered, number};
pub use replay_plan::{ExecutorView, StoreView, replay_plan};
pub use window::{Learned, Window, pauses_proposals};

use crate::{
    config::DeliveryParameters,
    env::Env,
    executor::ExecutorClient,
    framing::FrameError,
    store::{CommitLog, StoreError},
    tasks::Tasks,
    types::{Address, CommitRef, Committee, EpochBase, GlobalExecIndex},
};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64},
};
use thiserror::Error;
use tokio::sync::{Notify, mpsc, watch};

/// Delivers one epoch's commit log to one executor.
pub struct Delivery {
    env: Env,
    parameters: DeliveryParameters,
    stream_address: Address,
    client: Arc<ExecutorClient>,
    streams: Arc<AtomicU64>,
    log: Arc<CommitLog>,
    base: EpochBase,
    committee: Arc<Committee>,
    window: Mutex<Window<Numbered>>,
    /// The window has room again or was reset.
    window_changed: Notify,
    /// The window may hold something to send.
    frames_ready: Notify,
    /// Something was written whose durability is unknown.
    outstanding: Notify,
    /// The window is full, and all of it is written.
    starved: Notify,
    frames_written: AtomicU64,
    /// The executor said that it is in an earlier one.
    is_before_epoch: AtomicBool,
    pressure: watch::Sender<bool>,
    /// What the executor last reported as durable.
    watermark: watch::Sender<GlobalExecIndex>,
}

/// What delivery is built from.
pub struct DeliverySetup {
    pub env: Env,
    pub parameters: DeliveryParameters,
    pub stream_address: Address,
    pub client: Arc<ExecutorClient>,
    /// How many block streams this process has opened: the next one gets the number after it.
    pub streams: Arc<AtomicU64>,
    pub log: Arc<CommitLog>,
    pub base: EpochBase,
    pub committee: Arc<Committee>,
    /// W as the replay plan saw it: the first block to deliver is the one after it.
    pub watermark: GlobalExecIndex,
}

impl Delivery {
    #[must_use]
    pub fn new(setup: DeliverySetup) -> Self {
        let setup = bug_switches::setup(setup);
        let capacity = bug_switches::capacity(setup.parameters.window_blocks, &setup);
        Self {
            window: Mutex::new(Window::new(capacity, setup.watermark)),
            watermark: watch::Sender::new(setup.watermark),
            env: setup.env,
            parameters: setup.parameters,
            stream_address: setup.stream_address,
            client: setup.client,
            streams: setup.streams,
            log: setup.log,
            base: setup.base,
            committee: setup.committee,
            window_changed: Notify::new(),
            frames_ready: Notify::new(),
            outstanding: Notify::new(),
            starved: Notify::new(),
            frames_written: AtomicU64::new(0),
            is_before_epoch: AtomicBool::new(false),
            pressure: watch::Sender::new(false),
        }
    }

    /// Whether the window forbids proposing.
    #[must_use]
    pub fn pressure(&self) -> watch::Receiver<bool> {
        self.pressure.subscribe()
    }

    /// Follows what the executor reports as durable, as far as delivery asks. One task may wait for it to change.
    #[must_use]
    pub fn watermark(&self) -> watch::Receiver<GlobalExecIndex> {
        self.watermark.subscribe()
    }

    /// Delivers until the executor says that it has not finished the epoch before: that one is to be delivered first.
    /// Sockets and executors that fail are tried again for ever.
    ///
    /// # Errors
    /// The store's, or a block that no frame can hold.
    pub async fn run(self: Arc<Self>) -> Result<(), DeliveryError> {
        let tasks = Tasks::new(self.env.monitor.clone());
        let (sender, follower) = (self.clone(), self.clone());
        let (queries, requested) = mpsc::channel(1);
        tasks.spawn(async move { sender.send(&queries).await });
        tasks.spawn(async move { follower.follow_watermark(requested).await });
        self.load().await
    }

    fn window(&self) -> MutexGuard<'_, Window<Numbered>> {
        // A panic while the window is locked ends the process; the window itself is never half changed.
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why delivery ended. None of these can be survived by going on.
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
