//! From committed leaders to commits: which blocks a leader brings in, in which order, at what time.
//!
//! # Why garbage collection does not make nodes disagree
//! The commit of a leader of round `R` leaves out every block of round `R − gc_depth` or below. That depends on `R`
//! alone, not on what a node happens to have. What a node may lack are ancestors at or below its gc round `g`, which is
//! `R' − gc_depth` for the leader round `R'` of its last commit. Leaders are committed in the order of their rounds, so
//! for every later commit `R ≥ R'`, and what the node lacks is left out by everyone. Every path from the leader to a
//! block above `R − gc_depth` runs through rounds above `g`, where the DAG is complete.

use crate::{
    dag::Dag,
    museum::{self, Exhibit},
    types::{
        BlockRef, Commit, CommitDigest, CommitIndex, CommitRef, Committee, Epoch, Stake, SubDag,
        TimestampMs, VerifiedBlock,
    },
};
use std::sync::Arc;
use thiserror::Error;

/// Writes the commit sequence of one epoch.
pub struct Linearizer {
    committee: Arc<Committee>,
    last: Option<Last>,
}

/// What the next commit needs to know of the one before.
#[derive(Clone, Copy)]
struct Last {
    reference: CommitRef,
    leader: BlockRef,
    timestamp_ms: TimestampMs,
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
    #[error("commit {commit} came with other blocks than those that it names, {named} of them")]
    OtherBlocks { commit: CommitRef, named: usize },
}

impl Linearizer {
    /// Before the first commit of the committee's epoch.
    #[must_use]
    pub const fn new(committee: Arc<Committee>) -> Self {
        Self {
            committee,
            last: None,
        }
    }

    /// Takes the sequence up after a restart, and restores the gc round and the committed marks in a new DAG. After
    /// that the stored blocks above [`Dag::gc_round`] can be accepted again.
    ///
    /// `commits` are the last ones stored, in order: at least all that have a leader above the gc round that follows
    /// from the last of them ([`Dag::gc_round_for`]). More do no harm.
    #[must_use]
    pub fn recover(committee: Arc<Committee>, dag: &mut Dag, commits: &[Commit]) -> Self {
        if let Some(last) = commits.last() {
            dag.advance_gc(last.leader.round);
        }
        for block in commits.iter().flat_map(|commit| &commit.blocks) {
            dag.mark_committed(block);
        }
        Self {
            committee,
            last: commits.last().map(Last::of),
        }
    }

    /// The last commit of the sequence.
    #[must_use]
    pub fn last_commit(&self) -> Option<CommitRef> {
        self.last.map(|last| last.reference)
    }

    /// The leader of the last commit. Its slot is the last that is known to be decided after a restart and after
    /// [`Linearizer::adopt`].
    #[must_use]
    pub fn last_leader(&self) -> Option<BlockRef> {
        self.last.map(|last| last.leader)
    }

    /// Makes one commit of each leader, in the given order, which is that of the decisions. Marks the blocks in the DAG
    /// and advances its gc round.
    pub fn linearize(&mut self, dag: &mut Dag, leaders: Vec<VerifiedBlock>) -> Vec<SubDag> {
        leaders
            .into_iter()
            .map(|leader| self.commit(dag, leader))
            .collect()
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
        self.last = Some(Last::of(commit));
        Ok(added)
    }

