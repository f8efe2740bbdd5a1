//! The listener's end of a connection between peers.

use crate::{
    env::{BoxStream, IdleTimeout, MonitoredStream},
    framing::write_frame,
};
use std::io;

/// A connection to a peer that may be slow, but has to take what is written.
pub(super) struct PeerStream {
    pub stream: MonitoredStream,
    idle: IdleTimeout,
    silence_ms: u64,
}

impl PeerStream {
    pub fn new(stream: BoxStream, silence_ms: u64) -> Self {
        let idle = IdleTimeout::default();
        Self {
            stream: idle.monitor(stream),
            idle,
            silence_ms,
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
