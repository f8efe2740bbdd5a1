//! GAP0: *the durable GEI sequence of an executor is 1, 2, 3, … without a hole.*
//!
//! A violation: an executor executes, or its guard refuses, a block beyond the one after its tip; its durable
//! watermark, said or found at a start, stands for a block that was never executed. A refused hole leaves the state
//! whole, but it proves that the node will not send what is missing: no legal stream starts above watermark + 1.
//! None: a repeated GEI (EXEC1 judges its effect), a watermark that skips over executed blocks, the first start of an
//! executor at any GEI: a restored state begins where it begins.

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

impl Oracle for NoGaps {
    fn invariant(&self) -> Invariant {
        Invariant::Gap0
    }

    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        let (ProcessId::Executor(n), What::Process(Event::Executor(event))) =
            (entry.process, &entry.what)
        else {
            return Ok(());
        };
        let tip = self.executors.get(&n);
        let hole = |clause, message: String| {
            let earlier = tip.map(|tip| tip.set_by.clone());
            Err(Violation::by(
                entry,
                Invariant::Gap0,
                clause,
                message,
                earlier,
            ))
        };
        let reached = match event {
            ExecutorEvent::Started { watermark, .. } => {
                if let Some(tip) = tip.filter(|tip| *watermark > tip.gei) {
                    return hole(
                        "watermark-above-executed",
                        format!(
                            "found watermark {watermark} at its start, but it never executed beyond GEI {}",
                            tip.gei
                        ),
                    );
                }
                *watermark
            }
            ExecutorEvent::Executed { gei, .. } => {
                match tip {
                    Some(tip) if *gei <= tip.gei => return Ok(()),
                    Some(tip) if *gei > tip.gei.next() => {
                        let expected = tip.gei.next();
                        return hole(
                            "gei-skipped",
                            format!("expected GEI {expected} next, executed {gei}"),
                        );
                    }
                    _ => {}
                }
                *gei
            }
            ExecutorEvent::Refused { gei, expected } if gei > expected => {
                return hole(
                    "block-not-sent",
                    format!(
                        "expected GEI {expected} next and refused {gei}: {} blocks were not sent",
                        gei.0 - expected.0
                    ),
                );
            }
            ExecutorEvent::Durable { watermark } => {
                if let Some(tip) = tip.filter(|tip| *watermark > tip.gei) {
                    return hole(
                        "durable-above-executed",
                        format!(
                            "says {watermark} is durable, but executed no further than GEI {}",
                            tip.gei
                        ),
                    );
                }
                return Ok(());
            }
            _ => return Ok(()),
        };
        let tip = Tip {
            gei: reached,
            set_by: entry.clone(),
        };
        self.executors.insert(n, tip);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracles::testing::{durable, executed, executor, found, gei, judge};

    /// Started at 0 and executed 1 and 2, then this.
    fn after_two(events: Vec<ExecutorEvent>) -> Option<Box<Violation>> {
        let mut trace = vec![found(0), executed(1), executed(2)];
        trace.extend(events);
        let trace: Vec<Entry> = trace
            .into_iter()
            .map(|event| executor(0, 0, event))
            .collect();
        judge(NoGaps::default(), &trace)
    }

    fn refused(refused: u64, expected: u64) -> ExecutorEvent {
        ExecutorEvent::Refused {
            gei: gei(refused),
            expected: gei(expected),
        }
    }

    #[test]
    fn a_skipped_block_is_a_hole() {
        let violation = after_two(vec![executed(4)]).unwrap();
        assert_eq!(violation.message, "expected GEI 3 next, executed 4");
        assert_eq!(
            violation.evidence,
            [executor(0, 0, executed(2)), executor(0, 0, executed(4))]
        );
        assert_eq!(after_two(vec![executed(3), durable(3)]), None);
    }

    #[test]
    fn a_refused_hole_was_sent_and_a_refused_repetition_is_none() {
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
    fn a_start_finds_what_was_executed_and_goes_on_from_there() {
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
