//! Unsigned LEB128 as read by Go's `binary.ReadUvarint`: at most 10 bytes, non-minimal encodings are accepted, numbers
//! above 64 bits are not.

use bytes::{Buf, BufMut, BytesMut};

/// The bytes encode a number above 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// 64 bits in groups of 7 bits.
pub(super) const MAX_UVARINT_BYTES: usize = 10;

/// Appends `value`.
pub(super) fn put_uvarint(buffer: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        buffer.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    buffer.put_u8(value as u8);
}

/// Removes a number from the front of `buffer`, which is contiguous. `None` if it is incomplete.
///
/// # Errors
/// If the number has more than 64 bits.
pub(crate) fn take_uvarint(buffer: &mut impl Buf) -> Result<Option<u64>, Overflow> {
    let mut value = 0;
    for (i, &byte) in buffer.chunk().iter().take(MAX_UVARINT_BYTES).enumerate() {
        if i == MAX_UVARINT_BYTES - 1 && byte > 1 {
            return Err(Overflow);
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            buffer.advance(i + 1);
            return Ok(Some(value));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn encoding_and_decoding_agree_with_protobuf(value in any::<u64>()) {
            let mut reference = vec![];
            prost::encoding::encode_varint(value, &mut reference);
            let mut ours = BytesMut::new();
            put_uvarint(&mut ours, value);
            prop_assert_eq!(&ours[..], &reference[..]);
            prop_assert_eq!(take_uvarint(&mut ours), Ok(Some(value)));
            prop_assert!(ours.is_empty());
        }

        #[test]
        fn any_ten_bytes_decode_as_in_protobuf(bytes in prop::collection::vec(any::<u8>(), 10)) {
            let mut ours = BytesMut::from(&bytes[..]);
            let reference = prost::encoding::decode_varint(&mut &bytes[..]).ok();
            prop_assert_eq!(take_uvarint(&mut ours).ok().flatten(), reference);
        }
    }
}
