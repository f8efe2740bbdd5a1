//! EXEC1: *each (epoch, commit index) and each transaction hash changes state at most once.*
//!
//! A transaction is identified by the nonce that it spends, which its hash covers. Counted per executor over the state
//! that survives its crashes, across GEIs and incarnations.
//!
//! Violations: a commit is executed, or a transaction applied, that the surviving state already contains.
//!
//! No violation: execution, after a restart, of blocks above the recovered watermark; skipped transactions.

use super::{Invariant, Oracle, Violation};
use crate::trace::{Entry, ProcessId, What};
use indexmap::IndexMap;
use metanode_core::{
    env::{Event, ExecutorEvent},
    types::{CommitIndex, Epoch, GlobalExecIndex, SpentNonce},
};
use rustc_hash::FxBuildHasher;
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct ExactlyOnce {
    executors: BTreeMap<u16, State>,
}

/// The history of the state of one executor.
#[derive(Default)]
struct State {
    commits: BTreeMap<(Epoch, CommitIndex), GlobalExecIndex>,
    transactions: IndexMap<SpentNonce, GlobalExecIndex, FxBuildHasher>,
    blocks: BTreeMap<GlobalExecIndex, Entry>,
}

impl State {
    /// A start recovered this watermark: blocks above it are undone.
    fn forget_above(&mut self, watermark: GlobalExecIndex) {
        if self.blocks.split_off(&watermark.next()).is_empty() {
            return;
        }
        self.commits.retain(|_, gei| *gei <= watermark);
        self.transactions.retain(|_, gei| *gei <= watermark);
    }

    fn repeated(
        &self,
        entry: &Entry,
        clause: &'static str,
        what: String,
        before: GlobalExecIndex,
    ) -> Box<Violation> {
        Violation::by(
            entry,
            Invariant::Exec1,
            clause,
            format!("{what}, which already changed the state at GEI {before}: expected once"),
            self.blocks.get(&before).cloned(),
        )
    }
}

impl Oracle for ExactlyOnce {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        let (ProcessId::Executor(n), What::Process(Event::Executor(event))) =
            (entry.process, &entry.what)
        else {
            return Ok(());
        };
        match event {
            ExecutorEvent::Started { watermark, .. } => {
                self.executors
                    .entry(n)
                    .or_default()
                    .forget_above(*watermark);
            }
            ExecutorEvent::Executed {
                gei,
                epoch,
                commit,
                applied,
                ..
            } => {
                let state = self.executors.entry(n).or_default();
                if let Some(before) = state.commits.insert((*epoch, *commit), *gei) {
                    let what = format!("GEI {gei} executes commit {commit} of epoch {epoch}");
                    return Err(state.repeated(entry, "commit-executed-twice", what, before));
                }
                for transaction in applied.iter() {
                    if let Some(before) = state.transactions.insert(*transaction, *gei) {
                        let what = format!("GEI {gei} applies transaction {transaction}");
                        return Err(state.repeated(
                            entry,
                            "transaction-applied-twice",
                            what,
                            before,
                        ));
                    }
                }
                state.blocks.insert(*gei, entry.clone());
            }
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
        trace::testing::{executed, executor, found, gei},
    };

    fn with(mut event: ExecutorEvent, change: impl Fn(&mut ExecutorEvent)) -> ExecutorEvent {
        change(&mut event);
        event
    }

    #[test]
    fn a_commit_under_a_new_gei_is_executed_twice() {
        let renumbered = with(executed(1), |event| {
            if let ExecutorEvent::Executed {
                gei: at, applied, ..
            } = event
            {
                *at = gei(2);
                *applied = [].into();
            }
        });
        let trace = [
            executor(0, 0, found(0)),
            executor(1, 0, executed(1)),
            executor(2, 0, renumbered),
        ];
        let violation = judge(ExactlyOnce::default(), &trace).unwrap();
        assert_eq!(violation.evidence, trace[1..]);
        assert!(
            violation.message.contains("commit 1 of epoch 0"),
            "{}",
            violation.message
        );
    }

    #[test]
    fn a_transaction_in_a_second_commit_is_applied_twice() {
        let again = with(executed(2), |event| {
            let ExecutorEvent::Executed { applied: first, .. } = executed(1) else {
                unreachable!()
            };
            if let ExecutorEvent::Executed { applied, .. } = event {
                *applied = first;
            }
        });
        let trace = [executor(1, 0, executed(1)), executor(2, 0, again)];
        assert_eq!(
            judge(ExactlyOnce::default(), &trace).unwrap().evidence,
            trace
        );
    }

    #[test]
    fn a_transaction_twice_in_one_commit_is_applied_twice() {
        let twice = with(executed(1), |event| {
            if let ExecutorEvent::Executed { applied, .. } = event {
                *applied = [applied[0]; 2].into();
            }
        });
        assert!(judge(ExactlyOnce::default(), &[executor(1, 0, twice)]).is_some());
    }

    #[test]
    fn blocks_above_the_recovered_watermark_may_be_executed_again() {
        let incarnation = |from: u64, to: u64| (from + 1..=to).map(|g| executor(g, 0, executed(g)));
        let mut trace = vec![executor(0, 0, found(0))];
        trace.extend(incarnation(0, 5));
        trace.push(executor(6, 0, found(3)));
        trace.extend(incarnation(3, 6));
        assert_eq!(judge(ExactlyOnce::default(), &trace), None);

        trace.push(executor(7, 0, found(6)));
        trace.push(executor(8, 0, executed(6)));
        assert!(judge(ExactlyOnce::default(), &trace).is_some());
    }

    #[test]
    fn every_executor_executes_every_commit() {
        let trace = [executor(1, 0, executed(1)), executor(1, 1, executed(1))];
        assert_eq!(judge(ExactlyOnce::default(), &trace), None);
    }
}
