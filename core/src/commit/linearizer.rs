//! From committed leaders to commits: the sub-DAG of each leader, its order and its timestamp.
//!
//! # Why garbage collection is deterministic
//! The commit of a leader of round `R` leaves out all blocks of rounds up to `R − gc_depth`, which depends on `R` alone
//! and not on the blocks that a node has. A node may lack ancestors at or below its gc round `g`, which is `R' −
//! gc_depth` for the leader round `R'` of its last commit. Leaders are committed in the order of their rounds, so `R ≥
//! R'` for every later commit, and all nodes leave out the blocks that the node lacks. Every path from the leader to a
//! block above `R − gc_depth` consists of blocks of rounds above `g`, where the DAG is complete.
//!
//! # Why every commit can be delivered
//! A commit is one frame to the executor. What does not fit into `max_commit_bytes` is left to the later commits that
//! have it in their history (specification §13.6). A commit takes the lowest rounds first, so the ancestors of its
//! blocks are in it or in an earlier one: behind a committed block nothing is left. Its leader, the only block of the
//! highest round, is the first that it leaves out. Of the round in which it ends it takes the blocks from the leader's
//! index on, so that no authority is always the last.

use super::bug_switches;
use crate::{
    commit::is_boundary,
    dag::Dag,
    types::{
        AuthorityIndex, BlockRef, Commit, CommitDigest, CommitIndex, CommitRef, Committee, Epoch,
        Stake, SubDag, TimestampMs, VerifiedBlock,
    },
};
use std::{collections::BTreeSet, sync::Arc};
use thiserror::Error;

/// Makes the commit sequence of one epoch, up to its boundary.
pub(crate) struct Linearizer {
    committee: Arc<Committee>,
    /// Start timestamp of the epoch: no commit is earlier.
    start: TimestampMs,
    max_commit_bytes: usize,
    last: Option<Last>,
}

/// The part of the last commit on which the next one depends.
#[derive(Clone)]
struct Last {
    reference: CommitRef,
    leader: BlockRef,
    timestamp_ms: TimestampMs,
    epoch_began_ms: TimestampMs,
    ending: BTreeSet<AuthorityIndex>,
    is_boundary: bool,
}

/// Why a fetched commit does not continue this node's sequence.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AdoptError {
    #[error("commit {commit} is of epoch {found}, expected epoch {expected}")]
    WrongEpoch {
        commit: CommitRef,
        expected: Epoch,
        found: Epoch,
    },
    #[error("expected commit {expected}, found commit {commit}: fetch the expected one")]
    NotNext {
        commit: CommitRef,
        expected: CommitIndex,
    },
    #[error(
        "expected commit {commit} to continue {expected}, found {found}: one of the two sequences was not certified \
         by a quorum"
    )]
    Diverged {
        commit: CommitRef,
        expected: CommitDigest,
        found: CommitDigest,
    },
    #[error("commit {commit} is after the boundary of its epoch, {boundary}")]
    AfterBoundary {
        commit: CommitRef,
        boundary: CommitRef,
    },
    #[error("commit {commit} was sent with other blocks than the {named} that it lists")]
    OtherBlocks { commit: CommitRef, named: usize },
}

impl Linearizer {
    /// A linearizer before the first commit of the committee's epoch.
    pub(super) const fn new(
        committee: Arc<Committee>,
        start: TimestampMs,
        max_commit_bytes: u32,
    ) -> Self {
        Self {
            committee,
            start,
            max_commit_bytes: max_commit_bytes as usize,
            last: None,
        }
    }

    /// Recovers the sequence after a restart, and restores the gc round and the committed marks in a new DAG.
    /// Afterwards the stored blocks above [`Dag::gc_round`] can be accepted again.
    ///
    /// `commits` are the last stored ones, in order: at least all with a leader above the gc round of the last one
    /// ([`Dag::gc_round_for`]). More are harmless.
    #[must_use]
    pub fn recover(
        committee: Arc<Committee>,
        start: TimestampMs,
        max_commit_bytes: u32,
        dag: &mut Dag,
        commits: &[Commit],
    ) -> Self {
        if let Some(last) = commits.last() {
            dag.advance_gc(last.leader.round);
        }
        for block in commits.iter().flat_map(|commit| &commit.blocks) {
            dag.mark_committed(block);
        }
        let mut linearizer = Self::new(committee, start, max_commit_bytes);
        linearizer.last = (commits.last()).map(|commit| Last::of(commit, &linearizer.committee));
        linearizer
    }

    /// The last commit of the sequence.
    #[must_use]
    pub fn last_commit(&self) -> Option<CommitRef> {
        self.last.as_ref().map(|last| last.reference)
    }

