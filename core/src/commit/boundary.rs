//! Where an epoch ends: at the first commit in which marks from 2f+1 stake are committed (contract §7). Pure.

use crate::types::{Commit, Committee, Stake};

/// Whether the sequence of an epoch ends with this commit. None comes after it, so whoever holds the last commit knows.
#[must_use]
pub fn is_boundary(commit: &Commit, committee: &Committee) -> bool {
    let ending: Stake = commit.ending.iter().map(|a| committee.stake(*a)).sum();
    ending >= committee.quorum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dag::test_dag::TestDag,
        types::{AuthorityIndex, BlockRef, CommitDigest, CommitIndex, Epoch, Round, TimestampMs},
    };

    fn commit(ending: &[u16]) -> Commit {
        Commit {
            epoch: Epoch(3),
            index: CommitIndex(7),
            previous: CommitDigest::default(),
            leader: BlockRef::first_of_round(Round(9)),
            timestamp_ms: TimestampMs(500),
            epoch_began_ms: TimestampMs(500),
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
}
