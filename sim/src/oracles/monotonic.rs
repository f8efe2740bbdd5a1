//! MONO: *first GEI of epoch E+1 = last of E + 1; `last_block_number` falls only by a modelled loss of the executor's
//! own tail.*
//!
//! Input: the disks of executors and of Subs that follow them, the replies of executors, and which disks were copied.
//!
//! Violations: a watermark that is written or found below the previous one, unless the executor's disk lost writes in
//! between; a reply with a watermark below the one that the same incarnation found; an epoch of stored blocks that does
//! not begin with commit 1 at the GEI after the last block of the previous epoch; a return to an older epoch.
//!
//! No violation: a fall after a power loss with lost writes (DURABLE judges whether it was reported), or after a backup
//! was restored; a reply below the newest watermark, because blocks may become durable while it is on its way.

use super::{Invariant, Oracle, Violation};
use crate::{
    trace::{Entry, ProcessId, What, WorldEvent},
    witness::{Fact, Frame},
};
use metanode_core::types::{CommitIndex, Epoch, GlobalExecIndex};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Monotonic {
    /// Of executors, and of Subs that follow them.
    executors: BTreeMap<ProcessId, Executor>,
}

/// The progress of one executor.
#[derive(Default)]
struct Executor {
    /// Its disk lost writes since its last start.
    lost_writes: bool,
    /// The watermark that its last start found.
    found: Option<(GlobalExecIndex, Entry)>,
    /// The newest watermark.
    durable: Option<(GlobalExecIndex, Entry)>,
    /// The last durable block.
    tip: GlobalExecIndex,
    /// The epochs with the first block of each.
    epochs: Vec<(Epoch, GlobalExecIndex, Entry)>,
}

impl Executor {
    fn started(&mut self, watermark: GlobalExecIndex, entry: &Entry) -> Result<(), Box<Violation>> {
        if !self.lost_writes {
            not_below(
                self.durable.as_ref(),
                watermark,
                "found at its start",
                entry,
            )?;
        }
        self.lost_writes = false;
        self.found = Some((watermark, entry.clone()));
        self.durable = self.found.clone();
        self.tip = watermark;
        self.epochs.retain(|(_, first, _)| *first <= watermark);
        Ok(())
    }

    fn block(&mut self, block: &Frame, entry: &Entry) -> Result<(), Box<Violation>> {
        let Frame {
            gei, epoch, commit, ..
        } = *block;
        if gei <= self.tip {
            return Ok(());
        }
        let current = self.epochs.last();
        if let Some((current, _, began)) = current {
            let begins =
                epoch == current.next() && gei == self.tip.next() && commit == CommitIndex(1);
            if epoch != *current && !begins {
                return Err(Violation::by(
                    entry,
                    Invariant::Mono,
                    "epoch-begins-after-epoch",
                    format!(
                        "epoch {current} ended at GEI {}: expected commit 1 of epoch {} at GEI {}, \
                         found commit {commit} of epoch {epoch} at GEI {gei}",
                        self.tip,
                        current.next(),
                        self.tip.next()
                    ),
                    [began.clone()],
                ));
            }
        }
        if current.is_none_or(|(current, ..)| *current != epoch) {
            self.epochs.push((epoch, gei, entry.clone()));
        }
        self.tip = gei;
        Ok(())
    }

