//! What peers say to each other: length-framed bcs messages over TCP.
//!
//! A connection begins with a [`Hello`]. It is then either a **subscription**, over which the listener streams its own
//! blocks for ever, or a **query** connection, over which requests are answered one after the other. Nothing here
//! authenticates the peer: blocks carry their authors' signatures, commits a quorum's votes, and nothing else is
//! believed.

use crate::{
    framing::{FrameError, Framing, LengthPrefix},
    types::{AuthorityIndex, BlockRef, CommitIndex, Epoch, Round},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

/// The framing of peer connections: a block has at most a few MiB, an answer many blocks.
pub const FRAMING: Framing = Framing {
    prefix: LengthPrefix::BigEndian32,
    limit_bytes: 32 * 1024 * 1024,
};

/// An answer is filled up to about this many bytes of blocks; what is left out is asked for again.
pub const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// Blocks named in one request at most.
pub const MAX_BLOCKS_PER_REQUEST: usize = 256;

/// Commits in one answer at most, where it takes so many to find one that a quorum certified.
pub const MAX_COMMITS_PER_ANSWER: usize = 1_000;

/// The first message of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub epoch: Epoch,
    /// The peer's place in the committee of this epoch, if it has one. Anybody may say anything here.
    pub from: Option<AuthorityIndex>,
    pub purpose: Purpose,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Stream the listener's own blocks above this round, in order.
    Subscribe { after: Round },
    /// Answer requests.
    Query,
}

/// A question to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerRequest {
    /// These blocks, as many as the peer has.
    Blocks(Vec<BlockRef>),
    /// Commits from `from` on, up to the last one at or below `to` for which the peer holds a quorum of votes.
    Commits { from: CommitIndex, to: CommitIndex },
    /// The newest block of this authority that the peer knows.
    NewestBlockOf(AuthorityIndex),
}

/// The answer to the request before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerResponse {
    /// Signed blocks in any order.
    Blocks(Vec<Bytes>),
    /// Commits in order, and blocks whose votes certify the last of them.
    Commits {
        commits: Vec<Bytes>,
        voters: Vec<Bytes>,
    },
    /// A signed block, if there is any above genesis.
    NewestBlock(Option<Bytes>),
}

/// A message that cannot be sent, or bytes that are none.
#[derive(Debug, Error)]
pub enum MessageError {
    #[error("a message does not encode: {0}")]
    Encode(bcs::Error),
    #[error("a message does not decode: {0}")]
    Decode(bcs::Error),
    #[error("a message does not fit: {0}")]
    Frame(#[from] FrameError),
}

/// The frame of a message.
///
/// # Errors
/// If it exceeds the limit of a frame.
pub fn frame<T: Serialize>(message: &T) -> Result<Bytes, MessageError> {
    let body = bcs::to_bytes(message).map_err(MessageError::Encode)?;
    Ok(FRAMING.encode_body(&body)?)
}

/// The message of a frame.
///
/// # Errors
/// If it is none.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, MessageError> {
    bcs::from_bytes(body).map_err(MessageError::Decode)
}
