//! A reader of the BCS encoding: little-endian integers, ULEB128 lengths and enum variants, structs without tags.

use bytes::{Buf, Bytes};

/// Bytes that are not what is expected, with the reason.
pub(crate) type Malformed = String;

/// Reads values one after the other. Byte strings are slices of the input.
pub(super) struct Reader {
    rest: Bytes,
}

impl Reader {
    pub const fn new(bytes: Bytes) -> Self {
        Self { rest: bytes }
    }

    /// Everything was read.
    pub fn end(self) -> Result<(), Malformed> {
        match self.rest.len() {
            0 => Ok(()),
            more => Err(format!("{more} bytes after the end of the value")),
        }
    }

    /// How many bytes are not read yet.
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn bool(&mut self) -> Result<bool, Malformed> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(format!("expected a boolean, found {other}")),
        }
    }

    /// A length or the number of an enum variant.
    pub fn uleb(&mut self) -> Result<usize, Malformed> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err("a length that is longer than necessary".to_owned());
                }
                return usize::try_from(value).map_err(|e| e.to_string());
            }
        }
        Err("a length of more than 32 bits".to_owned())
    }

    /// Bytes with their length before them.
    pub fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let length = self.uleb()?;
        self.take(length)
    }

    /// Exactly `N` bytes with their length before them.
    pub fn sized<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        match self.uleb()? {
            length if length == N => self.array(),
            length => Err(format!("expected {N} bytes, found {length}")),
        }
    }

    /// A list.
    pub fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let length = self.uleb()?;
        if length > self.remaining() {
            return Err(format!(
                "a list of {length} items in {} bytes",
                self.remaining()
            ));
        }
        (0..length).map(|_| item(self)).collect()
    }

    /// A value that may be absent.
    #[allow(
        dead_code,
        reason = "for messages between nodes, which are not read yet"
    )]
    pub fn option<T>(
        &mut self,
        item: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.bool()? {
            true => item(self).map(Some),
            false => Ok(None),
        }
    }

    fn take(&mut self, length: usize) -> Result<Bytes, Malformed> {
        if length > self.rest.len() {
            return Err(format!(
                "expected {length} more bytes, found {}",
                self.rest.len()
            ));
        }
        Ok(self.rest.split_to(length))
    }

    /// Exactly `N` bytes without a length: an array of numbers.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let Some((found, _)) = self.rest.split_first_chunk() else {
            return Err(format!(
                "expected {N} more bytes, found {}",
                self.rest.len()
            ));
        };
        let found = *found;
        self.rest.advance(N);
        Ok(found)
    }
}
