//! The connections that a fault applies to.

use crate::addresses::{
    BLOCK_STREAM_PATH, OLD_TRANSPORT_PORT, P2P_PORT, RPC_PATH, TRANSACTIONS_PATH,
};
use metanode_core::types::Address;
use serde::{Deserialize, Serialize};
use std::{fmt, path::Path};

/// The connections of a host, by what they carry (contract §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    #[default]
    Any,
    BlockStream,
    Rpc,
    Peers,
    Transactions,
}

impl Channel {
    /// What a connection to this address carries.
    pub(super) fn of(address: &Address) -> Self {
        match address {
            Address::Unix(path) if path.as_os_str() == BLOCK_STREAM_PATH => Self::BlockStream,
            Address::Unix(path) if path.as_os_str() == TRANSACTIONS_PATH => Self::Transactions,
            Address::Tcp(address) if address.port() == P2P_PORT => Self::Peers,
            Address::Tcp(address) if address.port() == OLD_TRANSPORT_PORT => Self::Transactions,
            Address::Unix(_) | Address::Tcp(_) => Self::Rpc,
        }
    }

    /// The paths of the Unix sockets of an executor on this channel.
    pub(super) fn unix_paths(self) -> Vec<&'static Path> {
        let all = [
            (Self::BlockStream, BLOCK_STREAM_PATH),
            (Self::Rpc, RPC_PATH),
        ];
        let chosen = all
            .iter()
            .filter(|(channel, _)| self == Self::Any || self == *channel);
        chosen.map(|(_, path)| Path::new(*path)).collect()
    }
}

/// The plural, for descriptions.
impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "connections",
            Self::BlockStream => "block streams",
            Self::Rpc => "RPC connections",
            Self::Peers => "connections to peers",
            Self::Transactions => "connections of Subs",
        })
    }
}
