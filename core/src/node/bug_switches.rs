//! Switches of the [known bugs](crate::bugs) of the node: the answers at a start, and the inputs of the modules that it
//! wires. With no bug enabled, arguments are returned unchanged.

mod start;
mod stores;

pub(super) use start::{answered, base, delivered, is_unfinished, recovered};

use crate::{
    bugs::{self, KnownBug},
    config::ConsensusParameters,
    env::Env,
    types::Epoch,
};
use std::sync::Arc;
use stores::BuggyStores;
use tokio::sync::watch;

/// The environment of the node.
pub(super) fn env(mut env: Env) -> Env {
    if stores::is_buggy() {
        env.stores = Arc::new(BuggyStores(env.stores));
    }
    env
}

/// Whether a node without a seat hands over what its journal holds.
pub(super) fn hands_over() -> bool {
    !bugs::enabled(KnownBug::JournalNotHandedOver)
}

/// The parameters of consensus in an epoch.
pub(super) fn consensus(mut parameters: ConsensusParameters, epoch: Epoch) -> ConsensusParameters {
    if bugs::enabled(KnownBug::StaleEpochStart) && epoch > Epoch(0) {
        parameters.epoch_duration_ms = 0;
    }
    parameters
}

/// Whether backpressure pauses proposals.
pub(super) fn pressure(pressure: watch::Receiver<bool>) -> watch::Receiver<bool> {
    if bugs::enabled(KnownBug::PressureStopsAtTheWindow) {
        return watch::channel(false).1;
    }
    pressure
}

/// Whether the epoch is later than any in which this authority may have signed before this process began.
pub(super) fn is_later(is_later: bool) -> bool {
    is_later || bugs::enabled(KnownBug::RestoredDiskIsNew)
}

/// Whether this authority has certainly signed nothing in the epoch, so that its peers need not be queried.
pub(super) fn is_new(is_new: bool) -> bool {
    is_new || bugs::enabled(KnownBug::Amnesia)
}
