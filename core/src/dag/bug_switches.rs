//! Switches of the [known bugs](crate::bugs) of the DAG. With no bug enabled, arguments are returned unchanged.

use super::Dag;
use crate::types::VerifiedBlock;

/// A received block, to be accepted once its ancestors are available.
#[cfg(not(feature = "museum"))]
pub(super) fn received(block: VerifiedBlock, _dag: &Dag) -> VerifiedBlock {
    block
}

/// A received block, to be accepted once its ancestors are available.
#[cfg(feature = "museum")]
pub(super) fn received(block: VerifiedBlock, dag: &Dag) -> VerifiedBlock {
    use crate::bugs::{KnownBug, enabled};
    if enabled(KnownBug::ExecutedBeforeQuorum) {
        return block.with_ancestors(|ancestor| dag.is_available(ancestor));
    }
    block
}
