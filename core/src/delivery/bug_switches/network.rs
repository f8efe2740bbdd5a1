//! A network with the known bugs of block-stream connections. Used only while one of them is enabled.

use crate::{
    bugs::{self, KnownBug},
    env::{BoxListener, BoxStream, Network},
    types::{Address, CommitIndex},
};
use async_trait::async_trait;
use std::{
    io,
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
};

/// Whether one of these bugs is enabled.
pub(super) fn is_buggy() -> bool {
    bugs::enabled(KnownBug::DeadPeerGoesUnnoticed)
        || bugs::enabled(KnownBug::TimeoutBelowBlockTime)
        || bugs::enabled(KnownBug::FailureAwaitsNextCommit)
        || bugs::enabled(KnownBug::ResendOnSameConnection)
}

/// A connection that was dropped in the middle of a write.
type Abandoned = Arc<Mutex<Option<BoxStream>>>;

pub(super) struct BuggyNetwork {
    inner: Arc<dyn Network>,
    /// The index of the last stored commit.
    tip: watch::Receiver<CommitIndex>,
    has_connected: AtomicBool,
    abandoned: Abandoned,
}

impl BuggyNetwork {
    pub(super) fn new(inner: Arc<dyn Network>, tip: watch::Receiver<CommitIndex>) -> Self {
        Self {
            inner,
            tip,
            has_connected: AtomicBool::new(false),
            abandoned: Abandoned::default(),
        }
    }

    /// Returns when another commit is stored.
    async fn log_grows(&self) {
        let mut tip = self.tip.clone();
        let _ = tip.borrow_and_update();
        // An error means that the log was dropped, and then the task that writes ends too.
        let _ = tip.changed().await;
    }
}

#[async_trait]
impl Network for BuggyNetwork {
    async fn connect(&self, address: &Address) -> io::Result<BoxStream> {
        let is_again = self.has_connected.swap(true, Ordering::Relaxed);
        if is_again && bugs::enabled(KnownBug::FailureAwaitsNextCommit) {
            self.log_grows().await;
        }
        let abandoned = lock(&self.abandoned).take();
        let stream = match abandoned {
            Some(stream) => stream,
            None => self.inner.connect(address).await?,
        };
        Ok(Box::new(BuggyStream {
            stream: Some(stream),
            is_in_frame: false,
            abandoned: self.abandoned.clone(),
        }))
    }

    async fn listen(&self, address: &Address) -> io::Result<BoxListener> {
        self.inner.listen(address).await
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.inner.unlink(path)
    }
}

struct BuggyStream {
    /// `None` only while it is dropped.
    stream: Option<BoxStream>,
    /// The socket has accepted a part of a frame.
    is_in_frame: bool,
    abandoned: Abandoned,
}

impl BuggyStream {
    fn stream(&mut self) -> io::Result<Pin<&mut BoxStream>> {
        let stream = self.stream.as_mut().map(Pin::new);
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for BuggyStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if bugs::enabled(KnownBug::DeadPeerGoesUnnoticed) {
            return Poll::Pending;
        }
        self.get_mut().stream()?.poll_read(context, buffer)
    }
}

impl AsyncWrite for BuggyStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        let written = stream.stream()?.poll_write(context, bytes);
        match &written {
            Poll::Pending if bugs::enabled(KnownBug::TimeoutBelowBlockTime) => {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            Poll::Pending => {}
            Poll::Ready(Ok(taken)) => stream.is_in_frame = *taken < bytes.len(),
            Poll::Ready(Err(_)) => stream.is_in_frame = false,
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_shutdown(context)
    }
}

impl Drop for BuggyStream {
    fn drop(&mut self) {
        if self.is_in_frame && bugs::enabled(KnownBug::ResendOnSameConnection) {
            *lock(&self.abandoned) = self.stream.take();
        }
    }
}

fn lock(abandoned: &Abandoned) -> MutexGuard<'_, Option<BoxStream>> {
    // Poisoning is harmless: the value is replaced as a whole.
    abandoned.lock().unwrap_or_else(PoisonError::into_inner)
}
