//! Which connections a fault is about.

use serde::{Deserialize, Serialize};

/// The connections that a fault is about (contract §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    #[default]
    Any,
    BlockStream,
    Rpc,
    Peers,
}
