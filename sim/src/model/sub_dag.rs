//! The commits of one epoch: what each committed leader brings in, in which order, and at which time.

use super::{bcs::Writer, committee::Committee, dag::Dag};
use crate::witness::{SeenBlock, SeenCommit};
use metanode_core::types::{
    AuthorityIndex, BlockRef, CommitDigest, CommitIndex, Round, TimestampMs,
};
use std::{collections::BTreeSet, sync::Arc};

pub(super) struct Commits {
    /// Start of the epoch: no commit is earlier.
    start_ms: TimestampMs,
    last: Option<Arc<SeenCommit>>,
    /// The blocks of all commits, above the gc round.
    committed: BTreeSet<BlockRef>,
}

impl Commits {
    pub const fn new(start_ms: TimestampMs) -> Self {
        Self {
            start_ms,
            last: None,
            committed: BTreeSet::new(),
        }
    }

    /// The next commit: that of this leader. Nothing of `gc_round` or below belongs to it, and nothing after the first
    /// block that does not fit into `max_bytes`.
    pub fn next(
        &mut self,
        leader: &SeenBlock,
        gc_round: Round,
        max_bytes: usize,
        dag: &Dag,
        committee: &Committee,
    ) -> Arc<SeenCommit> {
        // With a block all its ancestors are committed: what does not fit comes after what does.
        let is_committed = |block: &BlockRef| self.committed.contains(block);
        let history = dag.history(leader.reference, gc_round, is_committed);
        let mut blocks: Vec<BlockRef> = history.into_iter().collect();
        // By round, then from the author of the leader on.
        let first = leader.reference.author;
        blocks.sort_by_key(|block| (block.round, block.author < first, *block));
        let mut bytes = 0;
        let too_large = blocks.iter().position(|name| {
            bytes += dag.get(name).map_or(0, |block| delivered_bytes(block));
            bytes > max_bytes
        });
        blocks.truncate(too_large.map_or(blocks.len(), |first| first.max(1)));
        blocks.sort_unstable();
        let last = self.last.as_deref();
        let earliest = last.map_or(self.start_ms, |last| last.timestamp_ms);
        let timestamp_ms = median_timestamp(leader, dag, committee).max(earliest);
        let mut ending: BTreeSet<AuthorityIndex> =
            last.map_or_else(BTreeSet::new, |last| last.ending.iter().copied().collect());
        let marked = blocks.iter().filter_map(|block| dag.get(block));
        let marked = marked.filter(|block| block.end_of_epoch);
        ending.extend(marked.map(|block| block.reference.author));
        let mut commit = SeenCommit {
            epoch: committee.epoch(),
            index: last.map_or(CommitIndex(1), |last| last.index.next()),
            digest: CommitDigest::default(),
            previous: last.map_or(CommitDigest::default(), |last| last.digest),
            leader: leader.reference,
            timestamp_ms,
            epoch_began_ms: last.map_or(timestamp_ms, |last| last.epoch_began_ms),
            ending: ending.into_iter().collect(),
            blocks,
        };
        commit.digest = digest(&commit);
        self.committed.extend(&commit.blocks);
        let first_kept = BlockRef::first_of_round(gc_round.next());
        self.committed = self.committed.split_off(&first_kept);
        let commit = Arc::new(commit);
        self.last = Some(commit.clone());
        commit
    }
}

/// The size of a block in a commit: each transaction counts 16 bytes more than it has.
fn delivered_bytes(block: &SeenBlock) -> usize {
    block.transactions.iter().map(|t| t.len() + 16).sum()
}

/// Whether no commit follows this one in its epoch (contract §7).
pub(super) fn is_boundary(commit: &SeenCommit, committee: &Committee) -> bool {
    committee.is_quorum(commit.ending.iter().copied())
}