    /// The boundary commit, if it was made.
    #[must_use]
    pub fn boundary(&self) -> Option<CommitRef> {
        let last = self.last.as_ref()?;
        bug_switches::boundary(last.is_boundary.then_some(last.reference))
    }

    /// The timestamp of the epoch's first commit, from which its age is counted (contract §7). `None` before that
    /// commit.
    #[must_use]
    pub fn epoch_began(&self) -> Option<TimestampMs> {
        let last = self.last.as_ref()?;
        Some(bug_switches::epoch_began(last.epoch_began_ms, self.start))
    }

    /// The leader of the last commit. After a restart and after [`Linearizer::adopt`], its slot is the last one that is
    /// known to be decided.
    #[must_use]
    pub fn last_leader(&self) -> Option<BlockRef> {
        self.last.as_ref().map(|last| last.leader)
    }

    /// Makes one commit of each leader. Leaders must be in the order of decision; those after the boundary are ignored.
    /// Marks the blocks in the DAG and advances its gc round.
    pub fn linearize(&mut self, dag: &mut Dag, leaders: Vec<VerifiedBlock>) -> Vec<SubDag> {
        let mut commits = vec![];
        for leader in leaders {
            if self.boundary().is_some() {
                break;
            }
            commits.push(self.commit(dag, leader));
        }
        commits
    }

    /// Continues the sequence with a certified commit from another node: inserts its blocks into the DAG, marks them
    /// and advances the gc round. Returns the blocks that were new in the DAG, in causal order.
    ///
    /// The ancestors of its blocks are available: they are in this commit, in an earlier one, or at or below the gc
    /// round of its leader.
    ///
    /// # Errors
    /// If the commit is not the next one of this sequence. Nothing is changed then.
    pub fn adopt(
        &mut self,
        dag: &mut Dag,
        sub_dag: &SubDag,
    ) -> Result<Vec<VerifiedBlock>, AdoptError> {
        let SubDag { commit, blocks, .. } = sub_dag;
        self.check_continues(sub_dag)?;
        dag.advance_gc(commit.leader.round);
        let mut added = vec![];
        for block in blocks {
            if !dag.is_available(&block.reference()) {
                dag.insert(block.clone());
                added.push(block.clone());
            }
            dag.mark_committed(&block.reference());
        }
        self.last = Some(Last::of(commit, &self.committee));
        Ok(added)
    }

    fn commit(&mut self, dag: &mut Dag, leader: VerifiedBlock) -> SubDag {
        let median_ms = self.median_timestamp(dag, &leader);
        let earliest_ms = (self.last.as_ref()).map_or(self.start, |last| last.timestamp_ms);
        let timestamp_ms = bug_switches::timestamp(median_ms.max(earliest_ms), median_ms, &leader);
        let leader_ref = leader.reference();
        let blocks = bug_switches::sub_dag(self.take_blocks(dag, leader), leader_ref);
        let mut ending = self
            .last
            .as_ref()
            .map_or_else(BTreeSet::new, |last| last.ending.clone());
        ending.extend(blocks.iter().filter(|b| b.end_of_epoch).map(|b| b.author));
        let commit = Commit {
            epoch: self.committee.epoch(),
            index: self.next_index(),
            previous: self.previous(),
            leader: leader_ref,
            timestamp_ms,
            epoch_began_ms: self.epoch_began().unwrap_or(timestamp_ms),
            ending: ending.into_iter().collect(),
            blocks: blocks.iter().map(VerifiedBlock::reference).collect(),
        };
        dag.advance_gc(leader_ref.round);
        let last = Last::of(&commit, &self.committee);
        let reference = last.reference;
        self.check_grows(&last);
        self.last = Some(last);
        SubDag {
            reference,
            commit,
            blocks,
        }
    }

    /// # Panics
    /// If the commit does not follow the last one: all later commits of this node would be wrong.
    fn check_grows(&self, next: &Last) {
        let commit = next.reference;
        assert_eq!(
            commit.index,
            self.next_index(),
            "a commit does not have the next index"
        );
        if let Some(last) = &self.last {
            assert!(
                next.leader.round >= last.leader.round && next.leader != last.leader,
                "leader {} of commit {commit} does not follow leader {}",
                next.leader,
                last.leader
            );
            assert!(
                next.timestamp_ms >= last.timestamp_ms,
                "commit {commit} is earlier than the previous commit"
            );
        }
    }

