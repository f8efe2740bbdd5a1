//! Blocks of the DAG, and the verification of received ones.

use super::{
    AuthorityIndex, BlockDigest, ChainId, CommitRef, Committee, Epoch, KeyPair, OwnRound, Round,
    SignatureBytes, SignatureScheme, Stake, TimestampMs, Transaction,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{fmt, ops::Deref, sync::Arc};
use thiserror::Error;

/// Identifies one block. Ordered by (round, author, digest).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlockRef {
    pub round: Round,
    pub author: AuthorityIndex,
    pub digest: BlockDigest,
}

impl BlockRef {
    /// The lowest possible reference of a round, for range scans.
    #[must_use]
    pub const fn first_of_round(round: Round) -> Self {
        Self {
            round,
            author: AuthorityIndex(0),
            digest: BlockDigest([0; 32]),
        }
    }

    #[must_use]
    pub const fn slot(&self) -> Slot {
        Slot {
            round: self.round,
            author: self.author,
        }
    }
}

impl fmt::Display for BlockRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "B{}[{}]{}", self.round, self.author, self.digest)
    }
}

impl fmt::Debug for BlockRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A pair (round, author), for which an honest authority makes at most one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot {
    pub round: Round,
    pub author: AuthorityIndex,
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S{}[{}]", self.round, self.author)
    }
}

/// The content of a block, which its author signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    pub epoch: Epoch,
    pub round: Round,
    pub author: AuthorityIndex,
    /// The author's clock when it proposed. Not trusted by itself: commits take the stake-weighted median.
    pub timestamp_ms: TimestampMs,
    /// At most one per authority, all of lower rounds; 2f+1 stake of them in the round before.
    pub ancestors: Vec<BlockRef>,
    pub transactions: Vec<Transaction>,
    /// Commits the author has stored: 2f+1 of these certify a commit for a node that catches up.
    pub commit_votes: Vec<CommitRef>,
    /// The author has seen the epoch's duration elapse (contract §7).
    pub end_of_epoch: bool,
}

/// A block with its author's signature over chain and content (contract §13.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedBlock {
    pub block: Block,
    pub signature: SignatureBytes,
}

/// Why a block is rejected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidBlock {
    #[error("{bytes} bytes do not decode as a block: {reason}")]
    Malformed { bytes: usize, reason: String },
    #[error("block of epoch {found}, expected epoch {expected}")]
    WrongEpoch { expected: Epoch, found: Epoch },
    #[error("author {author} is not among the {size} authorities of the committee")]
    UnknownAuthor { author: AuthorityIndex, size: usize },
    #[error("block of round 0: genesis blocks are computed, never received")]
    Genesis,
    #[error("signature of {slot} does not verify with its author's key")]
    BadSignature { slot: Slot },
    #[error("{slot} has ancestor {ancestor}, which is not of a lower round")]
    AncestorNotBefore { slot: Slot, ancestor: BlockRef },
    #[error("{slot} has more than one ancestor of authority {author}")]
    RepeatedAncestor { slot: Slot, author: AuthorityIndex },
    #[error("{slot} does not have its author's own previous block as first ancestor")]
    OwnAncestorMissing { slot: Slot },
    #[error(
        "{slot} has ancestors of {found} stake in the previous round, expected at least {needed}"
    )]
    TooFewParents {
        slot: Slot,
        found: Stake,
        needed: Stake,
    },
    #[error("{slot} votes for {found} commits, the limit is {MAX_COMMIT_VOTES}")]
    TooManyVotes { slot: Slot, found: usize },
    #[error("{slot} carries {found} transactions, the limit is {MAX_BLOCK_TRANSACTIONS}")]
    TooManyTransactions { slot: Slot, found: usize },
    #[error("{slot} carries {found} bytes of transactions, the limit is {limit}")]
    TooLarge {
        slot: Slot,
        found: usize,
        limit: usize,
    },
}

/// Maximum number of commit votes in one block.
pub const MAX_COMMIT_VOTES: usize = 100;

