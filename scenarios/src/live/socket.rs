//! Connections over Unix sockets and TCP.

use super::Deadline;
use bytes::Bytes;
use metanode_core::{
    executor::socket_advice,
    framing::{Decoder, FrameError},
    types::Address,
};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::UnixStream,
    sync::mpsc,
    thread,
    time::Duration,
};
use thiserror::Error;

/// Why a conversation ended.
#[derive(Debug, Error)]
pub enum LiveError {
    #[error("cannot connect to {address}: {}", socket_advice(.source))]
    Connect { address: Address, source: io::Error },
    #[error("nothing within {0:?}")]
    Timeout(Duration),
    #[error("the other side closed the connection")]
    Closed,
    #[error("invalid frame: {0}")]
    Frame(#[from] FrameError),
    #[error("the connection broke: {0}")]
    Io(#[source] io::Error),
}

/// What a short look at a connection shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    Nothing,
    Closed,
    Bytes(Vec<u8>),
}

/// A connection.
#[derive(Debug)]
pub enum LiveSocket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl LiveSocket {
    /// Connects, also where the system call itself may wait.
    pub fn connect(address: &Address, timeout: Duration) -> Result<Self, LiveError> {
        let failed = |source| LiveError::Connect {
            address: address.clone(),
            source,
        };
        let (sender, connected) = mpsc::channel();
        let to = address.clone();
        let connect = move || {
            // Nobody waits any more if this fails.
            let _ = sender.send(Self::connect_now(&to));
        };
        thread::Builder::new().spawn(connect).map_err(failed)?;
        let connected = connected.recv_timeout(timeout);
        connected
            .map_err(|_| LiveError::Timeout(timeout))?
            .map_err(failed)
    }

    fn connect_now(address: &Address) -> io::Result<Self> {
        Ok(match address {
            Address::Unix(path) => Self::Unix(UnixStream::connect(path)?),
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                // Otherwise several short writes would become one.
                stream.set_nodelay(true)?;
                Self::Tcp(stream)
            }
        })
    }

    /// Writes all bytes within this time.
    pub fn write(&mut self, bytes: &[u8], timeout: Duration) -> Result<(), LiveError> {
        let deadline = Deadline::after(timeout);
        let mut rest = bytes;
        while !rest.is_empty() {
            let left = deadline.left().ok_or(LiveError::Timeout(timeout))?;
            match self.write_some(rest, left) {
                Ok(0) => return Err(LiveError::Closed),
                Ok(written) => rest = &rest[written..],
                Err(error) if is_timeout(&error) => return Err(LiveError::Timeout(timeout)),
                Err(error) => return Err(ended(error)),
            }
        }
        Ok(())
    }

    fn write_some(&mut self, bytes: &[u8], left: Duration) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => {
                stream.set_write_timeout(Some(left))?;
                stream.write(bytes)
            }
            Self::Tcp(stream) => {
                stream.set_write_timeout(Some(left))?;
                stream.write(bytes)
            }
        }
    }

    fn read_some(&mut self, buffer: &mut [u8], left: Duration) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(left))?;
                stream.read(buffer)
            }
            Self::Tcp(stream) => {
                stream.set_read_timeout(Some(left))?;
                stream.read(buffer)
            }
        }
    }

    /// The next frame, within this time.
    pub fn read_frame(
        &mut self,
        decoder: &mut Decoder,
        timeout: Duration,
    ) -> Result<Bytes, LiveError> {
        let deadline = Deadline::after(timeout);
        let mut buffer = [0; 64 * 1024];
        loop {
            if let Some(frame) = decoder.next_frame()? {
                return Ok(frame);
            }
            let left = deadline.left().ok_or(LiveError::Timeout(timeout))?;
            match self.read_some(&mut buffer, left) {
                Ok(0) => {
                    decoder.finish()?;
                    return Err(LiveError::Closed);
                }
                Ok(read) => decoder.push(&buffer[..read]),
                Err(error) if is_timeout(&error) => return Err(LiveError::Timeout(timeout)),
                Err(error) => return Err(ended(error)),
            }
        }
    }

    /// Waits for bytes or the end of the connection, for at most this time.
    pub fn poll(&mut self, most: Duration) -> Polled {
        let mut buffer = [0; 64 * 1024];
        match self.read_some(&mut buffer, most) {
            Ok(0) => Polled::Closed,
            Ok(read) => Polled::Bytes(buffer[..read].to_vec()),
            Err(error) if is_timeout(&error) => Polled::Nothing,
            Err(_) => Polled::Closed,
        }
    }

    /// Ends both directions.
    pub fn close(&self) {
        // It may have ended already.
        let _ = match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

fn is_timeout(error: &io::Error) -> bool {
    let kind = error.kind();
    matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn ended(error: io::Error) -> LiveError {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => LiveError::Closed,
        _ => LiveError::Io(error),
    }
}
