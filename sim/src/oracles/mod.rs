//! The invariants of contract §12, one file each. An oracle observes every trace entry when it is recorded and keeps
//! only what it needs to judge later ones.
//!
//! An oracle fires only on violations of the contract, independent of the implementation. Where two orders of events
//! are legal it accepts both, and its header says so.

mod agreement;
mod backpressure;
mod batch_replies;
mod bounded_memory;
mod clients;
mod connections;
mod durability;
mod epoch;
#[cfg(test)]
mod epoch_tests;
mod exactly_once;
mod expectation;
#[cfg(test)]
mod facts;
pub(crate) mod first_said;
mod followers;
mod journal_leak;
#[cfg(test)]
mod legal_traces;
mod liveness;
#[cfg(test)]
mod liveness_tests;
mod missing_history;
#[cfg(test)]
mod model;
mod monotonic;
mod no_equivocation;
mod no_gaps;
mod no_loss;
#[cfg(test)]
mod no_loss_tests;
mod old_transport;
mod peers;
mod quorum;
#[cfg(test)]
mod quorum_tests;
mod rpc;
mod start;
#[cfg(test)]
mod start_tests;
mod state_root;
#[cfg(test)]
pub(crate) mod testing;
mod truth;
#[cfg(test)]
mod truth_tests;
#[cfg(test)]
pub(crate) mod truthful;
mod wire;

pub use crate::invariant::Invariant;

use crate::{
    plan::Plan,
    trace::{Entry, ProcessId, SimTime},
    witness::Request,
};
use metanode_core::config::StartPolicy;
use serde::Serialize;

/// A violated invariant with the entries that prove it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    pub invariant: Invariant,
    /// Which rule of the invariant: a short name that stays the same from run to run.
    pub clause: &'static str,
    pub at: SimTime,
    pub process: ProcessId,
    /// What was expected and what was found.
    pub message: String,
    /// The entries that prove it, oldest first; the last one is the violation.
    pub evidence: Vec<Entry>,
}

