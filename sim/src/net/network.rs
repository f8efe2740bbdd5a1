//! The simulated [`Network`] of one host: `connect`, `listen`, `unlink`, streams and listeners.

use super::kernel::Kernel;
use super::link::HostId;
use super::listener::ListenerId;
use super::rule::{ConnectionId, Route, Rules, Side};
use super::timer::pause;
use crate::process_id::ProcessId;
use async_trait::async_trait;
use metanode_core::{
    env::{BoxListener, BoxStream, Listener, Network},
    types::Address,
};
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The sockets of one host. A socket belongs to the process whose task opened or accepted it, and is closed with it.
#[derive(Clone)]
pub struct SimNetwork {
    kernel: Kernel,
    host: HostId,
    process: Option<ProcessId>,
}

impl SimNetwork {
    #[must_use]
    pub const fn new(kernel: Kernel, host: HostId) -> Self {
        Self {
            kernel,
            host,
            process: None,
        }
    }

    /// The same, used by this process.
    #[must_use]
    pub fn of(self, process: ProcessId) -> Self {
        Self {
            process: Some(process),
            ..self
        }
    }

    fn route(&self, address: &Address) -> io::Result<Route> {
        let server = match address {
            Address::Unix(_) => self.host,
            Address::Tcp(socket) if socket.ip().is_loopback() || socket.ip().is_unspecified() => {
                self.host
            }
            Address::Tcp(socket) => HostId::of_ip(socket.ip()).ok_or(ErrorKind::HostUnreachable)?,
        };
        Ok(Route {
            client: self.host,
            server,
            address: address.clone(),
            process: self.process,
        })
    }

    /// Waits until the rules allow a connection. Returns the delay that they add to the latency of the link.
    async fn permission(&self, route: &Route) -> io::Result<Duration> {
        let mut after = Rules::START;
        poll_fn(|context| {
            self.kernel
                .lock()
                .poll_permission(route, &mut after, context)
        })
        .await
    }

    /// Waits for space in the queue of the listener, and opens the connection.
    async fn arrive(&self, route: &Route) -> io::Result<SimStream> {
        let id = poll_fn(|context| {
            let mut state = self.kernel.lock();
            let listener = state.listeners.find(route.server, &route.address)?;
            if !state.listeners.has_space(listener, context) {
                return Poll::Pending;
            }
            let client = madsim::plugin::node();
            Poll::Ready(io::Result::Ok(state.open(listener, route.clone(), client)))
        })
        .await?;
        Ok(SimStream {
            kernel: self.kernel.clone(),
            id,
            side: Side::Client,
        })
    }

    fn latency(&self, from: HostId, to: HostId) -> Duration {
        self.kernel.lock().wire.links.draw(from, to)
    }
}

#[async_trait]
impl Network for SimNetwork {
    /// Takes a round trip plus the delay of the rules. Dropping the future abandons the attempt.
    async fn connect(&self, address: &Address) -> io::Result<BoxStream> {
        let route = self.route(address)?;
        let time = self.kernel.time();
        let delay = self.permission(&route).await?;
        pause(&time, delay + self.latency(route.client, route.server)).await;
        let stream = self.arrive(&route).await;
        pause(&time, self.latency(route.server, route.client)).await;
        Ok(Box::new(stream?))
    }

    async fn listen(&self, address: &Address) -> io::Result<BoxListener> {
        let owner = madsim::plugin::node();
        let id = self
            .kernel
            .lock()
            .listeners
            .bind(self.host, address, owner)?;
        Ok(Box::new(SimListener {
            kernel: self.kernel.clone(),
            id,
        }))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.kernel.lock().listeners.unlink(self.host, path)
    }
}

struct SimListener {
    kernel: Kernel,
    id: ListenerId,
}

#[async_trait]
impl Listener for SimListener {
    async fn accept(&self) -> io::Result<BoxStream> {
        let id = poll_fn(|context| {
            let mut state = self.kernel.lock();
            let Some(id) = state.listeners.dequeue(self.id, context)? else {
                return Poll::Pending;
            };
            if let Some(connection) = state.connections.get_mut(&id) {
                connection.accepted_by(madsim::plugin::node());
            }
            Poll::Ready(io::Result::Ok(id))
        })
        .await?;
        Ok(Box::new(SimStream {
            kernel: self.kernel.clone(),
            id,
            side: Side::Server,
        }))
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.kernel.lock().close_listener(self.id);
    }
}

/// One end of a connection.
struct SimStream {
    kernel: Kernel,
    id: ConnectionId,
    side: Side,
}

impl AsyncRead for SimStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let state = &mut *self.kernel.lock();
        match state.connections.get_mut(&self.id) {
            Some(connection) => connection.poll_read(self.side, buffer, context, &mut state.wire),
            None => Poll::Ready(Err(ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let state = &mut *self.kernel.lock();
        match state.connections.get_mut(&self.id) {
            Some(connection) => connection.poll_write(self.side, data, context, &mut state.wire),
            None => Poll::Ready(Err(ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = &mut *self.kernel.lock();
        if let Some(connection) = state.connections.get_mut(&self.id) {
            connection.shutdown(self.side, &mut state.wire);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.kernel.lock().close(self.id, self.side);
    }
}
