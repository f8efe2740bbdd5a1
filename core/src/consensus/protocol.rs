//! The protocol between peers: length-prefixed BCS messages over the encrypted streams of [`peers`](crate::peers).
//!
//! A connection begins with the caller's [`Purpose`]. It is then a **subscription**, on which the listener streams its own
//! blocks for ever, a **query** connection, on which requests are answered one after the other, or one on which a node
//! without a seat **hands over** transactions, with the frames and replies of the transaction socket (contract §8.9). Who
//! the caller is decides how much it gets, not what: blocks are verified by their authors' signatures, commits by the votes
//! of a quorum, and nothing else is trusted.

use crate::{
    framing::{FrameError, Framing, LengthPrefix},
    types::{AuthorityIndex, BlockRef, CommitIndex, Committee, Round},
};
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _, SeqAccess, Visitor},
};
use std::{fmt, marker::PhantomData};
use thiserror::Error;

/// The framing of peer connections. The limit allows answers with many blocks of a few MiB.
pub const FRAMING: Framing = Framing {
    prefix: LengthPrefix::BigEndian32,
    limit_bytes: 32 * 1024 * 1024,
};

/// The framing of what a listener reads. The largest request names [`MAX_BLOCKS_PER_REQUEST`] blocks, in some 10 KiB.
pub const REQUEST_FRAMING: Framing = Framing {
    prefix: LengthPrefix::BigEndian32,
    limit_bytes: 64 * 1024,
};

/// With the block that reaches this size an answer ends; the requester fetches the others again.
pub const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// The same for who is no member.
pub const MAX_GUEST_ANSWER_BYTES: usize = 1024 * 1024;

/// Maximum number of blocks in one request.
pub const MAX_BLOCKS_PER_REQUEST: usize = 256;

/// Maximum number of commits in one answer, if only so many include a commit with the votes of a quorum.
pub const MAX_COMMITS_PER_ANSWER: usize = 1_000;

/// The first message of a caller: the purpose of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// Stream the listener's own blocks above round `after`, in order.
    Subscribe { after: Round },
    /// Answer requests.
    Query,
    /// Take transactions.
    HandOver,
}

/// A request to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerRequest {
    /// These blocks, as far as the peer has them.
    Blocks(Vec<BlockRef>),
    /// Commits from `from` on, up to the last one at or below `to` for which the peer has votes of a quorum.
    Commits { from: CommitIndex, to: CommitIndex },
    /// The newest block of this authority that the peer has.
    NewestBlockOf(AuthorityIndex),
}

/// The answer to a request. One with longer lists than may be asked for does not decode: a frame of 32 MiB could have 32
/// million empty blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerResponse {
    /// Signed blocks in any order.
    Blocks(#[serde(deserialize_with = "at_most::<_, _, MAX_BLOCKS_PER_REQUEST>")] Vec<Bytes>),
    /// Commits in order, and blocks whose votes certify the last of them: some of them, and the names of those that did
    /// not fit into the answer.
    Commits {
        #[serde(deserialize_with = "at_most::<_, _, MAX_COMMITS_PER_ANSWER>")]
        commits: Vec<Bytes>,
        #[serde(deserialize_with = "at_most::<_, _, { Committee::MAX_MEMBERS }>")]
        voters: Vec<Bytes>,
        #[serde(deserialize_with = "at_most::<_, _, { Committee::MAX_MEMBERS }>")]
        further_voters: Vec<BlockRef>,
    },
    /// A signed block; `None` if there is none above genesis.
    NewestBlock(Option<Bytes>),
    /// The answer follows when its requester may take more. Sent again and again until then: who hears nothing takes its peer
    /// for dead, and asks for everything again.
    Wait,
}

/// A message that cannot be encoded or decoded.
#[derive(Debug, Error)]
pub enum MessageError {
    #[error("cannot encode a message: {0}")]
    Encode(bcs::Error),
    #[error("cannot decode a message: {0}")]
    Decode(bcs::Error),
    #[error("cannot frame a message: {0}")]
    Frame(#[from] FrameError),
}

/// Encodes a message as a frame.
///
/// # Errors
/// If it exceeds the frame limit.
pub fn frame<T: Serialize>(message: &T) -> Result<Bytes, MessageError> {
    let body = bcs::to_bytes(message).map_err(MessageError::Encode)?;
    Ok(FRAMING.encode_body(&body)?)
}

/// Decodes the body of a frame.
///
/// # Errors
/// If the body is not a message of this type.
pub fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, MessageError> {
    bcs::from_bytes(body).map_err(MessageError::Decode)
}

/// Decodes a list of at most `MAX` elements.
fn at_most<'de, D, T, const MAX: usize>(list: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    list.deserialize_seq(AtMost::<T, MAX>(PhantomData))
}

struct AtMost<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for AtMost<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
        let mut list = vec![];
        while let Some(element) = elements.next_element()? {
            if list.len() == MAX {
                return Err(A::Error::invalid_length(MAX + 1, &self));
            }
            list.push(element);
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_list_of_an_answer_is_longer_than_what_may_be_asked_for() {
        let blocks = |count| PeerResponse::Blocks(vec![Bytes::new(); count]);
        let commits = |count| PeerResponse::Commits {
            commits: vec![Bytes::new(); count],
            voters: vec![],
            further_voters: vec![],
        };
        let of = |answer: &PeerResponse| {
            parse::<PeerResponse>(&bcs::to_bytes(answer).unwrap()).map_err(|e| e.to_string())
        };
        let most = blocks(MAX_BLOCKS_PER_REQUEST);
        assert_eq!(of(&most).as_ref(), Ok(&most));
        let refused = of(&blocks(1_000_000)).unwrap_err();
        assert!(refused.contains("at most 256 elements"), "{refused}");
        assert!(of(&commits(MAX_COMMITS_PER_ANSWER)).is_ok());
        assert!(of(&commits(MAX_COMMITS_PER_ANSWER + 1)).is_err());
    }
}
