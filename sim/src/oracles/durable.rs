//! DURABLE: *a reported watermark never exceeds what survives the reporter's crash.*
//!
//! A violation: a start finds a watermark below one that the same executor told anyone in an earlier life, whatever
//! ended that life.
//! None: losing blocks, or a durable watermark, that nobody was told of, or by an older backup that was put back. Reports that no crash ever puts to the test
//! cannot be judged.

use super::{Invariant, Oracle, Violation};
use crate::trace::{Entry, ProcessId, What, WorldEvent};
use metanode_core::{
    env::{Event, ExecutorEvent},
    types::GlobalExecIndex,
};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Durable {
    /// Highest watermark each executor reported, with the report.
    promised: BTreeMap<u16, (GlobalExecIndex, Entry)>,
}

impl Oracle for Durable {
    fn invariant(&self) -> Invariant {
        Invariant::Durable
    }

    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        let ProcessId::Executor(n) = entry.process else {
            return Ok(());
        };
        let event = match &entry.what {
            What::Did(Event::Executor(event)) => event,
            What::Befell(WorldEvent::DiskRestored { .. }) => {
                self.promised.remove(&n);
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
    use crate::oracles::testing::{befell, durable, executed, executor, found, judge, reported};
    use crate::trace::SimTime;

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
