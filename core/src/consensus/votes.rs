//! Commit votes: the last commit that a quorum has, whether others made the same commits as this node, and whether
//! fetched commits are certified.

use crate::types::{AuthorityIndex, CommitIndex, CommitRef, Committee, Stake, VerifiedBlock};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

/// Own commits that are remembered. A vote for an older one is not compared.
const COMPARED_COMMITS: usize = 1_000;

/// The highest commit for which each authority has voted.
#[derive(Debug)]
pub(super) struct CommitVotes {
    committee: Arc<Committee>,
    /// By authority.
    highest: Vec<Option<Vote>>,
    quorum: CommitIndex,
    /// The last own commits, by index.
    own: VecDeque<CommitRef>,
}

/// The highest commit vote of an authority.
#[derive(Clone, Copy, Debug)]
struct Vote {
    commit: CommitRef,
    /// The commit that this node made in its place, if that is another one.
    contradicts: Option<CommitRef>,
}

impl CommitVotes {
    #[must_use]
    pub fn new(committee: Arc<Committee>) -> Self {
        Self {
            highest: vec![None; committee.size()],
            quorum: CommitIndex(0),
            // All at once, so that a node that runs for long does not look like one whose memory grows.
            own: VecDeque::with_capacity(COMPARED_COMMITS),
            committee,
        }
    }

    /// Counts the votes of a verified block, which need not be accepted.
    pub fn observe(&mut self, block: &VerifiedBlock) {
        let highest = block.commit_votes.iter().max_by_key(|vote| vote.index);
        let Some(&commit) = highest else { return };
        let contradicts = self.contradicted_by(commit);
        let known = &mut self.highest[block.author.as_usize()];
        if known.is_some_and(|known| known.commit.index >= commit.index) {
            return;
        }
        *known = Some(Vote {
            commit,
            contradicts,
        });
        if commit.index > self.quorum {
            self.quorum = self.supported_by_quorum();
        }
    }

    /// This node made or adopted these commits, the next ones of its sequence.
    pub fn made(&mut self, commits: impl IntoIterator<Item = CommitRef>) {
        for own in commits {
            if self.own.len() == COMPARED_COMMITS {
                self.own.pop_front();
            }
            self.own.push_back(own);
            let votes = self.highest.iter_mut().flatten();
            for vote in votes.filter(|vote| vote.commit.index == own.index) {
                vote.contradicts = (vote.commit != own).then_some(own);
            }
        }
    }

    /// An own commit and another one in its place, if the last votes of 2f+1 stake contradict own commits. A commit
    /// contains the digest of the one before it, so whoever made another one once never votes for an own one again.
    #[must_use]
    pub fn contradiction(&self) -> Option<(CommitRef, CommitRef)> {
        let contradicting = || {
            let votes = self.highest.iter().zip(self.committee.indexes());
            votes.filter_map(|(vote, author)| {
                let Vote {
                    commit,
                    contradicts,
                } = (*vote)?;
                Some((author, contradicts?, commit))
            })
        };
        let stake: Stake = contradicting()
            .map(|(author, ..)| self.committee.stake(author))
            .sum();
        let (_, own, others) = contradicting().next()?;
        (stake >= self.committee.quorum()).then_some((own, others))
    }

    fn contradicted_by(&self, commit: CommitRef) -> Option<CommitRef> {
        let first = self.own.front()?;
        let position = commit.index.0.checked_sub(first.index.0)?;
        let own = *self.own.get(position as usize)?;
        (own != commit).then_some(own)
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
            .map(|vote| vote.map_or(CommitIndex(0), |vote| vote.commit.index))
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
    let voters = blocks
        .iter()
        .filter(|block| block.commit_votes.contains(&commit))
        .map(|block| block.author)
        .collect();
    are_quorum(&voters, committee)
}

/// Whether these authorities have 2f+1 of the stake.
pub(super) fn are_quorum(voters: &BTreeSet<AuthorityIndex>, committee: &Committee) -> bool {
    let stake: Stake = voters.iter().map(|voter| committee.stake(*voter)).sum();
    stake >= committee.quorum()
}

/// The first block of each author that votes for exactly this commit.
#[must_use]
pub(super) fn voters_for(commit: CommitRef, blocks: Vec<VerifiedBlock>) -> Vec<VerifiedBlock> {
    let mut authors = BTreeSet::new();
    let mut votes_first = |block: &VerifiedBlock| {
        block.commit_votes.contains(&commit) && authors.insert(block.author)
    };
    blocks
        .into_iter()
        .filter(|block| votes_first(block))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{
        Authority, Block, ChainId, CommitDigest, Epoch, KeyPair, NetworkKey, PublicKey, Round,
        SignatureScheme, TimestampMs,
    };

    fn committee() -> Arc<Committee> {
        let authorities = (0..4u8)
            .map(|i| Authority {
                network_key: NetworkKey([0; 32]),
                authority_key: vec![i],
                protocol_key: PublicKey([i; 32]),
                stake: Stake(1),
                address: [i; 20],
                p2p_address: ([0, 0, 0, 0], 0).into(),
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
        .sign(
            &KeyPair::from_seed(SignatureScheme::KeyedHash, &[1; 32]),
            ChainId::default(),
        )
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
    fn the_last_votes_of_a_quorum_for_other_commits_contradict_own_ones() {
        let of = |own: &[CommitRef], votes_of_others: [CommitRef; 3]| {
            let mut votes = CommitVotes::new(committee());
            let (before, after) = own.split_at(own.len() / 2);
            votes.made(before.iter().copied());
            for (author, vote) in (1..).zip(votes_of_others) {
                let CommitRef { index, digest } = vote;
                votes.observe(&self::vote(author, index.0, digest.0[0]));
            }
            votes.made(after.iter().copied());
            votes.contradiction()
        };
        let own = [4, 5, 6, 7].map(|index| commit(index, 1));
        assert_eq!(of(&own, [commit(5, 1), commit(6, 1), commit(7, 1)]), None);
        let others = [commit(5, 2), commit(6, 2), commit(7, 2)];
        assert_eq!(of(&own, others), Some((commit(5, 1), commit(5, 2))));
        assert_eq!(of(&own, [commit(5, 2), commit(6, 2), commit(7, 1)]), None);
        let unknown = [commit(3, 2), commit(8, 2), commit(9, 2)];
        assert_eq!(of(&own, unknown), None, "forgotten, and not made yet");
    }

    #[test]
    fn of_blocks_that_certify_a_commit_only_one_vote_of_each_author_is_kept() {
        let blocks = vec![
            vote(0, 5, 2),
            vote(0, 5, 1),
            vote(1, 4, 1),
            vote(0, 5, 1),
            vote(2, 5, 1),
        ];
        let kept = [blocks[1].clone(), blocks[4].clone()];
        assert_eq!(voters_for(commit(5, 1), blocks), kept);
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
