//! Switches of the [known bugs](crate::bugs) of the commit sequence. With no bug enabled, arguments are returned
//! unchanged.

use crate::{
    bugs::{self, KnownBug},
    types::{CommitRef, TimestampMs},
};

/// The boundary commit that ends the sequence.
pub(super) fn boundary(boundary: Option<CommitRef>) -> Option<CommitRef> {
    boundary.filter(|_| !bugs::enabled(KnownBug::TrailingCommits))
}

/// From when the age of an epoch is counted that was to begin at `start`.
pub(super) fn epoch_began(began: TimestampMs, start: TimestampMs) -> TimestampMs {
    if bugs::enabled(KnownBug::EpochAgeFromItsStart) {
        return start;
    }
    began
}
