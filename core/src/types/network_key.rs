//! The keys with which nodes prove to each other who they are (contract §10.6). They sign nothing.
//!
//! A network key is an ed25519 key, as deployed executors register it. Connections use the X25519 key of the same secret:
//! the Montgomery form of the same point, as libsodium converts keys.

use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How connections between nodes are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    /// X25519 and AES-256-GCM. The only one that is secure.
    #[default]
    Noise,
    /// Everything is readable for everybody: detects who lacks a secret, and altered bytes, at no cost worth mentioning.
    /// For simulations only.
    Readable,
}

/// A public network key, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NetworkKey(pub [u8; 32]);

impl fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}…", self.0[0], self.0[1])
    }
}

impl NetworkKey {
    /// The same for two keys that prove the same secret: a point and its negative, which differ in one bit, have one
    /// Montgomery form.
    #[must_use]
    pub const fn without_sign(mut self) -> Self {
        self.0[31] &= 0x7f;
        self
    }

    /// The key as a handshake has it. `None` if it is no point of the curve.
    #[must_use]
    pub fn exchange_key(&self, encryption: Encryption) -> Option<[u8; 32]> {
        match encryption {
            Encryption::Noise => {
                let point = VerifyingKey::from_bytes(&self.0).ok()?;
                Some(point.to_montgomery().to_bytes())
            }
            Encryption::Readable => Some(self.0),
        }
    }
}

/// A network key with its secret.
#[derive(Clone)]
pub struct NetworkKeyPair {
    encryption: Encryption,
    secret: [u8; 32],
    public: NetworkKey,
}

impl fmt::Debug for NetworkKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetworkKeyPair({:?})", self.public)
    }
}

impl NetworkKeyPair {
    /// The key pair of a 32-byte secret seed.
    #[must_use]
    pub fn from_seed(encryption: Encryption, seed: &[u8; 32]) -> Self {
        let (secret, public) = match encryption {
            Encryption::Noise => {
                let key = SigningKey::from_bytes(seed);
                (key.to_scalar_bytes(), key.verifying_key().to_bytes())
            }
            Encryption::Readable => (*seed, readable_public(seed)),
        };
        Self {
            encryption,
            secret,
            public: NetworkKey(public),
        }
    }

    #[must_use]
    pub const fn public(&self) -> NetworkKey {
        self.public
    }

    #[must_use]
    pub const fn encryption(&self) -> Encryption {
        self.encryption
    }

    /// The secret of the key exchange.
    pub(crate) const fn secret(&self) -> &[u8; 32] {
        &self.secret
    }
}

/// The public key of a secret of [`Encryption::Readable`].
pub(crate) fn readable_public(secret: &[u8; 32]) -> [u8; 32] {
    *blake3::hash(secret).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_its_negative_are_one_key_of_the_exchange() {
        let key = NetworkKeyPair::from_seed(Encryption::Noise, &[3; 32]).public();
        let mut negative = key;
        negative.0[31] ^= 0x80;
        assert_ne!(key, negative);
        assert_eq!(key.without_sign(), negative.without_sign());
        assert_eq!(
            key.exchange_key(Encryption::Noise),
            negative.exchange_key(Encryption::Noise)
        );
    }

    #[test]
    fn bytes_that_are_no_point_are_no_key() {
        // y = 2 is on no point of the curve.
        let mut bytes = [0; 32];
        bytes[0] = 2;
        assert_eq!(NetworkKey(bytes).exchange_key(Encryption::Noise), None);
    }
}
