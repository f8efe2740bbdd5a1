//! Sockets in memory. Bytes arrive in pieces, tasks are woken for nothing, and connections break at any byte.

use crate::{process::Process, random::Random};
use async_trait::async_trait;
use metanode_core::{
    env::{BoxListener, BoxStream, Listener, Network},
    types::Address,
};
use std::{
    collections::BTreeMap,
    io::{self, ErrorKind},
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    sync::{Mutex as AsyncMutex, mpsc},
};

/// All sockets of a test.
#[derive(Default)]
pub struct Wires(Mutex<BTreeMap<Address, Bound>>);

struct Bound {
    owner: Arc<Process>,
    connections: mpsc::UnboundedSender<BoxStream>,
}

impl Bound {
    fn is_open(&self) -> bool {
        !self.owner.is_killed() && !self.connections.is_closed()
    }
}

impl Wires {
    /// The network as a process sees it.
    pub fn of(self: &Arc<Self>, process: &Arc<Process>) -> Arc<dyn Network> {
        Arc::new(Sockets {
            wires: self.clone(),
            process: Some(process.clone()),
            random: process.random.clone(),
        })
    }

    /// The network as clients see it.
    pub fn of_clients(self: &Arc<Self>, random: &Arc<Random>) -> Arc<dyn Network> {
        Arc::new(Sockets {
            wires: self.clone(),
            process: None,
            random: random.clone(),
        })
    }
}

struct Sockets {
    wires: Arc<Wires>,
    process: Option<Arc<Process>>,
    random: Arc<Random>,
}

#[async_trait]
impl Network for Sockets {
    async fn connect(&self, address: &Address) -> io::Result<BoxStream> {
        self.random.be_overtaken_by_tasks().await;
        let bound = self.wires.0.lock().unwrap();
        let bound = bound.get(address).filter(|bound| bound.is_open());
        let bound = bound.ok_or(ErrorKind::ConnectionRefused)?;
        let (near, far) = tokio::io::duplex(self.random.from(16..4_096) as usize);
        let near = Wire::new(near, self.process.clone(), &self.random);
        let far = Wire::new(far, Some(bound.owner.clone()), &self.random);
        let accepted = bound.connections.send(Box::new(far));
        accepted.map_err(|_| ErrorKind::ConnectionRefused)?;
        Ok(Box::new(near))
    }

    async fn listen(&self, address: &Address) -> io::Result<BoxListener> {
        let mut all = self.wires.0.lock().unwrap();
        if all.get(address).is_some_and(Bound::is_open) {
            return Err(ErrorKind::AddrInUse.into());
        }
        let (connections, accepted) = mpsc::unbounded_channel();
        let owner = self.process.clone().ok_or(ErrorKind::Unsupported)?;
        all.insert(address.clone(), Bound { owner, connections });
        Ok(Box::new(Accepted(AsyncMutex::new(accepted))))
    }

    fn unlink(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

struct Accepted(AsyncMutex<mpsc::UnboundedReceiver<BoxStream>>);

#[async_trait]
impl Listener for Accepted {
    async fn accept(&self) -> io::Result<BoxStream> {
        match self.0.lock().await.recv().await {
            Some(stream) => Ok(stream),
            None => std::future::pending().await,
        }
    }
}

/// One end of a connection.
struct Wire {
    stream: DuplexStream,
    process: Option<Arc<Process>>,
    random: Arc<Random>,
    /// It breaks after so many bytes.
    left: u64,
}

impl Wire {
    fn new(stream: DuplexStream, process: Option<Arc<Process>>, random: &Arc<Random>) -> Self {
        let left = match random.one_in(2) {
            true => random.from(1..20_000),
            false => u64::MAX,
        };
        Self {
            stream,
            process,
            random: random.clone(),
            left,
        }
    }

    /// Whether to go on with a call of the task: it may be woken for nothing, and the connection may be broken.
    fn poll_step(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        self.random.be_overtaken();
        let is_killed = (self.process.as_ref()).is_some_and(|process| process.is_killed());
        if is_killed || self.left == 0 {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        if self.random.one_in(8) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn passed(&mut self, bytes: usize) {
        if self.left != u64::MAX {
            self.left = self.left.saturating_sub(bytes as u64);
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_step(context))?;
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let arrived = buffer.filled().len() - before;
        self.passed(arrived);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_step(context))?;
        let piece = bytes.len().min(self.random.from(1..1_000) as usize);
        let taken =
            std::task::ready!(Pin::new(&mut self.stream).poll_write(context, &bytes[..piece]))?;
        self.passed(taken);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
