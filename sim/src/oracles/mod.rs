//! The invariants of contract §12, one file each. An oracle sees every trace entry as it happens and keeps only what
//! it needs to judge the next one.
//!
//! An oracle fires only where the contract is broken, whatever the implementation: where two orders of events are
//! both legal it takes the lenient one, and its header says so.

mod agreement;
mod backpressure;
mod bounded_memory;
mod durability;
mod epoch;
#[cfg(test)]
mod epoch_tests;
mod exactly_once;
mod expectation;
mod first_said;
#[cfg(test)]
mod legal_traces;
mod liveness;
#[cfg(test)]
mod model;
mod monotonic;
mod no_equivocation;
mod no_gaps;
mod no_loss;
mod rpc;
mod start;
mod state_root;
#[cfg(test)]
pub(crate) mod testing;
mod wire;

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
    Epoch,
    Noequiv,
    Noloss,
    Start,
    Live,
    Rpc,
    /// No invariant: a claim of the scenario about its own story.
    Expect,
}

impl Invariant {
    /// All of them, in the order of contract §12.
    pub const ALL: [Self; 16] = [
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
        Self::Expect,
    ];

    /// A liveness violation has an exit code of its own.
    #[must_use]
    pub const fn is_liveness(self) -> bool {
        matches!(self, Self::Live)
    }

    /// Something has to happen before the run ends: with too little time left for it, every run breaks this.
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

/// A broken invariant with the entries that prove it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    pub invariant: Invariant,
    /// Which rule of the invariant: a short name that stays the same from run to run.
    pub clause: &'static str,
    pub at: SimTime,
    pub process: ProcessId,
    /// What was expected and what was found.
    pub message: String,
    /// The entries that show it, oldest first; the last one broke it.
    pub evidence: Vec<Entry>,
}

impl Violation {
    /// `breaking` breaks what the `earlier` entries demanded.
    fn by(
        breaking: &Entry,
        invariant: Invariant,
        clause: &'static str,
        message: String,
        earlier: impl IntoIterator<Item = Entry>,
    ) -> Box<Self> {
        let mut evidence: Vec<Entry> = earlier.into_iter().collect();
        evidence.push(breaking.clone());
        Box::new(Self {
            invariant,
            clause,
            at: breaking.at,
            process: breaking.process,
            message,
            evidence,
        })
    }
}

/// Judges one invariant.
pub(crate) trait Oracle {
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

    /// Nothing that it demands by the end is outstanding.
    fn is_satisfied(&self) -> bool {
        true
    }
}

/// Every oracle, ready for a run of this plan. One entry may break several invariants: the one nearest to the cause
/// comes first.
pub(crate) fn all(plan: &Plan) -> Vec<Box<dyn Oracle + Send>> {
    let invariants: [Box<dyn Oracle + Send>; 15] = [
        Box::new(start::Start::new(plan)),
        Box::new(rpc::Rpc::default()),
        Box::new(wire::Wire::default()),
        Box::new(bounded_memory::BoundedMemory::new(plan)),
        Box::new(backpressure::Backpressure::new(plan)),
        Box::new(no_equivocation::NoEquivocation::default()),
        Box::new(epoch::Epochs::new(plan)),
        Box::new(agreement::Agreement::default()),
        Box::new(no_gaps::NoGaps::default()),
        Box::new(exactly_once::ExactlyOnce::default()),
        Box::new(state_root::StateRoot::default()),
        Box::new(monotonic::Monotonic::default()),
        Box::new(durability::Durability::default()),
        Box::new(liveness::Liveness::new(plan)),
        // Without progress everything is outstanding: that is no loss.
        Box::new(no_loss::NoLoss::new(plan)),
    ];
    let expectations = plan.expect.iter().map(|expectation| {
        Box::new(expectation::ExpectationMet::new(expectation.clone())) as Box<dyn Oracle + Send>
    });
    invariants.into_iter().chain(expectations).collect()
}
