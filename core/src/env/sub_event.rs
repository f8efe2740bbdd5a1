//! The events of a Sub.

use super::for_people;
use derive_more::Display;
use serde::{Deserialize, Serialize};

/// Events of a Sub.
#[derive(Clone, Debug, Display, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubEvent {
    /// The process started.
    #[display("starts")]
    Started,
    /// A worker is connected to the metanode.
    #[display("is connected to its metanode")]
    Connected,
    /// A connection to the metanode ended, or could not be made.
    #[display("has lost its metanode: {reason}")]
    Disconnected {
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
    /// The metanode refused transactions that are not sent again.
    #[display("gives up {transactions} transactions: {reason}")]
    Refused {
        transactions: u32,
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
    /// The Master's blocks could not be read. They are asked for again.
    #[display("cannot follow its Master: {reason}")]
    FollowFailed {
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
    /// The Sub's state is another one than its Master's. It follows no longer.
    #[display("has another state than its Master: {reason}")]
    Diverged {
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
    /// The process shut down cleanly.
    #[display("stops")]
    Stopped,
    /// The process ends because of an error.
    #[display("fails: {reason}")]
    Failed {
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
}
