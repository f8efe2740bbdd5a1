//! The commits for which the next own block votes. Pure.

use crate::types::{CommitRef, MAX_COMMIT_VOTES};
use std::collections::VecDeque;

/// The commits since the last own block, the latest if they are more than a block can vote for. That happens while
/// catching up, when others have voted for these commits already, and to a node that does not propose: a follower, or
/// one under backpressure.
pub(super) struct Unvoted(VecDeque<CommitRef>);

impl Unvoted {
    #[must_use]
    pub fn new(commits: impl IntoIterator<Item = CommitRef>) -> Self {
        let mut unvoted = Self(VecDeque::new());
        unvoted.made(commits);
        unvoted
    }

    /// This node made or adopted these commits, the next ones of its sequence.
    pub fn made(&mut self, commits: impl IntoIterator<Item = CommitRef>) {
        for commit in commits {
            if self.0.len() == MAX_COMMIT_VOTES {
                self.0.pop_front();
            }
            self.0.push_back(commit);
        }
    }

    /// The votes of an own block, in order.
    #[must_use]
    pub fn take(&mut self) -> Vec<CommitRef> {
        self.0.drain(..).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CommitDigest, CommitIndex};

    fn commit(index: u32) -> CommitRef {
        CommitRef {
            index: CommitIndex(index),
            digest: CommitDigest::default(),
        }
    }

    #[test]
    fn a_block_votes_for_the_commits_since_the_last_one() {
        let mut unvoted = Unvoted::new([commit(7)]);
        unvoted.made([commit(8), commit(9)]);
        assert_eq!(unvoted.take(), [7, 8, 9].map(commit));
        assert_eq!(unvoted.take(), []);
    }

    #[test]
    fn a_node_that_does_not_propose_keeps_the_latest_commits_only() {
        let mut unvoted = Unvoted::new([]);
        for index in 0..1_000 {
            unvoted.made([commit(index)]);
        }
        assert!(unvoted.0.capacity() < 2 * MAX_COMMIT_VOTES);
        let latest = 1_000 - MAX_COMMIT_VOTES as u32..1_000;
        assert_eq!(unvoted.take(), latest.map(commit).collect::<Vec<_>>());
    }
}
