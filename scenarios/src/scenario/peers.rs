//! `[node.peers]`: limits of every node that have to do with its peers and with the size of its blocks.

use crate::sampling::{Sampled, Sampler};
use metanode_sim::plan::PeerPlan;
use serde::{Deserialize, Serialize};

/// As in production, unless a scenario says otherwise.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Peers {
    pub commit_sync_threshold: Sampled<u32>,
    pub commit_sync_batch: Sampled<u32>,
    pub pool_transactions: Sampled<u32>,
    pub max_block_bytes: Sampled<u32>,
    pub peer_timeout_ms: Sampled<u64>,
    pub peer_silence_ms: Sampled<u64>,
}

impl Default for Peers {
    fn default() -> Self {
        Self::fixed(&PeerPlan::default())
    }
}

impl Peers {
    /// Nothing is left open.
    pub(super) const fn fixed(plan: &PeerPlan) -> Self {
        let PeerPlan {
            commit_sync_threshold,
            commit_sync_batch,
            pool_transactions,
            max_block_bytes,
            peer_timeout_ms,
            peer_silence_ms,
        } = plan;
        Self {
            commit_sync_threshold: Sampled::fixed(*commit_sync_threshold),
            commit_sync_batch: Sampled::fixed(*commit_sync_batch),
            pool_transactions: Sampled::fixed(*pool_transactions),
            max_block_bytes: Sampled::fixed(*max_block_bytes),
            peer_timeout_ms: Sampled::fixed(*peer_timeout_ms),
            peer_silence_ms: Sampled::fixed(*peer_silence_ms),
        }
    }

    pub(super) fn draw(&self, sampler: &Sampler) -> PeerPlan {
        PeerPlan {
            commit_sync_threshold: sampler.draw(
                "node.peers.commit_sync_threshold",
                self.commit_sync_threshold,
            ),
            commit_sync_batch: sampler.draw("node.peers.commit_sync_batch", self.commit_sync_batch),
            pool_transactions: sampler.draw("node.peers.pool_transactions", self.pool_transactions),
            max_block_bytes: sampler.draw("node.peers.max_block_bytes", self.max_block_bytes),
            peer_timeout_ms: sampler.draw("node.peers.peer_timeout_ms", self.peer_timeout_ms),
            peer_silence_ms: sampler.draw("node.peers.peer_silence_ms", self.peer_silence_ms),
        }
    }

    pub(super) fn least_values(&self) -> [(&'static str, u64, u64); 5] {
        [
            (
                "node.peers.commit_sync_batch",
                self.commit_sync_batch.low.into(),
                1,
            ),
            (
                "node.peers.pool_transactions",
                self.pool_transactions.low.into(),
                1,
            ),
            (
                "node.peers.max_block_bytes",
                self.max_block_bytes.low.into(),
                1,
            ),
            ("node.peers.peer_timeout_ms", self.peer_timeout_ms.low, 1),
            ("node.peers.peer_silence_ms", self.peer_silence_ms.low, 1),
        ]
    }
}