/// The lower stake-weighted median of the timestamps of the leader's parents: the earliest one up to which parents have
/// half of their stake.
fn median_timestamp(leader: &SeenBlock, dag: &Dag, committee: &Committee) -> TimestampMs {
    let parents = leader.ancestors.iter();
    let parents: Vec<&Arc<SeenBlock>> = parents
        .filter(|ancestor| ancestor.round.next() == leader.reference.round)
        .filter_map(|parent| dag.get(parent))
        .collect();
    let stake_up_to = |timestamp_ms| -> u128 {
        let until = parents.iter().filter(|p| p.timestamp_ms <= timestamp_ms);
        until.map(|p| committee.stake(p.reference.author)).sum()
    };
    let total = stake_up_to(TimestampMs(u64::MAX));
    let timestamps = parents.iter().map(|parent| parent.timestamp_ms);
    timestamps
        .filter(|timestamp_ms| 2 * stake_up_to(*timestamp_ms) >= total)
        .min()
        .unwrap_or_default()
}

/// blake3 of the BCS encoding of everything but the digest itself.
fn digest(commit: &SeenCommit) -> CommitDigest {
    let encoded = Writer::default()
        .u64(commit.epoch.0)
        .u32(commit.index.0)
        .sized(&commit.previous.0)
        .block_ref(&commit.leader)
        .u64(commit.timestamp_ms.0)
        .u64(commit.epoch_began_ms.0)
        .list(&commit.ending, |writer, authority| writer.u16(authority.0))
        .list(&commit.blocks, Writer::block_ref);
    CommitDigest(*blake3::hash(&encoded.bytes).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::Chain;
    use metanode_core::types::{BlockDigest, ChainId, Commit, Epoch};

    #[test]
    fn the_digest_of_a_commit_is_that_of_the_node() {
        let block = |round, author: u16| BlockRef {
            round: Round(round),
            author: AuthorityIndex(author),
            digest: BlockDigest([round as u8; 32]),
        };
        for blocks in [0, 1, 127, 128, 300] {
            let theirs = Commit {
                epoch: Epoch(u64::MAX - 3),
                index: CommitIndex(0x0102_0304),
                previous: CommitDigest([9; 32]),
                leader: block(77, 300),
                timestamp_ms: TimestampMs(1_700_000_000_123),
                epoch_began_ms: TimestampMs(1_700_000_000_000),
                ending: vec![AuthorityIndex(0), AuthorityIndex(258)],
                blocks: (0..blocks).map(|round| block(round, 2)).collect(),
            };
            let ours = SeenCommit {
                epoch: theirs.epoch,
                index: theirs.index,
                digest: CommitDigest::default(),
                previous: theirs.previous,
                leader: theirs.leader,
                timestamp_ms: theirs.timestamp_ms,
                epoch_began_ms: theirs.epoch_began_ms,
                ending: theirs.ending.clone(),
                blocks: theirs.blocks.clone(),
            };
            assert_eq!(digest(&ours), theirs.reference().digest);
        }
    }

    /// The median for parents with these timestamps, of authorities with these stakes.
    fn median<const N: usize>(parents: [(u64, u64); N]) -> u64 {
        let mut chain = Chain::new(N);
        chain.stakes = parents.map(|(_, stake)| stake).to_vec();
        let mut dag = Dag::default();
        for (author, (timestamp_ms, _)) in (0..).zip(parents) {
            let mut block = chain.block(Round(1), author, &[chain.unknown(0, author)]);
            block.timestamp_ms = TimestampMs(timestamp_ms);
            let block = block.sign(&chain.keys[usize::from(author)], ChainId::default());
            assert!(dag.add(&chain.seen(&block)).is_some());
        }
        let mut parents: Vec<_> = dag.round(Round(1)).map(|b| b.reference).collect();
        parents.push(chain.unknown(0, 9)); // an ancestor that is no parent
        let leader = chain
            .block(Round(2), 0, &parents)
            .sign(&chain.keys[0], ChainId::default());
        median_timestamp(&chain.seen(&leader), &dag, &chain.committee(Epoch(0))).0
    }

    #[test]
    fn the_timestamp_is_the_lower_median_by_stake() {
        assert_eq!(median([(30, 1), (10, 1), (20, 1)]), 20);
        assert_eq!(median([(30, 1), (10, 1), (20, 1), (40, 1)]), 20);
        assert_eq!(median([(30, 9), (10, 1), (20, 1)]), 30);
        assert_eq!(median([(1, 2), (7, 1), (9, 1)]), 1);
        assert_eq!(median([(5, 3), (5, 1), (u64::MAX, 3)]), 5);
    }
}
