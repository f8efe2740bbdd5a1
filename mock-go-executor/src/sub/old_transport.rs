//! The transport that the transaction socket replaced, for comparison (contract §8): its configuration, its reply (pure),
//! and one connection of it.

use super::batch::Reply;
use bytes::{Buf, Bytes, BytesMut};
use metanode_core::{
    env::{BoxStream, Network},
    framing::{FrameError, Framing, write_frame},
    types::Address,
};
use serde::{Deserialize, Serialize};
use std::{future::poll_fn, io, num::NonZeroU32, pin::Pin, task::Poll};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// Bytes before the message of a reply: whether the batch is taken, and the length of the message.
const HEADER_BYTES: usize = 5;

/// How a Sub uses the old transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OldTransport {
    /// Connections to the metanode at a time. Beyond it, who needs another one waits.
    pub pool_connections: NonZeroU32,
    #[serde(default)]
    pub hand_back: HandBack,
    /// Time between a write and the return of the connection to the pool, with [`HandBack::AfterWrite`].
    #[serde(default)]
    pub pause_after_write_ms: u64,
}

/// When a connection goes back to the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HandBack {
    /// When the metanode has replied and closed it. What is not answered is sent again.
    #[default]
    AfterExchange,
    /// Right after the write, as deployed clients did: the batch counts as sent, and who takes the connection next reads
    /// the reply. **Loses transactions.**
    AfterWrite,
}

/// Why a connection is not used any more.
#[derive(Debug, Error)]
pub(super) enum End {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("a reply with {0}")]
    Reply(#[from] FrameError),
    #[error("the metanode closed the connection without a reply")]
    Closed,
    #[error("expected a reply within {timeout_ms} ms")]
    Silent { timeout_ms: u64 },
    #[error("expected a reply in JSON: {0}")]
    NoReply(#[from] serde_json::Error),
}

/// The message of a reply; `None` if it is incomplete.
fn take_message(buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
    let Some([_is_ok, length @ ..]) = buffer.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length);
    let limit_bytes = Framing::TRANSACTIONS.limit_bytes;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > limit_bytes {
        return Err(FrameError::TooLarge {
            length_bytes: length as u64,
            limit_bytes,
        });
    }
    if buffer.len() < HEADER_BYTES + length {
        return Ok(None);
    }
    buffer.advance(HEADER_BYTES);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// Whether a connection may be written to, as far as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Open,
    Closed,
}

/// One connection.
pub(super) struct Connection {
    stream: BoxStream,
    /// What has arrived of a reply.
    received: BytesMut,
}

impl Connection {
    pub async fn open(network: &dyn Network, to: &Address) -> io::Result<Self> {
        Ok(Self {
            stream: network.connect(to).await?,
            received: BytesMut::new(),
        })
    }

    pub async fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        write_frame(&mut self.stream, frame).await
    }

    /// Waits for the reply. The message is JSON like a reply of the transaction socket.
    pub async fn message(&mut self) -> Result<Bytes, End> {
        loop {
            if let Some(message) = take_message(&mut self.received)? {
                return Ok(message);
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(End::Closed);
            }
        }
    }

    /// Waits until the metanode closes the connection.
    pub async fn closed(&mut self) {
        while matches!(self.stream.read(&mut [0; 64]).await, Ok(1..)) {}
    }

    /// Reads without waiting what has arrived, and drops it: replies to whoever had the connection before.
    pub async fn read_stale(&mut self) -> Known {
        let stream = &mut self.stream;
        poll_fn(|context| {
            loop {
                let mut bytes = [0; 1024];
                let mut buffer = ReadBuf::new(&mut bytes);
                match Pin::new(&mut *stream).poll_read(context, &mut buffer) {
                    Poll::Pending => return Poll::Ready(Known::Open),
                    Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                    Poll::Ready(_) => return Poll::Ready(Known::Closed),
                }
            }
        })
        .await
    }
}

/// What a message says.
pub(super) fn reply(message: &Bytes) -> Result<Reply, End> {
    Ok(serde_json::from_slice(message)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_read_however_it_arrives() {
        let reply = [&[1, 0, 0, 0, 3][..], b"{1}", b"rest"].concat();
        for length in 0..8 {
            let mut incomplete = BytesMut::from(&reply[..length]);
            assert_eq!(take_message(&mut incomplete), Ok(None));
        }
        let mut buffer = BytesMut::from(&reply[..]);
        let message = take_message(&mut buffer).unwrap().unwrap();
        assert_eq!((&message[..], &buffer[..]), (&b"{1}"[..], &b"rest"[..]));
    }

    #[test]
    fn a_reply_that_is_too_long_is_an_error() {
        let length = u32::try_from(Framing::TRANSACTIONS.limit_bytes + 1).unwrap();
        let header = [&[0][..], &length.to_be_bytes()].concat();
        let found = take_message(&mut BytesMut::from(&header[..]));
        assert!(matches!(found, Err(FrameError::TooLarge { .. })));
    }
}
