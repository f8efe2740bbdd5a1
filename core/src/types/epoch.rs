//! Where an epoch begins, where it ends, and how far the change out of it has come (contract §7).

use super::{Commit, CommitRef, Committee, EpochBase, GlobalExecIndex, TimestampMs};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// Where and how an epoch begins: the same on every node (invariant EPOCH).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    pub base: EpochBase,
    /// Of the boundary commit of the epoch before; of genesis in epoch 0.
    pub timestamp_ms: TimestampMs,
    pub committee: Arc<Committee>,
}

/// The last commit of an epoch, and with it the beginning of the next: a function of the DAG alone, so the same on every
/// node whatever its clock and the speed of its executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boundary {
    pub commit: CommitRef,
    /// The base of the next epoch.
    pub gei: GlobalExecIndex,
    /// When the next epoch begins.
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
    /// Of the epoch that ends with this commit.
    #[must_use]
    pub fn of(commit: &Commit, base: EpochBase) -> Self {
        Self {
            commit: commit.reference(),
            gei: base.gei(commit.index),
            timestamp_ms: commit.timestamp_ms,
        }
    }
}

/// How far the end of the epoch has come in consensus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EpochEnding {
    /// No boundary yet.
    #[default]
    No,
    /// The last commit is stored.
    Boundary(Boundary),
    /// And 2f+1 votes for it: whoever comes later can be shown.
    Certified(Boundary),
}

/// How far the change out of an epoch has come. Each is recorded before anything that needs it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeStep {
    /// No boundary yet.
    Running,
    /// The last commit is stored; the executor may not have it.
    BoundaryCommitted(Boundary),
    /// W has reached the boundary.
    Drained(Boundary),
    /// The executor has entered the next epoch.
    Advanced(Boundary),
}

impl fmt::Display for ChangeStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (step, boundary) = match self {
            Self::Running => return f.write_str("it runs"),
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
    fn the_next_epoch_begins_where_and_when_the_boundary_is() {
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
