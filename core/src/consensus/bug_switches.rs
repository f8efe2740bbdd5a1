//! Switches of the [known bugs](crate::bugs) of consensus. With no bug enabled, arguments are returned unchanged. Bugs
//! that its parameters or its setup can express are in `node::bug_switches`.

use crate::{
    bugs::{self, KnownBug},
    types::{Boundary, Commit},
};

/// Whether the stored votes for the boundary are synced.
pub(super) fn syncs_votes(are_certified: bool) -> bool {
    are_certified && !bugs::enabled(KnownBug::BoundaryVotesBuffered)
}

/// The boundary that this commit is.
pub(super) fn boundary(mut boundary: Boundary, commit: &Commit) -> Boundary {
    if bugs::enabled(KnownBug::EpochStartNotRounded) {
        boundary.timestamp_ms = commit.timestamp_ms;
    }
    boundary
}

/// Whether a commit that catch-up has fetched is adopted.
pub(super) fn is_new(is_new: bool) -> bool {
    is_new || bugs::enabled(KnownBug::CatchUpWritesAgain)
}

/// Whether a commit that is stored together with others, `stored` in total, is handled as the boundary.
pub(super) fn is_boundary(is_boundary: bool, stored: usize) -> bool {
    is_boundary && !(bugs::enabled(KnownBug::EndOfEpochMissed) && stored > 1)
}
