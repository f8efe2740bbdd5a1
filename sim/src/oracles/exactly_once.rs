//! EXEC1: *each (epoch, commit index) and each transaction hash changes state at most once.*
//!
//! Input: the blocks on the disks of executors and of Subs that follow them, and what the sequential ledger applies. Counted
//! per process over the state that survives its crashes.
//!
//! Violations: a commit becomes durable that the surviving state contains, at its GEI or another; a transaction that the
//! ledger applies twice. That an executor applies what the ledger applies, and nothing twice, is judged by ROOT.
//!
//! No violation: blocks that are executed again after a restart, above the watermark that it found.

use super::{Invariant, Oracle, Violation};
use crate::{
    model::Derived,
    trace::{Entry, ProcessId, What},
    witness::{Fact, Frame},
};
use indexmap::IndexMap;
use metanode_core::types::{CommitIndex, Epoch, GlobalExecIndex, SpentNonce};
use rustc_hash::FxBuildHasher;
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct ExactlyOnce {
    states: BTreeMap<ProcessId, State>,
    /// What the ledger applied.
    transactions: IndexMap<SpentNonce, GlobalExecIndex, FxBuildHasher>,
}

/// The durable commits of one executor.
#[derive(Default)]
struct State {
    commits: BTreeMap<(Epoch, CommitIndex), GlobalExecIndex>,
    entries: BTreeMap<GlobalExecIndex, Entry>,
}

impl State {
    /// A start found this watermark: blocks above it are undone.
    fn forget_above(&mut self, watermark: GlobalExecIndex) {
        if !self.entries.split_off(&watermark.next()).is_empty() {
            self.commits.retain(|_, gei| *gei <= watermark);
        }
    }

    /// A block is stored in the place of one that is durable.
    fn rewritten(&mut self, block: &Frame, entry: &Entry) -> Result<(), Box<Violation>> {
        let Some(earlier) = self.entries.get(&block.gei) else {
            return self.durable(block, entry);
        };
        let message = format!(
            "GEI {} is stored again although it is durable: expected once",
            block.gei
        );
        let earlier = [earlier.clone()];
        Err(Violation::by(
            entry,
            Invariant::Exec1,
            "durable-block-rewritten",
            message,
            earlier,
        ))
    }

    fn durable(&mut self, block: &Frame, entry: &Entry) -> Result<(), Box<Violation>> {
        let Frame {
            gei, epoch, commit, ..
        } = block;
        if let Some(before) = self.commits.insert((*epoch, *commit), *gei) {
            let message = format!(
                "GEI {gei} executes commit {commit} of epoch {epoch}, which already changed the state at GEI {before}: \
                 expected once"
            );
            return Err(Violation::by(
                entry,
                Invariant::Exec1,
                "commit-executed-twice",
                message,
                self.entries.get(&before).cloned(),
            ));
        }
        self.entries.insert(*gei, entry.clone());
        Ok(())
    }
}

