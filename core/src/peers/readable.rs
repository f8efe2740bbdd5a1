//! Cryptography without secrecy, for simulations: what is encrypted is the plain text with a checksum that only who has
//! the session's key can make, as long as nobody calculates. So the handshake takes the same way, a wrong key is noticed
//! like an altered byte, and a witness reads everything.

use crate::types::readable_public;
use snow::{
    Error,
    types::{Cipher, Dh, Random},
};
use xxhash_rust::xxh3::Xxh3;

/// Length of the checksum, that of AES-GCM.
const TAG_BYTES: usize = 16;

/// Two public keys have one common value, which each end finds with its secret and the other's public key.
#[derive(Default)]
pub(super) struct ReadableExchange {
    secret: [u8; 32],
    public: [u8; 32],
}

impl Dh for ReadableExchange {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, secret: &[u8]) {
        self.secret.copy_from_slice(secret);
        self.public = readable_public(&self.secret);
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), Error> {
        let mut secret = [0; 32];
        random.try_fill_bytes(&mut secret)?;
        self.set(&secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        &self.secret
    }

    fn dh(&self, theirs: &[u8], out: &mut [u8]) -> Result<(), Error> {
        let theirs = theirs.first_chunk::<32>().ok_or(Error::Dh)?;
        let mut pair = [self.public, *theirs];
        pair.sort_unstable();
        out[..32].copy_from_slice(blake3::hash(pair.as_flattened()).as_bytes());
        Ok(())
    }
}

/// The plain text, then the checksum.
#[derive(Default)]
pub(super) struct ReadableCipher {
    key: [u8; 32],
}

impl ReadableCipher {
    fn tag(&self, nonce: u64, authenticated: &[u8], plain: &[u8]) -> [u8; TAG_BYTES] {
        let mut hasher = Xxh3::new();
        hasher.update(&self.key);
        hasher.update(&nonce.to_le_bytes());
        hasher.update(authenticated);
        hasher.update(plain);
        hasher.digest128().to_le_bytes()
    }
}

impl Cipher for ReadableCipher {
    fn name(&self) -> &'static str {
        "AESGCM"
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.key = *key;
    }

    fn encrypt(&self, nonce: u64, authenticated: &[u8], plain: &[u8], out: &mut [u8]) -> usize {
        let tag = self.tag(nonce, authenticated, plain);
        let (text, rest) = out.split_at_mut(plain.len());
        text.copy_from_slice(plain);
        rest[..TAG_BYTES].copy_from_slice(&tag);
        plain.len() + TAG_BYTES
    }

    fn decrypt(
        &self,
        nonce: u64,
        authenticated: &[u8],
        sealed: &[u8],
        out: &mut [u8],
    ) -> Result<usize, Error> {
        let (plain, tag) = sealed
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(Error::Decrypt)?;
        if *tag != self.tag(nonce, authenticated, plain) {
            return Err(Error::Decrypt);
        }
        out[..plain.len()].copy_from_slice(plain);
        Ok(plain.len())
    }
}
