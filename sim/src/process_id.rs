//! Names of the processes of a simulated world.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// A process of the simulated world. Node N, executor N and Sub N belong to validator N; in `single-master` there is only
/// executor 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum ProcessId {
    Node(u16),
    Executor(u16),
    /// Forwards transactions of clients to node N.
    Sub(u16),
    /// The world itself: clients, faults.
    World,
}

impl ProcessId {
    /// The validator that the process belongs to.
    #[must_use]
    pub const fn validator(self) -> Option<u16> {
        match self {
            Self::Node(n) | Self::Executor(n) | Self::Sub(n) => Some(n),
            Self::World => None,
        }
    }

    /// The validator that is faulty while this process is down. Nobody depends on a Sub but its clients.
    #[must_use]
    pub const fn faulty(self) -> Option<u16> {
        match self {
            Self::Node(n) | Self::Executor(n) => Some(n),
            Self::Sub(_) | Self::World => None,
        }
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(n) => write!(f, "node-{n}"),
            Self::Executor(n) => write!(f, "executor-{n}"),
            Self::Sub(n) => write!(f, "sub-{n}"),
            Self::World => f.write_str("world"),
        }
    }
}

impl std::str::FromStr for ProcessId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| digits.parse().ok();
        match text.split_once('-') {
            Some(("node", n)) => number(n).map(Self::Node),
            Some(("executor", n)) => number(n).map(Self::Executor),
            Some(("sub", n)) => number(n).map(Self::Sub),
            None if text == "world" => Some(Self::World),
            _ => None,
        }
        .ok_or_else(|| {
            format!("`{text}` is not a process: expected node-N, executor-N, sub-N or world")
        })
    }
}

impl TryFrom<String> for ProcessId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Serialize for ProcessId {
    /// A name in readable formats; a number for the hash of the trace, which covers one per entry.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        serializer.serialize_u32(match self {
            Self::Node(n) => u32::from(*n),
            Self::Executor(n) => 1 << 16 | u32::from(*n),
            Self::World => 2 << 16,
            Self::Sub(n) => 3 << 16 | u32::from(*n),
        })
    }
}
