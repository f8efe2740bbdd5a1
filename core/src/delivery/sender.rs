//! The sender: connects to the block stream for ever, starts each connection at W+1, and writes blocks in order.
//!
//! A successful write acknowledges nothing: the block stays in the window until the executor reports it durable.

use super::{
    Delivery, Numbered, bug_switches,
    watermark::{WatermarkQueries, query_now},
};
use crate::{
    backoff::Backoff,
    env::{BoxStream, CrashPoint, IdleTimeout, NodeEvent},
    executor::{RpcError, socket_advice},
    framing,
    sync::atomic::Ordering,
};
use std::io;
use thiserror::Error;
use tokio::io::AsyncReadExt;

/// Why a connection of the block stream ended. Another attempt follows.
#[derive(Debug, Error)]
enum StreamEnd {
    #[error("cannot connect: {}", socket_advice(.0))]
    Connect(#[source] io::Error),
    #[error("cannot query where to start: {0}")]
    Watermark(#[from] RpcError),
    #[error("write failed: {0}")]
    Write(#[source] io::Error),
    #[error("the executor took no byte of a frame for {0} ms")]
    WriteTimeout(u64),
    #[error("the executor closed the stream")]
    Closed,
    #[error("the executor's watermark is outside of the window")]
    WindowReset,
    #[error("the executor is in an earlier epoch")]
    BeforeEpoch,
}

impl Delivery {
    /// Connects and sends for ever.
    pub(super) async fn send(&self, queries: &WatermarkQueries) {
        let parameters = &self.parameters;
        let mut backoff = Backoff::new(parameters.reconnect_min_ms, parameters.reconnect_max_ms);
        loop {
            let connection = self.streams.opened.fetch_add(1, Ordering::Relaxed) + 1;
            let connected_before = self.frames_written();
            let end = match self.connect().await {
                Ok(stream) => self.stream(connection, stream, queries).await,
                Err(end) => end,
            };
            let reason = end.to_string();
            self.env.emit(NodeEvent::StreamLost { connection, reason });
            if self.frames_written() > connected_before {
                backoff.reset();
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    async fn connect(&self) -> Result<BoxStream, StreamEnd> {
        self.env
            .network
            .connect(&self.stream_address)
            .await
            .map_err(StreamEnd::Connect)
    }

    /// Sends on one connection until it ends.
    async fn stream(
        &self,
        connection: u64,
        stream: BoxStream,
        queries: &WatermarkQueries,
    ) -> StreamEnd {
        // Queried after connecting: by then, blocks in flight on an older connection are either covered by this answer
        // or lost.
        match self.learn_start(queries).await {
            Ok(false) => {}
            Ok(true) => return StreamEnd::BeforeEpoch,
            Err(_) if self.assumes_watermark => {}
            Err(e) => return e.into(),
        }
        let (start, resets) = {
            let mut window = self.window();
            if bug_switches::forgets_what_was_sent() {
                window.restart();
            }
            (window.watermark().next(), window.resets())
        };
        self.env
            .emit(NodeEvent::StreamConnected { connection, start });
        let idle = IdleTimeout::default();
        let (mut reader, mut writer) = tokio::io::split(idle.monitor(stream));
        let mut probe = [0; 1];
        let closed = reader.read(&mut probe);
        tokio::pin!(closed);
        loop {
            let next = {
                let window = self.window();
                if window.resets() != resets {
                    return StreamEnd::WindowReset;
                }
                window.next_to_send().map(|(_, block)| block.clone())
            };
            let Some(block) = next else {
                tokio::select! {
                    biased;
                    // The stream is one-way: any result of reading means that it has ended.
                    _ = &mut closed => return StreamEnd::Closed,
                    () = self.frames_ready.notified() => continue,
                }
            };
            if let Err(end) = self.write(&mut writer, &idle, &block).await {
                return end;
            }
            let starved = {
                let mut window = self.window();
                window.mark_sent(block.gei);
                window.is_starved()
            };
            self.frames_written.fetch_add(1, Ordering::Relaxed);
            let bytes = block.frame.len() as u64;
            (self.streams.written_bytes).fetch_add(bytes, Ordering::Relaxed);
            self.env.emit(NodeEvent::FrameWritten {
                connection,
                gei: block.gei,
                epoch: block.epoch,
                commit: block.commit,
            });
            self.outstanding.notify_one();
            if starved {
                self.starved.notify_one();
            }
            self.env.reach(CrashPoint::NodeFrameWritten).await;
        }
    }

    /// Queries W. Returns whether the executor is in an earlier epoch.
    async fn learn_start(&self, queries: &WatermarkQueries) -> Result<bool, RpcError> {
        query_now(queries).await?;
        self.is_executor_before_epoch().await
    }

    /// Whether the executor is in an earlier epoch. Queried if W is the base of the epoch, where W alone does not tell:
    /// the executor may have been restored from a backup that is older than the epoch.
    async fn is_executor_before_epoch(&self) -> Result<bool, RpcError> {
        if self.window().watermark() != self.base.base {
            return Ok(false);
        }
        let is_before = self.client.current_epoch().await? < self.base.epoch;
        if is_before {
            self.is_before_epoch.store(true, Ordering::Relaxed);
            self.window_changed.notify_one();
        }
        Ok(is_before)
    }

    async fn write(
        &self,
        writer: &mut (impl tokio::io::AsyncWrite + Unpin),
        idle: &IdleTimeout,
        block: &Numbered,
    ) -> Result<(), StreamEnd> {
        let timeout_ms = self.parameters.write_timeout_ms;
        let write = framing::write_frame(writer, &block.frame);
        match idle.limit(timeout_ms, write).await {
            Some(written) => written.map_err(StreamEnd::Write),
            None => Err(StreamEnd::WriteTimeout(timeout_ms)),
        }
    }

    fn frames_written(&self) -> u64 {
        self.frames_written.load(Ordering::Relaxed)
    }
}
