//! From committed leaders to commits: which blocks a leader brings in, in which order, at what time.
//!
//! # Why garbage collection does not make nodes disagree
//! The commit of a leader of round `R` leaves out every block of round `R − gc_depth` or below. That depends on `R`
//! alone, not on what a node happens to have. What a node may lack are ancestors at or below its gc round `g`, which is
//! `R' − gc_depth` for the leader round `R'` of its last commit. Leaders are committed in the order of their rounds, so
//! for every later commit `R ≥ R'`, and what the node lacks is left out by everyone. Every path from the leader to a
//! block above `R − gc_depth` runs through rounds above `g`, where the DAG is complete.

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

/// Writes the commit sequence of one epoch, up to its boundary and no further.
pub struct Linearizer {
    committee: Arc<Committee>,
    /// When the epoch began: no commit of it is earlier.
    start: TimestampMs,
    last: Option<Last>,
}

/// What the next commit needs to know of the one before.
#[derive(Clone)]
struct Last {
    reference: CommitRef,
    leader: BlockRef,
    timestamp_ms: TimestampMs,
    epoch_began_ms: TimestampMs,
    ending: BTreeSet<AuthorityIndex>,
    is_boundary: bool,
}

/// Why a commit that was fetched does not continue this node's sequence.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AdoptError {
    #[error("commit {commit} is of epoch {found}, this sequence is of epoch {expected}")]
    WrongEpoch {
        commit: CommitRef,
        expected: Epoch,
        found: Epoch,
    },
    #[error("commit {commit} does not follow the last one, commit {expected} does: ask for that")]
    NotNext {
        commit: CommitRef,
        expected: CommitIndex,
    },
    #[error(
        "commit {commit} continues {found}, but here the commit before it is {expected}: \
         one of the two sequences was not certified by a quorum"
    )]
    Diverged {
        commit: CommitRef,
        expected: CommitDigest,
        found: CommitDigest,
    },
    #[error("commit {commit} comes after the boundary of its epoch, {boundary}")]
    AfterBoundary {
        commit: CommitRef,
        boundary: CommitRef,
    },
    #[error("commit {commit} came with other blocks than those that it names, {named} of them")]
    OtherBlocks { commit: CommitRef, named: usize },
}

impl Linearizer {
    /// Before the first commit of the committee's epoch.
    #[must_use]
    pub const fn new(committee: Arc<Committee>, start: TimestampMs) -> Self {
        Self {
            committee,
            start,
            last: None,
        }
    }

    /// Takes the sequence up after a restart, and restores the gc round and the committed marks in a new DAG. After
    /// that the stored blocks above [`Dag::gc_round`] can be accepted again.
    ///
    /// `commits` are the last ones stored, in order: at least all that have a leader above the gc round that follows
    /// from the last of them ([`Dag::gc_round_for`]). More do no harm.
    #[must_use]
    pub fn recover(
        committee: Arc<Committee>,
        start: TimestampMs,
        dag: &mut Dag,
        commits: &[Commit],
    ) -> Self {
        if let Some(last) = commits.last() {
            dag.advance_gc(last.leader.round);
        }
        for block in commits.iter().flat_map(|commit| &commit.blocks) {
            dag.mark_committed(block);
        }
        let last = commits.last().map(|commit| Last::of(commit, &committee));
        Self {
            committee,
            start,
            last,
        }
    }

    /// The last commit of the sequence.
    #[must_use]
    pub fn last_commit(&self) -> Option<CommitRef> {
        self.last.as_ref().map(|last| last.reference)
    }

    /// The commit that ended the epoch.
    #[must_use]
    pub fn boundary(&self) -> Option<CommitRef> {
        let last = self.last.as_ref()?;
        bug_switches::boundary(last.is_boundary.then_some(last.reference))
    }

    /// When the epoch really began: the time of its first commit. However long before it was to begin, its age counts
    /// from there (contract §7). None as long as there is no commit.
    #[must_use]
    pub fn epoch_began(&self) -> Option<TimestampMs> {
        self.last.as_ref().map(|last| last.epoch_began_ms)
    }

    /// The leader of the last commit. Its slot is the last that is known to be decided after a restart and after
    /// [`Linearizer::adopt`].
    #[must_use]
    pub fn last_leader(&self) -> Option<BlockRef> {
        self.last.as_ref().map(|last| last.leader)
    }

    /// Makes one commit of each leader, in the given order, which is that of the decisions. Marks the blocks in the DAG
    /// and advances its gc round. Leaders after the boundary are left out.
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

    /// Continues the sequence with a certified commit of other nodes: puts its blocks into the DAG, marks them and
    /// advances the gc round. Returns the blocks that were not in the DAG before, in causal order.
    ///
    /// Its blocks need nothing that is not here: their ancestors are in this commit, in one before it, or at or below
    /// the gc round of its leader.
    ///
    /// # Errors
    /// If the commit is not the next one, or not of this sequence. Nothing has changed then.
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
        let timestamp_ms = self.median_timestamp(dag, &leader).max(
            self.last
                .as_ref()
                .map_or(self.start, |last| last.timestamp_ms),
        );
        let leader_ref = leader.reference();
        let blocks = take_history(dag, leader);
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
    /// If a decision of this node leads back: another order of leaders or a hole would travel on into all that follows.
    fn check_grows(&self, next: &Last) {
        let commit = next.reference;
        assert_eq!(
            commit.index,
            self.next_index(),
            "commits are numbered without gaps"
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
                "commit {commit} is earlier than the one before"
            );
        }
    }

    /// The lower weighted median of the timestamps of the leader's parents. They hold 2f+1 stake, so it lies between
    /// two honest ones.
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

/// The leader's causal history that no commit contains yet, above the leader's gc round, in delivery order. Marks it
/// committed.
fn take_history(dag: &mut Dag, leader: VerifiedBlock) -> Vec<VerifiedBlock> {
    let gc_round = dag.gc_round_for(leader.round);
    dag.mark_committed(&leader.reference());
    let mut blocks = vec![];
    let mut open = vec![leader];
    while let Some(block) = open.pop() {
        for ancestor in &block.ancestors {
            if ancestor.round > gc_round && dag.mark_committed(ancestor) {
                let Some(ancestor) = dag.get(ancestor) else {
                    unreachable!(
                        "{ancestor} is above the gc round: the DAG is causally complete there"
                    );
                };
                open.push(ancestor.clone());
            }
        }
        blocks.push(block);
    }
    blocks.sort_unstable_by_key(VerifiedBlock::reference);
    blocks
}
