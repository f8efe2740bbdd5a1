//! The connections of the system: what they carry, between whom, and in which framing.

use super::frames::Framing;
use crate::process_id::ProcessId;

/// What a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Delivered blocks, from a node to an executor.
    BlockStream,
    /// Requests of a node and replies of an executor.
    ExecutorRpc,
    /// Requests of a node and replies of the executor of a peer, which may lie.
    PeerRpc,
    /// Blocks of the DAG, between nodes.
    Peers,
    /// Batches of a Sub and replies of a node.
    Transactions,
    /// One batch and one reply per connection.
    OldTransport,
}

/// The two processes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub channel: Channel,
    pub client: ProcessId,
    pub server: ProcessId,
}

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The one that connected.
    Client,
    /// The one that listened.
    Server,
}

impl End {
    pub(super) const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl Channel {
    /// The framing of what the client and the server write (contract §2).
    pub(super) fn framings(self) -> [Framing; 2] {
        const MIB: usize = 1 << 20;
        let both = |limit_bytes| [Framing::BigEndian32 { limit_bytes }; 2];
        match self {
            Self::BlockStream => {
                let limit_bytes = 64 * MIB;
                [Framing::Uvarint { limit_bytes }, Framing::Nothing]
            }
            Self::ExecutorRpc | Self::PeerRpc | Self::Transactions => both(10 * MIB),
            Self::OldTransport => {
                let limit_bytes = 10 * MIB;
                [
                    Framing::BigEndian32 { limit_bytes },
                    Framing::StatusAndBigEndian32 { limit_bytes },
                ]
            }
            Self::Peers => both(32 * MIB),
        }
    }
}
