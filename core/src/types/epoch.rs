//! Start and boundary of an epoch, and the steps of the epoch change (contract §7).

use super::{Chain, Commit, CommitRef, Committee, EpochBase, GlobalExecIndex, TimestampMs};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// The start of an epoch: the same on every node (invariant EPOCH).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    pub base: EpochBase,
    /// Timestamp of the previous epoch's boundary commit; of genesis in epoch 0.
    pub timestamp_ms: TimestampMs,
    pub committee: Arc<Committee>,
    pub chain: Chain,
}

/// The last commit of an epoch, which defines the start of the next: a function of the DAG alone, so the same on every
/// node, independent of its clock and its executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boundary {
    pub commit: CommitRef,
    /// GEI of the commit: the base of the next epoch.
    pub gei: GlobalExecIndex,
    /// Start timestamp of the next epoch.
    pub timestamp_ms: TimestampMs,
}

impl fmt::Display for Boundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            commit,
            gei,
            timestamp_ms,
        } = self;
        write!(f, "{commit} at GEI {gei} and {timestamp_ms} ms")
    }
}

impl Boundary {
    /// The boundary of the epoch with this base, whose last commit is `commit`.
    #[must_use]
    pub fn of(commit: &Commit, base: EpochBase) -> Self {
        Self {
            commit: commit.reference(),
            gei: base.gei(commit.index),
            timestamp_ms: commit.timestamp_ms,
        }
    }
}

/// State of the end of the epoch in consensus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum EpochEnding {
    /// No boundary yet.
    #[default]
    No,
    /// The boundary commit is stored.
    Boundary(Boundary),
    /// Commit votes of 2f+1 stake for the boundary are stored too, so this node can prove it to nodes that are behind.
    Certified(Boundary),
}

/// The last completed step of the epoch change. Each is recorded before an action that depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeStep {
    /// No boundary yet.
    Running,
    /// The boundary commit is stored; the executor may not have it.
    BoundaryCommitted(Boundary),
    /// W has reached the boundary.
    Drained(Boundary),
    /// The executor has entered the next epoch.
    Advanced(Boundary),
}

impl fmt::Display for ChangeStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (step, boundary) = match self {
            Self::Running => return f.write_str("running"),
            Self::BoundaryCommitted(boundary) => ("boundary committed", boundary),
            Self::Drained(boundary) => ("executor drained", boundary),
            Self::Advanced(boundary) => ("executor advanced", boundary),
        };
        write!(f, "{step}, boundary {boundary}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{BlockRef, CommitDigest, CommitIndex, Epoch, Round};

    #[test]
    fn the_next_epoch_starts_at_gei_and_time_of_the_boundary() {
        let base = EpochBase {
            epoch: Epoch(3),
            base: GlobalExecIndex(100),
        };
        let commit = Commit {
            epoch: Epoch(3),
            index: CommitIndex(7),
            previous: CommitDigest::default(),
            leader: BlockRef::first_of_round(Round(9)),
            timestamp_ms: TimestampMs(500),
            epoch_began_ms: TimestampMs(500),
            ending: vec![],
            blocks: vec![],
        };
        let boundary = Boundary::of(&commit, base);
        assert_eq!(boundary.gei, GlobalExecIndex(107));
        assert_eq!(boundary.timestamp_ms, TimestampMs(500));
    }
}
