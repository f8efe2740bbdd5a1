//! The client of the old transport. Who sends a batch waits for a connection of the pool, and then for the exchange; or for
//! the write alone, which is what deployed clients did.

use super::{
    batch::{Batch, Left, Reply},
    config::SubLimits,
    connection_pool::{ConnectionPool, Place},
    counts::Counts,
    old_transport::{Connection, End, HandBack, Known, OldTransport, reply},
};
use crate::bug_switches;
use bytes::Bytes;
use metanode_core::{
    backoff::Backoff,
    deadline::timeout,
    env::{CrashPoint, Env, SubEvent},
    types::Address,
};
use std::time::Duration;

/// What a forwarded batch is answered with when it is written and nobody waits for the reply.
const WRITTEN: &[u8] = br#"{"success":true}"#;

/// A client, for any number of tasks that send.
pub struct OldClient {
    env: Env,
    pool: ConnectionPool,
    limits: SubLimits,
    counts: Counts,
    hand_back: HandBack,
    pause_after_write: Duration,
}

impl OldClient {
    /// A client of the old transport of a metanode.
    #[must_use]
    pub fn new(env: &Env, to: Address, transport: OldTransport, limits: &SubLimits) -> Self {
        let waits = transport.hand_back == HandBack::AfterExchange;
        Self {
            env: env.clone(),
            pool: ConnectionPool::new(env.network.clone(), to, transport.pool_connections),
            limits: limits.clone(),
            counts: Counts::measured(env),
            hand_back: match bug_switches::waits_for_exchange(waits) {
                true => HandBack::AfterExchange,
                false => HandBack::AfterWrite,
            },
            pause_after_write: Duration::from_millis(transport.pause_after_write_ms),
        }
    }

    /// Sends a batch until it is answered, or written, and what it can never take is refused.
    pub async fn send(&self, mut batch: Batch) {
        let mut backoff = Backoff::new(self.limits.retry_min_ms, self.limits.retry_max_ms);
        loop {
            let frame = match batch.frame() {
                Ok(frame) => frame,
                Err(error) => return self.refused(1, error.to_string()),
            };
            let sent = match self.hand_back {
                HandBack::AfterExchange => self.exchange(&frame).await,
                HandBack::AfterWrite => self.write(&frame).await,
            };
            if sent.is_ok() {
                self.counts.sent(batch.transactions());
            }
            let sent = sent.and_then(|message| Ok((message.clone(), reply(&message)?)));
            match sent {
                Ok((message, reply)) => {
                    // A write alone is no answer.
                    if self.hand_back == HandBack::AfterExchange {
                        self.counts.answered(&batch, &reply);
                    }
                    match self.left(batch, message, reply) {
                        None => return,
                        Some(rest) => batch = rest,
                    }
                }
                Err(end) => self.env.emit(SubEvent::Disconnected {
                    reason: end.to_string(),
                }),
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// One request on a connection of its own, and its reply.
    async fn exchange(&self, frame: &[u8]) -> Result<Bytes, End> {
        let timeout_ms = self.limits.reply_timeout_ms;
        let place = self.pool.place().await;
        let replied = async {
            let mut connection = place.connect().await?;
            self.write_on(&mut connection, frame).await?;
            let message = connection.message().await?;
            self.env.reach(CrashPoint::SubReplyRead).await;
            connection.closed().await;
            Ok(message)
        };
        let replied = timeout(Duration::from_millis(timeout_ms), replied).await;
        replied.unwrap_or(Err(End::Silent { timeout_ms }))
    }

    /// Writes on a connection of which nobody knows whether its exchange is over.
    async fn write(&self, frame: &[u8]) -> Result<Bytes, End> {
        let place = self.pool.place().await;
        let connection = match self.written_on_idle(&place, frame).await {
            Some(connection) => connection,
            None => {
                let mut connection = place.connect().await?;
                self.write_on(&mut connection, frame).await?;
                connection
            }
        };
        if !self.pause_after_write.is_zero() {
            tokio::time::sleep(self.pause_after_write).await;
        }
        place.hand_back(connection);
        Ok(Bytes::from_static(WRITTEN))
    }

    /// `None` if there is no idle connection, or the client notices that it is closed.
    async fn written_on_idle(&self, place: &Place<'_>, frame: &[u8]) -> Option<Connection> {
        let mut connection = place.take_idle()?;
        let is_open = connection.read_stale().await == Known::Open;
        let is_written = is_open && self.write_on(&mut connection, frame).await.is_ok();
        is_written.then_some(connection)
    }

    async fn write_on(&self, connection: &mut Connection, frame: &[u8]) -> Result<(), End> {
        self.env.reach(CrashPoint::SubBeforeFrame).await;
        connection.write(frame).await?;
        self.env.reach(CrashPoint::SubFrameWritten).await;
        Ok(())
    }

    /// What a message leaves of a batch.
    fn left(&self, batch: Batch, message: Bytes, reply: Reply) -> Option<Batch> {
        let transactions = match batch {
            Batch::Forwarded { answer, .. } => {
                let _ = answer.send(message); // an error means that the client has gone
                return None;
            }
            Batch::Formed(transactions) => transactions,
        };
        let error = reply.error.clone();
        let Left { again, refused } = reply.left(transactions);
        if refused > 0 {
            self.refused(refused, error);
        }
        (!again.is_empty()).then_some(Batch::Formed(again))
    }

    fn refused(&self, transactions: usize, reason: String) {
        let transactions = u32::try_from(transactions).unwrap_or(u32::MAX);
        self.env.emit(SubEvent::Refused {
            transactions,
            reason,
        });
    }
}
