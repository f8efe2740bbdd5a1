//! Start and boundary of an epoch, and the steps of the epoch change (contract §7).

use super::{Chain, Commit, CommitRef, Committee, EpochBase, GlobalExecIndex, TimestampMs};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};

/// The start of an epoch: the same on every node (invariant EPOCH).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    pub base: EpochBase,
    /// See [`Boundary::timestamp_ms`]; of genesis in epoch 0.
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
    /// Start timestamp of the next epoch: that of the commit, rounded up to the granularity of the chain, because deployed
    /// executors keep seconds. Up, so that no commit of the next epoch is earlier.
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
    /// The boundary of the epoch with this start, whose last commit is `commit`.
    #[must_use]
    pub fn of(commit: &Commit, start: &EpochStart) -> Self {
        let granularity_ms = start.chain.epoch_start_granularity_ms;
        Self {
            commit: commit.reference(),
            gei: start.base.gei(commit.index),
            timestamp_ms: commit.timestamp_ms.rounded_up(granularity_ms),
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
    use crate::{
        dag::test_dag::TestDag,
        types::{BlockRef, CommitDigest, CommitIndex, Epoch, Round},
    };

    #[test]
    fn the_next_epoch_starts_at_gei_and_time_of_the_boundary() {
        let start = |epoch_start_granularity_ms| EpochStart {
            base: EpochBase {
                epoch: Epoch(3),
                base: GlobalExecIndex(100),
            },
            timestamp_ms: TimestampMs(7),
            committee: TestDag::with_stakes(Epoch(3), &[1]).committee,
            chain: Chain {
                epoch_start_granularity_ms,
                ..Chain::default()
            },
        };
        let boundary = |timestamp_ms, granularity_ms| {
            let commit = Commit {
                epoch: Epoch(3),
                index: CommitIndex(7),
                previous: CommitDigest::default(),
                leader: BlockRef::first_of_round(Round(9)),
                timestamp_ms: TimestampMs(timestamp_ms),
                epoch_began_ms: TimestampMs(500),
                ending: vec![],
                blocks: vec![],
            };
            let boundary = Boundary::of(&commit, &start(granularity_ms));
            assert_eq!(boundary.gei, GlobalExecIndex(107));
            boundary.timestamp_ms.0
        };
        assert_eq!(boundary(1_500, 1), 1_500);
        assert_eq!(
            [1_001, 1_999, 2_000].map(|t| boundary(t, 1_000)),
            [2_000; 3]
        );
        assert_eq!(boundary(u64::MAX, 1_000), u64::MAX, "no time is later");
    }
}
