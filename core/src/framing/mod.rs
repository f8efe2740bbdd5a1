//! Length-prefixed frames with two encodings of the length (contract §2).
//!
//! The [`Decoder`] is pure: bytes in, frames out, however the stream is split. After a length that is zero, above the
//! limit or malformed it returns that error for ever, because the start of the next frame is unknown. The connection
//! must then be closed.
//!
//! Must not know what the frames contain.

mod uvarint;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use std::io;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
pub(crate) use uvarint::take_uvarint;
use uvarint::{MAX_UVARINT_BYTES, put_uvarint};

/// Encoding of a frame's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthPrefix {
    /// Unsigned LEB128 of at most 10 bytes as read by Go's `binary.ReadUvarint`: non-minimal encodings are accepted,
    /// numbers above 64 bits are not.
    Uvarint,
    /// 4 bytes, big-endian.
    BigEndian32,
}

/// The framing of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    pub prefix: LengthPrefix,
    /// Maximum length of a body; the minimum is 1.
    pub limit_bytes: usize,
}

/// A frame that must not be sent, or a malformed stream. The connection is closed after one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    #[error("a frame of length 0, expected at least 1 byte")]
    Empty,
    #[error(
        "a frame of {length_bytes} bytes, expected at most {limit_bytes} bytes on this channel"
    )]
    TooLarge {
        length_bytes: u64,
        limit_bytes: usize,
    },
    #[error("a frame length that exceeds 64 bits: the peer does not use this framing")]
    LengthOverflow,
    #[error("the stream ended inside a frame, after {found_bytes} of its bytes")]
    Truncated { found_bytes: usize },
}

/// Why no frame could be read.
#[derive(Debug, Error)]
pub enum ReadError {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Framing {
    /// Metanode to executor, one way.
    pub const BLOCK_STREAM: Self = Self {
        prefix: LengthPrefix::Uvarint,
        limit_bytes: 64 * 1024 * 1024,
    };
    /// Requests and responses.
    pub const RPC: Self = Self {
        prefix: LengthPrefix::BigEndian32,
        limit_bytes: 10 * 1024 * 1024,
    };
    /// Batches of client transactions and their replies.
    pub const TRANSACTIONS: Self = Self {
        prefix: LengthPrefix::BigEndian32,
        limit_bytes: 10 * 1024 * 1024,
    };

    /// Encodes `message` as a frame.
    ///
    /// # Errors
    /// If the receiver would reject it: its encoding is empty or above the limit.
    pub fn encode(self, message: &impl Message) -> Result<Bytes, FrameError> {
        let length = message.encoded_len();
        self.check(length as u64)?;
        let mut frame = self.begin(length);
        message.encode_raw(&mut frame);
        Ok(frame.freeze())
    }

    /// Makes a frame of an encoded body.
    ///
    /// # Errors
    /// If the receiver would reject it: the body is empty or above the limit.
    pub fn encode_body(self, body: &[u8]) -> Result<Bytes, FrameError> {
        self.check(body.len() as u64)?;
        let mut frame = self.begin(body.len());
        frame.put_slice(body);
        Ok(frame.freeze())
    }

    /// A buffer that starts with the length of a body that passed [`Self::check`] and has capacity for the body.
    fn begin(self, length: usize) -> BytesMut {
        let mut frame = BytesMut::with_capacity(MAX_UVARINT_BYTES + length);
        match self.prefix {
            LengthPrefix::Uvarint => put_uvarint(&mut frame, length as u64),
            #[allow(clippy::cast_possible_truncation)]
            // checked against a limit that fits, see `check`
            LengthPrefix::BigEndian32 => frame.put_u32(length as u32),
        }
        frame
    }