/// Maximum total size of the transactions of one block. No block can contain a larger transaction.
pub const MAX_BLOCK_TRANSACTION_BYTES: usize = 4 * 1024 * 1024;

/// Maximum number of transactions in one block: empty ones have no size, but each costs time and memory.
pub const MAX_BLOCK_TRANSACTIONS: usize = 1 << 16;

impl Block {
    /// Signs the block for one chain and computes its digest.
    #[must_use]
    pub fn sign(self, keys: &KeyPair, chain: ChainId) -> VerifiedBlock {
        let mut bytes = encode(&self);
        let mut hasher = blake3::Hasher::new();
        let content_digest = hasher.update(&bytes).finalize();
        let signature = keys.sign(&signed_message(chain, content_digest));
        bytes.extend(encode(&signature));
        let signed = SignedBlock {
            block: self,
            signature,
        };
        VerifiedBlock::new(signed, bytes.into(), hasher)
    }

    /// The block of `author` in round 0. Computed by every node, never sent.
    #[must_use]
    pub fn genesis(epoch: Epoch, author: AuthorityIndex) -> VerifiedBlock {
        VerifiedBlock::of(SignedBlock {
            block: Self {
                epoch,
                round: Round(0),
                author,
                timestamp_ms: TimestampMs(0),
                ancestors: vec![],
                transactions: vec![],
                commit_votes: vec![],
                end_of_epoch: false,
            },
            signature: SignatureBytes::new(),
        })
    }

    #[must_use]
    pub const fn slot(&self) -> Slot {
        Slot {
            round: self.round,
            author: self.author,
        }
    }

    /// Where the block stands among those of its author.
    #[must_use]
    pub const fn own_round(&self) -> OwnRound {
        OwnRound {
            epoch: self.epoch,
            round: self.round,
        }
    }

    /// The checks that need no other block. The block manager waits for the ancestors.
    fn check_structure(&self, committee: &Committee) -> Result<(), InvalidBlock> {
        let slot = self.slot();
        if self.epoch != committee.epoch() {
            return Err(InvalidBlock::WrongEpoch {
                expected: committee.epoch(),
                found: self.epoch,
            });
        }
        let size = committee.size();
        if self.author.as_usize() >= size {
            return Err(InvalidBlock::UnknownAuthor {
                author: self.author,
                size,
            });
        }
        if self.round == Round(0) {
            return Err(InvalidBlock::Genesis);
        }
        if self.ancestors.first().map(|own| own.author) != Some(self.author) {
            return Err(InvalidBlock::OwnAncestorMissing { slot });
        }
        let mut seen = vec![false; size];
        let mut parents = Stake(0);
        for ancestor in &self.ancestors {
            let author = ancestor.author;
            match seen.get_mut(author.as_usize()) {
                None => return Err(InvalidBlock::UnknownAuthor { author, size }),
                Some(true) => return Err(InvalidBlock::RepeatedAncestor { slot, author }),
                Some(unseen) => *unseen = true,
            }
            if ancestor.round >= self.round {
                return Err(InvalidBlock::AncestorNotBefore {
                    slot,
                    ancestor: *ancestor,
                });
            }
            if ancestor.round.next() == self.round {
                parents += committee.stake(author);
            }
        }
        if parents < committee.quorum() {
            return Err(InvalidBlock::TooFewParents {
                slot,
                found: parents,
                needed: committee.quorum(),
            });
        }
        // Each vote becomes a key in the store, so their number must be bounded.
        let found = self.commit_votes.len();
        if found > MAX_COMMIT_VOTES {
            return Err(InvalidBlock::TooManyVotes { slot, found });
        }
        let found = self.transactions.len();
        if found > MAX_BLOCK_TRANSACTIONS {
            return Err(InvalidBlock::TooManyTransactions { slot, found });
        }
        let found = self.transactions.iter().map(|t| t.0.len()).sum();
        if found > MAX_BLOCK_TRANSACTION_BYTES {
            return Err(InvalidBlock::TooLarge {
                slot,
                found,
                limit: MAX_BLOCK_TRANSACTION_BYTES,
            });
        }
        Ok(())
    }
}

