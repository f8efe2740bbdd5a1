//! Where the [known bugs](crate::bugs) of the commit sequence are switched on. With no bug enabled, everything is passed
//! on as it is.

use crate::{
    bugs::{self, KnownBug},
    types::CommitRef,
};

/// The commit that ended the epoch.
pub(super) fn boundary(boundary: Option<CommitRef>) -> Option<CommitRef> {
    boundary.filter(|_| !bugs::enabled(KnownBug::TrailingCommits))
}
