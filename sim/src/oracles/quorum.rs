//! QUORUM: *what is executed was certified by 2f+1, as an independent model of the paper derives it from the blocks that
//! were seen.*
//!
//! Input: the [results of the model](crate::model), the commits and epoch records on the disks of nodes, the frames on
//! block streams, the blocks on the disks of executors.
//!
//! Violations: a stored commit, a sent frame or a durable block that the model has not derived, or derived otherwise; an
//! epoch that is recorded with another base, start or committee; a boundary that is recorded otherwise; an epoch of which a
//! node records that its executor has all of it, without synced votes of 2f+1 for the last commit; an invalid block in the
//! store of a node; a block of an honest author that its author has not stored.
//!
//! No violation: a node that is behind the model; a stored commit after the boundary of its epoch, which must not be
//! delivered.

use super::{Invariant, Oracle, Violation};
use crate::{
    model::Derived,
    plan::{Authorities, Plan},
    trace::{Entry, ProcessId, What},
    witness::{ChangeStep, EpochRecord, Fact, Frame, Member, SeenBlock, SeenCommit},
};
use metanode_core::types::{
    AuthorityIndex, BlockDigest, CommitIndex, Epoch, GlobalExecIndex, TimestampMs,
};
use rustc_hash::FxHashSet;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::Arc,
};

pub(super) struct Quorum {
    authorities: Authorities,
    commits: BTreeMap<GlobalExecIndex, Expected>,
    epochs: BTreeMap<Epoch, Begin>,
    invalid: FxHashSet<BlockDigest>,
    /// Own blocks that honest nodes stored.
    own: FxHashSet<BlockDigest>,
}

/// A commit of the model.
struct Expected {
    commit: Arc<SeenCommit>,
    frame: Arc<Frame>,
    entry: Entry,
}

/// The begin of an epoch by the model.
struct Begin {
    base: GlobalExecIndex,
    start_ms: TimestampMs,
    committee: Arc<[Member]>,
    entry: Entry,
}

impl Quorum {
    pub(super) fn new(plan: &Plan) -> Self {
        Self::of(Authorities::new(plan))
    }

    pub(super) fn of(authorities: Authorities) -> Self {
        Self {
            authorities,
            commits: BTreeMap::new(),
            epochs: BTreeMap::new(),
            invalid: FxHashSet::default(),
            own: FxHashSet::default(),
        }
    }

    fn derived(&mut self, derived: &Derived, entry: &Entry) {
        match derived {
            Derived::Commit { commit, frame, .. } => {
                let expected = Expected {
                    commit: commit.clone(),
                    frame: frame.clone(),
                    entry: entry.clone(),
                };
                self.commits.insert(frame.gei, expected);
            }
            Derived::EpochBegan {
                epoch,
                base,
                start_ms,
                committee,
            } => {
                let begin = Begin {
                    base: *base,
                    start_ms: *start_ms,
                    committee: committee.clone(),
                    entry: entry.clone(),
                };
                self.epochs.insert(*epoch, begin);
            }
            Derived::InvalidBlock { block, .. } => {
                self.invalid.insert(block.digest);
            }
        }
    }

    fn stored(&self, commit: &SeenCommit, entry: &Entry) -> Result<(), Box<Violation>> {
        let expected = self.expected(commit.epoch, commit.index);
        if expected.is_none() && self.epochs.contains_key(&commit.epoch.next()) {
            return Ok(()); // after the boundary
        }
        let Some(expected) = expected else {
            return Err(broken(
                entry,
                "commit-not-decided",
                format!("the blocks that were seen do not decide {commit}"),
                None,
            ));
        };
        if *commit == *expected.commit {
            return Ok(());
        }
        let (found, expected_commit) = (commit, &expected.commit);
        let difference = first_difference(&[
            of("leader", &expected_commit.leader, &found.leader),
            of(
                "timestamp",
                &expected_commit.timestamp_ms,
                &found.timestamp_ms,
            ),
            of("blocks", &expected_commit.blocks, &found.blocks),
            of("end-of-epoch marks", &expected_commit.ending, &found.ending),
            of(
                "timestamp of the epoch's first commit",
                &expected_commit.epoch_began_ms,
                &found.epoch_began_ms,
            ),
            of(
                "previous commit",
                &expected_commit.previous,
                &found.previous,
            ),
            of("digest", &expected_commit.digest, &found.digest),
        ]);
        Err(broken(
            entry,
            "commit-differs",
            format!("{commit} is decided otherwise: {difference}"),
            Some(&expected.entry),
        ))
    }

    /// The commit of the model at this position.
    fn expected(&self, epoch: Epoch, index: CommitIndex) -> Option<&Expected> {
        let base = self.epochs.get(&epoch)?.base;
        let gei = GlobalExecIndex(base.0 + u64::from(index.0));
        let expected = self.commits.get(&gei)?;
        (expected.commit.epoch == epoch).then_some(expected)
    }

    fn delivered(&self, frame: &Frame, entry: &Entry) -> Result<(), Box<Violation>> {
        let Some(expected) = self.commits.get(&frame.gei) else {
            return Err(broken(
                entry,
                "block-not-decided",
                format!("the blocks that were seen do not decide {frame}"),
                None,
            ));
        };
        if *frame == *expected.frame {
            return Ok(());
        }
        let expected_frame = &expected.frame;
        let difference = first_difference(&[
            of("epoch", &expected_frame.epoch, &frame.epoch),
            of("commit", &expected_frame.commit, &frame.commit),
            of(
                "timestamp",
                &expected_frame.timestamp_ms,
                &frame.timestamp_ms,
            ),
            of("leader", &expected_frame.leader, &frame.leader),
            of(
                "address of the leader",
                &expected_frame.leader_address,
                &frame.leader_address,
            ),
            of(
                "number of transactions",
                &expected_frame.transactions.len(),
                &frame.transactions.len(),
            ),
            of("transactions", &expected_frame.content, &frame.content),
        ]);
        Err(broken(
            entry,
            "block-differs",
            format!("{frame} should have other content: {difference}"),
            Some(&expected.entry),
        ))
    }

