//! Whether a peer's connection still moves. Bytes count, not messages: a block that takes minutes on a slow link is
//! progress all the while, and cut off in the middle it would only begin again.

use crate::env::BoxStream;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Counts what passes over a connection. Clones count together.
#[derive(Clone, Default)]
pub(super) struct IdleTimeout(Arc<Passed>);

#[derive(Default)]
struct Passed {
    arrived: AtomicU64,
    taken: AtomicU64,
}

impl IdleTimeout {
    /// A stream whose bytes count here.
    pub fn monitor(&self, stream: BoxStream) -> MonitoredStream {
        MonitoredStream {
            stream,
            idle: self.clone(),
        }
    }

    /// Bytes that came from the peer.
    pub fn arrived(&self) -> u64 {
        self.0.arrived.load(Ordering::Relaxed)
    }

    /// Returns once no byte has arrived, nor one been taken from here, for so long: a host that lost its power says
    /// nothing.
    pub async fn elapsed(&self, silence_ms: u64) {
        let mut silence = Silence::since(self.passed());
        // Looked at in steps, so that a live stream costs no timer per read.
        let step = Duration::from_millis((silence_ms / u64::from(LOOKS)).max(1));
        loop {
            tokio::time::sleep(step).await;
            if silence.is_long(self.passed()) {
                return;
            }
        }
    }

    fn passed(&self) -> u64 {
        self.arrived() + self.0.taken.load(Ordering::Relaxed)
    }
}

/// So many looks in a row must find nothing new.
const LOOKS: u32 = 20;

/// What looks at a counter, one step of time apart, say of it.
struct Silence {
    seen: u64,
    in_vain: u32,
}

impl Silence {
    const fn since(passed: u64) -> Self {
        Self {
            seen: passed,
            in_vain: 0,
        }
    }

    /// Takes in the next look.
    fn is_long(&mut self, passed: u64) -> bool {
        self.in_vain = if passed == self.seen {
            self.in_vain + 1
        } else {
            0
        };
        self.seen = passed;
        self.in_vain >= LOOKS
    }
}

/// A stream with a [`IdleTimeout`].
pub(super) struct MonitoredStream {
    stream: BoxStream,
    idle: IdleTimeout,
}

impl AsyncRead for MonitoredStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let arrived = (buffer.filled().len() - before) as u64;
        self.idle.0.arrived.fetch_add(arrived, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for MonitoredStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.idle.0.taken.fetch_add(taken as u64, Ordering::Relaxed);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    proptest! {
        /// However little passes, and however much is still to come.
        #[test]
        fn only_as_many_looks_in_vain_as_it_takes_are_silence(steps in prop::collection::vec(0u64..2, 1..200)) {
            let (mut passed, mut silence) = (0, Silence::since(0));
            for (at, step) in steps.iter().enumerate() {
                passed += step;
                let looks = LOOKS as usize;
                let long = at + 1 >= looks && steps[at + 1 - looks..=at].iter().all(|step| *step == 0);
                prop_assert_eq!(silence.is_long(passed), long);
            }
        }
    }

    #[tokio::test]
    async fn every_byte_counts_both_ways_and_an_end_does_not() {
        let idle = IdleTimeout::default();
        let (near, mut far) = tokio::io::duplex(3);
        let mut near = idle.monitor(Box::new(near));
        far.write_all(b"ab").await.unwrap();
        let mut buffer = [0; 8];
        assert_eq!(near.read(&mut buffer).await.unwrap(), 2);
        assert_eq!((idle.arrived(), idle.passed()), (2, 2));
        assert_eq!(near.write(b"longer than the pipe").await.unwrap(), 3);
        assert_eq!((idle.arrived(), idle.passed()), (2, 5));
        drop(far);
        assert_eq!(near.read(&mut buffer).await.unwrap(), 0);
        assert_eq!((idle.arrived(), idle.passed()), (2, 5));
    }
}
