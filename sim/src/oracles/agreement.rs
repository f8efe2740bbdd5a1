//! AGREE: *GEI → (epoch, commit index, commit digest) is one function over all nodes and all time.*
//!
//! Input: what nodes store and write, and what executors execute.
//!
//! Violations: a commit with two digests or two GEIs; a delivered GEI with two commits, or two contents.
//!
//! No violation: a stored commit after an epoch's boundary. It is never delivered, so its GEI may be used again; as a
//! commit of its epoch it still has one digest and one GEI everywhere.

use super::{Invariant, Oracle, Violation, first_said::FirstSaid};
use crate::trace::{Entry, What};
use metanode_core::{
    env::{Event, ExecutorEvent, NodeEvent},
    types::{CommitDigest, CommitIndex, CommitRef, Epoch, GlobalExecIndex},
};

#[derive(Default)]
pub(super) struct Agreement {
    /// From stored and written commits.
    commits: FirstSaid<(Epoch, CommitIndex), (GlobalExecIndex, CommitDigest)>,
    /// From written and executed blocks.
    delivered: FirstSaid<GlobalExecIndex, (Epoch, CommitIndex)>,
    /// From executed blocks.
    contents: FirstSaid<GlobalExecIndex, u128>,
}

impl Agreement {
    fn commit(
        &mut self,
        epoch: Epoch,
        commit: CommitRef,
        gei: GlobalExecIndex,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        let said = (gei, commit.digest);
        match self
            .commits
            .contradicted((epoch, commit.index), said, entry)
        {
            None => Ok(()),
            Some(((first_gei, first_digest), earlier)) => Err(Violation::by(
                entry,
                Invariant::Agree,
                "commit-has-one-gei",
                format!(
                    "expected commit {} of epoch {epoch} at GEI {first_gei} with digest {first_digest} as {} has it, \
                     found GEI {gei} with digest {}",
                    commit.index, earlier.process, commit.digest
                ),
                [earlier.clone()],
            )),
        }
    }

    fn delivery(
        &mut self,
        gei: GlobalExecIndex,
        epoch: Epoch,
        commit: CommitIndex,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        match self.delivered.contradicted(gei, (epoch, commit), entry) {
            None => Ok(()),
            Some(((first_epoch, first_commit), earlier)) => Err(Violation::by(
                entry,
                Invariant::Agree,
                "gei-has-one-commit",
                format!(
                    "expected GEI {gei} to be commit {first_commit} of epoch {first_epoch} as {} has it, \
                     found commit {commit} of epoch {epoch}",
                    earlier.process
                ),
                [earlier.clone()],
            )),
        }
    }

    fn content(
        &mut self,
        gei: GlobalExecIndex,
        content: u128,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        match self.contents.contradicted(gei, content, entry) {
            None => Ok(()),
            Some((_, earlier)) => Err(Violation::by(
                entry,
                Invariant::Agree,
                "frame-has-one-content",
                format!(
                    "expected the frame of GEI {gei} to have the bytes that {} executed, found others",
                    earlier.process
                ),
                [earlier.clone()],
            )),
        }
    }
}

impl Oracle for Agreement {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match &entry.what {
            What::Process(Event::Node(NodeEvent::CommitStored {
                epoch, commit, gei, ..
            })) => self.commit(*epoch, *commit, *gei, entry),
            What::Process(Event::Node(NodeEvent::FrameWritten {
                gei, epoch, commit, ..
            })) => {
                self.commit(*epoch, *commit, *gei, entry)?;
                self.delivery(*gei, *epoch, commit.index, entry)
            }
            What::Process(Event::Executor(ExecutorEvent::Executed {
                gei,
                epoch,
                commit,
                content,
                ..
            })) => {
                self.delivery(*gei, *epoch, *commit, entry)?;
                self.content(*gei, *content, entry)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::testing::judge,
        trace::testing::{executed, executor, gei, node, stored, written},
    };

    /// A commit of epoch 1, whose base is 10, written to the stream.
    fn of_epoch_one(index: u32, at: u64) -> NodeEvent {
        NodeEvent::FrameWritten {
            connection: 1,
            gei: gei(at),
            epoch: Epoch(1),
            commit: CommitRef {
                index: CommitIndex(index),
                digest: CommitDigest([index as u8; 32]),
            },
        }
    }

    fn digest_changed(mut event: NodeEvent) -> NodeEvent {
        if let NodeEvent::CommitStored { commit, .. } = &mut event {
            commit.digest = CommitDigest([9; 32]);
        }
        event
    }

    #[test]
    fn two_digests_of_one_commit_are_a_fork() {
        let trace = [node(0, 0, stored(1)), node(1, 1, digest_changed(stored(1)))];
        let violation = judge(Agreement::default(), &trace).unwrap();
        assert_eq!(violation.evidence, trace);
        assert!(
            violation.message.contains("as node-0 has it"),
            "{}",
            violation.message
        );
    }

    #[test]
    fn a_commit_renumbered_on_replay_has_two_geis() {
        let first = of_epoch_one(2, 12);
        let trace = [node(0, 0, first), node(1, 0, of_epoch_one(2, 17))];
        assert!(judge(Agreement::default(), &trace).is_some());
    }

    #[test]
    fn a_trailing_commit_of_the_old_epoch_must_not_be_delivered() {
        let trailing_stored = [node(0, 0, stored(11)), node(1, 0, of_epoch_one(1, 11))];
        assert_eq!(judge(Agreement::default(), &trailing_stored), None);

        let trailing_written = [node(0, 0, written(1, 11)), node(1, 0, of_epoch_one(1, 11))];
        assert!(judge(Agreement::default(), &trailing_written).is_some());
    }

    #[test]
    fn executed_blocks_are_those_written_and_equal_everywhere() {
        let legal = [
            node(0, 0, stored(1)),
            node(1, 1, stored(1)),
            node(2, 0, written(1, 1)),
            node(2, 0, written(2, 1)),
            executor(3, 0, executed(1)),
            executor(4, 1, executed(1)),
        ];
        assert_eq!(judge(Agreement::default(), &legal), None);

        let mut other = executed(1);
        if let ExecutorEvent::Executed { content, .. } = &mut other {
            *content = 9;
        }
        let forked = [executor(3, 0, executed(1)), executor(4, 1, other)];
        assert!(judge(Agreement::default(), &forked).is_some());
    }
}
