//! Sockets of the operating system.

use crate::{
    env::{BoxListener, BoxStream, Listener, Network},
    types::Address,
};
use async_trait::async_trait;
use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Sockets of the operating system, through tokio. TCP streams send small writes at once (`TCP_NODELAY`).
#[derive(Clone, Copy, Debug, Default)]
pub struct OsNetwork;

impl OsNetwork {
    /// Mode of a Unix socket's file, contract §2.8.
    const SOCKET_FILE_MODE: u32 = 0o660;
}

#[async_trait]
impl Network for OsNetwork {
    async fn connect(&self, address: &Address) -> io::Result<BoxStream> {
        match address {
            Address::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Address::Tcp(socket) => sending_at_once(TcpStream::connect(*socket).await?),
        }
    }

    async fn listen(&self, address: &Address) -> io::Result<BoxListener> {
        match address {
            Address::Unix(path) => {
                let listener = UnixListener::bind(path)?;
                fs::set_permissions(path, Permissions::from_mode(Self::SOCKET_FILE_MODE))?;
                Ok(Box::new(Unix(listener)))
            }
            Address::Tcp(socket) => Ok(Box::new(Tcp(TcpListener::bind(*socket).await?))),
        }
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

struct Unix(UnixListener);

#[async_trait]
impl Listener for Unix {
    async fn accept(&self) -> io::Result<BoxStream> {
        let (stream, _) = self.0.accept().await?;
        Ok(Box::new(stream))
    }
}

struct Tcp(TcpListener);

#[async_trait]
impl Listener for Tcp {
    async fn accept(&self) -> io::Result<BoxStream> {
        let (stream, _) = self.0.accept().await?;
        sending_at_once(stream)
    }
}

fn sending_at_once(stream: TcpStream) -> io::Result<BoxStream> {
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}
