//! Seeds and ranges of seeds on the command line and in files.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, ops::Range, str::FromStr};

/// A seed: a decimal number, or a commit hash of 40 hexadecimal digits, whose first 16 are the number. So every commit
/// can be tested with a seed of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub u64);

impl FromStr for Seed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!("`{text}` is not a seed: expected a number or a commit hash of 40 hex digits")
        };
        if let Ok(number) = text.parse() {
            return Ok(Self(number));
        }
        if text.len() != 40 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(expected());
        }
        u64::from_str_radix(&text[..16], 16)
            .map(Self)
            .map_err(|_| expected())
    }
}

/// As a number, or as a string of digits if it exceeds the signed integers of TOML.
impl Serialize for Seed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match i64::try_from(self.0) {
            Ok(number) => serializer.serialize_i64(number),
            Err(_) => serializer.serialize_str(&self.0.to_string()),
        }
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SeedVisitor)
    }
}

struct SeedVisitor;

impl de::Visitor<'_> for SeedVisitor {
    type Value = Seed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a string with a number or a commit hash of 40 hex digits")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
        let number = u64::try_from(value);
        number
            .map(Seed)
            .map_err(|_| E::custom("a seed is not negative"))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        text.parse().map_err(E::custom)
    }
}

/// `A..B` (B excluded), or a number N for `0..N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds(pub Range<u64>);

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "`{text}` is not a range of seeds: expected A..B with A < B, or a number N for 0..N"
            )
        };
        let (first, end) = text.split_once("..").unwrap_or(("0", text));
        let (Ok(first), Ok(end)) = (first.parse(), end.parse()) else {
            return Err(expected());
        };
        if first >= end {
            return Err(expected());
        }
        Ok(Self(first..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_number_or_a_commit() {
        assert_eq!("42".parse(), Ok(Seed(42)));
        let commit = "00000000000000ff000000000000000000000000";
        assert_eq!(commit.parse(), Ok(Seed(255)));
        for wrong in ["", "-1", "abc", "0x10", &commit[1..]] {
            assert!(wrong.parse::<Seed>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_range_excludes_its_end() {
        assert_eq!("3..5".parse(), Ok(Seeds(3..5)));
        assert_eq!("5".parse(), Ok(Seeds(0..5)));
        for wrong in ["", "5..5", "5..3", "0", "..", "a..b"] {
            assert!(wrong.parse::<Seeds>().is_err(), "{wrong}");
        }
    }
}
