//! Where an epoch ends: at the first commit in which marks from 2f+1 stake are committed (contract §7).

use crate::types::{Commit, CommitRef, Committee, EpochBase, GlobalExecIndex, Stake, TimestampMs};
use serde::{Deserialize, Serialize};
use std::fmt;

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

/// Whether the sequence of an epoch ends with this commit. None comes after it, so whoever holds the last commit knows.
#[must_use]
pub fn is_boundary(commit: &Commit, committee: &Committee) -> bool {
    let ending: Stake = commit.ending.iter().map(|a| committee.stake(*a)).sum();
    ending >= committee.quorum()
}

/// Whether an authority may mark its blocks with *end of epoch*, by its own clock. A clock that is behind the start says
/// no: the epoch has just begun.
#[must_use]
pub const fn epoch_has_elapsed(start: TimestampMs, now: TimestampMs, duration_ms: u64) -> bool {
    now.since_ms(start) >= duration_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dag::test_dag::TestDag,
        types::{AuthorityIndex, BlockRef, CommitDigest, CommitIndex, Epoch, Round},
    };

    fn commit(ending: &[u16]) -> Commit {
        Commit {
            epoch: Epoch(3),
            index: CommitIndex(7),
            previous: CommitDigest::default(),
            leader: BlockRef::first_of_round(Round(9)),
            timestamp_ms: TimestampMs(500),
            ending: ending.iter().copied().map(AuthorityIndex).collect(),
            blocks: vec![],
        }
    }

    #[test]
    fn marks_of_a_quorum_by_stake_end_the_epoch() {
        let committee = TestDag::with_stakes(Epoch(3), &[1, 1, 1, 4]).committee;
        for (ending, expected) in [
            (&[][..], false),
            (&[0, 1, 2], false),
            (&[3], false),
            (&[0, 3], true),
            (&[0, 1, 2, 3], true),
        ] {
            assert_eq!(
                is_boundary(&commit(ending), &committee),
                expected,
                "{ending:?}"
            );
        }
    }

    #[test]
    fn the_next_epoch_begins_where_and_when_the_boundary_is() {
        let base = EpochBase {
            epoch: Epoch(3),
            base: GlobalExecIndex(100),
        };
        let boundary = Boundary::of(&commit(&[0, 1, 2]), base);
        assert_eq!(boundary.gei, GlobalExecIndex(107));
        assert_eq!(boundary.timestamp_ms, TimestampMs(500));
    }

    #[test]
    fn a_clock_before_the_start_ends_nothing() {
        let elapsed = |now| epoch_has_elapsed(TimestampMs(1000), TimestampMs(now), 50);
        assert_eq!([900, 1049, 1050].map(elapsed), [false, false, true]);
    }
}