    fn check(self, length_bytes: u64) -> Result<usize, FrameError> {
        let limit_bytes = match self.prefix {
            LengthPrefix::Uvarint => self.limit_bytes,
            LengthPrefix::BigEndian32 => self.limit_bytes.min(u32::MAX as usize),
        };
        match usize::try_from(length_bytes) {
            Ok(0) => Err(FrameError::Empty),
            Ok(length) if length <= limit_bytes => Ok(length),
            _ => Err(FrameError::TooLarge {
                length_bytes,
                limit_bytes,
            }),
        }
    }

    /// Removes a length from the front of `buffer`. `None` if it is incomplete.
    fn take_length(self, buffer: &mut BytesMut) -> Result<Option<usize>, FrameError> {
        let length = match self.prefix {
            LengthPrefix::Uvarint => {
                take_uvarint(buffer).map_err(|_| FrameError::LengthOverflow)?
            }
            LengthPrefix::BigEndian32 => buffer.try_get_u32().ok().map(u64::from),
        };
        length.map(|length| self.check(length)).transpose()
    }
}

/// Splits a byte stream into the bodies of its frames.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    buffer: BytesMut,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Length,
    /// The length was decoded; a body of this many bytes follows.
    Body(usize),
    Poisoned(FrameError),
}

impl Decoder {
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self {
            framing,
            buffer: BytesMut::new(),
            state: State::Length,
        }
    }

    /// Appends the next bytes of the stream. Bytes after a malformed length are dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Poisoned(_)) {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The body of the next frame. `None` if it is incomplete. A body that its receiver keeps does not keep the rest of
    /// the read buffer alive: what is small is copied, and what is large fills its buffer.
    ///
    /// # Errors
    /// If the next length is invalid. Every later call returns the same error.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let Some(length) = self.announced_bytes()? else {
            return Ok(None);
        };
        if self.buffer.len() < length {
            return Ok(None);
        }
        self.state = State::Length;
        if length <= COPIED_UP_TO_BYTES {
            let body = Bytes::copy_from_slice(&self.buffer[..length]);
            self.buffer.advance(length);
            return Ok(Some(body));
        }
        let body = self.buffer.split_to(length).freeze();
        // What follows would keep the memory of the body, for as long as the connection exists.
        self.buffer = BytesMut::from(&self.buffer[..]);
        Ok(Some(body))
    }

    /// The length of the next frame's body. `None` if it is incomplete.
    ///
    /// # Errors
    /// As [`Self::next_frame`].
    pub fn announced_bytes(&mut self) -> Result<Option<usize>, FrameError> {
        match self.state {
            State::Poisoned(error) => return Err(error),
            State::Body(length) => return Ok(Some(length)),
            State::Length => {}
        }
        match self.framing.take_length(&mut self.buffer) {
            Ok(Some(length)) => {
                self.state = State::Body(length);
                Ok(Some(length))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                self.state = State::Poisoned(error);
                self.buffer = BytesMut::new();
                Err(error)
            }
        }
    }

    /// Allocates the memory of the announced body at once, for a caller who has accounted for it. Otherwise it grows with
    /// what arrives, up to twice the body.
    pub fn allocate_announced(&mut self) {
        if let State::Body(length) = self.state {
            let missing = length.saturating_sub(self.buffer.len());
            self.buffer.reserve(missing);
        }
    }

    /// Whether nothing of the next frame has arrived.
    #[must_use]
    pub fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Length) && self.buffer.is_empty()
    }

    /// To be called when the stream has ended and no complete frame is left.
    ///
    /// # Errors
    /// If the stream ended inside a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        match self.state {
            State::Poisoned(error) => Err(error),
            State::Length if self.buffer.is_empty() => Ok(()),
            State::Length | State::Body(_) => Err(FrameError::Truncated {
                found_bytes: self.buffer.len(),
            }),
        }
    }

    /// Bytes to reserve for the next read: the missing ones up to a limit, because the peer may send fewer than it
    /// announced.
    fn wanted_bytes(&self) -> usize {
        let missing = match self.state {
            State::Body(length) => length.saturating_sub(self.buffer.len()),
            State::Length | State::Poisoned(_) => 0,
        };
        missing.clamp(READ_AT_LEAST_BYTES, READ_AT_MOST_BYTES)
    }
}

