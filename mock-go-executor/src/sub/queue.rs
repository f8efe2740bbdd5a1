//! The batches that wait for a worker or are not answered yet: bounded by their number and by their bytes.

use super::{batch::Batch, config::SubLimits};
use metanode_core::env::{Env, Quantity};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};

/// Large frames of clients that are arriving have this part of the memory, one of so many: who announces a frame and does not
/// send it holds up none of the batches.
const ARRIVING_PART: u32 = 4;

/// Where batches are put.
#[derive(Clone)]
pub struct Batches {
    channel: mpsc::Sender<Queued>,
    memory: Share,
    arriving: Share,
}

/// A part of the memory.
#[derive(Clone)]
struct Share {
    free: Arc<Semaphore>,
    limit_bytes: u32,
}

impl Share {
    fn new(limit_bytes: u32) -> Self {
        let limit_bytes = limit_bytes.max(1); // with less there would be no limit
        Self {
            free: Arc::new(Semaphore::new(limit_bytes as usize)),
            limit_bytes,
        }
    }

    /// Waits for so many bytes; for all of them if it has less.
    async fn reserve(&self, bytes: usize) -> Result<Memory, Ended> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let count = bytes.min(self.limit_bytes);
        let permit = self.free.clone().acquire_many_owned(count).await;
        permit.map(Memory).map_err(|_| Ended)
    }

    fn used_bytes(&self) -> u64 {
        u64::from(self.limit_bytes).saturating_sub(self.free.available_permits() as u64)
    }
}

/// Where workers take them. They end when all [`Batches`] are dropped and nothing is left.
#[derive(Clone)]
pub(super) struct Queue(Arc<Mutex<mpsc::Receiver<Queued>>>);

/// A batch with the memory that it has until it is answered.
#[derive(Debug)]
pub(super) struct Queued {
    pub batch: Batch,
    pub memory: Memory,
}

/// Part of the memory of all batches.
#[derive(Debug)]
pub(super) struct Memory(#[allow(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

/// No worker takes batches any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the workers have ended")]
pub struct Ended;

/// A queue with the bounds of these limits.
pub(super) fn queue(limits: &SubLimits) -> (Batches, Queue) {
    let (channel, receiver) = mpsc::channel(limits.queue_batches.get() as usize);
    let limit_bytes = limits.max_buffered_bytes.get();
    let arriving_bytes = limit_bytes / ARRIVING_PART;
    let batches = Batches {
        channel,
        memory: Share::new(limit_bytes - arriving_bytes),
        arriving: Share::new(arriving_bytes),
    };
    (batches, Queue(Arc::new(Mutex::new(receiver))))
}

impl Batches {
    /// Lets metrics read how much waits.
    pub(super) fn measure(&self, env: &Env) {
        let limit_batches = self.channel.max_capacity() as u64;
        // The channel ends with the last sender, whoever measures it.
        let channel = self.channel.downgrade();
        env.measure(Quantity::SubQueuedBatches, move || {
            let free = channel.upgrade().map(|channel| channel.capacity() as u64);
            free.map_or(0, |free| limit_batches.saturating_sub(free))
        });
        env.measure(Quantity::SubQueuedBatchesLimit, move || limit_batches);
        let shares = [self.memory.clone(), self.arriving.clone()];
        let limit_bytes = shares.iter().map(|it| u64::from(it.limit_bytes)).sum();
        env.measure(Quantity::SubBufferedBytes, move || {
            shares.iter().map(Share::used_bytes).sum()
        });
        env.measure(Quantity::SubBufferedBytesLimit, move || limit_bytes);
    }

    /// Adds a batch; waits while there are too many, or too large ones.
    ///
    /// # Errors
    /// If the workers have ended.
    pub async fn send(&self, batch: Batch) -> Result<(), Ended> {
        let memory = self.reserve(batch.len_bytes()).await?;
        self.send_reserved(batch, memory).await
    }

    /// Waits for the memory of a batch. One that is larger than all of it waits until there is no other.
    pub(super) async fn reserve(&self, bytes: usize) -> Result<Memory, Ended> {
        self.memory.reserve(bytes).await
    }

    /// Waits for the memory of a frame that is arriving.
    pub(super) async fn reserve_arriving(&self, bytes: usize) -> Result<Memory, Ended> {
        self.arriving.reserve(bytes).await
    }

    pub(super) async fn send_reserved(&self, batch: Batch, memory: Memory) -> Result<(), Ended> {
        let sent = self.channel.send(Queued { batch, memory }).await;
        sent.map_err(|_| Ended)
    }
}

impl Queue {
    /// The next batch; `None` when there will be no more. Cancel-safe.
    pub async fn next(&self) -> Option<Queued> {
        self.0.lock().await.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::{
        num::NonZeroU32,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    fn of(transactions: usize) -> Batch {
        Batch::Formed(vec![Bytes::from_static(&[7; 94]); transactions])
    }

    #[test]
    fn a_batch_waits_until_those_before_it_leave_room() {
        let limits = SubLimits {
            max_buffered_bytes: NonZeroU32::new(1_000).unwrap(),
            ..SubLimits::default()
        };
        let (batches, queue) = queue(&limits);
        let mut context = Context::from_waker(Waker::noop());
        let mut first = pin!(batches.send(of(9)));
        assert_eq!(first.as_mut().poll(&mut context), Poll::Ready(Ok(())));
        let mut larger_than_all = pin!(batches.send(of(11)));
        assert!(larger_than_all.as_mut().poll(&mut context).is_pending());
        let Poll::Ready(Some(taken)) = pin!(queue.next()).poll(&mut context) else {
            panic!("expected the first batch");
        };
        assert!(larger_than_all.as_mut().poll(&mut context).is_pending());
        drop(taken);
        assert_eq!(
            larger_than_all.as_mut().poll(&mut context),
            Poll::Ready(Ok(()))
        );
    }
}
