//! From the bytes of one direction of a connection to the bodies of its frames.
//!
//! A frame that is complete in a chunk is a slice of the chunk. Only a frame that is spread over chunks is copied. The
//! result does not depend on how the bytes are split. Memory grows with what has arrived, not with announced lengths.

use super::bcs::Malformed;

/// How the length of a frame is written, and the maximum length of its body. The minimum is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Unsigned LEB128 of at most 10 bytes; longer encodings than necessary are allowed, as in Go.
    Uvarint { limit_bytes: usize },
    /// 4 bytes.
    BigEndian32 { limit_bytes: usize },
    /// 4 bytes after one that says how the request ended.
    StatusAndBigEndian32 { limit_bytes: usize },
    /// The direction carries nothing.
    Nothing,
}

/// Capacity that a buffer keeps from one frame to the next.
const KEPT_BYTES: usize = 4 << 10;

/// The beginning of a frame: the lengths of its prefix and of all of it.
struct Header {
    prefix: usize,
    total: usize,
}

/// Splits a stream of bytes into frames.
#[derive(Debug)]
pub(super) struct Frames {
    framing: Framing,
    /// The beginning of a frame that is not complete.
    partial: Vec<u8>,
    /// The offset in the stream at which the last complete frame ends.
    end: u64,
    is_over: bool,
}

impl Framing {
    /// The header of the frame that begins with these bytes; `None` if more are needed to know it.
    fn header(self, bytes: &[u8]) -> Result<Option<Header>, Malformed> {
        let (header, limit) = match self {
            Self::Uvarint { limit_bytes } => (uvarint(bytes)?, limit_bytes),
            Self::BigEndian32 { limit_bytes } => {
                let length = bytes.first_chunk().map(|four| u32::from_be_bytes(*four));
                (length.map(|length| (4, u64::from(length))), limit_bytes)
            }
            Self::StatusAndBigEndian32 { limit_bytes } => {
                let length = bytes.first_chunk();
                let length = length.map(|[_, four @ ..]: &[u8; 5]| u32::from_be_bytes(*four));
                (length.map(|length| (5, u64::from(length))), limit_bytes)
            }
            Self::Nothing if bytes.is_empty() => (None, 0),
            Self::Nothing => return Err("bytes in a direction that carries none".to_owned()),
        };
        let Some((prefix, length)) = header else {
            return Ok(None);
        };
        match usize::try_from(length) {
            Ok(length) if (1..=limit).contains(&length) => {
                let total = prefix + length;
                Ok(Some(Header { prefix, total }))
            }
            _ => Err(format!(
                "a frame of {length} bytes, expected 1 to {limit} bytes"
            )),
        }
    }
}

/// The number of bytes of an unsigned LEB128 integer, and its value; `None` if it is incomplete.
fn uvarint(bytes: &[u8]) -> Result<Option<(usize, u64)>, Malformed> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if index == 9 && byte > 1 {
            return Err("a frame length of more than 64 bits".to_owned());
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((index + 1, value)));
        }
    }
    Ok(None)
}

impl Frames {
    pub const fn new(framing: Framing) -> Self {
        Self {
            framing,
            partial: Vec::new(),
            end: 0,
            is_over: false,
        }
    }

    /// Adds the next bytes of the stream. `frame` gets the body of each frame that they complete, and the offset in the
    /// stream at which it ends.
    ///
    /// # Errors
    /// If a length is invalid, or `frame` fails. Once: all later bytes are dropped.
    pub fn push(
        &mut self,
        bytes: &[u8],
        frame: impl FnMut(&[u8], u64) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        if self.is_over {
            return Ok(());
        }
        let result = self.split(bytes, frame);
        if result.is_err() {
            self.is_over = true;
            self.partial = Vec::new();
        }
        result
    }

    /// The size of the frame of which only the beginning has come; 0 if there is none, or its length is not complete.
    pub fn announced_bytes(&self) -> u64 {
        let header = self.framing.header(&self.partial);
        header
            .ok()
            .flatten()
            .map_or(0, |header| header.total as u64)
    }