    fn recorded(&self, record: &EpochRecord, entry: &Entry) -> Result<(), Box<Violation>> {
        let Some(begin) = self.epochs.get(&record.epoch) else {
            return Err(broken(
                entry,
                "epoch-not-begun",
                format!(
                    "the blocks that were seen do not end the epoch before {}",
                    record.epoch
                ),
                None,
            ));
        };
        let difference = first_difference(&[
            of("base", &begin.base, &record.base),
            of("start", &begin.start_ms, &record.start_ms),
            of("committee", &&begin.committee[..], &&record.committee[..]),
        ]);
        if !difference.is_empty() {
            return Err(broken(
                entry,
                "epoch-differs",
                format!("epoch {} begins otherwise: {difference}", record.epoch),
                Some(&begin.entry),
            ));
        }
        let (ChangeStep::BoundaryCommitted(boundary)
        | ChangeStep::Drained(boundary)
        | ChangeStep::Advanced(boundary)) = record.step
        else {
            return Ok(());
        };
        let next = self.epochs.get(&record.epoch.next());
        let is_boundary = next.is_some_and(|next| {
            let expected = self.expected(record.epoch, boundary.commit);
            (next.base, next.start_ms) == (boundary.gei, boundary.timestamp_ms)
                && expected.is_some_and(|expected| expected.commit.digest == boundary.digest)
        });
        if is_boundary {
            return Ok(());
        }
        let expected = next.map_or("not to end yet".to_owned(), |next| {
            format!("to end with GEI {} at {} ms", next.base, next.start_ms)
        });
        Err(broken(
            entry,
            "boundary-differs",
            format!(
                "expected epoch {} {expected}, its boundary is recorded as commit {} at GEI {}, {} ms",
                record.epoch, boundary.commit, boundary.gei, boundary.timestamp_ms
            ),
            next.map(|next| &next.entry),
        ))
    }

    /// The node leaves the epoch next, and may be the only one that can prove to others how it ended.
    fn left_with(
        &self,
        epoch: Epoch,
        commit: CommitIndex,
        authors: &BTreeSet<AuthorityIndex>,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        let Some(begin) = self.epochs.get(&epoch) else {
            return Ok(());
        };
        let stake_of = |of: &Member| u128::from(of.stake);
        let voters = authors.iter();
        let voters = voters.filter_map(|author| begin.committee.get(author.as_usize()));
        let stake: u128 = voters.map(stake_of).sum();
        let total: u128 = begin.committee.iter().map(stake_of).sum();
        if stake * 3 > total * 2 {
            return Ok(());
        }
        let message = format!(
            "records that the executor has all of epoch {epoch}, with synced votes for its last commit, {commit}, of \
             stake {stake} of {total}"
        );
        Err(broken(
            entry,
            "left-without-votes",
            message,
            Some(&begin.entry),
        ))
    }

    fn block_stored(&mut self, block: &SeenBlock, entry: &Entry) -> Result<(), Box<Violation>> {
        let reference = block.reference;
        let is_elsewhere = self.authorities.is_of_other_chain(entry.process);
        if self.invalid.contains(&reference.digest) && !is_elsewhere {
            let message = format!("{reference} is invalid, and a node stored it");
            return Err(broken(entry, "invalid-block-stored", message, None));
        }
        let author = self.authorities.validator(block.epoch, reference.author);
        let Some(author) = author.filter(|author| self.authorities.is_honest(*author)) else {
            return Ok(());
        };
        if entry.process == ProcessId::Node(author) {
            self.own.insert(reference.digest);
            return Ok(());
        }
        if self.own.contains(&reference.digest) {
            return Ok(());
        }
        let message =
            format!("node-{author} is honest and never stored {reference}, its own block");
        Err(broken(entry, "block-not-of-its-author", message, None))
    }
}

/// The text of a difference; empty if there is none.
fn of<T: PartialEq + Debug>(what: &str, expected: &T, found: &T) -> String {
    if expected == found {
        return String::new();
    }
    format!("expected {what} {expected:?}, found {found:?}")
}

fn first_difference(differences: &[String]) -> String {
    let first = differences.iter().find(|difference| !difference.is_empty());
    first.cloned().unwrap_or_default()
}

fn broken(
    entry: &Entry,
    clause: &'static str,
    message: String,
    earlier: Option<&Entry>,
) -> Box<Violation> {
    Violation::by(entry, Invariant::Quorum, clause, message, earlier.cloned())
}

impl Oracle for Quorum {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match &entry.what {
            What::Derived(derived) => self.derived(derived, entry),
            What::Seen(Fact::BlockStored { block, .. }) => self.block_stored(block, entry)?,
            What::Seen(Fact::CommitStored { commit, .. }) => self.stored(commit, entry)?,
            What::Seen(Fact::FrameSent { frame, .. }) => self.delivered(frame, entry)?,
            What::Seen(Fact::Durable { blocks, .. }) => {
                for block in blocks {
                    self.delivered(block, entry)?;
                }
            }
            What::Seen(Fact::EpochRecorded { record }) => self.recorded(record, entry)?,
            What::Seen(Fact::BoundaryVotes {
                epoch,
                commit,
                authors,
            }) => self.left_with(*epoch, *commit, authors, entry)?,
            _ => {}
        }
        Ok(())
    }
}
