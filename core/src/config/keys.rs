//! Secrets in a configuration file.

use serde::{Deserialize, Serialize};

/// A secret in a configuration file: 64 hexadecimal digits. Never printed.
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
                "a key seed has 64 hexadecimal digits, found {} characters",
                digits.len()
            ));
        }
        for (byte, pair) in seed.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = std::str::from_utf8(pair)
                .ok()
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or("a key seed has hexadecimal digits only")?;
        }
        Ok(Self(seed))
    }
}

impl From<KeySeed> for String {
    fn from(seed: KeySeed) -> Self {
        seed.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
