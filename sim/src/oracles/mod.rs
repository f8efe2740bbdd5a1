//! The invariants of contract §12, one file each. An oracle sees every trace entry as it happens and keeps only what
//! it needs to judge the next one.

use crate::{
    plan::Plan,
    trace::{Entry, ProcessId, SimTime},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The invariants of contract §12 that are watched.
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
    Noequiv,
    Start,
    Live,
    Rpc,
}

impl Invariant {
    /// A liveness violation has an exit code of its own.
    #[must_use]
    pub const fn is_liveness(self) -> bool {
        matches!(self, Self::Live)
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", format!("{self:?}").to_uppercase())
    }
}

/// A broken invariant with the entries that prove it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    pub invariant: Invariant,
    pub at: SimTime,
    pub process: ProcessId,
    /// What was expected and what was found.
    pub message: String,
    /// The entries that show it, oldest first; the last one broke it.
    pub evidence: Vec<Entry>,
}

/// Judges one invariant.
pub trait Oracle {
    /// Which one.
    fn invariant(&self) -> Invariant;

    /// Sees the next entry.
    ///
    /// # Errors
    /// If it breaks the invariant. The run ends there.
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>>;

    /// The run is over: what had to happen by now?
    ///
    /// # Errors
    /// If it did not.
    fn finish(&mut self, _end: SimTime) -> Result<(), Box<Violation>> {
        Ok(())
    }
}

/// Every oracle, ready for a run of this plan.
#[must_use]
pub fn all(_plan: &Plan) -> Vec<Box<dyn Oracle>> {
    vec![]
}
