//! BOUND, of journals: *what is executed leaves the journal* (contract §8.6). Otherwise it fills, and nothing is taken any
//! more.
//!
//! Judged by the journals on disks and the watermarks of executors: an entry whose transaction the node's executor had durable
//! when faults ended, and that is still there at the end of a run that lasted the plan's `settle_ms` after that.
//!
//! No violation: a transaction that came again when the node had stored the commit that contains it, and that waits to be
//! proposed again, however long the queue is; entries of nodes that stay down, and of those that lost power or were restored,
//! because which commits contain an entry may be forgotten with it; then it is proposed again.

use super::{Invariant, Oracle, Violation};
use crate::{
    model::Derived,
    plan::{Plan, Topology},
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
    witness::Fact,
};
use metanode_core::types::{CommitIndex, Epoch, GlobalExecIndex, TransactionHash};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct JournalLeak {
    settle_ms: u64,
    topology: Topology,
    /// Nodes that are judged.
    nodes: BTreeSet<u16>,
    journals: BTreeMap<u16, FxHashMap<TransactionHash, Written>>,
    /// The first commit with each transaction.
    committed: FxHashMap<TransactionHash, Committed>,
    /// The last commit that each node has stored.
    stored: BTreeMap<u16, (Epoch, CommitIndex)>,
    /// Of executors.
    watermarks: BTreeMap<u16, GlobalExecIndex>,
    ended: Option<Entry>,
    /// What was executed when faults ended, and is in a journal.
    kept: BTreeSet<(u16, TransactionHash)>,
}

#[derive(Clone, Copy)]
struct Committed {
    gei: GlobalExecIndex,
    commit: (Epoch, CommitIndex),
}

/// When a transaction was written to a journal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    BeforeItsCommit,
    /// It came again when the node had stored the commit that contains it.
    Later,
}

impl JournalLeak {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            settle_ms: plan.settle_ms,
            topology: plan.topology,
            nodes: (0..plan.validators)
                .filter(|n| plan.takes_part(*n))
                .collect(),
            journals: BTreeMap::new(),
            committed: FxHashMap::default(),
            stored: BTreeMap::new(),
            watermarks: BTreeMap::new(),
            ended: None,
            kept: BTreeSet::new(),
        }
    }

    fn faults_ended(&mut self, entry: &Entry) {
        self.ended = Some(entry.clone());
        for n in &self.nodes {
            let executor = match self.topology {
                Topology::SingleMaster => 0,
                Topology::MasterPerNode => *n,
            };
            let watermark = self.watermarks.get(&executor).copied().unwrap_or_default();
            let is_executed = |hash: &TransactionHash| {
                let committed = self.committed.get(hash);
                committed.is_some_and(|committed| committed.gei <= watermark)
            };
            let journal = self.journals.get(n).into_iter().flatten();
            let executed = journal.filter(|(hash, written)| {
                **written == Written::BeforeItsCommit && is_executed(hash)
            });
            self.kept.extend(executed.map(|(hash, _)| (*n, *hash)));
        }
    }

    fn written(&self, n: u16, hash: TransactionHash) -> Written {
        let committed = self.committed.get(&hash).map(|committed| committed.commit);
        match (committed, self.stored.get(&n)) {
            (Some(committed), Some(stored)) if committed <= *stored => Written::Later,
            _ => Written::BeforeItsCommit,
        }
    }

    /// Nothing is expected of this node's journal.
    fn excuse(&mut self, n: u16) {
        self.nodes.remove(&n);
        self.kept.retain(|(of, _)| *of != n);
    }
}

