//! A stream whose bytes travel in encrypted records: 2 bytes with the length of the rest in big-endian, then a message of
//! Noise. A record that was altered, left out, repeated or moved does not decrypt, and ends the stream.

use bytes::{Buf, BytesMut};
use snow::TransportState;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The length in front of a record.
const LENGTH_BYTES: usize = 2;
/// What encryption adds to the plain text.
const TAG_BYTES: usize = 16;
/// The longest plain text of a record: a message of Noise has at most 65 535 bytes.
const MOST_PLAIN_BYTES: usize = u16::MAX as usize - TAG_BYTES;
/// Bytes per read from the socket, depending on how many of the announced record are missing.
const READ_BYTES: std::ops::RangeInclusive<usize> = 4 * 1024..=16 * 1024;
/// Capacity that a buffer keeps while it is empty.
const KEPT_BYTES: usize = 16 * 1024;

/// An encrypted stream over another stream. What is written travels when it is flushed.
pub struct SecureStream<S> {
    stream: S,
    session: TransportState,
    /// The begin of what follows the last record.
    received: BytesMut,
    /// What a record had beyond what the reader took.
    plain: BytesMut,
    /// Records that the stream has not taken.
    sealed: BytesMut,
}

impl<S> SecureStream<S> {
    pub(super) fn new(stream: S, session: TransportState) -> Self {
        Self {
            stream,
            session,
            received: BytesMut::new(),
            plain: BytesMut::new(),
            sealed: BytesMut::new(),
        }
    }

    /// Decrypts the next record, if all of it has arrived: into the reader's buffer, or beside it if that is too small.
    fn open_record(&mut self, buffer: &mut ReadBuf<'_>) -> io::Result<bool> {
        let Some(sealed) = next_record(&self.received) else {
            return Ok(false);
        };
        // Without plain text a record would look like the end of the stream.
        let plain_bytes = sealed
            .len()
            .checked_sub(TAG_BYTES)
            .filter(|bytes| *bytes > 0);
        let plain_bytes = plain_bytes.ok_or_else(|| invalid("a record without content"))?;
        let total = LENGTH_BYTES + sealed.len();
        let fits = buffer.remaining() >= plain_bytes;
        let opened = if fits {
            let out = buffer.initialize_unfilled_to(plain_bytes);
            self.session.read_message(sealed, out)
        } else {
            self.plain.resize(plain_bytes, 0);
            self.session.read_message(sealed, &mut self.plain)
        };
        opened.map_err(|_| invalid("a record that is not of this session, or was altered"))?;
        if fits {
            buffer.advance(plain_bytes);
        }
        self.received.advance(total);
        release(&mut self.received);
        Ok(true)
    }

    fn take_plain(&mut self, buffer: &mut ReadBuf<'_>) {
        let taken = self.plain.len().min(buffer.remaining());
        buffer.put_slice(&self.plain[..taken]);
        self.plain.advance(taken);
        release(&mut self.plain);
    }

    /// Encrypts the first bytes of `plain`. Returns how many.
    fn seal(&mut self, plain: &[u8]) -> io::Result<usize> {
        let plain = &plain[..plain.len().min(MOST_PLAIN_BYTES)];
        let sealed_bytes = plain.len() + TAG_BYTES;
        let begin = self.sealed.len();
        self.sealed.resize(begin + LENGTH_BYTES + sealed_bytes, 0);
        let (length, record) = self.sealed[begin..].split_at_mut(LENGTH_BYTES);
        #[allow(clippy::cast_possible_truncation)] // see MOST_PLAIN_BYTES
        length.copy_from_slice(&(sealed_bytes as u16).to_be_bytes());
        let written = self.session.write_message(plain, record);
        written.map_err(|_| invalid("a session whose records are used up"))?;
        Ok(plain.len())
    }
}

/// The next record, without its length, if all of it has arrived.
fn next_record(received: &[u8]) -> Option<&[u8]> {
    let (length, rest) = received.split_first_chunk::<LENGTH_BYTES>()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

/// How many bytes the next read may take. Reading zeroes the buffer first, so a long record is read in parts.
fn wanted_bytes(received: &[u8]) -> usize {
    let announced = received.first_chunk::<LENGTH_BYTES>();
    let announced = announced.map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
    let missing = (LENGTH_BYTES + announced).saturating_sub(received.len());
    missing.clamp(*READ_BYTES.start(), *READ_BYTES.end())
}

fn release(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() > KEPT_BYTES {
        *buffer = BytesMut::new();
    }
}

fn invalid(found: &str) -> io::Error {
    let reason = format!("expected an encrypted record, found {found}");
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl<S: AsyncRead + Unpin> AsyncRead for SecureStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if !this.plain.is_empty() {
                this.take_plain(buffer);
                return Poll::Ready(Ok(()));
            }
            if this.open_record(buffer)? {
                if this.plain.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let begin = this.received.len();
            this.received
                .resize(begin + wanted_bytes(&this.received[..begin]), 0);
            let mut more = ReadBuf::new(&mut this.received[begin..]);
            let read = Pin::new(&mut this.stream).poll_read(context, &mut more);
            let found = more.filled().len();
            this.received.truncate(begin + found);
            ready!(read)?;
            match found {
                0 if begin == 0 => return Poll::Ready(Ok(())),
                0 => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                _ => {}
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> SecureStream<S> {
    /// Writes the records that wait.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.sealed.is_empty() {
            let taken = ready!(Pin::new(&mut self.stream).poll_write(context, &self.sealed))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sealed.advance(taken);
        }
        release(&mut self.sealed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SecureStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // One record at a time, so that memory is bounded and who writes waits for the peer.
        ready!(self.poll_drain(context))?;
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let taken = self.seal(bytes)?;
        match self.poll_drain(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
