//! Switches of the [known bugs](crate::bugs) of the DAG. With no bug enabled, arguments are returned unchanged.

use super::Dag;
use crate::{
    bugs::{self, KnownBug},
    types::VerifiedBlock,
};

/// The number of rounds that leave the DAG.
pub(super) fn collected(rounds: u32) -> u32 {
    match bugs::enabled(KnownBug::CollectedRoundsStay) {
        true => 0,
        false => rounds,
    }
}

/// A received block, to be accepted once its ancestors are available.
#[cfg(not(feature = "museum"))]
pub(super) fn received(block: VerifiedBlock, _dag: &Dag) -> VerifiedBlock {
    block
}

/// A received block, to be accepted once its ancestors are available.
#[cfg(feature = "museum")]
pub(super) fn received(block: VerifiedBlock, dag: &Dag) -> VerifiedBlock {
    if bugs::enabled(KnownBug::ExecutedBeforeQuorum) {
        return block.with_ancestors(|ancestor| dag.is_available(ancestor));
    }
    block
}
