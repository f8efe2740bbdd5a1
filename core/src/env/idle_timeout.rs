//! The idle timeout of connections. It counts bytes, not messages: a block that takes minutes on a slow link makes
//! progress, and after a reconnect it would only start again.

use super::BoxStream;
use crate::deadline::timeout;
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

/// Counts the bytes of connections. Clones share the counters.
#[derive(Clone, Default)]
pub(crate) struct IdleTimeout(Arc<Passed>);

#[derive(Default)]
struct Passed {
    arrived: AtomicU64,
    taken: AtomicU64,
}

impl IdleTimeout {
    /// Wraps a stream to count its bytes.
    pub fn monitor(&self, stream: BoxStream) -> MonitoredStream {
        MonitoredStream {
            stream,
            idle: self.clone(),
        }
    }

    /// Number of bytes received from the peer.
    pub fn arrived(&self) -> u64 {
        self.0.arrived.load(Ordering::Relaxed)
    }

    /// Returns when no byte was received or sent for `silence_ms`. Needed because a host without power does not close
    /// its connections.
    pub async fn elapsed(&self, silence_ms: u64) {
        let mut silence = Silence::since(self.passed());
        // Polls the counters, so that reads do not reset a timer.
        let step = Duration::from_millis(silence_ms.div_ceil(u64::from(POLLS)));
        loop {
            timeout(step, std::future::pending::<()>()).await;
            if silence.is_long(self.passed()) {
                return;
            }
        }
    }

    /// The result of `work`, or `None` if before it no byte was received or sent for `silence_ms`.
    pub async fn limit<T>(&self, silence_ms: u64, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            result = work => Some(result),
            () = self.elapsed(silence_ms) => None,
        }
    }

    fn passed(&self) -> u64 {
        self.arrived() + self.0.taken.load(Ordering::Relaxed)
    }
}

/// Number of consecutive polls without a change after which the connection is idle.
const POLLS: u32 = 20;

/// Counts consecutive polls without a change of the counters.
struct Silence {
    seen: u64,
    unchanged: u32,
}

impl Silence {
    const fn since(passed: u64) -> Self {
        Self {
            seen: passed,
            unchanged: 0,
        }
    }

    /// Processes the next poll. Returns whether the connection is idle.
    fn is_long(&mut self, passed: u64) -> bool {
        self.unchanged = if passed == self.seen {
            self.unchanged + 1
        } else {
            0
        };
        self.seen = passed;
        self.unchanged >= POLLS
    }
}

/// A stream whose bytes an [`IdleTimeout`] counts.
pub(crate) struct MonitoredStream {
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
        /// Any byte restarts the count.
        #[test]
        fn a_connection_is_idle_after_enough_polls_without_a_byte(steps in prop::collection::vec(0u64..2, 1..200)) {
            let (mut passed, mut silence) = (0, Silence::since(0));
            for (at, step) in steps.iter().enumerate() {
                passed += step;
                let looks = POLLS as usize;
                let long = at + 1 >= looks && steps[at + 1 - looks..=at].iter().all(|step| *step == 0);
                prop_assert_eq!(silence.is_long(passed), long);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_may_take_any_time_while_bytes_pass() {
        let idle = IdleTimeout::default();
        let (near, mut far) = tokio::io::duplex(3);
        let mut near = idle.monitor(Box::new(near));
        let slow = async {
            for _ in 0..5 {
                far.write_all(b"a").await.unwrap();
                assert_eq!(near.read(&mut [0; 8]).await.unwrap(), 1);
                tokio::time::sleep(Duration::from_millis(90)).await;
            }
        };
        assert_eq!(idle.limit(100, slow).await, Some(()));
        let silent = tokio::time::sleep(Duration::from_millis(200));
        assert_eq!(idle.limit(100, silent).await, None);
    }

    #[tokio::test]
    async fn received_and_sent_bytes_count_and_the_end_of_the_stream_does_not() {
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
