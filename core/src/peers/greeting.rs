//! The first two messages of a connection between nodes, in BCS, each in a frame. They carry the two messages of the
//! handshake; everything after them is encrypted.

use crate::{
    framing::{Framing, LengthPrefix},
    types::{AuthorityIndex, Chain, Epoch},
};
use bytes::Bytes;
use derive_more::Display;
use serde::{Deserialize, Serialize};

/// The framing of greetings. Both have some 200 bytes.
pub const PLAIN_FRAMING: Framing = Framing {
    prefix: LengthPrefix::BigEndian32,
    limit_bytes: 1024,
};

/// The caller's first message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub chain: Chain,
    /// The epoch whose committee has the listener's network key.
    pub epoch: Epoch,
    /// Which member the caller says it is, for those who watch connections. Nobody relies on it: the handshake proves a
    /// key, and the committee says whose that is.
    pub from: Option<AuthorityIndex>,
    /// The first message of the handshake.
    pub handshake: Bytes,
}

/// The listener's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    pub chain: Chain,
    pub reply: HandshakeReply,
}

/// What the listener replies to a handshake. A refusal ends the connection, and nobody has proven who refuses: it is told
/// to the operator and decides nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HandshakeReply {
    /// The second message of the handshake.
    Handshake(Bytes),
    OtherChain,
    NotRetained(RetainedEpochs),
}

/// The oldest and the newest epoch whose commits and blocks a node keeps.
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq, Serialize, Deserialize)]
#[display("{oldest} to {newest}")]
pub struct RetainedEpochs {
    pub oldest: Epoch,
    pub newest: Epoch,
}
