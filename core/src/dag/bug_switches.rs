//! Where the [known bugs](crate::bugs) of the DAG are switched on. With no bug enabled, everything is passed on as it is.

use super::Dag;
use crate::types::VerifiedBlock;

/// A block that is to be accepted once its ancestors are available.
#[cfg(not(feature = "museum"))]
pub(super) fn received(block: VerifiedBlock, _dag: &Dag) -> VerifiedBlock {
    block
}

/// A block that is to be accepted once its ancestors are available.
#[cfg(feature = "museum")]
pub(super) fn received(block: VerifiedBlock, dag: &Dag) -> VerifiedBlock {
    use crate::bugs::{KnownBug, enabled};
    if enabled(KnownBug::ExecutedBeforeQuorum) {
        return block.with_ancestors(|ancestor| dag.is_available(ancestor));
    }
    block
}
