//! Where the [known bugs](crate::bugs) of consensus are switched on. With no bug enabled, everything is passed on as it
//! is. Those that its parameters or what it is built from can express are switched on by the node.

use crate::bugs::{self, KnownBug};

/// Whether a commit that is stored as one of `stored` is noticed as the epoch's boundary.
pub(super) fn is_boundary(is_boundary: bool, stored: usize) -> bool {
    is_boundary && !(bugs::enabled(KnownBug::EndOfEpochMissed) && stored > 1)
}
