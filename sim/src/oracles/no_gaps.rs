//! GAP0: *the durable GEI sequence of an executor is 1, 2, 3, … without a gap.*
//!
//! Input: the disks of executors and of Subs that follow them, and which of them were copied.
//!
//! Violations: a block becomes durable that is not the next one; a watermark moves without its block; a start finds a
//! watermark above all that became durable.
//!
//! No violation: a block that is stored again (EXEC1 judges its effect); a watermark that skips several blocks, all of
//! which are stored; a first start of an executor at any GEI, with a restored state; a start with what another executor had
//! when its disk was copied.

use super::{Invariant, Oracle, Violation};
use crate::{
    trace::{Entry, ProcessId, What, WorldEvent},
    witness::{Fact, Frame},
};
use metanode_core::types::GlobalExecIndex;
use std::{collections::BTreeMap, sync::Arc};

#[derive(Default)]
pub(super) struct NoGaps {
    /// Of executors and Subs.
    tips: BTreeMap<ProcessId, Tip>,
}

/// The last durable block of an executor and the entry that shows it.
struct Tip {
    gei: GlobalExecIndex,
    set_by: Entry,
}

/// A violated clause of the invariant.
struct Gap {
    clause: &'static str,
    message: String,
}

/// The tip after these blocks became durable, up to the watermark.
fn extended(
    tip: GlobalExecIndex,
    watermark: GlobalExecIndex,
    blocks: &[Arc<Frame>],
) -> Result<GlobalExecIndex, Gap> {
    let mut next = tip.next();
    for block in blocks.iter().filter(|block| block.gei > tip) {
        if block.gei != next {
            return Err(Gap {
                clause: "gei-skipped",
                message: format!("expected GEI {next} next, {} became durable", block.gei),
            });
        }
        next = next.next();
    }
    if watermark >= next {
        return Err(Gap {
            clause: "durable-above-executed",
            message: format!("has watermark {watermark}, but no block {next}"),
        });
    }
    Ok(watermark)
}

impl Oracle for NoGaps {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        let process = entry.process;
        if let What::World(WorldEvent::DiskRestored {
            copied_from: Some(other),
            ..
        }) = entry.what
        {
            let gei = (self.tips.get(&other)).map_or(GlobalExecIndex(0), |tip| tip.gei);
            let set_by = entry.clone();
            self.tips.insert(process, Tip { gei, set_by });
        }
        let What::Seen(fact) = &entry.what else {
            return Ok(());
        };
        let tip = self.tips.get(&process);
        let extended = match fact {
            Fact::ExecutorFound { watermark, .. } => match tip {
                Some(tip) if *watermark > tip.gei => Err(Gap {
                    clause: "watermark-above-executed",
                    message: format!(
                        "found watermark {watermark} at its start, but nothing beyond GEI {} was durable",
                        tip.gei
                    ),
                }),
                _ => Ok(*watermark),
            },
            Fact::Durable {
                watermark, blocks, ..
            } => extended(
                tip.map_or(GlobalExecIndex(0), |tip| tip.gei),
                *watermark,
                blocks,
            ),
            _ => return Ok(()),
        };
        match extended {
            Ok(gei) => {
                let set_by = entry.clone();
                self.tips.insert(process, Tip { gei, set_by });
                Ok(())
            }
            Err(Gap { clause, message }) => {
                let earlier = tip.map(|tip| tip.set_by.clone());
                let violation = Violation::by(entry, Invariant::Gap0, clause, message, earlier);
                Err(violation)
            }
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
            testing::{durable, executed, executor, executor_events, found, world_event},
        },
    };
    use metanode_core::env::ExecutorEvent;

    /// Started at 0, has 1 and 2 durable, then this.
    fn after_two(events: Vec<ExecutorEvent>) -> Option<Box<Violation>> {
        let mut trace = vec![found(0), executed(1), executed(2), durable(2)];
        trace.extend(events);
        judge(NoGaps::default(), &executor_events(trace))
    }

    #[test]
    fn an_executor_with_the_copy_of_a_disk_begins_where_that_one_was() {
        let copied = |start| {
            let copied = WorldEvent::DiskRestored {
                taken: SimTime::from_ms(0),
                copied_from: Some(ProcessId::Executor(1)),
            };
            let trace = [
                executor(0, 0, found(0)),
                executor(0, 1, found(7)),
                world_event(1, ProcessId::Executor(0), copied),
                executor(2, 0, found(start)),
            ];
            judge(NoGaps::default(), &trace)
        };
        assert_eq!(copied(7), None);
        assert_eq!(copied(8).unwrap().clause, "watermark-above-executed");
    }

    #[test]
    fn a_skipped_block_is_a_gap() {
        let violation = after_two(vec![executed(4), durable(4)]).unwrap();
        assert_eq!(violation.message, "expected GEI 3 next, 4 became durable");
        assert_eq!(violation.evidence.len(), 2);
        assert_eq!(after_two(vec![executed(3), durable(3)]), None);
    }

    #[test]
    fn a_watermark_never_passes_the_stored_blocks() {
        assert!(after_two(vec![durable(3)]).is_some());
        assert!(after_two(vec![executed(3), durable(4)]).is_some());
        assert_eq!(after_two(vec![durable(2)]), None);
    }

    #[test]
    fn a_start_finds_durable_blocks_and_continues_after_them() {
        assert!(after_two(vec![found(3)]).is_some());
        assert!(after_two(vec![found(1), executed(3), durable(3)]).is_some());
        let again = vec![found(1), executed(2), executed(3), durable(3)];
        assert_eq!(after_two(again), None);
    }

    #[test]
    fn a_restored_state_begins_anywhere() {
        let trace = [
            executor(0, 0, found(100)),
            executor(1, 0, executed(101)),
            executor(1, 0, durable(101)),
        ];
        assert_eq!(judge(NoGaps::default(), &trace), None);
    }
}
