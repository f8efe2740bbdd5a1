//! Commit votes: the last commit that a quorum has, and whether fetched commits are certified.

use crate::types::{AuthorityIndex, CommitIndex, CommitRef, Committee, Stake, VerifiedBlock};
use std::{collections::BTreeSet, sync::Arc};

/// The highest commit for which each authority has voted.
#[derive(Debug)]
pub(super) struct CommitVotes {
    committee: Arc<Committee>,
    highest: Vec<CommitIndex>,
    quorum: CommitIndex,
}

impl CommitVotes {
    #[must_use]
    pub fn new(committee: Arc<Committee>) -> Self {
        Self {
            highest: vec![CommitIndex(0); committee.size()],
            quorum: CommitIndex(0),
            committee,
        }
    }

    /// Counts the votes of a verified block, which need not be accepted.
    pub fn observe(&mut self, block: &VerifiedBlock) {
        let Some(vote) = block.commit_votes.iter().map(|vote| vote.index).max() else {
            return;
        };
        let highest = &mut self.highest[block.author.as_usize()];
        if vote > *highest {
            *highest = vote;
            if vote > self.quorum {
                self.quorum = self.supported_by_quorum();
            }
        }
    }

    /// The highest commit that 2f+1 stake has voted for or passed.
    #[must_use]
    pub const fn quorum(&self) -> CommitIndex {
        self.quorum
    }

    fn supported_by_quorum(&self) -> CommitIndex {
        let mut by_height: Vec<(CommitIndex, Stake)> = self
            .highest
            .iter()
            .copied()
            .zip(self.committee.indexes().map(|i| self.committee.stake(i)))
            .collect();
        by_height.sort_unstable_by(|a, b| b.cmp(a));
        let mut stake = Stake(0);
        by_height
            .into_iter()
            .find(|(_, of_one)| {
                stake += *of_one;
                stake >= self.committee.quorum()
            })
            .map_or(CommitIndex(0), |(index, _)| index)
    }
}

/// Whether verified `blocks` contain votes of 2f+1 stake for exactly this commit (invariant QUORUM).
#[must_use]
pub(super) fn certified(
    commit: CommitRef,
    blocks: &[VerifiedBlock],
    committee: &Committee,
) -> bool {
    let voters: BTreeSet<AuthorityIndex> = blocks
        .iter()
        .filter(|block| block.commit_votes.contains(&commit))
        .map(|block| block.author)
        .collect();
    let stake: Stake = voters.into_iter().map(|voter| committee.stake(voter)).sum();
    stake >= committee.quorum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{
        Authority, Block, CommitDigest, Epoch, KeyPair, PublicKey, Round, SignatureScheme,
        TimestampMs,
    };

    fn committee() -> Arc<Committee> {
        let authorities = (0..4u8)
            .map(|i| Authority {
                authority_key: vec![i],
                protocol_key: PublicKey([i; 32]),
                stake: Stake(1),
                address: [i; 20],
                p2p_address: String::new(),
                name: format!("validator-{i}"),
            })
            .collect();
        Arc::new(Committee::new(Epoch(0), authorities).unwrap())
    }

    fn vote(author: u16, index: u32, digest: u8) -> VerifiedBlock {
        Block {
            epoch: Epoch(0),
            round: Round(1),
            author: AuthorityIndex(author),
            timestamp_ms: TimestampMs(0),
            ancestors: vec![],
            transactions: vec![],
            commit_votes: vec![commit(index, digest)],
            end_of_epoch: false,
        }
        .sign(&KeyPair::from_seed(SignatureScheme::KeyedHash, &[1; 32]))
    }

    fn commit(index: u32, digest: u8) -> CommitRef {
        CommitRef {
            index: CommitIndex(index),
            digest: CommitDigest([digest; 32]),
        }
    }

    #[test]
    fn the_quorum_commit_is_the_highest_that_2f_plus_1_stake_has_reached() {
        let mut votes = CommitVotes::new(committee());
        let mut heights = vec![];
        for (author, index) in [(0, 9), (1, 7), (2, 5), (3, 8), (2, 6), (2, 1)] {
            votes.observe(&vote(author, index, 1));
            heights.push(votes.quorum().0);
        }
        assert_eq!(heights, [0, 0, 5, 7, 7, 7]);
    }

    #[test]
    fn votes_for_another_digest_and_repeated_votes_of_one_author_do_not_count() {
        let committee = committee();
        let good = [vote(0, 5, 1), vote(1, 5, 1), vote(2, 5, 1)];
        assert!(certified(commit(5, 1), &good, &committee));
        assert!(!certified(commit(5, 2), &good, &committee));
        assert!(!certified(commit(5, 1), &good[..2], &committee));
        let twice = [vote(0, 5, 1), vote(1, 5, 1), vote(1, 5, 1)];
        assert!(!certified(commit(5, 1), &twice, &committee));
    }
}
