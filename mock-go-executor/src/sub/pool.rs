//! Forms batches of single transactions: as many as are there, up to a size, after the first has waited a moment.

use super::{
    batch::{Batch, bytes_in_frame},
    config::SubLimits,
    queue::Batches,
};
use bytes::Bytes;
use metanode_core::{deadline::timeout, framing::Framing};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The transactions of clients, until it is asked to stop.
pub(super) struct Incoming {
    pub transactions: mpsc::Receiver<Bytes>,
    pub stopping: oneshot::Receiver<()>,
    pub is_closed: bool,
}

impl Incoming {
    /// `None` when there will be no more. Cancel-safe.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                biased;
                next = self.transactions.recv() => return next,
                _ = &mut self.stopping, if !self.is_closed => {
                    self.is_closed = true;
                    self.transactions.close();
                }
            }
        }
    }
}

/// Forms batches until no more transactions come. Waits where no worker takes them.
pub(super) async fn form(limits: SubLimits, mut incoming: Incoming, batches: Batches) {
    let delay = Duration::from_millis(limits.batch_delay_ms);
    let mut held_back = None;
    while let Some(first) = match held_back.take() {
        Some(first) => Some(first),
        None => incoming.next().await,
    } {
        let mut bytes = bytes_in_frame(&first);
        let mut batch = vec![first];
        let filled = async {
            while batch.len() < limits.batch_transactions.get() as usize {
                let Some(next) = incoming.next().await else {
                    return;
                };
                bytes += bytes_in_frame(&next);
                if bytes > Framing::TRANSACTIONS.limit_bytes {
                    held_back = Some(next);
                    return;
                }
                batch.push(next);
            }
        };
        timeout(delay, filled).await; // the rest is in the next batch
        if batches.send(Batch::Formed(batch)).await.is_err() {
            return;
        }
    }
}
