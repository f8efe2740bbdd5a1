//! Listening on a Unix path or a TCP port.

use super::LiveSocket;
use metanode_core::types::Address;
use std::{
    fs, io,
    net::TcpListener,
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::Path,
};
use thiserror::Error;

/// Why nobody can listen on an address.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    pub address: Address,
    pub source: io::Error,
}

/// A listener. The file of a Unix socket is removed with it.
#[derive(Debug)]
pub enum LiveListener {
    Unix(UnixListener, Address),
    Tcp(TcpListener),
}

/// As contract §2.8 wants it.
const MODE: u32 = 0o660;

impl LiveListener {
    /// Listens. A Unix path on which nobody answers is replaced.
    pub fn bind(address: &Address) -> Result<Self, ListenError> {
        let bound = match address {
            Address::Unix(path) => {
                Self::bind_unix(path).map(|listener| Self::Unix(listener, address.clone()))
            }
            Address::Tcp(socket) => TcpListener::bind(socket).map(Self::Tcp),
        };
        bound.map_err(|source| ListenError {
            address: address.clone(),
            source,
        })
    }

    fn bind_unix(path: &Path) -> io::Result<UnixListener> {
        let is_stale = matches!(UnixStream::connect(path),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused);
        if is_stale {
            fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
        Ok(listener)
    }

    /// Waits for the next connection.
    pub fn accept(&self) -> io::Result<LiveSocket> {
        Ok(match self {
            Self::Unix(listener, _) => LiveSocket::Unix(listener.accept()?.0),
            Self::Tcp(listener) => LiveSocket::Tcp(listener.accept()?.0),
        })
    }
}

impl Drop for LiveListener {
    fn drop(&mut self) {
        if let Self::Unix(_, Address::Unix(path)) = self {
            // Somebody may have removed it.
            let _ = fs::remove_file(path);
        }
    }
}
