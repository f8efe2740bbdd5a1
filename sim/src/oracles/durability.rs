//! DURABLE: *a reported watermark never exceeds what survives the reporter's crash.*
//!
//! A node reports, too: it hands commits on, and they are synced before that (contract §5).
//!
//! A violation: a start finds a watermark below one that the same executor told anyone in an earlier incarnation, whatever
//! ended that incarnation; a node recovers fewer commits of an epoch than it stored.
//! None: losing blocks, or a durable watermark, that nobody was told of, or by an older backup that was put back;
//! losing the commits from one on in which the world flipped bits; commits of an epoch more than one before the node's,
//! which nobody needs.
//! Reports that no crash ever puts to the test cannot be judged.

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
    promised: BTreeMap<u16, (GlobalExecIndex, Entry)>,
    /// The last commit each node stored of an epoch, with the entry that says so.
    stored: BTreeMap<(u16, Epoch), (CommitIndex, Entry)>,
    /// Commits in which bits flipped, and that were not stored anew since. Of whatever epoch: the world flips the bits of
    /// an index in every store that has it, until one is written again.
    damaged: BTreeSet<(u16, CommitIndex)>,
    /// The epoch that each node opened last: what it recovers is of that one.
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
                // Removed as soon as the node likes, which a crash may leave unsaid.
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
                self.promised.remove(&n);
                return Ok(());
            }
            (ProcessId::Node(n), What::World(WorldEvent::CommitsDamaged { commits })) => {
                self.damaged
                    .extend(commits.iter().map(|commit| (n, *commit)));
                return Ok(());
            }
            _ => return Ok(()),
        };
        let promised = self.promised.get(&n);
        match event {
            ExecutorEvent::Reported { watermark } => {
                if promised.is_none_or(|(highest, _)| watermark > highest) {
                    self.promised.insert(n, (*watermark, entry.clone()));
                }
                Ok(())
            }
            ExecutorEvent::Started { watermark, .. } => match promised {
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
    use crate::oracles::testing::{
        durable, executed, executor, executor_events, found, judge, node, node_events, opened,
        reported, stored, world_event,
    };
    use crate::trace::SimTime;
    use metanode_core::types::Round;

    fn verdict(events: Vec<ExecutorEvent>) -> Option<Box<Violation>> {
        judge(Durability::default(), &executor_events(events))
    }

    #[test]
    fn a_report_that_did_not_survive_is_a_broken_promise() {
        let lives = vec![found(0), reported(2), reported(1), found(1)];
        let violation = verdict(lives).unwrap();
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
    fn losing_what_nobody_was_told_of_breaks_no_promise() {
        let told_one = vec![
            executed(1),
            durable(1),
            reported(1),
            executed(2),
            durable(2),
            found(1),
        ];
        assert_eq!(verdict(told_one), None);
    }

    #[test]
    fn a_promise_outlives_the_next_incarnation() {
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
    fn a_commit_that_was_handed_on_survives() {
        let lives = |last_commit| {
            [stored(1), stored(2), recovered(last_commit)].map(|event| node(0, 0, event))
        };
        assert_eq!(judge(Durability::default(), &lives(2)), None);
        let violation = judge(Durability::default(), &lives(1)).unwrap();
        assert_eq!(violation.evidence, lives(1)[1..]);
    }

    #[test]
    fn commits_of_one_epoch_say_nothing_of_another() {
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
    fn an_epoch_before_the_last_may_be_removed() {
        let removed = [opened(0, 0), stored(1), opened(1, 1), opened(2, 2)];
        let again = [opened(0, 0), recovered(0)];
        assert_eq!(commits_of_one_node([&removed[..], &again].concat()), None);
    }

    #[test]
    fn a_damaged_commit_ends_the_log_until_it_is_stored_anew() {
        let commits = BTreeSet::from([CommitIndex(2)]);
        let damage = world_event(
            1,
            ProcessId::Node(0),
            WorldEvent::CommitsDamaged { commits },
        );
        let lives = |events: Vec<NodeEvent>| {
            let mut trace = vec![node(0, 0, stored(1)), node(0, 0, stored(2)), damage.clone()];
            trace.extend(events.into_iter().map(|event| node(2, 0, event)));
            judge(Durability::default(), &trace)
        };
        assert_eq!(lives(vec![recovered(1), recovered(1)]), None);
        assert!(lives(vec![recovered(0)]).is_some());
        assert!(lives(vec![stored(2), recovered(1)]).is_some());
        let elsewhere = vec![recovered(1), opened(1, 1), of_epoch_one(2)];
        let back = vec![opened(0, 0), recovered(1)];
        assert_eq!(lives([elsewhere, back].concat()), None);
    }

    #[test]
    fn whoever_puts_back_an_older_backup_breaks_the_promise_knowingly() {
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
    fn executors_promise_for_themselves() {
        let trace = [executor(0, 0, reported(2)), executor(1, 1, found(0))];
        assert_eq!(judge(Durability::default(), &trace), None);
    }
}
