//! The handshake: pattern IK of the [Noise protocol framework](https://noiseprotocol.org/noise.html), revision 34 §7.5.
//! The caller knows the listener's key from the committee, and sends its own, encrypted, in the first message.
//!
//! Both ends are bound to one chain and one epoch by the prologue: a handshake of another one does not decrypt.
//!
//! The first message can be repeated by whoever saw it. So it proves nothing by itself: who the caller is, is known when
//! something arrives that is encrypted with the keys of this session (§7.7 of Noise, *payload security properties*).
//!
//! Pure: no I/O; randomness comes from the generator that is passed in.

use super::{
    bug_switches,
    readable::{ReadableCipher, ReadableExchange},
};
use crate::{
    env::SessionKeys,
    types::{ChainId, Encryption, Epoch, NetworkKeyPair},
};
use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;
use snow::{
    Builder, Error, HandshakeState, TransportState,
    params::{CipherChoice, DHChoice, HashChoice, NoiseParams},
    resolvers::{CryptoResolver, DefaultResolver, RingResolver},
    types::{Cipher, Dh, Hash, Random},
};
use std::sync::{Arc, Mutex, PoisonError};

/// AES-GCM, because processors have instructions for it: it is four times as fast as ChaCha20-Poly1305.
const NAME: &str = "Noise_IK_25519_AESGCM_BLAKE2s";

/// What begins the prologue: the protocol and its version.
const PROTOCOL: &[u8] = b"metanode peer 1";

/// The longest message of the handshake: two keys of 32 bytes, two tags, and a short payload.
const MOST_BYTES: usize = 256;

/// Length of an ephemeral key, with which the first message begins.
const KEY_BYTES: usize = 32;

/// Ephemeral keys of all sessions of a process come from this generator, in the order in which they are made.
#[derive(Clone)]
pub struct SharedRandom(Arc<Mutex<ChaCha8Rng>>);

impl SharedRandom {
    #[must_use]
    pub fn new(random: ChaCha8Rng) -> Self {
        Self(Arc::new(Mutex::new(random)))
    }
}

impl Random for SharedRandom {
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Error> {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        random.fill_bytes(out);
        Ok(())
    }
}

struct Resolver {
    encryption: Encryption,
    random: SharedRandom,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(self.random.clone()))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match self.encryption {
            Encryption::Noise => DefaultResolver.resolve_dh(choice),
            Encryption::Readable => Some(Box::new(ReadableExchange::default())),
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        match self.encryption {
            Encryption::Noise => RingResolver.resolve_cipher(choice),
            Encryption::Readable => Some(Box::new(ReadableCipher::default())),
        }
    }
}

/// What both ends of a handshake must agree on, and the own key.
#[derive(Clone, Copy)]
pub(super) struct Own<'a> {
    pub chain: ChainId,
    pub epoch: Epoch,
    pub keys: &'a NetworkKeyPair,
    pub random: &'a SharedRandom,
}

impl Own<'_> {
    fn begin(self, listener: Option<&[u8; 32]>) -> Result<HandshakeState, Error> {
        let Self {
            chain,
            epoch,
            keys,
            random,
        } = self;
        let resolver = Resolver {
            encryption: keys.encryption(),
            random: random.clone(),
        };
        let params: NoiseParams = NAME.parse()?;
        let epoch = bug_switches::bound(epoch);
        let prologue = [PROTOCOL, &chain.0, &epoch.0.to_le_bytes()].concat();
        let builder = Builder::with_resolver(params, Box::new(resolver))
            .local_private_key(keys.secret())?
            .prologue(&prologue)?;
        match listener {
            Some(key) => builder.remote_public_key(key)?.build_initiator(),
            None => builder.build_responder(),
        }
    }
}

/// An established session.
pub(super) struct Session {
    pub transport: TransportState,
    pub keys: SessionKeys,
}

/// The caller's end, which waits for the second message.
pub(super) struct Calling {
    state: HandshakeState,
    session: [u8; 32],
    epoch: Epoch,
}

impl Calling {
    /// Begins a handshake with the listener that has this key. Returns the first message, too.
    ///
    /// # Errors
    /// None but those of the library.
    pub fn begin(own: Own<'_>, listener: &[u8; 32]) -> Result<(Self, Bytes), Error> {
        let mut state = own.begin(Some(listener))?;
        let first = write(&mut state, &[])?;
        let session = session(&first)?;
        let epoch = own.epoch;
        Ok((
            Self {
                state,
                session,
                epoch,
            },
            first,
        ))
    }

    /// Returns the session, and what the listener says.
    ///
    /// # Errors
    /// If the listener does not have the key, or is of another chain or epoch.
    pub fn finish(mut self, second: &[u8]) -> Result<(Session, Vec<u8>), Error> {
        let payload = read(&mut self.state, second)?;
        Ok((finish(self.state, self.session, self.epoch)?, payload))
    }
}

/// The listener's end, which has read the first message.
pub(super) struct Answering {
    state: HandshakeState,
    session: [u8; 32],
    epoch: Epoch,
    /// The key that the caller will have proven when something arrives that is encrypted in this session.
    pub caller: [u8; 32],
}

impl Answering {
    /// # Errors
    /// If the first message is none for this key, chain and epoch.
    pub fn read(own: Own<'_>, first: &[u8]) -> Result<Self, Error> {
        let mut state = own.begin(None)?;
        read(&mut state, first)?;
        let caller = state.get_remote_static();
        let caller = caller.and_then(|key| key.try_into().ok());
        Ok(Self {
            session: session(first)?,
            epoch: own.epoch,
            caller: caller.ok_or(Error::Input)?,
            state,
        })
    }

    /// Returns the session and the second message, with what this end says to the caller.
    ///
    /// # Errors
    /// If the payload is too long, and those of the library.
    pub fn finish(mut self, payload: &[u8]) -> Result<(Session, Bytes), Error> {
        let second = write(&mut self.state, payload)?;
        Ok((finish(self.state, self.session, self.epoch)?, second))
    }
}

fn session(first: &[u8]) -> Result<[u8; KEY_BYTES], Error> {
    first.first_chunk().copied().ok_or(Error::Input)
}

fn write(state: &mut HandshakeState, payload: &[u8]) -> Result<Bytes, Error> {
    let mut message = [0; MOST_BYTES];
    let length = state.write_message(payload, &mut message)?;
    Ok(Bytes::copy_from_slice(&message[..length]))
}

fn read(state: &mut HandshakeState, message: &[u8]) -> Result<Vec<u8>, Error> {
    let mut payload = [0; MOST_BYTES];
    if message.len() > MOST_BYTES {
        return Err(Error::Input);
    }
    let length = state.read_message(message, &mut payload)?;
    Ok(payload[..length].to_vec())
}

fn finish(mut state: HandshakeState, session: [u8; 32], epoch: Epoch) -> Result<Session, Error> {
    let (from_caller, from_listener) = state.dangerously_get_raw_split();
    Ok(Session {
        transport: state.into_transport_mode()?,
        keys: SessionKeys {
            session,
            epoch,
            from_caller,
            from_listener,
        },
    })
}