impl Oracle for ExactlyOnce {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match &entry.what {
            What::Seen(Fact::ExecutorFound { watermark, .. }) => {
                let state = self.states.entry(entry.process).or_default();
                state.forget_above(*watermark);
                Ok(())
            }
            What::Seen(Fact::Durable { blocks, .. }) => {
                let state = self.states.entry(entry.process).or_default();
                blocks
                    .iter()
                    .try_for_each(|block| state.durable(block, entry))
            }
            What::Seen(Fact::BlockRewritten { block }) => {
                let state = self.states.entry(entry.process).or_default();
                state.rewritten(block, entry)
            }
            What::Derived(Derived::Commit { frame, applied, .. }) => {
                for transaction in applied.iter() {
                    if let Some(before) = self.transactions.insert(*transaction, frame.gei) {
                        let message = format!(
                            "GEI {} applies transaction {transaction}, which already changed the state at GEI {before}: \
                             expected once",
                            frame.gei
                        );
                        return Err(Violation::by(
                            entry,
                            Invariant::Exec1,
                            "transaction-applied-twice",
                            message,
                            None,
                        ));
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::testing::judge,
        trace::testing::{durable, executed, executor, found, gei},
        witness::{SeenCommit, StateRoot},
    };
    use metanode_core::{env::ExecutorEvent, types::CommitDigest};
    use std::sync::Arc;

    #[test]
    fn a_commit_under_a_new_gei_is_executed_twice() {
        let mut renumbered = executed(1);
        if let ExecutorEvent::Executed { gei: at, .. } = &mut renumbered {
            *at = gei(2);
        }
        let trace = [
            executor(0, 0, found(0)),
            executor(1, 0, executed(1)),
            executor(1, 0, durable(1)),
            executor(2, 0, renumbered),
            executor(2, 0, durable(2)),
        ];
        let violation = judge(ExactlyOnce::default(), &trace).unwrap();
        assert_eq!(violation.evidence.len(), 2);
        assert!(
            violation.message.contains("commit 1 of epoch 0"),
            "{}",
            violation.message
        );
    }

    /// The ledger applies these nonces in a block.
    fn applies(at: u64, nonces: &[u64]) -> Entry {
        let spent = |nonce: &u64| SpentNonce {
            sender: [7; 20],
            nonce: *nonce,
        };
        let frame = crate::oracles::truthful::frame(gei(at), Epoch(0), CommitIndex(at as u32));
        let commit = SeenCommit {
            epoch: Epoch(0),
            index: frame.commit,
            digest: CommitDigest::default(),
            ..SeenCommit::clone(&crate::oracles::truthful::seen_commit(
                Epoch(0),
                metanode_core::types::CommitRef {
                    index: frame.commit,
                    digest: CommitDigest::default(),
                },
                metanode_core::types::BlockRef::first_of_round(metanode_core::types::Round(1)),
                1,
            ))
        };
        Entry {
            what: What::Derived(Derived::Commit {
                commit: Arc::new(commit),
                frame,
                transactions: [].into(),
                state_root: StateRoot([0; 32]),
                applied: nonces.iter().map(spent).collect(),
            }),
            ..executor(at, 0, found(0))
        }
    }

    #[test]
    fn the_ledger_applies_each_transaction_once() {
        let judged = |trace: &[Entry]| judge(ExactlyOnce::default(), trace);
        assert_eq!(judged(&[applies(1, &[1, 2]), applies(2, &[3])]), None);
        assert!(judged(&[applies(1, &[1]), applies(2, &[1])]).is_some());
        assert!(judged(&[applies(1, &[1, 1])]).is_some());
    }

    #[test]
    fn blocks_above_the_recovered_watermark_may_be_executed_again() {
        let flush = |from: u64, to: u64| {
            let blocks = (from + 1..=to).map(|g| executor(g, 0, executed(g)));
            blocks
                .chain([executor(to, 0, durable(to))])
                .collect::<Vec<_>>()
        };
        let mut trace = vec![executor(0, 0, found(0))];
        trace.extend(flush(0, 5));
        trace.push(executor(6, 0, found(3)));
        trace.extend(flush(3, 6));
        assert_eq!(judge(ExactlyOnce::default(), &trace), None);
    }

    #[test]
    fn a_durable_block_is_not_executed_again() {
        let flushed = [
            executor(0, 0, found(0)),
            executor(1, 0, executed(1)),
            executor(1, 0, durable(1)),
        ];
        let block = crate::oracles::truthful::frame(gei(1), Epoch(0), CommitIndex(1));
        let other = crate::oracles::truthful::frame(gei(1), Epoch(0), CommitIndex(9));
        let judged = |trace: &[Entry]| judge(ExactlyOnce::default(), trace);
        for block in [block, other] {
            let again = Entry {
                what: What::Seen(Fact::BlockRewritten { block }),
                ..executor(2, 0, found(1))
            };
            assert_eq!(judged(std::slice::from_ref(&again)), None, "its first time");
            assert!(judged(&[&flushed[..], &[again]].concat()).is_some());
        }
    }

    #[test]
    fn every_executor_executes_every_commit() {
        let of = |n| [executor(1, n, executed(1)), executor(1, n, durable(1))];
        let trace = [of(0), of(1)].concat();
        assert_eq!(judge(ExactlyOnce::default(), &trace), None);
    }
}