/// What a frame to the executor needs for a transaction besides its bytes, at most.
const TRANSACTION_OVERHEAD_BYTES: usize = 16;

/// A block whose structure and signature were checked (or that this node signed itself), with its bytes and
/// digest. Cheap to clone.
#[derive(Clone)]
pub struct VerifiedBlock(Arc<Inner>);

struct Inner {
    signed: SignedBlock,
    reference: BlockRef,
    bytes: Bytes,
}

impl VerifiedBlock {
    fn of(signed: SignedBlock) -> Self {
        let bytes = Bytes::from(encode(&signed));
        Self::digested(signed, bytes).0
    }

    /// The block, and the digest that its signature covers. bcs writes the fields of a struct in order and its encoding
    /// is canonical, so the encoding of the content is a prefix of `bytes`, and one pass gives both digests.
    fn digested(signed: SignedBlock, bytes: Bytes) -> (Self, blake3::Hash) {
        let signature_bytes = encoded_size(&signed.signature);
        let mut hasher = blake3::Hasher::new();
        let content_digest = hasher
            .update(&bytes[..bytes.len() - signature_bytes])
            .finalize();
        (Self::new(signed, bytes, hasher), content_digest)
    }

    /// `hasher` has consumed the content, which is a prefix of `bytes`.
    fn new(signed: SignedBlock, bytes: Bytes, mut hasher: blake3::Hasher) -> Self {
        #[allow(clippy::cast_possible_truncation)] // a length in memory
        let content_bytes = hasher.count() as usize;
        let digest = hasher.update(&bytes[content_bytes..]).finalize();
        let reference = BlockRef {
            round: signed.block.round,
            author: signed.block.author,
            digest: BlockDigest(*digest.as_bytes()),
        };
        Self(Arc::new(Inner {
            signed,
            reference,
            bytes,
        }))
    }

    /// Its part of the size of a commit: each transaction counts 16 bytes more than it has, which covers what a frame to
    /// the executor needs for it (specification §13.6).
    #[must_use]
    pub fn delivered_bytes(&self) -> usize {
        let bytes = |transaction: &Transaction| transaction.0.len() + TRANSACTION_OVERHEAD_BYTES;
        self.transactions.iter().map(bytes).sum()
    }

    /// Decodes and verifies a received block.
    ///
    /// # Errors
    /// The first check that failed; an honest peer does not send such a block.
    pub fn verify(
        bytes: Bytes,
        committee: &Committee,
        scheme: SignatureScheme,
        chain: ChainId,
    ) -> Result<Self, InvalidBlock> {
        let (block, content_digest) = Self::parse(bytes)?;
        block.check_structure(committee)?;
        let key = committee.authority(block.author).protocol_key;
        let signature = &block.0.signed.signature;
        if !key.verifies(scheme, &signed_message(chain, content_digest), signature) {
            return Err(InvalidBlock::BadSignature { slot: block.slot() });
        }
        Ok(block)
    }

    /// Decodes a block that was verified before it was stored. The caller must compare its reference with the key under
    /// which it was stored, to detect damage on disk.
    ///
    /// # Errors
    /// If the bytes are not a block.
    pub fn decode(bytes: Bytes) -> Result<Self, InvalidBlock> {
        Ok(Self::parse(bytes)?.0)
    }

    fn parse(bytes: Bytes) -> Result<(Self, blake3::Hash), InvalidBlock> {
        let signed = bcs::from_bytes(&bytes).map_err(|e| InvalidBlock::Malformed {
            bytes: bytes.len(),
            reason: e.to_string(),
        })?;
        Ok(Self::digested(signed, bytes))
    }

    #[must_use]
    pub fn reference(&self) -> BlockRef {
        self.0.reference
    }

    /// The bcs bytes of the signed block, as stored and sent.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0.bytes
    }

    /// The block with its reference and bytes unchanged, but in memory only with the ancestors that `keep` selects.
    #[cfg(feature = "museum")]
    #[must_use]
    pub(crate) fn with_ancestors(&self, keep: impl Fn(&BlockRef) -> bool) -> Self {
        let mut signed = self.0.signed.clone();
        signed.block.ancestors.retain(keep);
        Self(Arc::new(Inner {
            signed,
            reference: self.0.reference,
            bytes: self.0.bytes.clone(),
        }))
    }
}

