//! Encrypted connections: from the bytes of one direction to the plain text in them.
//!
//! A direction begins with one plain frame, the greeting; everything after it is in records, each with its length in front
//! (contract §10.7). Memory is bounded by one record.

use super::{End, bcs::Malformed};
use metanode_core::{env::SessionKeys, types::Epoch};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The greeting has at most so many bytes.
const MOST_GREETING_BYTES: usize = 1024;
/// A checksum follows each plain text.
const TAG_BYTES: usize = 16;

/// The keys of sessions between nodes, which processes tell. Clones are the same.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Mutex<FxHashMap<[u8; 32], SessionKeys>>>);

impl Sessions {
    /// A process has established a session with these keys. Returns the epoch for which the other end has, if that is
    /// another one.
    pub fn tell(&self, keys: &SessionKeys) -> Option<Epoch> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let other = sessions.insert(keys.session, keys.clone())?.epoch;
        (other != keys.epoch).then_some(other)
    }

    pub(super) fn secret(&self, session: [u8; 32], writer: End) -> Result<Secret, Malformed> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = sessions.get(&session);
        let keys = keys.ok_or("records of a session whose keys nobody has told")?;
        Secret::key(match writer {
            End::Client => &keys.from_caller,
            End::Server => &keys.from_listener,
        })
    }
}

/// How the records of a direction are read.
pub(super) enum Secret {
    /// They are readable.
    None,
    Key(Box<LessSafeKey>),
}

impl Secret {
    fn key(key: &[u8; 32]) -> Result<Self, Malformed> {
        let key = UnboundKey::new(&AES_256_GCM, key);
        let key = key.map_err(|_| "a session with a key of another length")?;
        Ok(Self::Key(Box::new(LessSafeKey::new(key))))
    }
}

/// The state of one direction.
#[derive(Default)]
pub(super) struct Unsealing {
    /// The begin of a greeting or of a record, with its length.
    partial: Vec<u8>,
    is_greeted: bool,
    /// `None` before the first record.
    secret: Option<Secret>,
    /// Number of the next record.
    next: u64,
}

/// The length of what begins with these bytes, with its prefix; `None` if more are needed.
fn total(bytes: &[u8], is_record: bool) -> Result<Option<usize>, Malformed> {
    if is_record {
        let length = bytes.first_chunk().map(|two| u16::from_be_bytes(*two));
        return match length.map(usize::from) {
            Some(length) if length <= TAG_BYTES => {
                Err(format!("an encrypted record of {length} bytes"))
            }
            length => Ok(length.map(|length| 2 + length)),
        };
    }
    let length = bytes.first_chunk().map(|four| u32::from_be_bytes(*four));
    match length.map(|length| length as usize) {
        Some(length) if !(1..=MOST_GREETING_BYTES).contains(&length) => {
            Err(format!("a greeting of {length} bytes"))
        }
        length => Ok(length.map(|length| 4 + length)),
    }
}

impl Unsealing {
    /// Adds the next bytes of the stream. `greeting` gets the body of the greeting when it is complete, and `secret` says
    /// how the records are read when the first of them is. The plain text of complete records is appended to `plain`.
    ///
    /// # Errors
    /// If there is no greeting, or no record that is of this session.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        plain: &mut Vec<u8>,
        mut greeting: impl FnMut(&[u8]) -> Result<(), Malformed>,
        secret: impl Fn() -> Result<Secret, Malformed>,
    ) -> Result<(), Malformed> {
        while !bytes.is_empty() {
            let is_record = self.is_greeted;
            if self.partial.is_empty()
                && let Some(length) = total(bytes, is_record)?
                && let Some((whole, rest)) = bytes.split_at_checked(length)
            {
                self.complete(whole, plain, &mut greeting, &secret)?;
                bytes = rest;
                continue;
            }
            let length = total(&self.partial, is_record)?;
            let missing = length.map_or(1, |length| length - self.partial.len());
            let (next, rest) = bytes.split_at(missing.min(bytes.len()));
            self.partial.extend_from_slice(next);
            bytes = rest;
            if total(&self.partial, is_record)? == Some(self.partial.len()) {
                let whole = std::mem::take(&mut self.partial);
                self.complete(&whole, plain, &mut greeting, &secret)?;
            }
        }
        Ok(())
    }

    fn complete(
        &mut self,
        whole: &[u8],
        plain: &mut Vec<u8>,
        greeting: &mut impl FnMut(&[u8]) -> Result<(), Malformed>,
        secret: &impl Fn() -> Result<Secret, Malformed>,
    ) -> Result<(), Malformed> {
        if !self.is_greeted {
            self.is_greeted = true;
            return greeting(&whole[4..]);
        }
        let secret = match &self.secret {
            Some(secret) => secret,
            None => self.secret.insert(secret()?),
        };
        let begin = plain.len();
        plain.extend_from_slice(&whole[2..]);
        if let Secret::Key(key) = secret {
            let mut nonce = [0; NONCE_LEN];
            nonce[4..].copy_from_slice(&self.next.to_be_bytes());
            let nonce = Nonce::assume_unique_for_key(nonce);
            let opened = key.open_in_place(nonce, Aad::empty(), &mut plain[begin..]);
            opened.map_err(|_| "a record that is not of this session")?;
        }
        plain.truncate(plain.len() - TAG_BYTES);
        self.next += 1;
        Ok(())
    }
}