    fn seen(&mut self, fact: &Fact, entry: &Entry) -> Result<(), Box<Violation>> {
        match fact {
            Fact::ExecutorFound { watermark, .. } => self.started(*watermark, entry),
            Fact::Durable {
                watermark, blocks, ..
            } => {
                not_below(self.durable.as_ref(), *watermark, "written", entry)?;
                self.durable = Some((*watermark, entry.clone()));
                blocks.iter().try_for_each(|block| self.block(block, entry))
            }
            Fact::ReplySent { reply, .. } => match reply.watermark() {
                Some(watermark) => not_below(self.found.as_ref(), watermark, "reported", entry),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }
}

/// A violation if `watermark` is below the previous one.
fn not_below(
    before: Option<&(GlobalExecIndex, Entry)>,
    watermark: GlobalExecIndex,
    how: &str,
    entry: &Entry,
) -> Result<(), Box<Violation>> {
    match before {
        Some((expected, earlier)) if watermark < *expected => Err(Violation::by(
            entry,
            Invariant::Mono,
            "watermark-fell",
            format!(
                "expected a watermark of {expected} or above, {how} {watermark}, and no write was lost"
            ),
            [earlier.clone()],
        )),
        _ => Ok(()),
    }
}

impl Oracle for Monotonic {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        let process = entry.process;
        if !matches!(process, ProcessId::Executor(_) | ProcessId::Sub(_)) {
            return Ok(());
        }
        if let What::World(WorldEvent::DiskRestored {
            copied_from: Some(other),
            ..
        }) = entry.what
        {
            let copied = self.executors.get(&other);
            let epochs = copied.map(|copied| copied.epochs.clone());
            self.executors.entry(process).or_default().epochs = epochs.unwrap_or_default();
        }
        let executor = self.executors.entry(process).or_default();
        match &entry.what {
            What::World(WorldEvent::PowerLost { lost_writes, .. }) => {
                executor.lost_writes |= *lost_writes > 0;
            }
            What::World(WorldEvent::DiskRestored { .. }) => executor.lost_writes = true,
            What::Seen(fact) => executor.seen(fact, entry)?,
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::testing::judge,
        trace::testing::{
            durable, executed, executor, executor_events, found, power_lost, reported, world_event,
        },
    };

    use metanode_core::env::ExecutorEvent;

    fn verdict(events: Vec<ExecutorEvent>) -> Option<Box<Violation>> {
        judge(Monotonic::default(), &executor_events(events))
    }

    fn of_epoch(number: u64, index: u32, at: u64) -> ExecutorEvent {
        let mut event = executed(at);
        if let ExecutorEvent::Executed { epoch, commit, .. } = &mut event {
            (*epoch, *commit) = (Epoch(number), CommitIndex(index));
        }
        event
    }

    #[test]
    fn a_durable_watermark_does_not_fall_by_itself() {
        assert!(verdict(vec![durable(5), durable(4)]).is_some());
        assert!(verdict(vec![durable(5), found(4)]).is_some());
        assert!(verdict(vec![found(5), reported(4)]).is_some());
        assert_eq!(
            verdict(vec![durable(4), durable(5), found(5), reported(5)]),
            None
        );
    }

    #[test]
    fn an_answer_under_way_may_be_older_than_what_is_durable() {
        assert_eq!(verdict(vec![found(3), durable(5), reported(4)]), None);
    }

    #[test]
    fn only_lost_writes_let_it_fall() {
        let ended = |lost_writes| {
            let process = ProcessId::Executor(0);
            [
                executor(0, 0, durable(5)),
                world_event(1, process, power_lost(lost_writes)),
                executor(2, 0, found(4)),
            ]
        };
        let violation = judge(Monotonic::default(), &ended(0)).unwrap();
        assert_eq!(violation.evidence.len(), 2);
        assert_eq!(judge(Monotonic::default(), &ended(2)), None);

        let later = [ended(2).to_vec(), vec![executor(3, 0, found(3))]].concat();
        assert!(judge(Monotonic::default(), &later).is_some());
    }

    #[test]
    fn an_epoch_begins_behind_the_last_block_of_the_one_before() {
        let after_two = |event| verdict(vec![executed(1), executed(2), event, durable(4)]);
        assert_eq!(after_two(of_epoch(1, 1, 3)), None);
        assert!(after_two(of_epoch(1, 1, 4)).is_some());
        assert!(after_two(of_epoch(1, 2, 3)).is_some());
        assert!(after_two(of_epoch(2, 1, 3)).is_some());
    }

    #[test]
    fn epochs_never_go_back_but_a_lost_tail_may_end_in_the_old_one() {
        let entered = || {
            vec![
                executed(1),
                durable(1),
                of_epoch(1, 1, 2),
                of_epoch(1, 2, 3),
            ]
        };
        let back = vec![executed(4), durable(4)];
        assert!(verdict([entered(), back].concat()).is_some());
        let lost = vec![found(1), of_epoch(1, 1, 2), of_epoch(1, 2, 3), durable(3)];
        assert_eq!(verdict([entered(), lost].concat()), None);
    }
}
