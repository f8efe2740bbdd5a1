//! DURABLE: *a reported watermark never exceeds what survives the reporter's crash.*
//!
//! A frame on the block stream is a report of a node: its commit is synced before (contract §5).
//!
//! Input: what processes wrote to their disks and what they found there, replies of executors, frames.
//!
//! The number of the last block of an executor that counts blocks and GEIs apart is a report, too: of as many blocks with
//! transactions.
//!
//! Violations: a stored value that is not what its key says, or, at the end, a log of commits or a sequence of executed
//! blocks that is not complete; a reply with a watermark or a block above the one that is synced on the executor's disk; a start that finds a
//! watermark below one that the same executor reported; a frame of a commit that is not synced on the node's disk; a
//! start of a node that finds fewer commits of an epoch than were synced; a node that deletes commits from one on in which
//! no bit flipped.
//!
//! No violation: the loss of blocks or of a watermark that were never reported, or by a restored backup; the loss of
//! commits from the first one on in which the world flipped bits, because the node cuts its log there.

use super::{Invariant, Oracle, Violation};
use crate::{
    trace::{Entry, ProcessId, What, WorldEvent},
    witness::{self, Fact, Frame, Reply, SeenCommit},
};
use metanode_core::types::{CommitIndex, Epoch, GlobalExecIndex};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Durability {
    executors: BTreeMap<u16, Executor>,
    nodes: BTreeMap<(u16, Epoch), Commits>,
    /// The blocks with transactions that any executor has stored.
    with_transactions: BTreeSet<GlobalExecIndex>,
    /// Commits in which bits flipped, and that were not stored again since, of any epoch.
    damaged: BTreeSet<(u16, Epoch, CommitIndex)>,
}

#[derive(Default)]
struct Executor {
    /// On its disk.
    synced: GlobalExecIndex,
    /// The highest watermark in a reply.
    reported: Option<(GlobalExecIndex, Entry)>,
}

/// The commits of an epoch on the disk of a node.
#[derive(Default)]
struct Commits {
    /// The last one that is synced.
    synced: Option<(CommitIndex, Entry)>,
    /// The last one, synced or not.
    written: CommitIndex,
}

