//! DURABLE: *a reported watermark never exceeds what survives the reporter's crash.*
//!
//! A stored commit is a report of a node: it is synced before it is delivered (contract §5).
//!
//! Violations: a start finds a watermark below one that the same executor reported in an earlier incarnation; a node
//! recovers fewer commits of an epoch than it stored.
//!
//! No violation: the loss of blocks or of a durable watermark that were never reported, or by a restored backup; the
//! loss of commits from the first one on in which the world flipped bits; the loss of commits of an epoch more than one
//! before the node's, which are no longer needed. A report that no crash follows cannot be judged.

use super::{Invariant, Oracle, Violation};
use crate::trace::{Entry, ProcessId, What, WorldEvent};
use metanode_core::{
    env::{Event, ExecutorEvent, NodeEvent},
    types::{CommitIndex, Epoch, GlobalExecIndex},
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Durability {
    /// Highest watermark each executor reported, with the report.
    reported_highest: BTreeMap<u16, (GlobalExecIndex, Entry)>,
    /// The last commit each node stored of an epoch, with its entry.
    stored: BTreeMap<(u16, Epoch), (CommitIndex, Entry)>,
    /// Commits in which bits flipped, and that were not stored again since, of any epoch: the event does not name the
    /// epoch.
    damaged: BTreeSet<(u16, CommitIndex)>,
    /// The epoch that each node opened last, of which it recovers commits.
    epochs: BTreeMap<u16, Epoch>,
}

impl Durability {
    fn node_did(&mut self, n: u16, event: &NodeEvent, entry: &Entry) -> Result<(), Box<Violation>> {
        match event {
            NodeEvent::CommitRepaired { index } => {
                self.damaged.remove(&(n, *index));
            }
            NodeEvent::CommitStored { epoch, commit, .. } => {
                self.damaged.remove(&(n, commit.index));
                self.stored
                    .insert((n, *epoch), (commit.index, entry.clone()));
            }
            NodeEvent::EpochOpened { base, .. } => {
                self.epochs.insert(n, base.epoch);
                // The store of an older epoch may be removed at any time; a crash may suppress the event.
                let is_kept = |epoch: Epoch| epoch.next() >= base.epoch;
                self.stored
                    .retain(|(of, epoch), _| *of != n || is_kept(*epoch));
            }
            NodeEvent::Recovered { last_commit, .. } => {
                let epoch = self.epochs.get(&n).copied().unwrap_or_default();
                if let Some((stored, earlier)) = self.stored.get_mut(&(n, epoch))
                    && *last_commit < *stored
                {
                    if !self.damaged.contains(&(n, last_commit.next())) {
                        return Err(Violation::by(
                            entry,
                            Invariant::Durable,
                            "stored-commit-lost",
                            format!(
                                "stored commit {stored} of epoch {epoch}, but only {last_commit} survived the crash"
                            ),
                            [earlier.clone()],
                        ));
                    }
                    // The log ends here from now on.
                    (*stored, *earlier) = (*last_commit, entry.clone());
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Oracle for Durability {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        let (n, event) = match (entry.process, &entry.what) {
            (ProcessId::Executor(n), What::Process(Event::Executor(event))) => (n, event),
            (ProcessId::Node(n), What::Process(Event::Node(event))) => {
                return self.node_did(n, event, entry);
            }
            (ProcessId::Executor(n), What::World(WorldEvent::DiskRestored { .. })) => {
                self.reported_highest.remove(&n);
                return Ok(());
            }
            (ProcessId::Node(n), What::World(WorldEvent::CommitsDamaged { commits })) => {
                self.damaged
                    .extend(commits.iter().map(|commit| (n, *commit)));
                return Ok(());
            }
            _ => return Ok(()),
        };
        let reported_highest = self.reported_highest.get(&n);
        match event {
            ExecutorEvent::Reported { watermark } => {
                if reported_highest.is_none_or(|(highest, _)| watermark > highest) {
                    self.reported_highest.insert(n, (*watermark, entry.clone()));
                }
                Ok(())
            }
            ExecutorEvent::Started { watermark, .. } => match reported_highest {
                Some((highest, report)) if watermark < highest => Err(Violation::by(
                    entry,
                    Invariant::Durable,
                    "reported-watermark-lost",
                    format!("reported {highest}, but only {watermark} survived the crash"),
                    [report.clone()],
                )),
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
        trace::{
            SimTime,
            testing::{
                durable, executed, executor, executor_events, found, node, node_events, opened,
                reported, stored, world_event,
            },
        },
    };
    use metanode_core::types::Round;

    fn verdict(events: Vec<ExecutorEvent>) -> Option<Box<Violation>> {
        judge(Durability::default(), &executor_events(events))
    }

    #[test]
    fn a_reported_watermark_must_survive() {
        let trace = vec![found(0), reported(2), reported(1), found(1)];
        let violation = verdict(trace).unwrap();
        assert_eq!(
            violation.message,
            "reported 2, but only 1 survived the crash"
        );
        assert_eq!(
            violation.evidence,
            [executor(0, 0, reported(2)), executor(0, 0, found(1))]
        );
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
        assert!(verdict(vec![reported(2), found(2), found(1)]).is_some());
    }

    fn of_epoch_one(index: u32) -> NodeEvent {
        let mut event = stored(index.into());
        if let NodeEvent::CommitStored { epoch, .. } = &mut event {
            *epoch = Epoch(1);
        }
        event
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
        assert_eq!(violation.evidence, trace(1)[1..]);
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
        let removed = [opened(0, 0), stored(1), opened(1, 1), opened(2, 2)];
        let again = [opened(0, 0), recovered(0)];
        assert_eq!(commits_of_one_node([&removed[..], &again].concat()), None);
    }

    #[test]
    fn a_damaged_commit_ends_the_log_until_it_is_stored_again() {
        let commits = BTreeSet::from([CommitIndex(2)]);
        let damage = world_event(
            1,
            ProcessId::Node(0),
            WorldEvent::CommitsDamaged { commits },
        );
        let trace = |events: Vec<NodeEvent>| {
            let mut trace = vec![node(0, 0, stored(1)), node(0, 0, stored(2)), damage.clone()];
            trace.extend(events.into_iter().map(|event| node(2, 0, event)));
            judge(Durability::default(), &trace)
        };
        assert_eq!(trace(vec![recovered(1), recovered(1)]), None);
        assert!(trace(vec![recovered(0)]).is_some());
        assert!(trace(vec![stored(2), recovered(1)]).is_some());
        let elsewhere = vec![recovered(1), opened(1, 1), of_epoch_one(2)];
        let back = vec![opened(0, 0), recovered(1)];
        assert_eq!(trace([elsewhere, back].concat()), None);
    }

    #[test]
    fn a_restored_backup_may_lose_a_reported_watermark() {
        let restored = WorldEvent::DiskRestored {
            taken: SimTime::from_ms(0),
        };
        let trace = [
            executor(0, 0, reported(2)),
            world_event(1, ProcessId::Executor(0), restored),
            executor(2, 0, found(1)),
        ];
        assert_eq!(judge(Durability::default(), &trace), None);
    }

    #[test]
    fn reports_bind_only_their_executor() {
        let trace = [executor(0, 0, reported(2)), executor(1, 1, found(0))];
        assert_eq!(judge(Durability::default(), &trace), None);
    }
}
