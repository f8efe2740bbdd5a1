//! How a fault is done, where there is more than one way.

use serde::{Deserialize, Serialize};

/// Which way a partition cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    #[default]
    Both,
    /// What the hosts send reaches nobody.
    Outgoing,
    /// What others send does not reach the hosts.
    Incoming,
}

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

/// What is at a hijacked path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hijack {
    /// Nothing.
    Removed,
    /// The file of a dead process: connections are refused.
    Refuses,
    /// Somebody who takes connections and says nothing.
    Silent,
}

/// Whose direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Half {
    /// What the connecting side sends.
    Client,
    /// What the listening side sends.
    Server,
}

/// How an executor answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replies {
    /// Each reply comes this much later.
    Late { ms: u64 },
    /// Not at all; what was asked meanwhile is answered afterwards.
    Silent,
    /// With `error`.
    Refused,
}

/// How a disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFailure {
    /// The next sync fails, and what it should have made durable is gone.
    Sync,
    /// Nothing can be written.
    Full,
}

impl DiskFailure {
    /// What the operating system says.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Sync => "input/output error (os error 5)",
            Self::Full => "no space left on device (os error 28)",
        }
    }
}
