//! The boundary of an epoch: the first commit up to which end-of-epoch marks of 2f+1 stake are committed (contract §7).

use super::bug_switches;
use crate::types::{Commit, Committee, Stake};

/// Whether this commit is the boundary. Each commit lists all marks so far, so the last commit alone decides it.
#[must_use]
pub(crate) fn is_boundary(commit: &Commit, committee: &Committee) -> bool {
    let ending: Stake = commit.ending.iter().map(|a| committee.stake(*a)).sum();
    ending >= bug_switches::ending_stake(committee.quorum(), committee)
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
    fn a_commit_with_marks_of_2f_plus_1_stake_is_the_boundary() {
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