    /// The lower stake-weighted median of the timestamps of the leader's parents. They have 2f+1 stake, so it is
    /// between the timestamps of two honest authorities.
    fn median_timestamp(&self, dag: &Dag, leader: &VerifiedBlock) -> TimestampMs {
        let mut parents: Vec<(TimestampMs, Stake)> = leader
            .ancestors
            .iter()
            .filter(|ancestor| ancestor.round.next() == leader.round)
            .filter_map(|parent| dag.get(parent))
            .map(|parent| (parent.timestamp_ms, self.committee.stake(parent.author)))
            .collect();
        parents.sort_unstable();
        let total: Stake = parents.iter().map(|(_, stake)| *stake).sum();
        let mut below = Stake(0);
        parents
            .into_iter()
            .find(|(_, stake)| {
                below += *stake;
                below.0 >= total.0.div_ceil(2)
            })
            .map_or(TimestampMs(0), |(timestamp_ms, _)| timestamp_ms)
    }

    fn check_continues(&self, sub_dag: &SubDag) -> Result<(), AdoptError> {
        let commit = &sub_dag.commit;
        let reference = commit.reference();
        if commit.epoch != self.committee.epoch() {
            return Err(AdoptError::WrongEpoch {
                commit: reference,
                expected: self.committee.epoch(),
                found: commit.epoch,
            });
        }
        if let Some(boundary) = self.boundary() {
            return Err(AdoptError::AfterBoundary {
                commit: reference,
                boundary,
            });
        }
        if commit.index != self.next_index() {
            return Err(AdoptError::NotNext {
                commit: reference,
                expected: self.next_index(),
            });
        }
        if commit.previous != self.previous() {
            return Err(AdoptError::Diverged {
                commit: reference,
                expected: self.previous(),
                found: commit.previous,
            });
        }
        if !sub_dag
            .blocks
            .iter()
            .map(VerifiedBlock::reference)
            .eq(commit.blocks.iter().copied())
        {
            return Err(AdoptError::OtherBlocks {
                commit: reference,
                named: commit.blocks.len(),
            });
        }
        Ok(())
    }

    /// The blocks of the commit of this leader, in delivery order. Marks them as committed.
    fn take_blocks(&self, dag: &mut Dag, leader: VerifiedBlock) -> Vec<VerifiedBlock> {
        let reference = leader.reference();
        let history = uncommitted_history(dag, leader);
        let mut blocks = fitting(history, reference, self.max_commit_bytes);
        for block in &blocks {
            dag.mark_committed(&block.reference());
        }
        blocks.sort_unstable_by_key(VerifiedBlock::reference);
        blocks
    }

    fn next_index(&self) -> CommitIndex {
        self.last_commit()
            .map_or(CommitIndex(1), |last| last.index.next())
    }

    fn previous(&self) -> CommitDigest {
        self.last_commit()
            .map_or(CommitDigest::default(), |last| last.digest)
    }
}

impl Last {
    fn of(commit: &Commit, committee: &Committee) -> Self {
        Self {
            reference: commit.reference(),
            leader: commit.leader,
            timestamp_ms: commit.timestamp_ms,
            epoch_began_ms: commit.epoch_began_ms,
            ending: commit.ending.iter().copied().collect(),
            is_boundary: is_boundary(commit, committee),
        }
    }
}

/// The part of the leader's causal history that no commit contains yet and that is above the leader's gc round.
fn uncommitted_history(dag: &Dag, leader: VerifiedBlock) -> Vec<VerifiedBlock> {
    let gc_round = dag.gc_round_for(leader.round);
    let mut seen = BTreeSet::from([leader.reference()]);
    let (mut blocks, mut open) = (vec![], vec![leader]);
    while let Some(block) = open.pop() {
        for ancestor in &block.ancestors {
            if ancestor.round <= gc_round || dag.is_committed(ancestor) || !seen.insert(*ancestor) {
                continue;
            }
            let Some(ancestor) = dag.get(ancestor) else {
                unreachable!(
                    "{ancestor} is above the gc round: the DAG is causally complete there"
                );
            };
            open.push(ancestor.clone());
        }
        blocks.push(block);
    }
    blocks
}

/// The blocks of these that the commit of the leader takes: as many as fit, and the first in any case.
fn fitting(
    mut blocks: Vec<VerifiedBlock>,
    leader: BlockRef,
    max_bytes: usize,
) -> Vec<VerifiedBlock> {
    blocks.sort_unstable_by_key(|block| {
        let name = block.reference();
        (name.round, name.author < leader.author, name)
    });
    let mut bytes = 0;
    let fits = |block: &&VerifiedBlock| {
        bytes += block.delivered_bytes();
        bytes <= max_bytes
    };
    let count = blocks.iter().take_while(fits).count().max(1);
    bug_switches::left_out(&mut blocks, count, leader);
    blocks
}