const READ_AT_LEAST_BYTES: usize = 4 * 1024;
const READ_AT_MOST_BYTES: usize = 256 * 1024;
/// Bodies of up to this length are copied out of the read buffer.
const COPIED_UP_TO_BYTES: usize = 64 * 1024;

/// Reads the next frame. `None` is the end of the stream between two frames.
///
/// Reads only when no complete frame is buffered, so a slow caller leaves the bytes in the socket. Cancel-safe: bytes
/// that were read stay in the decoder, which must be used for as long as the connection exists.
///
/// # Errors
/// I/O errors of the stream, and [`FrameError`] for a malformed one.
pub async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin + ?Sized),
    decoder: &mut Decoder,
) -> Result<Option<Bytes>, ReadError> {
    loop {
        if let Some(frame) = decoder.next_frame()? {
            return Ok(Some(frame));
        }
        if !read_more(stream, decoder).await? {
            return Ok(None);
        }
    }
}

/// Reads a frame with a length of 4 bytes, and no byte of what follows it. `None` is the end of the stream. Not
/// cancel-safe.
///
/// # Errors
/// As [`read_frame`].
pub async fn read_frame_exactly(
    stream: &mut (impl AsyncRead + Unpin + ?Sized),
    limit_bytes: usize,
) -> Result<Option<Bytes>, ReadError> {
    let framing = Framing {
        prefix: LengthPrefix::BigEndian32,
        limit_bytes,
    };
    let mut length = [0; 4];
    if stream.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut length[1..]).await?;
    let length = framing.check(u32::from_be_bytes(length).into())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(body.into()))
}

/// Reads the next bytes of a stream. `false` at its end between two frames. Cancel-safe like [`read_frame`].
///
/// # Errors
/// I/O errors of the stream, and [`FrameError`] if it ends inside a frame.
pub async fn read_more(
    stream: &mut (impl AsyncRead + Unpin + ?Sized),
    decoder: &mut Decoder,
) -> Result<bool, ReadError> {
    decoder.buffer.reserve(decoder.wanted_bytes());
    if stream.read_buf(&mut decoder.buffer).await? == 0 {
        return Ok(decoder.finish().map(|()| false)?);
    }
    Ok(true)
}

