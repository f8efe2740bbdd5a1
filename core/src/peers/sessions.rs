//! From a connected socket to an authenticated stream, for the peers of one epoch.

use super::{
    bug_switches,
    greeting::{HandshakeReply, Hello, PLAIN_FRAMING, RetainedEpochs, Welcome},
    handshake::{Answering, Calling, Own, SharedRandom},
    secure_stream::SecureStream,
};
use crate::{
    env::EventSink,
    framing::{FrameError, ReadError, read_frame_exactly, write_frame},
    types::{AuthorityIndex, Chain, Committee, Epoch, NetworkKeyPair},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, io, sync::Arc};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};

/// Why there is no session. The connection is to be dropped.
#[derive(Debug, Error)]
pub enum SessionError {
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("no greeting could be read: {0}")]
    Read(#[from] ReadError),
    #[error("no greeting: {0}")]
    Malformed(#[from] bcs::Error),
    #[error("a greeting cannot be sent: {0}")]
    Frame(#[from] FrameError),
    #[error("the peer closed the connection during the greetings")]
    Closed,
    #[error("it is of another chain: {difference}")]
    OtherChain { difference: String },
    #[error("it does not keep epoch {epoch}, but {retained}")]
    NotRetained {
        epoch: Epoch,
        retained: RetainedEpochs,
    },
    #[error(
        "expected the key of a point of the curve as network_key of validator {peer}, found another one"
    )]
    UnusableKey { peer: AuthorityIndex },
    #[error(
        "expected a node with the network_key that the committee of epoch {epoch} has for validator {peer}, found another \
         one: compare network_key_seed there with its registration"
    )]
    OtherKey { peer: AuthorityIndex, epoch: Epoch },
    #[error(
        "expected a handshake with the network_key that the committee of epoch {epoch} has for this node, found another one"
    )]
    ForOtherKey { epoch: Epoch },
    #[error("the cryptography of a session failed: {0}")]
    Cryptography(snow::Error),
}

/// Establishes sessions with the peers of one epoch.
pub struct Sessions {
    chain: Chain,
    committee: Arc<Committee>,
    own: Option<AuthorityIndex>,
    keys: NetworkKeyPair,
    /// Whose a proven key is.
    members: BTreeMap<[u8; 32], AuthorityIndex>,
    random: SharedRandom,
    events: Arc<dyn EventSink>,
}

/// A session at the listener.
pub struct Accepted<S> {
    pub stream: SecureStream<S>,
    /// Proven as soon as something is read from the stream.
    pub caller: Caller,
}

/// Who called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Its key, as the exchange has it.
    pub key: [u8; 32],
    /// The member that has that key; `None` for a guest.
    pub seat: Option<AuthorityIndex>,
}

impl Sessions {
    /// Sessions in the epoch of a committee, for the node that has these keys and this index in it.
    #[must_use]
    pub fn new(
        chain: Chain,
        committee: Arc<Committee>,
        own: Option<AuthorityIndex>,
        keys: NetworkKeyPair,
        random: SharedRandom,
        events: Arc<dyn EventSink>,
    ) -> Self {
        let encryption = keys.encryption();
        let members = committee.authorities().filter_map(|(index, member)| {
            let key = member.network_key.exchange_key(encryption)?;
            Some((key, index))
        });
        Self {
            chain,
            members: members.collect(),
            committee,
            own,
            keys,
            random,
            events,
        }
    }

    /// Whether the committee has this key.
    #[must_use]
    pub fn have_member(&self, key: &[u8; 32]) -> bool {
        self.members.contains_key(key)
    }

    fn epoch(&self) -> Epoch {
        self.committee.epoch()
    }

