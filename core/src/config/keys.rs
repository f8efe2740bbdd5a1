//! Secret keys in a configuration file.

use serde::{Deserialize, Serialize};

/// A secret of 32 bytes, written as 64 hexadecimal digits. Its `Debug` does not print it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeySeed(pub [u8; 32]);

impl std::fmt::Debug for KeySeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeySeed(…)")
    }
}

impl TryFrom<String> for KeySeed {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let mut seed = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(format!(
                "expected a key seed of 64 hexadecimal digits, found {} characters",
                digits.len()
            ));
        }
        for (byte, pair) in seed.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = std::str::from_utf8(pair)
                .ok()
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or("expected a key seed of 64 hexadecimal digits, found another character")?;
        }
        Ok(Self(seed))
    }
}

impl From<KeySeed> for String {
    fn from(seed: KeySeed) -> Self {
        seed.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