impl Oracle for JournalLeak {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match (entry.process, &entry.what) {
            (ProcessId::Node(n), What::Seen(Fact::JournalWritten { transactions, .. })) => {
                let written = transactions
                    .iter()
                    .map(|hash| (*hash, self.written(n, *hash)));
                let written: Vec<_> = written.collect();
                self.journals.entry(n).or_default().extend(written);
            }
            (ProcessId::Node(n), What::Seen(Fact::CommitStored { commit, .. })) => {
                let last = self.stored.entry(n).or_default();
                *last = (commit.epoch, commit.index).max(*last);
            }
            (ProcessId::Node(n), What::Seen(Fact::JournalFound { transactions })) => {
                let found: FxHashSet<_> = transactions.iter().copied().collect();
                (self.kept).retain(|(of, hash)| *of != n || found.contains(hash));
                let before = self.journals.remove(&n).unwrap_or_default();
                let written = |hash| before.get(&hash).copied().unwrap_or(Written::Later);
                let found = found.into_iter().map(|hash| (hash, written(hash)));
                self.journals.insert(n, found.collect());
            }
            (ProcessId::Node(n), What::Seen(Fact::JournalRemoved { transactions })) => {
                let journal = self.journals.entry(n).or_default();
                for hash in transactions {
                    journal.remove(hash);
                    self.kept.remove(&(n, *hash));
                }
            }
            (
                ProcessId::Node(n),
                What::World(WorldEvent::PowerLost { .. } | WorldEvent::DiskRestored { .. }),
            ) => self.excuse(n),
            (
                ProcessId::Executor(n),
                What::Seen(Fact::Durable { watermark, .. } | Fact::ExecutorFound { watermark, .. }),
            ) => {
                self.watermarks.insert(n, *watermark);
            }
            (
                _,
                What::Derived(Derived::Commit {
                    frame,
                    transactions,
                    ..
                }),
            ) => {
                let committed = Committed {
                    gei: frame.gei,
                    commit: (frame.epoch, frame.commit),
                };
                for (hash, _) in transactions.iter() {
                    self.committed.entry(*hash).or_insert(committed);
                }
            }
            (_, What::World(WorldEvent::FaultsEnded)) => self.faults_ended(entry),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, end: SimTime) -> Result<(), Box<Violation>> {
        let (Some(ended), Some((n, hash))) = (&self.ended, self.kept.first()) else {
            return Ok(());
        };
        if end.since(ended.at).as_ms() < self.settle_ms {
            return Ok(());
        }
        let kept = self.kept.iter().filter(|(of, _)| of == n).count();
        let gei = self.committed[hash].gei;
        Err(Box::new(Violation {
            invariant: Invariant::Bound,
            clause: "executed-and-kept",
            at: end,
            process: ProcessId::Node(*n),
            message: format!(
                "expected node-{n} to remove from its journal what its executor had durable {} ms ago, it keeps {kept} \
                 such transactions, {hash} of block {gei} among them",
                self.settle_ms
            ),
            evidence: vec![ended.clone()],
        }))
    }

    fn is_satisfied(&self) -> bool {
        self.kept.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::testing::judge,
        trace::testing::{
            durable, executor, node, power_lost, stored, taken, transaction, world_event,
        },
        witness::hash,
    };

    /// Node 1 takes the transaction of block 1 at 5 s, which is durable at this time; faults end at 10 s.
    fn verdict(durable_ms: u64, more: Vec<Entry>) -> Option<&'static str> {
        let plan = Plan::example();
        let mut trace = vec![
            taken(5_000, 1, 1),
            node(5_500, 2, stored(1)),
            executor(durable_ms, 1, durable(1)),
            world_event(10_000, ProcessId::World, WorldEvent::FaultsEnded),
            executor(10_000 + plan.settle_ms, 1, durable(1)),
        ];
        trace.extend(more);
        trace.sort_by_key(|entry| entry.at);
        judge(JournalLeak::new(&plan), &trace).map(|violation| violation.clause)
    }

    fn removed(at_ms: u64) -> Entry {
        let fact = Fact::JournalRemoved {
            transactions: vec![hash(&transaction(1))],
        };
        Entry {
            at: SimTime::from_ms(at_ms),
            process: ProcessId::Node(1),
            what: What::Seen(fact),
        }
    }

    #[test]
    fn what_is_executed_leaves_the_journal() {
        assert_eq!(verdict(6_000, vec![]), Some("executed-and-kept"));
        for at_ms in [7_000, 13_000] {
            assert_eq!(verdict(6_000, vec![removed(at_ms)]), None);
        }
        assert_eq!(verdict(12_000, vec![]), None, "after faults ended");
    }

    #[test]
    fn what_came_again_waits_to_be_proposed_again() {
        let fact = Fact::JournalWritten {
            transactions: vec![hash(&transaction(1))],
            durability: crate::witness::Durability::Synced,
        };
        let again = Entry {
            at: SimTime::from_ms(8_000),
            process: ProcessId::Node(1),
            what: What::Seen(fact),
        };
        let without_its_commit = vec![removed(7_000), again.clone()];
        assert!(verdict(6_000, without_its_commit).is_some());
        let stored = node(7_500, 1, stored(1));
        assert_eq!(verdict(6_000, vec![removed(7_000), stored, again]), None);
    }

    #[test]
    fn what_a_power_loss_made_a_node_forget_may_stay() {
        let lost = world_event(7_000, ProcessId::Node(1), power_lost(6));
        assert_eq!(verdict(6_000, vec![lost]), None);
    }
}
