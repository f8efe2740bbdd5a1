//! DURABLE: *a reported watermark never exceeds what survives the reporter's crash.*
//!
//! A node reports, too: it hands commits on, and they are synced before that (contract §5).
//!
//! A violation: a start finds a watermark below one that the same executor told anyone in an earlier life, whatever
//! ended that life; a node recovers fewer commits of an epoch than it stored.
//! None: losing blocks, or a durable watermark, that nobody was told of, or by an older backup that was put back; losing
//! the commits from one on in which the world flipped bits.
//! Reports that no crash ever puts to the test
//! cannot be judged.

use super::{Invariant, Oracle, Violation};
use crate::trace::{Entry, ProcessId, What, WorldEvent};
use metanode_core::{
    env::{Event, ExecutorEvent, NodeEvent},
    types::{CommitIndex, Epoch, GlobalExecIndex},
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Durable {
    /// Highest watermark each executor reported, with the report.
    promised: BTreeMap<u16, (GlobalExecIndex, Entry)>,
    /// The last commit each node stored of an epoch, with the entry that says so.
    stored: BTreeMap<(u16, Epoch), (CommitIndex, Entry)>,
    /// Commits in which bits flipped, and that were not stored anew since.
    damaged: BTreeSet<(u16, CommitIndex)>,
    /// The epoch in which each node starts.
    epochs: BTreeMap<u16, Epoch>,
}

impl Durable {
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
            NodeEvent::ExecutorQueried { epoch, .. } => {
                self.epochs.insert(n, *epoch);
            }
            NodeEvent::Recovered { last_commit, .. } => {
                let epoch = self.epochs.get(&n).copied().unwrap_or_default();
                if let Some((stored, earlier)) = self.stored.get(&(n, epoch))
                    && last_commit < stored
                    && !self.damaged.contains(&(n, last_commit.next()))
                {
                    return Err(Violation::by(
                        entry,
                        Invariant::Durable,
                        format!(
                            "stored commit {stored}, but only {last_commit} survived the crash"
                        ),
                        [earlier.clone()],
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Oracle for Durable {
    fn invariant(&self) -> Invariant {
        Invariant::Durable
    }

    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        let (n, event) = match (entry.process, &entry.what) {
            (ProcessId::Executor(n), What::Did(Event::Executor(event))) => (n, event),
            (ProcessId::Node(n), What::Did(Event::Node(event))) => {
                return self.node_did(n, event, entry);
            }
            (ProcessId::Executor(n), What::Befell(WorldEvent::DiskRestored { .. })) => {
                self.promised.remove(&n);
                return Ok(());
            }
            (ProcessId::Node(n), What::Befell(WorldEvent::CommitsDamaged { commits })) => {
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
        befell, durable, executed, executor, found, judge, node, reported, stored,
    };
    use crate::trace::SimTime;
    use metanode_core::types::Round;

    fn verdict(events: Vec<ExecutorEvent>) -> Option<Box<Violation>> {
        let trace: Vec<Entry> = events
            .into_iter()
            .map(|event| executor(0, 0, event))
            .collect();
        judge(Durable::default(), &trace)
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
    fn a_promise_outlives_the_next_life() {
        assert!(verdict(vec![reported(2), found(2), found(1)]).is_some());
    }

    #[test]
    fn a_commit_that_was_handed_on_survives() {
        let recovered = |last_commit| NodeEvent::Recovered {
            last_commit: CommitIndex(last_commit),
            highest_round: Round(9),
            own_round: Round(9),
        };
        let lives = |last_commit| {
            [stored(1), stored(2), recovered(last_commit)].map(|event| node(0, 0, event))
        };
        assert_eq!(judge(Durable::default(), &lives(2)), None);
        let violation = judge(Durable::default(), &lives(1)).unwrap();
        assert_eq!(violation.evidence, lives(1)[1..]);
    }

    #[test]
    fn whoever_puts_back_an_older_backup_breaks_the_promise_knowingly() {
        let restored = WorldEvent::DiskRestored {
            taken: SimTime::from_ms(0),
        };
        let trace = [
            executor(0, 0, reported(2)),
            befell(1, ProcessId::Executor(0), restored),
            executor(2, 0, found(1)),
        ];
        assert_eq!(judge(Durable::default(), &trace), None);
    }

    #[test]
    fn executors_promise_for_themselves() {
        let trace = [executor(0, 0, reported(2)), executor(1, 1, found(0))];
        assert_eq!(judge(Durable::default(), &trace), None);
    }
}