    fn split(
        &mut self,
        mut bytes: &[u8],
        mut frame: impl FnMut(&[u8], u64) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        while !self.partial.is_empty() && !bytes.is_empty() {
            let header = self.framing.header(&self.partial)?;
            let missing = header.map_or(1, |header| header.total - self.partial.len());
            let (next, rest) = bytes.split_at(missing.min(bytes.len()));
            self.partial.extend_from_slice(next);
            bytes = rest;
            if let Some(header) = self.framing.header(&self.partial)?
                && self.partial.len() == header.total
            {
                self.end += header.total as u64;
                frame(&self.partial[header.prefix..], self.end)?;
                self.partial.clear();
                self.partial.shrink_to(KEPT_BYTES);
            }
        }
        while let Some(header) = self.framing.header(bytes)?
            && let Some((whole, rest)) = bytes.split_at_checked(header.total)
        {
            self.end += header.total as u64;
            frame(&whole[header.prefix..], self.end)?;
            bytes = rest;
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metanode_core::framing;
    use proptest::prelude::*;

    const SMALL: usize = 300;

    fn framings() -> impl Strategy<Value = (Framing, framing::Framing)> {
        let of_node = |prefix| framing::Framing {
            prefix,
            limit_bytes: SMALL,
        };
        let limit_bytes = SMALL;
        prop_oneof![
            Just((
                Framing::Uvarint { limit_bytes },
                of_node(framing::LengthPrefix::Uvarint)
            )),
            Just((
                Framing::BigEndian32 { limit_bytes },
                of_node(framing::LengthPrefix::BigEndian32)
            )),
        ]
    }

    /// Pushes a stream in pieces of these sizes, and the rest.
    fn split(
        frames: &mut Frames,
        mut stream: &[u8],
        sizes: &[usize],
    ) -> (Vec<(Vec<u8>, u64)>, usize) {
        let (mut bodies, mut errors) = (vec![], 0);
        for size in sizes.iter().copied().chain([usize::MAX]) {
            let (piece, rest) = stream.split_at(size.min(stream.len()));
            let pushed = frames.push(piece, |body, end| {
                bodies.push((body.to_vec(), end));
                Ok(())
            });
            errors += usize::from(pushed.is_err());
            stream = rest;
        }
        (bodies, errors)
    }

    proptest! {
        #[test]
        fn frames_of_the_node_are_split_alike_however_they_arrive(
            (framing, of_node) in framings(),
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..=SMALL), 0..8),
            sizes in prop::collection::vec(0usize..50, 0..40),
        ) {
            let (mut stream, mut expected) = (vec![], vec![]);
            for body in bodies {
                stream.extend(of_node.encode_body(&body).unwrap());
                expected.push((body, stream.len() as u64));
            }
            let mut frames = Frames::new(framing);
            prop_assert_eq!(split(&mut frames, &stream, &sizes), (expected, 0));
            prop_assert!(frames.partial.is_empty());
        }

        #[test]
        fn random_bytes_give_the_frames_that_the_node_decodes(
            (framing, of_node) in framings(),
            stream in prop::collection::vec(prop_oneof![Just(0), Just(1), 0u8..=255], 0..400),
            sizes in prop::collection::vec(0usize..9, 0..40),
        ) {
            let (found, errors) = split(&mut Frames::new(framing), &stream, &sizes);
            let mut decoder = framing::Decoder::new(of_node);
            decoder.push(&stream);
            for (body, _) in &found {
                prop_assert_eq!(&decoder.next_frame().unwrap().unwrap()[..], &body[..]);
            }
            match decoder.next_frame() {
                Ok(more) => prop_assert_eq!((more, errors), (None, 0)),
                Err(_) => prop_assert_eq!(errors, 1),
            }
        }
    }

    #[test]
    fn after_an_invalid_length_nothing_is_kept() {
        let limit_bytes = SMALL;
        let eleven = [0xff; 11];
        let cases: [(Framing, &[u8]); 6] = [
            (Framing::BigEndian32 { limit_bytes }, &[0, 0, 0, 0]),
            (Framing::BigEndian32 { limit_bytes }, &[0, 0, 2, 0, 7]),
            (Framing::Uvarint { limit_bytes }, &[0]),
            (Framing::Uvarint { limit_bytes }, &[0xad, 2, 7]),
            (Framing::Uvarint { limit_bytes }, &eleven),
            (Framing::Nothing, &[7]),
        ];
        for (framing, bad) in cases {
            for size in 1..=bad.len() {
                let mut frames = Frames::new(framing);
                assert_eq!(split(&mut frames, bad, &[size]), (vec![], 1));
                assert_eq!(split(&mut frames, &[0, 0, 0, 1, 5], &[]), (vec![], 0));
                assert_eq!(frames.partial.capacity(), 0);
            }
        }
    }

    #[test]
    fn a_large_frame_leaves_no_large_buffer() {
        let mut frames = Frames::new(Framing::BigEndian32 {
            limit_bytes: 1 << 20,
        });
        let mut stream = vec![0, 4, 0, 0];
        stream.resize(4 + (4 << 16), 9);
        let (bodies, _) = split(&mut frames, &stream, &[100]);
        assert_eq!((bodies.len(), bodies[0].0.len()), (1, 4 << 16));
        assert!(frames.partial.capacity() <= KEPT_BYTES);
    }
}
