//! How far the own executor and the own commits are.

use crate::{
    executor::ExecutorClient,
    store::CommitLog,
    types::{ChainPosition, Epoch, EpochBase, GlobalExecIndex},
};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// What the node knows of its own progress. It tells when it runs another epoch, discovery reads.
#[derive(Default)]
pub(crate) struct OwnProgress(Mutex<Option<Running>>);

#[derive(Clone)]
struct Running {
    /// Of the executor.
    epoch: Epoch,
    watermark: Watermark,
    base: EpochBase,
    log: Arc<CommitLog>,
}

/// Where W comes from.
#[derive(Clone)]
pub(crate) enum Watermark {
    /// The only task that asks for it while the node delivers.
    Followed(watch::Receiver<GlobalExecIndex>),
    /// Nobody else: the node does not deliver.
    Asked(Arc<ExecutorClient>),
}

/// How far the node is at a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Own {
    /// `None` before the executor has answered.
    pub executor: Option<ChainPosition>,
    /// The last commit that the node has stored.
    pub stored: Option<ChainPosition>,
}

impl OwnProgress {
    /// The node runs the epoch of this base and log; its executor is in `epoch`.
    pub fn enter(&self, epoch: Epoch, watermark: Watermark, base: EpochBase, log: Arc<CommitLog>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Running {
            epoch,
            watermark,
            base,
            log,
        });
    }

    pub(super) async fn now(&self) -> Own {
        let running = {
            let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            running.clone()
        };
        let Some(running) = running else {
            return Own::default();
        };
        let stored = ChainPosition {
            epoch: running.base.epoch,
            block: running.base.gei(running.log.last()),
        };
        let watermark = match &running.watermark {
            Watermark::Followed(watermark) => Some(*watermark.borrow()),
            Watermark::Asked(client) => client.watermark().await.ok(),
        };
        let executor = watermark.map(|block| ChainPosition {
            epoch: running.epoch,
            block,
        });
        Own {
            executor,
            stored: Some(stored),
        }
    }
}
