//! The listener's end of a connection between peers.

use crate::{
    env::{IdleTimeout, MonitoredStream},
    framing::write_frame,
    peers::SecureStream,
};
use std::io;

/// A connection to a peer that may be slow, but has to take what is written.
pub(super) struct PeerStream {
    pub stream: SecureStream<MonitoredStream>,
    idle: IdleTimeout,
    silence_ms: u64,
    /// The most time without a word to a peer that waits for an answer.
    pub alive_ms: u64,
}

impl PeerStream {
    /// `idle` counts the bytes of the stream below.
    pub const fn new(
        stream: SecureStream<MonitoredStream>,
        idle: IdleTimeout,
        silence_ms: u64,
        alive_ms: u64,
    ) -> Self {
        Self {
            stream,
            idle,
            silence_ms,
            alive_ms,
        }
    }

    /// Writes a frame.
    ///
    /// # Errors
    /// Those of the stream, and [`io::ErrorKind::TimedOut`] if the peer takes no byte for the silence.
    pub async fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        let silence_ms = self.silence_ms;
        let write = write_frame(&mut self.stream, frame);
        match self.idle.limit(silence_ms, write).await {
            Some(written) => written,
            None => {
                let reason = format!("the peer took no byte for {silence_ms} ms");
                Err(io::Error::new(io::ErrorKind::TimedOut, reason))
            }
        }
    }
}
