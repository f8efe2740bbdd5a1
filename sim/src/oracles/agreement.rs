//! AGREE: *GEI → (epoch, commit index, commit digest) is one function over all nodes and all time.*
//!
//! Input: commits on the disks of nodes, frames on block streams, blocks on the disks of executors and Subs, blocks that
//! executors send to Subs.
//!
//! Violations: a commit with two digests; a delivered GEI with two commits, or two contents; a commit at two GEIs; a block
//! with two hashes, its own or in the block after it.

use super::{Invariant, Oracle, Violation, first_said::FirstSaid};
use crate::{
    trace::{Entry, What},
    witness::{Fact, Frame, Reply, SeenCommit, SentBlock},
};
use metanode_core::types::{CommitDigest, CommitIndex, Epoch, GlobalExecIndex};
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Agreement {
    commits: FirstSaid<(Epoch, CommitIndex), CommitDigest>,
    places: FirstSaid<(Epoch, CommitIndex), GlobalExecIndex>,
    frames: FirstSaid<GlobalExecIndex, Arc<Frame>>,
    /// The hashes of blocks that executors send to Subs.
    hashes: FirstSaid<GlobalExecIndex, [u8; 32]>,
}

impl Agreement {
    fn stored(&mut self, commit: &SeenCommit, entry: &Entry) -> Result<(), Box<Violation>> {
        let SeenCommit {
            epoch,
            index,
            digest,
            ..
        } = commit;
        let contradicted = self.commits.contradicted((*epoch, *index), *digest, entry);
        let Some((first, earlier)) = contradicted else {
            return Ok(());
        };
        let message = format!(
            "expected commit {index} of epoch {epoch} with digest {first} as {} has it, found digest {digest}",
            earlier.process
        );
        Err(broken(entry, "commit-has-one-digest", message, earlier))
    }

    /// An executor has sent a block to a Sub.
    fn sent(&mut self, block: &SentBlock, entry: &Entry) -> Result<(), Box<Violation>> {
        let SentBlock { number, frame, .. } = block;
        let before = number.prev();
        for (gei, hash) in [(*number, block.hash), (before, block.parent)] {
            if let Some((_, earlier)) = self.hashes.contradicted(gei, hash, entry) {
                let message = format!("expected block {gei} to have the hash that was sent before");
                return Err(broken(entry, "block-has-one-hash", message, earlier));
            }
        }
        match frame {
            Some(frame) => self.delivered(frame, entry),
            None => Ok(()),
        }
    }

    fn delivered(&mut self, frame: &Arc<Frame>, entry: &Entry) -> Result<(), Box<Violation>> {
        let Frame {
            gei, epoch, commit, ..
        } = **frame;
        if let Some((first, earlier)) = self.frames.contradicted(gei, frame.clone(), entry) {
            let first_commit = (first.epoch, first.commit);
            let (clause, message) = if first_commit == (epoch, commit) {
                (
                    "frame-has-one-content",
                    format!(
                        "expected the frame of GEI {gei} to have the content that {} has, found another",
                        earlier.process
                    ),
                )
            } else {
                (
                    "gei-has-one-commit",
                    format!(
                        "expected GEI {gei} to be commit {} of epoch {} as {} has it, found commit {commit} of epoch {epoch}",
                        first.commit, first.epoch, earlier.process
                    ),
                )
            };
            return Err(broken(entry, clause, message, earlier));
        }
        match self.places.contradicted((epoch, commit), gei, entry) {
            None => Ok(()),
            Some((first, earlier)) => {
                let message = format!(
                    "expected commit {commit} of epoch {epoch} at GEI {first} as {} has it, found GEI {gei}",
                    earlier.process
                );
                Err(broken(entry, "commit-has-one-gei", message, earlier))
            }
        }
    }
}

fn broken(entry: &Entry, clause: &'static str, message: String, earlier: &Entry) -> Box<Violation> {
    Violation::by(entry, Invariant::Agree, clause, message, [earlier.clone()])
}

impl Oracle for Agreement {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match &entry.what {
            What::Seen(Fact::CommitStored { commit, .. }) => self.stored(commit, entry),
            What::Seen(Fact::FrameSent { frame, .. }) => self.delivered(frame, entry),
            What::Seen(Fact::Durable { blocks, .. }) => {
                let mut blocks = blocks.iter();
                blocks.try_for_each(|block| self.delivered(block, entry))
            }
            What::Seen(Fact::ReplySent { reply, .. }) => match &**reply {
                Reply::Blocks(blocks) => {
                    let mut blocks = blocks.iter();
                    blocks.try_for_each(|block| self.sent(block, entry))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::testing::judge,
        trace::testing::{durable, executed, executor, gei, node, stored, written},
    };
    use metanode_core::{
        env::{ExecutorEvent, NodeEvent},
        types::CommitRef,
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
        assert_eq!(violation.evidence.len(), 2);
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
            executor(3, 0, durable(1)),
            executor(4, 1, executed(1)),
            executor(4, 1, durable(1)),
        ];
        assert_eq!(judge(Agreement::default(), &legal), None);

        let mut other = executed(1);
        if let ExecutorEvent::Executed { content, .. } = &mut other {
            *content = 9;
        }
        let forked = [
            executor(3, 0, executed(1)),
            executor(3, 0, durable(1)),
            executor(4, 1, other),
            executor(4, 1, durable(1)),
        ];
        assert!(judge(Agreement::default(), &forked).is_some());
    }
}
