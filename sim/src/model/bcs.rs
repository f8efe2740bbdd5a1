//! A writer of the BCS encoding, as far as commits need it.

use metanode_core::types::BlockRef;

/// Encodes values one after the other.
#[derive(Default)]
pub(super) struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    pub fn u16(mut self, value: u16) -> Self {
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub fn u32(mut self, value: u32) -> Self {
        self.bytes.extend(value.to_le_bytes());
        self
    }

    pub fn u64(mut self, value: u64) -> Self {
        self.bytes.extend(value.to_le_bytes());
        self
    }

    /// Bytes with their length before them.
    pub fn sized(mut self, bytes: &[u8]) -> Self {
        self = self.length(bytes.len());
        self.bytes.extend(bytes);
        self
    }

    pub fn list<T>(self, items: &[T], item: impl Fn(Self, &T) -> Self) -> Self {
        items.iter().fold(self.length(items.len()), item)
    }

    pub fn block_ref(self, block: &BlockRef) -> Self {
        self.u32(block.round.0)
            .u16(block.author.0)
            .sized(&block.digest.0)
    }

    /// ULEB128: seven bits a byte, lowest first, the eighth bit on all but the last byte.
    fn length(mut self, mut value: usize) -> Self {
        while value > 0x7f {
            self.bytes.push(0x80 | (value & 0x7f) as u8);
            value >>= 7;
        }
        self.bytes.push(value as u8);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_as_many_bytes_as_they_need() {
        for length in [0, 1, 127, 128, 300, 16_383, 16_384, 70_000] {
            let list = vec![7u16; length];
            let written = Writer::default().list(&list, |writer, item| writer.u16(*item));
            assert_eq!(written.bytes, bcs::to_bytes(&list).unwrap());
        }
    }
}
