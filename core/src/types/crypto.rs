//! Signatures. The scheme is configurable: ed25519 for production, a keyed hash for simulations, where ed25519 would
//! take more CPU time than everything else together.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How blocks are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureScheme {
    /// RFC 8032. The only scheme that is secure against an adversary.
    #[default]
    Ed25519,
    /// blake3 keyed with the **public** key: detects corruption and mixed-up authors at a twentieth of the cost, and
    /// is not secure. For simulations only.
    KeyedHash,
}

/// A public key, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}{:02x}…", self.0[0], self.0[1])
    }
}

/// A signature: 64 bytes for ed25519, 32 for the keyed hash.
pub type SignatureBytes = bytes::Bytes;

/// A signing key with its scheme.
#[derive(Clone)]
pub struct KeyPair {
    scheme: SignatureScheme,
    secret: SigningKey,
    public: PublicKey,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({:?})", self.public)
    }
}

impl KeyPair {
    /// The key pair of a 32-byte secret seed.
    #[must_use]
    pub fn from_seed(scheme: SignatureScheme, seed: &[u8; 32]) -> Self {
        let secret = SigningKey::from_bytes(seed);
        let public = PublicKey(secret.verifying_key().to_bytes());
        Self {
            scheme,
            secret,
            public,
        }
    }

    #[must_use]
    pub const fn public(&self) -> PublicKey {
        self.public
    }

    #[must_use]
    pub fn sign(&self, message: &[u8]) -> SignatureBytes {
        match self.scheme {
            SignatureScheme::Ed25519 => {
                SignatureBytes::copy_from_slice(&self.secret.sign(message).to_bytes())
            }
            SignatureScheme::KeyedHash => SignatureBytes::copy_from_slice(
                blake3::keyed_hash(&self.public.0, message).as_bytes(),
            ),
        }
    }
}

impl PublicKey {
    /// Whether `signature` is a valid signature of `message` under this key.
    #[must_use]
    pub fn verifies(&self, scheme: SignatureScheme, message: &[u8], signature: &[u8]) -> bool {
        match scheme {
            SignatureScheme::Ed25519 => {
                let (Ok(key), Ok(signature)) = (
                    VerifyingKey::from_bytes(&self.0),
                    Signature::from_slice(signature),
                ) else {
                    return false;
                };
                key.verify_strict(message, &signature).is_ok()
            }
            SignatureScheme::KeyedHash => {
                blake3::keyed_hash(&self.0, message).as_bytes().as_slice() == signature
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_valid_for_its_key_and_message_only() {
        for scheme in [SignatureScheme::Ed25519, SignatureScheme::KeyedHash] {
            let (a, b) = (
                KeyPair::from_seed(scheme, &[1; 32]),
                KeyPair::from_seed(scheme, &[2; 32]),
            );
            let signature = a.sign(b"block");
            assert!(a.public().verifies(scheme, b"block", &signature));
            assert!(!a.public().verifies(scheme, b"blocc", &signature));
            assert!(!b.public().verifies(scheme, b"block", &signature));
            assert!(!a.public().verifies(scheme, b"block", &signature[..31]));
        }
    }
}
