//! Frames: a length, then that many bytes. Two ways to write the length (contract §2), one way to take frames apart.
//!
//! The [`Decoder`] is pure: bytes in, frames out, in whatever pieces they come. A length that is zero, above the
//! limit or no number **poisons** it: from there on it answers with that error only, because nothing behind a bad
//! length can be told from the middle of a frame. The connection has to go.
//!
//! Knows nothing of what the frames mean.

mod uvarint;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use std::io;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use uvarint::{MAX_UVARINT_BYTES, put_uvarint, take_uvarint};

/// How a frame's length is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthPrefix {
    /// Unsigned LEB128, at most 10 bytes, read as Go's `binary.ReadUvarint` does: longer forms of a number are
    /// accepted, numbers above 64 bits are not.
    Uvarint,
    /// 4 bytes, big-endian.
    BigEndian32,
}

/// The framing of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    pub prefix: LengthPrefix,
    /// A body is 1 to this many bytes long.
    pub limit_bytes: usize,
}

/// A frame that must not be sent, or bytes that are no frames. After one of these a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    #[error("a frame of length zero: every frame has a body of at least 1 byte")]
    Empty,
    #[error("a frame of {length_bytes} bytes exceeds the limit of {limit_bytes} on this channel")]
    TooLarge {
        length_bytes: u64,
        limit_bytes: usize,
    },
    #[error(
        "a frame length that does not end within 64 bits: these bytes are not the start of a frame"
    )]
    LengthOverflow,
    #[error("the stream ended inside a frame, after {found_bytes} bytes of it")]
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

    /// A whole frame around `message`.
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

    /// A whole frame around bytes that are encoded already.
    ///
    /// # Errors
    /// If the receiver would reject it: the body is empty or above the limit.
    pub fn encode_body(self, body: &[u8]) -> Result<Bytes, FrameError> {
        self.check(body.len() as u64)?;
        let mut frame = self.begin(body.len());
        frame.put_slice(body);
        Ok(frame.freeze())
    }

    /// The length of a body that passed [`Self::check`], with room for the body behind it.
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

    /// Takes a length off the front of `buffer`, or nothing if it has not come in full.
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

/// Takes a byte stream apart into the bodies of its frames.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    buffer: BytesMut,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Length,
    /// A length was taken off; its body of this many bytes is next.
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

    /// Takes in the next bytes of the stream. What comes after a bad length is dropped.
    pub fn push(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Poisoned(_)) {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The body of the next frame if all of it is here, without copying it.
    ///
    /// # Errors
    /// If the next length is none. Every later call gives the same error.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let length = match self.state {
            State::Poisoned(error) => return Err(error),
            State::Body(length) => length,
            State::Length => match self.framing.take_length(&mut self.buffer) {
                Ok(Some(length)) => {
                    self.state = State::Body(length);
                    length
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.state = State::Poisoned(error);
                    self.buffer = BytesMut::new();
                    return Err(error);
                }
            },
        };
        if self.buffer.len() < length {
            return Ok(None);
        }
        self.state = State::Length;
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// To be called when the stream has ended and no whole frame is left.
    ///
    /// # Errors
    /// If it ended inside a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        match self.state {
            State::Poisoned(error) => Err(error),
            State::Length if self.buffer.is_empty() => Ok(()),
            State::Length | State::Body(_) => Err(FrameError::Truncated {
                found_bytes: self.buffer.len(),
            }),
        }
    }

    /// How many bytes to make room for: what is missing, within reason, since a length is only a promise.
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

/// Reads the next frame. `None` is the end of the stream between two frames.
///
/// Reads only when no whole frame is buffered, so a reader that is slow to ask leaves the bytes in the socket.
/// Cancel-safe: what was read stays in the decoder, which must be used for the whole life of the connection.
///
/// # Errors
/// Those of the stream, and of a stream that is not frames.
pub async fn read_frame(
    stream: &mut (impl AsyncRead + Unpin + ?Sized),
    decoder: &mut Decoder,
) -> Result<Option<Bytes>, ReadError> {
    loop {
        if let Some(frame) = decoder.next_frame()? {
            return Ok(Some(frame));
        }
        decoder.buffer.reserve(decoder.wanted_bytes());
        if stream.read_buf(&mut decoder.buffer).await? == 0 {
            return Ok(decoder.finish().map(|()| None)?);
        }
    }
}

/// Writes a whole frame, as [`Framing::encode`] made it.
///
/// Not cancel-safe: if this is dropped or fails, part of the frame may be out, and the connection can only be closed.
///
/// # Errors
/// Those of the stream.
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
        fn any_pieces_give_the_same_frames(
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
        fn after_a_bad_length_nothing_is_parsed(
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
    fn a_length_beyond_64_bits_is_an_error_as_in_go() {
        let mut decoder = Decoder::new(Framing::BLOCK_STREAM);
        decoder.push(&[0xff; 9]);
        assert_eq!(
            decoder.next_frame(),
            Ok(None),
            "the tenth byte may still end it"
        );
        decoder.push(&[0x02]);
        assert_eq!(decoder.next_frame(), Err(FrameError::LengthOverflow));
    }

    #[test]
    fn what_the_receiver_would_reject_is_not_encoded() {
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
    fn a_message_is_framed_as_its_bytes_are() {
        let message = String::from("a protobuf message with one field");
        let body = message.encode_to_vec();
        for framing in [Framing::BLOCK_STREAM, Framing::RPC] {
            assert_eq!(framing.encode(&message), framing.encode_body(&body));
        }
    }

    #[tokio::test]
    async fn the_end_between_frames_is_the_end_and_inside_one_is_an_error() {
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
