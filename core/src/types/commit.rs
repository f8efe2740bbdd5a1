//! Commits: the chain of decisions of an epoch, the same on every honest node.

use super::{
    AuthorityIndex, BlockRef, CommitDigest, CommitIndex, Epoch, TimestampMs, VerifiedBlock,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Identifies one commit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CommitRef {
    pub index: CommitIndex,
    pub digest: CommitDigest,
}

impl fmt::Display for CommitRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C{}:{}", self.index, self.digest)
    }
}

impl fmt::Debug for CommitRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One decision: a leader and the blocks that it brings in. Its digest covers `previous`, so equal digests mean
/// equal histories (invariant AGREE).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    pub epoch: Epoch,
    pub index: CommitIndex,
    /// Digest of the previous commit, zero for the first commit of an epoch.
    pub previous: CommitDigest,
    pub leader: BlockRef,
    /// Stake-weighted median of the timestamps of the leader's parents, at least that of the previous commit: a
    /// function of the DAG alone.
    pub timestamp_ms: TimestampMs,
    /// `timestamp_ms` of the epoch's first commit, from which the age of the epoch is counted (contract §7).
    pub epoch_began_ms: TimestampMs,
    /// The authorities whose end-of-epoch marks are in this commit or an earlier one, ascending (contract §7).
    pub ending: Vec<AuthorityIndex>,
    /// The sub-DAG in delivery order: by (round, author, digest), the leader last.
    pub blocks: Vec<BlockRef>,
}

impl Commit {
    /// The bytes that are stored, sent and digested.
    #[must_use]
    #[allow(clippy::expect_used)]
    pub fn encode(&self) -> Vec<u8> {
        bcs::to_bytes(self).expect("structs without maps always encode")
    }

    /// # Errors
    /// If the bytes are not a commit.
    pub fn decode(bytes: &[u8]) -> Result<Self, bcs::Error> {
        bcs::from_bytes(bytes)
    }

    #[must_use]
    pub fn reference(&self) -> CommitRef {
        CommitRef {
            index: self.index,
            digest: CommitDigest::of(&self.encode()),
        }
    }
}

/// A commit with its blocks, in the order of [`Commit::blocks`].
#[derive(Clone, Debug)]
pub struct SubDag {
    pub commit: Commit,
    pub reference: CommitRef,
    pub blocks: Vec<VerifiedBlock>,
}
