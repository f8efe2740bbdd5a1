//! GAP0: *the durable GEI sequence of an executor is 1, 2, 3, … without a gap.*
//!
//! Violations: an executor executes, or its guard refuses, a block beyond the one after its tip; its durable watermark,
//! announced or recovered, is above the last executed block. A refused gap leaves the state intact, but it proves that
//! the node does not send what is missing: no legal stream starts above watermark + 1.
//!
//! No violation: a repeated GEI (EXEC1 judges its effect); a watermark that skips executed blocks; a first start of an
//! executor at any GEI, with a restored state.

use super::{Invariant, Oracle, Violation};
use crate::trace::{Entry, ProcessId, What};
use metanode_core::{
    env::{Event, ExecutorEvent},
    types::GlobalExecIndex,
};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct NoGaps {
    executors: BTreeMap<u16, Tip>,
}

/// The highest block in an executor's memory and the entry that put it there.
struct Tip {
    gei: GlobalExecIndex,
    set_by: Entry,
}

/// The new tip of an executor after `event`, if it changes.
fn next_tip(
    tip: Option<GlobalExecIndex>,
    event: &ExecutorEvent,
) -> Result<Option<GlobalExecIndex>, Gap> {
    match (event, tip) {
        (ExecutorEvent::Started { watermark, .. }, Some(tip)) if *watermark > tip => Err(Gap {
            clause: "watermark-above-executed",
            message: format!(
                "found watermark {watermark} at its start, but it never executed beyond GEI {tip}"
            ),
        }),
        (ExecutorEvent::Started { watermark, .. }, _) => Ok(Some(*watermark)),
        (ExecutorEvent::Executed { gei, .. }, Some(tip)) if *gei <= tip => Ok(None),
        (ExecutorEvent::Executed { gei, .. }, Some(tip)) if *gei > tip.next() => Err(Gap {
            clause: "gei-skipped",
            message: format!("expected GEI {} next, executed {gei}", tip.next()),
        }),
        (ExecutorEvent::Executed { gei, .. }, _) => Ok(Some(*gei)),
        (ExecutorEvent::Refused { gei, expected }, _) if gei > expected => Err(Gap {
            clause: "block-not-sent",
            message: format!(
                "expected GEI {expected} next and refused {gei}: {} blocks were not sent",
                gei.0 - expected.0
            ),
        }),
        (ExecutorEvent::Durable { watermark }, Some(tip)) if *watermark > tip => Err(Gap {
            clause: "durable-above-executed",
            message: format!(
                "reports {watermark} as durable, but executed no further than GEI {tip}"
            ),
        }),
        _ => Ok(None),
    }
}

/// A violated clause of the invariant.
struct Gap {
    clause: &'static str,
    message: String,
}

impl Oracle for NoGaps {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        let (ProcessId::Executor(n), What::Process(Event::Executor(event))) =
            (entry.process, &entry.what)
        else {
            return Ok(());
        };
        let tip = self.executors.get(&n);
        match next_tip(tip.map(|tip| tip.gei), event) {
            Ok(None) => {}
            Ok(Some(gei)) => {
                let set_by = entry.clone();
                self.executors.insert(n, Tip { gei, set_by });
            }
            Err(Gap { clause, message }) => {
                let earlier = tip.map(|tip| tip.set_by.clone());
                return Err(Violation::by(
                    entry,
                    Invariant::Gap0,
                    clause,
                    message,
                    earlier,
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::testing::judge,
        trace::testing::{durable, executed, executor, executor_events, found, gei},
    };

    /// Started at 0 and executed 1 and 2, then this.
    fn after_two(events: Vec<ExecutorEvent>) -> Option<Box<Violation>> {
        let mut trace = vec![found(0), executed(1), executed(2)];
        trace.extend(events);
        judge(NoGaps::default(), &executor_events(trace))
    }

    fn refused(refused: u64, expected: u64) -> ExecutorEvent {
        ExecutorEvent::Refused {
            gei: gei(refused),
            expected: gei(expected),
        }
    }

    #[test]
    fn a_skipped_block_is_a_gap() {
        let violation = after_two(vec![executed(4)]).unwrap();
        assert_eq!(violation.message, "expected GEI 3 next, executed 4");
        assert_eq!(
            violation.evidence,
            [executor(0, 0, executed(2)), executor(0, 0, executed(4))]
        );
        assert_eq!(after_two(vec![executed(3), durable(3)]), None);
    }

    #[test]
    fn a_refused_gap_fires_and_a_refused_repetition_does_not() {
        assert!(
            after_two(vec![refused(5, 3)])
                .unwrap()
                .message
                .contains("2 blocks")
        );
        assert_eq!(after_two(vec![refused(2, 3), executed(3)]), None);
    }

    #[test]
    fn a_watermark_never_passes_the_executed_tip() {
        assert!(after_two(vec![durable(3)]).is_some());
        assert_eq!(after_two(vec![durable(2)]), None);
    }

    #[test]
    fn a_start_recovers_executed_blocks_and_continues_after_them() {
        assert!(after_two(vec![found(3)]).is_some());
        assert!(after_two(vec![found(1), executed(3)]).is_some());
        assert_eq!(after_two(vec![found(1), executed(2), executed(3)]), None);
    }

    #[test]
    fn a_restored_state_begins_anywhere() {
        let trace = [executor(0, 0, found(100)), executor(1, 0, executed(101))];
        assert_eq!(judge(NoGaps::default(), &trace), None);
    }
}