    fn commit(&mut self, dag: &mut Dag, leader: VerifiedBlock) -> SubDag {
        let timestamp_ms = self
            .median_timestamp(dag, &leader)
            .max(self.last.map_or(TimestampMs(0), |last| last.timestamp_ms));
        let leader_ref = leader.reference();
        let blocks = take_history(dag, leader);
        let commit = Commit {
            epoch: self.committee.epoch(),
            index: self.next_index(),
            previous: self.previous(),
            leader: leader_ref,
            timestamp_ms,
            blocks: blocks.iter().map(VerifiedBlock::reference).collect(),
        };
        dag.advance_gc(leader_ref.round);
        let last = Last::of(&commit);
        self.last = Some(last);
        SubDag {
            reference: last.reference,
            commit,
            blocks,
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
    fn of(commit: &Commit) -> Self {
        Self {
            reference: commit.reference(),
            leader: commit.leader,
            timestamp_ms: commit.timestamp_ms,
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
                    if museum::shows(Exhibit::ExecutedBeforeQuorum) {
                        continue;
                    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dag::draw::Drawing,
        types::{AuthorityIndex, Round},
    };

    fn linearize(drawing: &Drawing, dag: &mut Dag, leaders: &[&str]) -> Vec<SubDag> {
        let leaders = leaders.iter().map(|name| drawing.get(name)).collect();
        Linearizer::new(drawing.committee.clone()).linearize(dag, leaders)
    }

    fn names(sub_dag: &SubDag) -> String {
        let name = |block: &VerifiedBlock| {
            format!("{}{}", char::from(b'A' + block.author.0 as u8), block.round)
        };
        sub_dag
            .blocks
            .iter()
            .map(name)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_leader_brings_in_its_history_in_order_and_comes_last() {
        let mut drawing = Drawing::of(4);
        drawing.full_rounds(1).round("C:-D B:-A A").full_rounds(1);
        let commits = linearize(&drawing, &mut drawing.dag(), &["B2", "A3"]);
        assert_eq!(names(&commits[0]), "B1 C1 D1 B2");
        assert_eq!(names(&commits[1]), "A1 A2 C2 A3");
        assert_eq!(commits[1].commit.previous, commits[0].reference.digest);
    }

    #[test]
    fn blocks_at_or_below_the_gc_round_of_the_leader_are_left_out_for_good() {
        let mut drawing = Drawing::of(4);
        drawing
            .full_rounds(1)
            .round("A:-D B:-D C:-D")
            .round("A B C");
        // D speaks again, and with it its first block becomes part of the history.
        let d1 = drawing.get("D1").reference();
        let mut ancestors: Vec<_> = ["A3", "B3", "C3"]
            .map(|name| drawing.get(name).reference())
            .into();
        ancestors.push(d1);
        drawing.block(Round(4), AuthorityIndex(3), ancestors, TimestampMs(4000));
        for (gc_depth, expected) in [(3, "C3 D4"), (4, "D1 C3 D4")] {
            let mut dag = Dag::new(drawing.committee.clone(), gc_depth);
            for block in &drawing.blocks {
                dag.insert(block.clone());
            }
            let commits = linearize(&drawing, &mut dag, &["A2", "B3", "A3", "D4"]);
            assert_eq!(names(&commits[3]), expected, "depth {gc_depth}");
            assert_eq!(dag.gc_round(), Round(4 - gc_depth));
        }
    }

    #[test]
    fn time_is_the_lower_median_of_the_parents_by_stake_and_never_goes_back() {
        let mut drawing = Drawing::with_stakes(Epoch(0), &[1, 1, 1, 4]);
        for (round, timestamps_ms) in [(1, [10, 11, 12, 50]), (2, [60, 61, 62, 40]), (3, [0; 4])] {
            let round = Round(round);
            let parents: Vec<_> = drawing
                .dag()
                .blocks_at_round(round.prev())
                .map(VerifiedBlock::reference)
                .collect();
            for (author, timestamp_ms) in (0..).map(AuthorityIndex).zip(timestamps_ms) {
                drawing.block(round, author, parents.clone(), TimestampMs(timestamp_ms));
            }
        }
        let commits = linearize(&drawing, &mut drawing.dag(), &["A1", "A2", "A3"]);
        let times: Vec<_> = commits.iter().map(|c| c.commit.timestamp_ms.0).collect();
        assert_eq!(
            times,
            [0, 50, 50],
            "genesis; D has most of the stake; 40 would be back in time"
        );
    }

    #[test]
    fn only_the_next_commit_of_the_same_sequence_is_adopted() {
        let mut drawing = Drawing::of(4);
        drawing.full_rounds(3);
        let commits = linearize(&drawing, &mut drawing.dag(), &["A1", "B2", "C3"]);
        let other = linearize(&drawing, &mut drawing.dag(), &["B1", "B2"]);

        let mut dag = Dag::new(drawing.committee.clone(), 2);
        let mut linearizer = Linearizer::new(drawing.committee.clone());
        let early = linearizer.adopt(&mut dag, &commits[1]);
        assert!(matches!(
            early,
            Err(AdoptError::NotNext {
                expected: CommitIndex(1),
                ..
            })
        ));
        assert_eq!(
            linearizer.adopt(&mut dag, &commits[0]),
            Ok(commits[0].blocks.clone())
        );
        let foreign = linearizer.adopt(&mut dag, &other[1]);
        assert!(matches!(foreign, Err(AdoptError::Diverged { .. })));
        let mut incomplete = commits[1].clone();
        incomplete.blocks.pop();
        let incomplete = linearizer.adopt(&mut dag, &incomplete);
        assert!(matches!(incomplete, Err(AdoptError::OtherBlocks { .. })));
        let mut elsewhere = commits[1].clone();
        elsewhere.commit.epoch = Epoch(7);
        let elsewhere = linearizer.adopt(&mut dag, &elsewhere);
        assert!(matches!(
            elsewhere,
            Err(AdoptError::WrongEpoch {
                found: Epoch(7),
                ..
            })
        ));

        assert_eq!(linearizer.last_commit(), Some(commits[0].reference));
        dag.insert(drawing.get("B1"));
        let added = linearizer.adopt(&mut dag, &commits[1]).unwrap();
        assert!(!added.contains(&drawing.get("B1")), "it was there already");
        assert_eq!(added.len() + 1, commits[1].blocks.len());
        assert!(dag.is_committed(&drawing.get("B1").reference()));
    }
}
