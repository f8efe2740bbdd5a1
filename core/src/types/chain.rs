//! The identity of a chain: how it began, and the parameters that decide its commits. Nodes that differ in it would make
//! different commits of the same blocks, so they refuse each other, and no signature of one chain is valid in another
//! (contract §13.4).

use super::{ChainId, Committee, GenesisDigest, TimestampMs};
use serde::{Deserialize, Serialize};

/// The identity of a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    pub genesis: GenesisDigest,
    /// Rounds below the last committed leader that may still be committed.
    pub gc_depth_rounds: u32,
    /// Leader slots per round.
    pub leaders_per_round: u32,
    /// Size of the transactions of one commit.
    pub max_commit_bytes: u32,
    /// Starts of epochs after the first are multiples of it.
    pub epoch_start_granularity_ms: u32,
}

impl GenesisDigest {
    /// The digest of a chain whose epoch 0 begins at this time with this committee. Network addresses and names are left
    /// out: they decide nothing.
    #[must_use]
    pub fn of_start(timestamp_ms: TimestampMs, committee: &Committee) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&timestamp_ms.0.to_le_bytes());
        for (_, authority) in committee.authorities() {
            let key_bytes = authority.authority_key.len() as u64;
            hasher.update(&key_bytes.to_le_bytes());
            hasher.update(&authority.authority_key);
            hasher.update(&authority.protocol_key.0);
            hasher.update(&authority.stake.0.to_le_bytes());
            hasher.update(&authority.address);
        }
        Self(*hasher.finalize().as_bytes())
    }
}

impl Chain {
    /// What signatures cover.
    #[must_use]
    pub fn id(&self) -> ChainId {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.genesis.0);
        hasher.update(&self.gc_depth_rounds.to_le_bytes());
        hasher.update(&self.leaders_per_round.to_le_bytes());
        hasher.update(&self.max_commit_bytes.to_le_bytes());
        hasher.update(&self.epoch_start_granularity_ms.to_le_bytes());
        ChainId(*hasher.finalize().as_bytes())
    }

    /// Each value in which another chain differs, with both values: this one's first.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        let values = [
            (
                "genesis",
                self.genesis.to_string(),
                other.genesis.to_string(),
            ),
            (
                "gc_depth_rounds",
                self.gc_depth_rounds.to_string(),
                other.gc_depth_rounds.to_string(),
            ),
            (
                "leaders_per_round",
                self.leaders_per_round.to_string(),
                other.leaders_per_round.to_string(),
            ),
            (
                "max_commit_bytes",
                self.max_commit_bytes.to_string(),
                other.max_commit_bytes.to_string(),
            ),
            (
                "epoch_start_granularity_ms",
                self.epoch_start_granularity_ms.to_string(),
                other.epoch_start_granularity_ms.to_string(),
            ),
        ];
        let differing = values.into_iter().filter(|(_, own, other)| own != other);
        let described =
            differing.map(|(name, own, other)| format!("{name} is {own} here, {other} there"));
        let described: Vec<_> = described.collect();
        (self != other).then(|| described.join("; "))
    }
}
