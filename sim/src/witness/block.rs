//! A block of the DAG as its bytes say, decoded once per run however often it is sent and stored.

use bytes::Bytes;
use metanode_core::types::{BlockRef, CommitDigest, CommitIndex, Epoch, TimestampMs};
use serde::Serialize;

/// A block. It decoded, but nothing about it is verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenBlock {
    pub epoch: Epoch,
    pub reference: BlockRef,
    #[serde(skip)]
    pub timestamp_ms: TimestampMs,
    #[serde(skip)]
    pub ancestors: Vec<BlockRef>,
    #[serde(skip)]
    pub transactions: Vec<Bytes>,
    #[serde(skip)]
    pub commit_votes: Vec<(CommitIndex, CommitDigest)>,
    #[serde(skip)]
    pub end_of_epoch: bool,
    /// blake3 of the signed content.
    #[serde(skip)]
    pub content_digest: [u8; 32],
    #[serde(skip)]
    pub signature: Bytes,
}

impl SeenBlock {
    /// What its transactions and references take.
    pub fn content_bytes(&self) -> u64 {
        let references = size_of_val(&self.ancestors[..]) + size_of_val(&self.commit_votes[..]);
        let transactions: usize = self.transactions.iter().map(Bytes::len).sum();
        (references + transactions) as u64
    }
}