impl Violation {
    /// `breaking` violates what the `earlier` entries demand.
    pub(crate) fn by(
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
    /// Observes the next entry.
    ///
    /// # Errors
    /// If it violates the invariant. The run ends there.
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>>;

    /// Judges at the end of the run what had to happen by now.
    ///
    /// # Errors
    /// If it did not.
    fn finish(&mut self, _end: SimTime) -> Result<(), Box<Violation>> {
        Ok(())
    }

    /// Whether everything that must happen by the end has happened.
    fn is_satisfied(&self) -> bool {
        true
    }
}

/// If an entry violates several invariants, the first of this list is reported: the order is by nearness to the cause.
const BY_CAUSE: [Invariant; 18] = [
    Invariant::Start,
    Invariant::Rpc,
    Invariant::Wire,
    Invariant::Bound,
    Invariant::Backp,
    Invariant::Noequiv,
    Invariant::Epoch,
    Invariant::Agree,
    Invariant::Gap0,
    Invariant::Exec1,
    Invariant::Root,
    Invariant::Mono,
    Invariant::Durable,
    // After the invariants of which it is the consequence.
    Invariant::Quorum,
    Invariant::Truth,
    Invariant::Live,
    // After LIVE: without progress all transactions are outstanding.
    Invariant::Noloss,
    Invariant::Expect,
];

/// All oracles for a run of this plan.
pub(crate) fn all(plan: &Plan) -> Vec<Box<dyn Oracle + Send>> {
    let of = |invariant: &Invariant| oracles_of(*invariant, plan);
    BY_CAUSE.iter().flat_map(of).collect()
}

/// The oracles of an invariant, each for a part of the system.
fn oracles_of(invariant: Invariant, plan: &Plan) -> Vec<Box<dyn Oracle + Send>> {
    // What a client of the old transport counts as sent is judged at the end: a run that is to show its loss does not end
    // before.
    let is_about_loss = plan.finds == [Invariant::Noloss];
    let is_old = plan.workload.old_pool_connections > 0;
    match invariant {
        Invariant::Start => vec![Box::new(start::Start::new(plan))],
        Invariant::Rpc if is_old && !is_about_loss => vec![
            Box::new(rpc::Rpc::new(plan)),
            Box::new(old_transport::Replies::default()),
        ],
        Invariant::Rpc if is_old => vec![Box::new(rpc::Rpc::new(plan))],
        Invariant::Rpc => vec![
            Box::new(rpc::Rpc::new(plan)),
            Box::new(batch_replies::BatchReplies::default()),
        ],
        Invariant::Quorum => vec![Box::new(quorum::Quorum::new(plan))],
        Invariant::Truth => vec![
            Box::new(truth::Truth::new(plan)),
            Box::new(connections::Displaced::new(plan)),
            Box::new(peers::Peers::new(plan)),
            Box::new(missing_history::MissingHistory::new(plan)),
        ],
        Invariant::Wire => vec![Box::new(wire::Wire::new(plan))],
        Invariant::Bound => vec![
            Box::new(bounded_memory::BoundedMemory::new(plan)),
            Box::new(journal_leak::JournalLeak::new(plan)),
            Box::new(connections::GuestBytes::new(plan)),
        ],
        Invariant::Backp => vec![Box::new(backpressure::Backpressure::new(plan))],
        Invariant::Noequiv => vec![Box::new(no_equivocation::NoEquivocation::new(plan))],
        Invariant::Epoch => vec![
            Box::new(epoch::Epochs::new(plan)),
            Box::new(connections::SessionEpochs),
        ],
        Invariant::Agree => vec![Box::new(agreement::Agreement::default())],
        Invariant::Gap0 => vec![Box::new(no_gaps::NoGaps::default())],
        Invariant::Exec1 => vec![Box::new(exactly_once::ExactlyOnce::default())],
        Invariant::Root => vec![Box::new(state_root::Root::default())],
        Invariant::Mono => vec![Box::new(monotonic::Monotonic::default())],
        Invariant::Durable => vec![Box::new(durability::Durability::default())],
        Invariant::Live => vec![
            Box::new(liveness::Liveness::new(plan)),
            Box::new(followers::Followers::new(plan)),
            Box::new(clients::Clients::new(plan)),
        ],
        Invariant::Noloss if is_old => vec![
            Box::new(no_loss::NoLoss::new(plan)),
            Box::new(old_transport::Sent::new(plan)),
        ],
        Invariant::Noloss => vec![Box::new(no_loss::NoLoss::new(plan))],
        Invariant::Expect => (plan.expect.iter().cloned())
            .map(expectation::ExpectationMet::new)
            .map(|expected| Box::new(expected) as Box<dyn Oracle + Send>)
            .collect(),
    }
}

/// The oracles that can judge event logs of real processes: they need no more than processes say of themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OfEventLogs {
    ExactlyOnce,
    NoGaps,
    Wire,
    Monotonic,
    Agreement,
    Durability,
}

impl OfEventLogs {
    pub(crate) const fn invariant(self) -> Invariant {
        match self {
            Self::ExactlyOnce => Invariant::Exec1,
            Self::NoGaps => Invariant::Gap0,
            Self::Wire => Invariant::Wire,
            Self::Monotonic => Invariant::Mono,
            Self::Agreement => Invariant::Agree,
            Self::Durability => Invariant::Durable,
        }
    }

    pub(crate) fn build(self) -> Box<dyn Oracle + Send> {
        match self {
            Self::ExactlyOnce => Box::<exactly_once::ExactlyOnce>::default(),
            Self::NoGaps => Box::<no_gaps::NoGaps>::default(),
            Self::Wire => Box::new(wire::Wire::of(
                StartPolicy::Wait,
                Request::GetLastBlockNumber,
            )),
            Self::Monotonic => Box::<monotonic::Monotonic>::default(),
            Self::Agreement => Box::<agreement::Agreement>::default(),
            Self::Durability => Box::<durability::Durability>::default(),
        }
    }
}

/// The oracles that can judge the stores of real processes, of a chain with these validators: they need no more than blocks,
/// commits and states.
pub(crate) fn of_stores(validators: &[u16]) -> [(Invariant, Box<dyn Oracle + Send>); 3] {
    let authorities = || crate::plan::Authorities::fixed(validators.to_vec());
    [
        (
            Invariant::Quorum,
            Box::new(quorum::Quorum::of(authorities())),
        ),
        (Invariant::Root, Box::<state_root::Root>::default()),
        (
            Invariant::Noequiv,
            Box::new(no_equivocation::NoEquivocation::of(authorities())),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_invariant_has_an_oracle() {
        assert_eq!(BTreeSet::from(BY_CAUSE), BTreeSet::from(Invariant::ALL));
        assert_eq!(all(&Plan::example()).len(), BY_CAUSE.len() - 1 + 9);
    }
}