/// Writes a frame as [`Framing::encode`] returned it.
///
/// Not cancel-safe: if it is dropped or fails, part of the frame may have been written, and the connection must be
/// closed.
///
/// # Errors
/// I/O errors of the stream.
pub async fn write_frame(
    stream: &mut (impl AsyncWrite + Unpin + ?Sized),
    frame: &[u8],
) -> io::Result<()> {
    stream.write_all(frame).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SMALL: usize = 300;

    fn framings() -> impl Strategy<Value = Framing> {
        prop_oneof![Just(LengthPrefix::Uvarint), Just(LengthPrefix::BigEndian32)].prop_map(
            |prefix| Framing {
                prefix,
                limit_bytes: SMALL,
            },
        )
    }

    fn drain(decoder: &mut Decoder) -> Result<Vec<Bytes>, FrameError> {
        std::iter::from_fn(|| decoder.next_frame().transpose()).collect()
    }

    proptest! {
        #[test]
        fn frames_do_not_depend_on_how_the_stream_is_split(
            framing in framings(),
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..=SMALL), 0..8),
            cuts in prop::collection::vec(1usize..50, 0..40),
        ) {
            let mut stream = vec![];
            for body in &bodies {
                stream.extend(framing.encode_body(body).unwrap());
            }
            let mut decoder = Decoder::new(framing);
            let (mut rest, mut frames) = (&stream[..], vec![]);
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                decoder.push(piece);
                frames.extend(drain(&mut decoder).unwrap());
                rest = after;
            }
            prop_assert_eq!(decoder.finish().is_ok(), frames.iter().map(|f| framing.encode_body(f).unwrap().len())
                .sum::<usize>() == stream.len() - rest.len());
            decoder.push(rest);
            frames.extend(drain(&mut decoder).unwrap());
            prop_assert_eq!(frames, bodies);
            prop_assert_eq!(decoder.finish(), Ok(()));
        }

        #[test]
        fn after_an_invalid_length_no_frame_is_decoded(
            framing in framings(),
            length in prop_oneof![Just(0u32), (SMALL as u32 + 1)..],
            good in prop::collection::vec(any::<u8>(), 1..=SMALL),
        ) {
            let mut bad = BytesMut::new();
            match framing.prefix {
                LengthPrefix::Uvarint => put_uvarint(&mut bad, u64::from(length)),
                LengthPrefix::BigEndian32 => bad.put_u32(length),
            }
            let mut decoder = Decoder::new(framing);
            decoder.push(&framing.encode_body(&good).unwrap());
            decoder.push(&bad);
            decoder.push(&framing.encode_body(&good).unwrap());
            prop_assert_eq!(decoder.next_frame().unwrap().unwrap(), good);
            let expected = match length {
                0 => FrameError::Empty,
                _ => FrameError::TooLarge { length_bytes: u64::from(length), limit_bytes: SMALL },
            };
            prop_assert_eq!(decoder.next_frame(), Err(expected));
            decoder.push(&framing.encode_body(b"later").unwrap());
            prop_assert_eq!(decoder.next_frame(), Err(expected));
            prop_assert_eq!(decoder.finish(), Err(expected));
        }
    }

    #[test]
    fn a_length_above_64_bits_is_an_error_as_in_go() {
        let mut decoder = Decoder::new(Framing::BLOCK_STREAM);
        decoder.push(&[0xff; 9]);
        assert_eq!(
            decoder.next_frame(),
            Ok(None),
            "ten bytes may be a valid length"
        );
        decoder.push(&[0x02]);
        assert_eq!(decoder.next_frame(), Err(FrameError::LengthOverflow));
    }

    #[test]
    fn frames_that_the_receiver_would_reject_are_not_encoded() {
        let framing = Framing {
            prefix: LengthPrefix::BigEndian32,
            limit_bytes: 3,
        };
        assert_eq!(framing.encode_body(&[]), Err(FrameError::Empty));
        assert!(framing.encode_body(&[0; 3]).is_ok());
        assert_eq!(
            framing.encode_body(&[0; 4]),
            Err(FrameError::TooLarge {
                length_bytes: 4,
                limit_bytes: 3
            })
        );
    }

    #[test]
    fn encoding_a_message_equals_encoding_its_bytes() {
        let message = String::from("a protobuf message with one field");
        let body = message.encode_to_vec();
        for framing in [Framing::BLOCK_STREAM, Framing::RPC] {
            assert_eq!(framing.encode(&message), framing.encode_body(&body));
        }
    }

    #[tokio::test]
    async fn a_stream_may_end_between_frames_but_not_inside_one() {
        let framing = Framing::BLOCK_STREAM;
        let stream = [
            framing.encode_body(b"one").unwrap(),
            framing.encode_body(b"two").unwrap(),
        ]
        .concat();
        for (end, expect_error) in [(stream.len(), false), (stream.len() - 1, true), (5, true)] {
            let (mut reader, mut decoder) = (&stream[..end], Decoder::new(framing));
            assert_eq!(
                read_frame(&mut reader, &mut decoder)
                    .await
                    .unwrap()
                    .unwrap(),
                "one"
            );
            let mut last = read_frame(&mut reader, &mut decoder).await;
            if let Ok(Some(_)) = last {
                last = read_frame(&mut reader, &mut decoder).await;
            }
            assert_eq!(
                matches!(last, Err(ReadError::Frame(FrameError::Truncated { .. }))),
                expect_error
            );
            assert_eq!(matches!(last, Ok(None)), !expect_error);
        }
    }
}
