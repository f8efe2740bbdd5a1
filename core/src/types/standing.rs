//! Where an executor stands beside those of peers, as values that events carry. `peers::discovery` computes them.

use super::{Epoch, GlobalExecIndex};
use derive_more::Display;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How far an executor is. A later epoch is further, whatever the block.
#[derive(
    Clone, Copy, Debug, Display, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[display("epoch {epoch}, block {block}")]
pub struct ChainPosition {
    pub epoch: Epoch,
    /// The last durable block.
    pub block: GlobalExecIndex,
}

/// What stands behind the position of the best peer.
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq, Serialize, Deserialize)]
pub enum Support {
    /// No other peer is configured: what it says is taken for a candidate, and is not certain.
    #[display("the only configured peer")]
    OnlyPeer,
    /// So many peers are there or further, among them an honest one.
    #[display("supported, {peers} of the peers are there or further")]
    Peers { peers: u16 },
    /// This node has stored commits up to there itself.
    #[display("this node has stored the commits up to there")]
    OwnCommits,
    /// Fewer peers are there than could be lying.
    #[display("only {peers} of {needed} peers that it takes are there")]
    Missing { peers: u16, needed: u16 },
}

/// The best peer: the furthest position that has support, or without any the furthest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BestPeer {
    /// Its place in the configuration, from 0.
    pub peer: u16,
    pub position: ChainPosition,
    pub support: Support,
}

/// How far an executor is behind the best peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gap {
    Epochs(u64),
    /// In the same epoch.
    Blocks(u64),
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epochs(1) => f.write_str("1 epoch"),
            Self::Epochs(epochs) => write!(f, "{epochs} epochs"),
            Self::Blocks(blocks) => write!(f, "{blocks} blocks"),
        }
    }
}

/// Why it is unknown whether an executor is behind.
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnknownBecause {
    #[display("no peer has answered")]
    NoAnswer,
    /// Those that have answered could all be lying.
    #[display("no position of a peer has the support of enough others")]
    NoSupport,
    /// Nobody who has answered is further, but those who have not may be.
    #[display("too few peers have answered")]
    FewAnswers,
    #[display("the executor of this node has not answered")]
    OwnUnknown,
}

/// Where the executor of a node stands (contract §10.2, §10.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// At most five blocks behind the best peer, in its epoch, or further than it.
    InSync,
    Behind(Gap),
    Unknown(UnknownBecause),
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InSync => f.write_str("in sync"),
            Self::Behind(gap) => write!(f, "behind by {gap}"),
            Self::Unknown(because) => write!(f, "unknown, because {because}"),
        }
    }
}

/// The state root of an executor after a block.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StateRoot(#[serde(with = "super::fixed_bytes")] pub [u8; 32]);

impl fmt::Display for StateRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StateRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
