//! One connection to the metanode: frames out, replies in, in order.

use super::{
    batch::{Batch, Left, Reply},
    config::SubLimits,
    counts::Counts,
    queue::{Memory, Queue, Queued},
};
use bytes::Bytes;
use metanode_core::{
    backoff::Backoff,
    deadline::timeout,
    env::{BoxStream, CrashPoint, Env, SubEvent},
    framing::{Decoder, Framing, ReadError, read_frame, write_frame},
    types::Address,
};
use std::{
    collections::VecDeque,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{Notify, Semaphore},
};

/// Frames that may be under way where nobody waits for replies. Their batches are in memory until they are answered.
const UNAWAITED_FRAMES: u32 = 1_024;

pub(super) struct Worker {
    pub env: Env,
    pub address: Address,
    pub limits: SubLimits,
    pub queue: Queue,
    pub counts: Counts,
    /// What this worker sends before anything else of the queue.
    pub again: Mutex<VecDeque<Queued>>,
    /// Something was added to `again`.
    pub refilled: Notify,
}

/// Why a connection ended.
#[derive(Debug, Error)]
enum End {
    /// There is nothing more to send, and all of it is answered.
    #[error("everything is sent")]
    Drained,
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the metanode closed the connection")]
    Closed,
    #[error("expected a reply within {timeout_ms} ms")]
    Silent { timeout_ms: u64 },
    #[error("expected a reply in JSON: {0}")]
    NoReply(serde_json::Error),
    #[error("a reply to no frame: {0}")]
    Unasked(String),
}

/// What is under way on one connection.
struct Exchange {
    unanswered: Mutex<VecDeque<Queued>>,
    /// One per frame that may be sent.
    free: Semaphore,
    /// Something was refused: the next frame is sent after a pause.
    is_refused: Mutex<bool>,
    is_answered: Mutex<bool>,
}

impl Worker {
    /// Sends batches until the queue is closed and all of it is answered.
    pub async fn run(self) {
        let SubLimits {
            retry_min_ms,
            retry_max_ms,
            ..
        } = self.limits;
        let mut backoff = Backoff::new(retry_min_ms, retry_max_ms);
        loop {
            let end = match self.env.network.connect(&self.address).await {
                Ok(stream) => {
                    self.env.emit(SubEvent::Connected);
                    self.exchange(stream, &mut backoff).await
                }
                Err(error) => End::Io(error),
            };
            if matches!(end, End::Drained) {
                return;
            }
            self.env.emit(SubEvent::Disconnected {
                reason: end.to_string(),
            });
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    async fn exchange(&self, stream: BoxStream, backoff: &mut Backoff) -> End {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let exchange = Exchange {
            unanswered: Mutex::default(),
            free: Semaphore::new(self.most_in_flight() as usize),
            is_refused: Mutex::default(),
            is_answered: Mutex::default(),
        };
        let ended = tokio::select! {
            biased;
            ended = self.read_replies(&mut reader, &exchange) => ended,
            ended = self.write_frames(&mut writer, &exchange, backoff) => ended,
        };
        let mut again = lock(&self.again);
        for queued in lock(&exchange.unanswered).drain(..).rev() {
            again.push_front(queued);
        }
        match ended {
            Ok(()) => End::Drained,
            Err(end) => end,
        }
    }

    async fn write_frames(
        &self,
        writer: &mut (impl AsyncWrite + Unpin),
        exchange: &Exchange,
        backoff: &mut Backoff,
    ) -> Result<(), End> {
        let most = self.most_in_flight();
        loop {
            let Ok(free) = exchange.free.acquire().await else {
                return Err(End::Closed); // never closed
            };
            let pauses = std::mem::take(&mut *lock(&exchange.is_refused));
            if pauses {
                tokio::time::sleep(backoff.pause()).await;
            } else if *lock(&exchange.is_answered) {
                backoff.reset();
            }
            let Some(queued) = self.next().await else {
                drop(free);
                let _all_answered = exchange.free.acquire_many(most).await;
                if lock(&self.again).is_empty() {
                    return Ok(());
                }
                continue;
            };
            let frame = match queued.batch.frame() {
                Ok(frame) => frame,
                Err(error) => {
                    self.refused(1, error.to_string());
                    continue;
                }
            };
            free.forget();
            let transactions = queued.batch.transactions();
            lock(&exchange.unanswered).push_back(queued);
            self.env.reach(CrashPoint::SubBeforeFrame).await;
            write_frame(writer, &frame).await?;
            self.counts.sent(transactions);
            self.env.reach(CrashPoint::SubFrameWritten).await;
        }
    }

    /// Frames of one connection that are not answered.
    fn most_in_flight(&self) -> u32 {
        let most = self.limits.max_frames_in_flight.get();
        match self.limits.fire_and_forget {
            true => most.max(UNAWAITED_FRAMES),
            false => most,
        }
    }

    async fn next(&self) -> Option<Queued> {
        loop {
            let first = lock(&self.again).pop_front();
            if first.is_some() {
                return first;
            }
            tokio::select! {
                biased;
                () = self.refilled.notified() => {}
                next = self.queue.next() => return next,
            }
        }
    }

    async fn read_replies(
        &self,
        reader: &mut (impl AsyncRead + Unpin),
        exchange: &Exchange,
    ) -> Result<(), End> {
        let timeout_ms = self.limits.reply_timeout_ms;
        let patience = Duration::from_millis(timeout_ms);
        let mut decoder = Decoder::new(Framing::TRANSACTIONS);
        loop {
            let was_waiting = !lock(&exchange.unanswered).is_empty();
            let body = match timeout(patience, read_frame(reader, &mut decoder)).await {
                Some(read) => read?.ok_or(End::Closed)?,
                None if was_waiting => return Err(End::Silent { timeout_ms }),
                None => continue,
            };
            let reply: Reply = serde_json::from_slice(&body).map_err(End::NoReply)?;
            self.env.reach(CrashPoint::SubReplyRead).await;
            let Some(Queued { batch, memory }) = lock(&exchange.unanswered).pop_front() else {
                return Err(End::Unasked(reply.error));
            };
            self.counts.answered(&batch, &reply);
            *lock(&exchange.is_answered) = true;
            exchange.free.add_permits(1);
            match batch {
                // An error means that the client has gone.
                Batch::Forwarded { answer, .. } => drop(answer.send(body)),
                Batch::Formed(sent) => self.answered(sent, memory, reply, exchange),
            }
        }
    }

    fn answered(&self, sent: Vec<Bytes>, memory: Memory, reply: Reply, exchange: &Exchange) {
        let Left { mut again, refused } = reply.left(sent);
        let given_up = match self.limits.fire_and_forget {
            true => std::mem::take(&mut again).len(),
            false => 0,
        };
        if refused + given_up > 0 {
            self.refused(refused + given_up, reply.error);
        }
        if !again.is_empty() {
            *lock(&exchange.is_refused) |= refused == 0;
            let batch = Batch::Formed(again);
            lock(&self.again).push_front(Queued { batch, memory });
            self.refilled.notify_one();
        }
    }

    fn refused(&self, transactions: usize, reason: String) {
        let transactions = u32::try_from(transactions).unwrap_or(u32::MAX);
        self.env.emit(SubEvent::Refused {
            transactions,
            reason,
        });
    }
}

/// What a panic left is not read: it ends the process.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