    fn own(&self) -> Own<'_> {
        Own {
            chain: self.chain.id(),
            epoch: self.epoch(),
            keys: &self.keys,
            random: &self.random,
        }
    }

    /// Greets a member that was connected to. Returns the newest epoch that it has entered, too.
    ///
    /// # Errors
    /// If the peer is not that member, or of another chain.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        peer: AuthorityIndex,
    ) -> Result<(SecureStream<S>, Epoch), SessionError> {
        let epoch = self.epoch();
        let key = self.committee.authority(peer).network_key;
        let key = key.exchange_key(self.keys.encryption());
        let key = key.ok_or(SessionError::UnusableKey { peer })?;
        let (calling, handshake) =
            Calling::begin(self.own(), &key).map_err(SessionError::Cryptography)?;
        let hello = Hello {
            chain: self.chain,
            epoch,
            from: self.own,
            handshake,
        };
        write(&mut stream, &hello).await?;
        let welcome: Welcome = read(&mut stream).await?;
        if let Some(difference) = self.chain.difference(&welcome.chain) {
            return Err(SessionError::OtherChain { difference });
        }
        let other_key = || SessionError::OtherKey { peer, epoch };
        let second = match welcome.reply {
            HandshakeReply::Handshake(second) => second,
            HandshakeReply::OtherChain => return Err(other_key()),
            HandshakeReply::NotRetained(retained) => {
                return Err(SessionError::NotRetained { epoch, retained });
            }
        };
        let (session, payload) = calling.finish(&second).map_err(|_| other_key())?;
        let newest_epoch = payload.try_into().map_err(|_| other_key())?;
        self.events.on_session(&session.keys);
        let stream = SecureStream::new(stream, session.transport);
        Ok((stream, Epoch(u64::from_le_bytes(newest_epoch))))
    }

    /// Answers the greeting of a caller. `newest_epoch` is the newest one that this node has entered.
    ///
    /// # Errors
    /// If the handshake is not for this node, and those of the stream.
    pub async fn answer<S: AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        hello: &Hello,
        newest_epoch: Epoch,
    ) -> Result<Accepted<S>, SessionError> {
        let epoch = self.epoch();
        let answering = Answering::read(self.own(), &hello.handshake)
            .map_err(|_| SessionError::ForOtherKey { epoch })?;
        let key = answering.caller;
        let (session, handshake) = answering
            .finish(&newest_epoch.0.to_le_bytes())
            .map_err(SessionError::Cryptography)?;
        // Before the caller can use them.
        self.events.on_session(&session.keys);
        let welcome = Welcome {
            chain: self.chain,
            reply: HandshakeReply::Handshake(handshake),
        };
        write(&mut stream, &welcome).await?;
        let seat = self.members.get(&key).copied();
        Ok(Accepted {
            stream: SecureStream::new(stream, session.transport),
            caller: bug_switches::caller(Caller { key, seat }, hello.from),
        })
    }
}

/// Reads the greeting of a caller.
///
/// # Errors
/// If it sends something else or closes the connection.
pub async fn read_hello(stream: &mut (impl AsyncRead + Unpin)) -> Result<Hello, SessionError> {
    read(stream).await
}

/// Tells a caller for which reason there is no session: it is of another chain, or of an epoch that is not retained.
///
/// # Errors
/// Always: that reason, or that of the stream.
pub async fn refuse(
    stream: &mut (impl AsyncWrite + Unpin),
    chain: Chain,
    retained: RetainedEpochs,
    hello: &Hello,
) -> SessionError {
    let epoch = hello.epoch;
    let (reply, error) = match chain.difference(&hello.chain) {
        Some(difference) => (
            HandshakeReply::OtherChain,
            SessionError::OtherChain { difference },
        ),
        None => (
            HandshakeReply::NotRetained(retained),
            SessionError::NotRetained { epoch, retained },
        ),
    };
    let refused = write(stream, &Welcome { chain, reply }).await;
    refused.err().unwrap_or(error)
}

async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> Result<(), SessionError> {
    let frame = PLAIN_FRAMING.encode_body(&bcs::to_bytes(message)?)?;
    Ok(write_frame(stream, &frame).await?)
}

async fn read<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<T, SessionError> {
    let body = read_frame_exactly(stream, PLAIN_FRAMING.limit_bytes).await?;
    Ok(bcs::from_bytes(&body.ok_or(SessionError::Closed)?)?)
}