impl Deref for VerifiedBlock {
    type Target = Block;
    fn deref(&self) -> &Block {
        &self.0.signed.block
    }
}

impl PartialEq for VerifiedBlock {
    fn eq(&self, other: &Self) -> bool {
        self.reference() == other.reference()
    }
}

impl Eq for VerifiedBlock {}

impl fmt::Debug for VerifiedBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.reference())
    }
}

/// What an author signs: the digest of the content, keyed with the chain. The prefix keeps it apart from whatever else
/// the same key may sign.
fn signed_message(chain: ChainId, content_digest: blake3::Hash) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(&chain.0);
    hasher.update(b"block").update(content_digest.as_bytes());
    *hasher.finalize().as_bytes()
}

/// bcs fails only for maps with colliding keys and over-long sequences, which these structs do not contain.
#[allow(clippy::expect_used)]
fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    bcs::to_bytes(value).expect("structs without maps always encode")
}

#[allow(clippy::expect_used)]
fn encoded_size<T: Serialize>(value: &T) -> usize {
    bcs::serialized_size(value).expect("structs without maps always encode")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::CommitDigest;

    #[test]
    fn the_signature_is_over_the_digest_of_the_content_and_the_digest_over_both() {
        for scheme in [SignatureScheme::Ed25519, SignatureScheme::KeyedHash] {
            let content = Block {
                epoch: Epoch(3),
                round: Round(7),
                author: AuthorityIndex(2),
                timestamp_ms: TimestampMs(9),
                ancestors: vec![BlockRef::first_of_round(Round(6))],
                transactions: vec![Transaction(Bytes::from_static(b"transfer"))],
                commit_votes: vec![CommitRef {
                    index: crate::types::CommitIndex(4),
                    digest: CommitDigest([1; 32]),
                }],
                end_of_epoch: true,
            };
            let keys = KeyPair::from_seed(scheme, &[5; 32]);
            let block = content.clone().sign(&keys, ChainId::default());
            let (again, content_digest) = VerifiedBlock::parse(block.bytes().clone()).unwrap();
            assert_eq!(content_digest, blake3::hash(&encode(&content)));
            assert_eq!(again.reference().digest, BlockDigest::of(block.bytes()));
            assert_eq!(again.reference(), block.reference());
            assert_eq!(*again, content);
        }
    }

    #[test]
    fn the_number_of_commit_votes_is_limited() {
        let keys = KeyPair::from_seed(SignatureScheme::KeyedHash, &[5; 32]);
        let authority = crate::types::Authority {
            network_key: crate::types::NetworkKey([5; 32]),
            authority_key: vec![1],
            protocol_key: keys.public(),
            stake: Stake(1),
            address: [1; 20],
            p2p_address: ([0, 0, 0, 0], 0).into(),
            name: "alone".to_owned(),
        };
        let committee = Committee::new(Epoch(0), vec![authority]).unwrap();
        let author = AuthorityIndex(0);
        let voting = |count| {
            let vote = CommitRef {
                index: crate::types::CommitIndex(4),
                digest: CommitDigest([1; 32]),
            };
            let block = Block {
                epoch: Epoch(0),
                round: Round(1),
                author,
                timestamp_ms: TimestampMs(9),
                ancestors: vec![Block::genesis(Epoch(0), author).reference()],
                transactions: vec![],
                commit_votes: vec![vote; count],
                end_of_epoch: false,
            };
            let bytes = block.sign(&keys, ChainId::default()).bytes().clone();
            VerifiedBlock::verify(
                bytes,
                &committee,
                SignatureScheme::KeyedHash,
                ChainId::default(),
            )
        };
        assert!(voting(MAX_COMMIT_VOTES).is_ok());
        let error = voting(MAX_COMMIT_VOTES + 1).unwrap_err();
        assert!(
            matches!(error, InvalidBlock::TooManyVotes { .. }),
            "{error}"
        );
    }
}