impl Durability {
    fn executor_seen(&mut self, n: u16, fact: &Fact, entry: &Entry) -> Result<(), Box<Violation>> {
        let executor = self.executors.entry(n).or_default();
        match fact {
            Fact::Durable {
                watermark, blocks, ..
            } => {
                executor.synced = *watermark;
                let blocks = blocks.iter().filter(|block| !block.transactions.is_empty());
                self.with_transactions.extend(blocks.map(|block| block.gei));
            }
            Fact::ExecutorFound { watermark, .. } => {
                executor.synced = *watermark;
                if let Some((highest, report)) = &executor.reported
                    && watermark < highest
                {
                    let message =
                        format!("reported {highest}, but only {watermark} survived the crash");
                    let clause = "reported-watermark-lost";
                    return Err(broken(entry, clause, message, Some(report)));
                }
            }
            Fact::ReplySent { reply, .. } => {
                if let Reply::BlockCount(reported) = **reply {
                    let stored = self.with_transactions.range(..=executor.synced).count();
                    if reported > stored as u64 {
                        let message = format!(
                            "reported {reported} blocks with transactions, but its disk has {stored} only"
                        );
                        return Err(broken(entry, "counted-before-durable", message, None));
                    }
                }
                let Some(watermark) = reply.durable() else {
                    return Ok(());
                };
                let highest = executor.reported.as_ref();
                if highest.is_none_or(|(highest, _)| watermark > *highest) {
                    executor.reported = Some((watermark, entry.clone()));
                }
                if watermark > executor.synced {
                    let message = format!(
                        "reported {watermark}, but its disk has {} only",
                        executor.synced
                    );
                    return Err(broken(entry, "reported-before-durable", message, None));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn commit_stored(
        &mut self,
        n: u16,
        commit: &SeenCommit,
        durability: witness::Durability,
        entry: &Entry,
    ) {
        self.damaged.remove(&(n, commit.epoch, commit.index));
        let commits = self.nodes.entry((n, commit.epoch)).or_default();
        commits.written = commits.written.max(commit.index);
        if durability == witness::Durability::Synced {
            // Everything written before is synced, too.
            commits.synced = Some((commits.written, entry.clone()));
        }
    }

    fn commits_cut(
        &mut self,
        n: u16,
        epoch: Epoch,
        from: CommitIndex,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        let commits = self.nodes.entry((n, epoch)).or_default();
        commits.written = from.prev();
        let before = commits.synced.replace((from.prev(), entry.clone()));
        if self.damaged.contains(&(n, epoch, from)) {
            return Ok(());
        }
        let message =
            format!("deletes commits of epoch {epoch} from {from} on, which is not damaged");
        let earlier = before.as_ref().map(|(_, earlier)| earlier);
        Err(broken(entry, "intact-commit-deleted", message, earlier))
    }

    fn frame_sent(&self, n: u16, frame: &Frame, entry: &Entry) -> Result<(), Box<Violation>> {
        let commits = self.nodes.get(&(n, frame.epoch));
        let synced = commits.and_then(|commits| commits.synced.as_ref());
        let last = synced.map_or(CommitIndex(0), |(last, _)| *last);
        if frame.commit <= last {
            return Ok(());
        }
        let message = format!(
            "sends {frame}, but of epoch {} its disk has synced commits up to {last} only",
            frame.epoch
        );
        let earlier = synced.map(|(_, earlier)| earlier);
        Err(broken(entry, "sent-before-synced", message, earlier))
    }

    fn node_found(
        &mut self,
        n: u16,
        epoch: Epoch,
        last: CommitIndex,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        let commits = self.nodes.entry((n, epoch)).or_default();
        let before = commits.synced.replace((last, entry.clone()));
        commits.written = last;
        match before {
            Some((synced, earlier)) if last < synced => {
                let message = format!(
                    "stored commit {synced} of epoch {epoch}, but only {last} survived the crash"
                );
                Err(broken(entry, "stored-commit-lost", message, Some(&earlier)))
            }
            _ => Ok(()),
        }
    }
}

fn broken(
    entry: &Entry,
    clause: &'static str,
    message: String,
    earlier: Option<&Entry>,
) -> Box<Violation> {
    Violation::by(entry, Invariant::Durable, clause, message, earlier.cloned())
}

impl Oracle for Durability {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match (entry.process, &entry.what) {
            (_, What::Seen(Fact::DamagedValue { reason })) => {
                let message = format!("expected a value as its key says, {reason}");
                Err(broken(entry, "damaged-value", message, None))
            }
            (ProcessId::Executor(n), What::Seen(fact)) => self.executor_seen(n, fact, entry),
            (ProcessId::Executor(n), What::World(WorldEvent::DiskRestored { .. })) => {
                self.executors.remove(&n);
                Ok(())
            }
            (ProcessId::Node(n), What::World(WorldEvent::DiskRestored { .. })) => {
                self.nodes.retain(|(of, _), _| *of != n);
                Ok(())
            }
            (ProcessId::Node(n), What::World(WorldEvent::CommitsDamaged { commits })) => {
                let damaged = commits.iter().map(|(epoch, index)| (n, *epoch, *index));
                self.damaged.extend(damaged);
                Ok(())
            }
            (ProcessId::Node(n), What::Seen(fact)) => match fact {
                Fact::CommitStored { commit, durability } => {
                    self.commit_stored(n, commit, *durability, entry);
                    Ok(())
                }
                Fact::CommitsCut { epoch, from } => self.commits_cut(n, *epoch, *from, entry),
                Fact::EpochRemoved { epoch } => {
                    self.nodes.remove(&(n, *epoch));
                    Ok(())
                }
                Fact::NodeFound { epoch, last_commit } => {
                    self.node_found(n, *epoch, *last_commit, entry)
                }
                Fact::FrameSent { frame, .. } => self.frame_sent(n, frame, entry),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::witness::StateRoot;
    use crate::{
        oracles::{
            testing::judge,
            truthful::{frame, with_facts},
        },
        trace::{
            SimTime,
            testing::{
                durable, executed, executor, executor_events, found, node, node_events, opened,
                reported, stored, world_event, written,
            },
        },
    };
    use bytes::Bytes;
    use metanode_core::{
        env::{ExecutorEvent, NodeEvent},
        types::Round,
    };
    use std::sync::Arc;

    fn verdict(events: Vec<ExecutorEvent>) -> Option<Box<Violation>> {
        judge(Durability::default(), &executor_events(events))
    }

    #[test]
    fn a_reported_watermark_must_survive() {
        let trace = vec![found(0), durable(2), reported(2), reported(1), found(1)];
        let violation = verdict(trace).unwrap();
        assert_eq!(
            violation.message,
            "reported 2, but only 1 survived the crash"
        );
        assert_eq!(violation.evidence.len(), 2);
    }

    #[test]
    fn a_watermark_is_on_the_disk_before_it_is_reported() {
        let violation = verdict(vec![found(0), executed(1), reported(1), durable(1)]).unwrap();
        assert_eq!(violation.clause, "reported-before-durable");
    }

    #[test]
    fn a_number_of_blocks_counts_those_with_transactions_that_are_durable() {
        let of_executor = |fact| Entry {
            at: SimTime::default(),
            process: ProcessId::Executor(0),
            what: What::Seen(fact),
        };
        let block = |n: u64, transactions| {
            let (gei, commit) = (GlobalExecIndex(n), CommitIndex(1));
            Arc::new(Frame {
                transactions,
                ..Frame::clone(&frame(gei, Epoch(0), commit))
            })
        };
        let durable = Fact::Durable {
            watermark: GlobalExecIndex(2),
            state_root: StateRoot([0; 32]),
            blocks: vec![block(1, vec![]), block(2, vec![Bytes::new()])],
        };
        let clause = |reported| {
            let reply = Fact::ReplySent {
                connection: 1,
                number: 1,
                reply: Arc::new(Reply::BlockCount(reported)),
            };
            let trace = [durable.clone(), reply].map(of_executor);
            judge(Durability::default(), &trace).map(|violation| violation.clause)
        };
        assert_eq!(clause(1), None);
        assert_eq!(clause(2), Some("counted-before-durable"));
    }

    #[test]
    fn a_commit_is_synced_before_its_frame_is_sent() {
        let trace = |events: Vec<NodeEvent>| commits_of_one_node(events);
        assert_eq!(trace(vec![stored(1), written(1, 1)]), None);
        let violation = trace(vec![stored(1), written(1, 2)]).unwrap();
        assert_eq!(violation.clause, "sent-before-synced");
    }

    #[test]
    fn an_unreported_watermark_may_be_lost() {
        let reported_one = vec![
            executed(1),
            durable(1),
            reported(1),
            executed(2),
            durable(2),
            found(1),
        ];
        assert_eq!(verdict(reported_one), None);
    }

    #[test]
    fn a_report_binds_all_later_incarnations() {
        assert!(verdict(vec![durable(2), reported(2), found(2), found(1)]).is_some());
    }

    const fn recovered(last_commit: u32) -> NodeEvent {
        NodeEvent::Recovered {
            last_commit: CommitIndex(last_commit),
            highest_round: Round(9),
            last_proposed_round: Round(9),
        }
    }

    fn commits_of_one_node(events: impl IntoIterator<Item = NodeEvent>) -> Option<Box<Violation>> {
        judge(Durability::default(), &node_events(events))
    }

    #[test]
    fn a_stored_commit_survives() {
        let trace = |last_commit| {
            [stored(1), stored(2), recovered(last_commit)].map(|event| node(0, 0, event))
        };
        assert_eq!(judge(Durability::default(), &trace(2)), None);
        let violation = judge(Durability::default(), &trace(1)).unwrap();
        assert_eq!(violation.evidence.len(), 2);
    }

    #[test]
    fn commits_of_each_epoch_are_judged_separately() {
        let of_epoch_zero = || vec![opened(0, 0), recovered(0), stored(1), stored(2)];
        let then = |events: Vec<_>| commits_of_one_node([of_epoch_zero(), events].concat());
        assert_eq!(then(vec![opened(1, 2), recovered(0)]), None);
        let went_back = vec![opened(1, 2), recovered(0), opened(0, 0), recovered(2)];
        assert_eq!(then(went_back), None);
        let lost = then(vec![opened(1, 2), recovered(0), opened(0, 0), recovered(1)]);
        assert_eq!(
            lost.unwrap().message,
            "stored commit 2 of epoch 0, but only 1 survived the crash"
        );
    }

    #[test]
    fn the_store_of_an_old_epoch_may_be_removed() {
        let epoch = Epoch(0);
        let removed = [opened(0, 0), stored(1), NodeEvent::EpochRemoved { epoch }];
        let again = [opened(0, 0), recovered(0)];
        assert_eq!(commits_of_one_node([&removed[..], &again].concat()), None);
    }

    #[test]
    fn a_log_that_was_cut_before_a_damaged_commit_is_shorter() {
        let cut = |index| {
            let fact = Fact::CommitsCut {
                epoch: Epoch(0),
                from: CommitIndex(index),
            };
            Entry {
                what: What::Seen(fact),
                ..node(2, 0, stored(1))
            }
        };
        let trace = |middle: Vec<Entry>, last| {
            let mut trace = vec![node(0, 0, stored(1)), node(0, 0, stored(2))];
            let commits = [(Epoch(0), CommitIndex(2))].into();
            let damaged = WorldEvent::CommitsDamaged { commits };
            trace.push(world_event(1, ProcessId::Node(0), damaged));
            trace.extend(middle);
            trace.push(node(3, 0, recovered(last)));
            judge(Durability::default(), &trace)
        };
        assert_eq!(trace(vec![cut(2)], 1), None);
        assert!(trace(vec![cut(2)], 0).is_some());
        assert!(trace(vec![cut(2), node(2, 0, stored(2))], 1).is_some());
        assert!(trace(vec![], 1).is_some());
        let of_next_epoch = {
            let stored = with_facts(&[node(2, 0, stored(2))]);
            let find = |entry: Entry| match entry.what {
                What::Seen(Fact::CommitStored { commit, durability }) => Some((commit, durability)),
                _ => None,
            };
            let (mut commit, durability) = stored.into_iter().find_map(find).unwrap();
            Arc::make_mut(&mut commit).epoch = Epoch(1);
            let what = What::Seen(Fact::CommitStored { commit, durability });
            Entry {
                what,
                ..node(2, 0, NodeEvent::Ready)
            }
        };
        assert_eq!(trace(vec![of_next_epoch, cut(2)], 1), None);
        let intact = trace(vec![cut(1)], 0).unwrap();
        assert_eq!(intact.clause, "intact-commit-deleted");
    }

    #[test]
    fn a_restored_backup_may_lose_a_reported_watermark() {
        let restored = WorldEvent::DiskRestored {
            taken: SimTime::from_ms(0),
            copied_from: None,
        };
        let trace = [
            executor(0, 0, durable(2)),
            executor(0, 0, reported(2)),
            world_event(1, ProcessId::Executor(0), restored),
            executor(2, 0, found(1)),
        ];
        assert_eq!(judge(Durability::default(), &trace), None);
    }

    #[test]
    fn reports_bind_only_their_executor() {
        let trace = [
            executor(0, 0, durable(2)),
            executor(0, 0, reported(2)),
            executor(1, 1, found(0)),
        ];
        assert_eq!(judge(Durability::default(), &trace), None);
    }
}
