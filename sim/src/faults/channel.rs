//! The connections that a fault applies to.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The connections of a host, by what they carry (contract §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    #[default]
    Any,
    BlockStream,
    Rpc,
    Peers,
}

/// The plural, for descriptions.
impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "connections",
            Self::BlockStream => "block streams",
            Self::Rpc => "RPC connections",
            Self::Peers => "connections to peers",
        })
    }
}
