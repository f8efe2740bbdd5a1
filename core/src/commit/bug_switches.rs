//! Switches of the [known bugs](crate::bugs) of the commit sequence. With no bug enabled, arguments are returned
//! unchanged.

use crate::{
    bugs::{self, KnownBug},
    types::CommitRef,
};

/// The boundary commit that ends the sequence.
pub(super) fn boundary(boundary: Option<CommitRef>) -> Option<CommitRef> {
    boundary.filter(|_| !bugs::enabled(KnownBug::TrailingCommits))
}
