//! A reader of the protobuf encoding: the fields of one message, in the order of the bytes.

use super::bcs::Malformed;

/// The value of a field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed(u64),
    Bytes(&'a [u8]),
    /// Fields between two marks. No message here has any; a reader skips those that it does not know.
    Group,
}

/// Groups in each other, at most.
const DEPTH: usize = 100;

/// Numbers and values of all fields.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

pub(crate) const fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

impl<'a> Value<'a> {
    /// The number. A missing field is 0 in protobuf, so is one of another type here: it is none that we know.
    pub const fn number(&self) -> u64 {
        match self {
            Self::Varint(number) | Self::Fixed(number) => *number,
            Self::Bytes(_) | Self::Group => 0,
        }
    }

    /// The bytes of a string, bytes or message.
    pub const fn bytes(self) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Varint(_) | Self::Fixed(_) | Self::Group => &[],
        }
    }
}

impl<'a> Fields<'a> {
    fn next_field(&mut self) -> Result<(u64, Value<'a>), Malformed> {
        let (number, wire_type) = self.key()?;
        Ok((number, self.value(number, wire_type, 0)?))
    }

    fn key(&mut self) -> Result<(u64, u64), Malformed> {
        let key = self.varint()?;
        let number = key >> 3;
        if number == 0 || key > u64::from(u32::MAX) {
            return Err(format!("no field has the number {number}"));
        }
        Ok((number, key & 7))
    }

    fn value(&mut self, number: u64, wire_type: u64, depth: usize) -> Result<Value<'a>, Malformed> {
        Ok(match wire_type {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
                let found = self.rest.len();
                let (bytes, rest) = (self.rest.split_at_checked(length))
                    .ok_or_else(|| format!("a field of {length} bytes, {found} are left"))?;
                self.rest = rest;
                Value::Bytes(bytes)
            }
            3 if depth < DEPTH => loop {
                match self.key()? {
                    (end, 4) if end == number => break Value::Group,
                    (inner, wire_type) => self.value(inner, wire_type, depth + 1)?,
                };
            },
            5 => Value::Fixed(u64::from(u32::from_le_bytes(self.array()?))),
            other => return Err(format!("wire type {other} is not expected here")),
        })
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            if index == 9 && *byte > 1 {
                return Err("a number of more than 64 bits".to_owned());
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err("a number that does not end".to_owned())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let Some((found, rest)) = self.rest.split_first_chunk() else {
            return Err(format!("expected {N} bytes, found {}", self.rest.len()));
        };
        self.rest = rest;
        Ok(*found)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.next_field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}
