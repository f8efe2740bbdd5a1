//! The invariants of contract §12, by name.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The invariants of contract §12 that have an oracle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Invariant {
    Exec1,
    Gap0,
    Wire,
    Mono,
    Agree,
    Root,
    Bound,
    Backp,
    Durable,
    Epoch,
    Noequiv,
    Noloss,
    Start,
    Live,
    Rpc,
    Quorum,
    Truth,
    /// Not an invariant of the contract: the expectations of the scenario.
    Expect,
}

impl Invariant {
    /// All of them, in the order of contract §12.
    pub const ALL: [Self; 18] = [
        Self::Exec1,
        Self::Gap0,
        Self::Wire,
        Self::Mono,
        Self::Agree,
        Self::Root,
        Self::Bound,
        Self::Backp,
        Self::Durable,
        Self::Epoch,
        Self::Noequiv,
        Self::Noloss,
        Self::Start,
        Self::Live,
        Self::Rpc,
        Self::Quorum,
        Self::Truth,
        Self::Expect,
    ];

    /// Liveness violations have their own exit code.
    #[must_use]
    pub const fn is_liveness(self) -> bool {
        matches!(self, Self::Live)
    }

    /// Something has to happen before the run ends. With too little time every run violates this.
    #[must_use]
    pub const fn has_deadline(self) -> bool {
        matches!(self, Self::Live | Self::Noloss | Self::Expect)
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", format!("{self:?}").to_uppercase())
    }
}
