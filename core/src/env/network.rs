//! Sockets, real or simulated.

use crate::types::Address;
use async_trait::async_trait;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite};

/// A connected byte stream. `poll_shutdown` half-closes it; dropping it closes it as a kernel does: if the receive
/// buffer has unread bytes, the peer gets a reset.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connected stream of either kind.
pub type BoxStream = Box<dyn Stream>;

/// A bound socket of either kind.
pub type BoxListener = Box<dyn Listener>;

/// A bound socket. Dropping it stops listening; the file of a Unix socket remains, as in the operating system.
#[async_trait]
pub trait Listener: Send + Sync {
    /// Accepts the next connection.
    ///
    /// # Errors
    /// Those of `accept(2)`; the listener stays usable.
    async fn accept(&self) -> io::Result<BoxStream>;
}

/// Unix and TCP sockets.
#[async_trait]
pub trait Network: Send + Sync {
    /// # Errors
    /// Those of `connect(2)`: refused, no such file, permission denied, timed out, …
    async fn connect(&self, address: &Address) -> io::Result<BoxStream>;

    /// Binds and listens. A Unix path that exists gives `AddrInUse`, also if no process listens on it.
    ///
    /// # Errors
    /// Those of `bind(2)` and `listen(2)`.
    async fn listen(&self, address: &Address) -> io::Result<BoxListener>;

    /// Removes a Unix socket's file.
    ///
    /// # Errors
    /// Those of `unlink(2)`.
    fn unlink(&self, path: &std::path::Path) -> io::Result<()>;
}
