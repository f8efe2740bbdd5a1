//! The sockets of the node's process, with a note of when it has read each frame.
//!
//! The node is not changed: it gets its streams from the listener that it is given. The time at which a batch was handed
//! over is in its first transaction, so that no second channel has to bring both times together.

use super::transaction::TIME_AT;
use crate::machine::now_ns;
use async_trait::async_trait;
use metanode_core::{
    env::{BoxListener, BoxStream, Listener},
    ingest::Transport,
};
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// When frames were read.
#[derive(Clone, Default)]
pub struct Reads(Arc<Mutex<Noted>>);

#[derive(Default)]
pub struct Noted {
    /// From the hand-over of each frame until the node had read it.
    pub latencies_ns: Vec<u64>,
    pub last_ns: u64,
}

impl Reads {
    pub fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listener whose connections are observed.
pub struct Observed {
    pub listener: BoxListener,
    pub transport: Transport,
    pub reads: Reads,
}

struct Stream {
    inner: BoxStream,
    reads: Reads,
    frames: Frames,
}

/// Where in a frame a direction is.
struct Frames {
    /// The beginning of the frame, up to the time in it.
    head: Vec<u8>,
    /// Bytes of the frame after its head that have not come.
    rest: usize,
    /// Frames that count: a node reads one request of the old transport per connection.
    left: u64,
}

#[async_trait]
impl Listener for Observed {
    async fn accept(&self) -> io::Result<BoxStream> {
        Ok(Box::new(Stream {
            inner: self.listener.accept().await?,
            reads: self.reads.clone(),
            frames: Frames {
                head: vec![],
                rest: 0,
                left: match self.transport {
                    Transport::Frames => u64::MAX,
                    Transport::OneRequest => 1,
                },
            },
        }))
    }
}

impl Frames {
    const HEAD: usize = TIME_AT + 8;

    /// The times in the frames that these bytes complete.
    fn completed(&mut self, mut bytes: &[u8]) -> Vec<u64> {
        let mut times = vec![];
        while !bytes.is_empty() && self.left > 0 {
            if self.head.len() < Self::HEAD {
                let missing = Self::HEAD - self.head.len();
                let (next, later) = bytes.split_at(missing.min(bytes.len()));
                self.head.extend_from_slice(next);
                bytes = later;
                if let (Some(length), Self::HEAD) = (self.head.first_chunk(), self.head.len()) {
                    self.rest = 4 + u32::from_be_bytes(*length) as usize - Self::HEAD;
                }
            }
            let next = self.rest.min(bytes.len());
            bytes = &bytes[next..];
            self.rest -= next;
            if let (Some(time), Self::HEAD, 0) =
                (self.head.last_chunk(), self.head.len(), self.rest)
            {
                times.push(u64::from_be_bytes(*time));
                self.head.clear();
                self.left -= 1;
            }
        }
        times
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        let times = self.frames.completed(&buffer.filled()[before..]);
        if !times.is_empty() {
            let now = now_ns();
            let mut noted = self.reads.noted();
            noted.last_ns = now;
            let latencies = times.into_iter().map(|time| now.saturating_sub(time));
            noted.latencies_ns.extend(latencies);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
