//! NOLOSS: *a transaction that was answered with `success` is executed.*
//!
//! A node accepts a transaction when the client submits it. Judged at the end of a run that lasted the plan's
//! `settle_ms` after faults ended, like LIVE. A transaction is executed when a block is durable in which it is delivered,
//! whether it changes the state or not: another one may have spent its nonce.
//!
//! Violations: a transaction that a node accepted before faults ended, and that no executor executed, although a
//! transaction that the same node accepted later was executed in the first half of that time; or although the node
//! proposed blocks in that half and nothing of them was executed.
//!
//! No violation: a transaction that is still queued because clients submit faster than blocks are filled, because a
//! slow executor pauses its node's proposals, or because the executor still executes what was committed in the first
//! half, or because the node follows in an epoch that the others have left (its blocks there are in no commit; LIVE demands
//! that its executor catches up at its own rate); a transaction that was lost with the memory of a process, because accepting it makes nothing durable yet, unless
//! it stands in an own block that was synced; a transaction of a node that is not a member of the committee, because it
//! cannot propose (it counts again when the node is a member again), or that stays down for good; an execution that is
//! undone when an executor loses its tail, because other oracles check that it is repeated.

use super::{Invariant, Oracle, Violation};
use crate::{
    model::{self, Derived},
    plan::{Authorities, Plan},
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
    witness::{Durability, Fact, SeenBlock},
};
use metanode_core::types::{AuthorityIndex, Epoch, GlobalExecIndex, TransactionHash};
use rustc_hash::FxHashSet;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Entries in the evidence of a violation.
const EXAMPLES: usize = 3;

pub(super) struct NoLoss {
    plan: Plan,
    authorities: Authorities,
    settle: SimTime,
    /// Transactions of blocks that are not durable in any executor, with the epoch of the block.
    delivered: BTreeMap<GlobalExecIndex, (Epoch, Delivered)>,
    /// Accepted transactions that are not executed, by the node that accepted them.
    outstanding: BTreeMap<(TransactionHash, u16), Accepted>,
    executed_before: FxHashSet<TransactionHash>,
    /// When each node accepted the newest transaction of its own blocks that was executed in the first half of the time.
    overtaken_by: BTreeMap<u16, SimTime>,
    /// The last block that was committed in the first half of the time, and the last one that any executor executed.
    committed: GlobalExecIndex,
    executed: GlobalExecIndex,
    /// Nodes that proposed in the first half of the time, and of which nothing was executed since.
    fruitless: BTreeSet<u16>,
    /// The newest epoch that each node has recorded.
    epochs: BTreeMap<u16, Epoch>,
    /// The entry that ended faults.
    settling: Option<Entry>,
}

/// Each with the author of the block that contains it.
type Delivered = Arc<[(TransactionHash, AuthorityIndex)]>;

struct Accepted {
    by: u16,
    entry: Entry,
    /// Since when it stands in a block of this node that is synced.
    durable_since: Option<SimTime>,
}

impl NoLoss {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            authorities: Authorities::new(plan),
            settle: SimTime::from_ms(plan.settle_ms),
            delivered: BTreeMap::new(),
            outstanding: BTreeMap::new(),
            executed_before: FxHashSet::default(),
            overtaken_by: BTreeMap::new(),
            committed: GlobalExecIndex(0),
            executed: GlobalExecIndex(0),
            fruitless: BTreeSet::new(),
            epochs: BTreeMap::new(),
            settling: None,
        }
    }

    /// Transactions that must be executed.
    fn owed(&self) -> impl Iterator<Item = &Accepted> {
        let ended = self.settling.as_ref().map(|ended| ended.at);
        let owed = self.outstanding.values();
        owed.filter(move |accepted| {
            let in_time = ended.is_none_or(|ended| accepted.entry.at <= ended);
            in_time && self.is_member(accepted.by)
        })
    }

    fn epoch_of(&self, n: u16) -> Epoch {
        self.epochs.get(&n).copied().unwrap_or_default()
    }

    fn is_member(&self, n: u16) -> bool {
        let members = (self.plan.epochs).members(self.epoch_of(n), self.plan.validators);
        members.iter().any(|member| member.validator == n)
    }

    /// Whether others have recorded a later epoch than this node.
    fn is_in_an_earlier_epoch(&self, n: u16) -> bool {
        self.epoch_of(n) < self.epochs.values().copied().max().unwrap_or_default()
    }

    /// A block of its author on the author's disk.
    fn own_block(&mut self, n: u16, block: &SeenBlock, durability: Durability, entry: &Entry) {
        if self.settling.is_some() && !self.is_late(entry.at) {
            self.fruitless.insert(n);
        }
        if durability != Durability::Synced {
            return;
        }
        for transaction in &block.transactions {
            if let Some(accepted) = self.outstanding.get_mut(&(model::hash(transaction), n)) {
                accepted.durable_since.get_or_insert(entry.at);
            }
        }
    }

    /// An executor has durable what it executed up to this watermark.
    fn durable(&mut self, watermark: GlobalExecIndex, entry: &Entry) {
        self.executed = self.executed.max(watermark);
        let later = self.delivered.split_off(&watermark.next());
        for (epoch, delivered) in std::mem::replace(&mut self.delivered, later).into_values() {
            for (transaction, author) in delivered.iter() {
                let proposed_by = self.authorities.validator(epoch, *author);
                self.executed(*transaction, proposed_by, entry);
            }
        }
    }

    /// The node has lost its memory.
    fn ended(&mut self, n: u16) {
        let is_gone = self.plan.stays_down.contains(&n) && self.settling.is_some();
        let survives =
            |accepted: &Accepted| accepted.by != n || accepted.durable_since.is_some() && !is_gone;
        self.outstanding.retain(|_, accepted| survives(accepted));
    }

    /// Those of them that are lost, not merely queued.
    fn lost(&self) -> impl Iterator<Item = &Accepted> {
        let busy = self.executed < self.committed;
        self.owed().filter(move |accepted| {
            if busy {
                return false;
            }
            let overtaken_by = self.overtaken_by.get(&accepted.by);
            overtaken_by.is_some_and(|later| *later > accepted.entry.at)
                || self.fruitless.contains(&accepted.by)
                    && !self.is_in_an_earlier_epoch(accepted.by)
        })
    }

    fn executed(&mut self, transaction: TransactionHash, proposed_by: Option<u16>, entry: &Entry) {
        self.executed_before.insert(transaction);
        let by_all = (transaction, u16::MIN)..=(transaction, u16::MAX);
        let is_late = self.is_late(entry.at);
        for (_, accepted) in self.outstanding.extract_if(by_all, |_, _| true) {
            if proposed_by != Some(accepted.by) {
                continue;
            }
            self.fruitless.remove(&accepted.by);
            if !is_late {
                let overtaken_by = self.overtaken_by.entry(accepted.by).or_default();
                *overtaken_by = accepted.entry.at.max(*overtaken_by);
            }
        }
    }

    /// Whether the first half of the time is over.
    fn is_late(&self, now: SimTime) -> bool {
        let settling = self.settling.as_ref();
        settling.is_some_and(|ended| now.since(ended.at).ns > self.settle.ns / 2)
    }

    fn lost_by(&self, n: u16, faults_ended: &Entry, end: SimTime) -> Box<Violation> {
        let of_node = self.lost().filter(|accepted| accepted.by == n);
        let mut accepted: Vec<Entry> = of_node.map(|accepted| accepted.entry.clone()).collect();
        accepted.sort_by_key(|entry| entry.at);
        let count = accepted.len();
        accepted.truncate(EXAMPLES);
        let example = match accepted.first().map(|entry| (entry.at, &entry.what)) {
            Some((at, What::World(WorldEvent::Submitted { transaction, .. }))) => {
                format!("{transaction}, accepted at {}", at.to_string().trim_start())
            }
            _ => "unknown".to_owned(),
        };
        accepted.push(faults_ended.clone());
        Box::new(Violation {
            invariant: Invariant::Noloss,
            clause: "not-executed",
            at: end,
            process: ProcessId::Node(n),
            message: format!(
                "expected all transactions accepted before faults ended to be executed within {} ms after; \
                 not executed of node-{n}: {count}, the first of them {example}",
                self.settle.as_ms()
            ),
            evidence: accepted,
        })
    }
}

impl Oracle for NoLoss {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match (entry.process, &entry.what) {
            (ProcessId::Node(by), What::World(WorldEvent::Submitted { transaction, .. }))
                if !self.executed_before.contains(transaction) =>
            {
                let accepted = Accepted {
                    by,
                    entry: entry.clone(),
                    durable_since: None,
                };
                // What a node accepts again, it owes from the first time on.
                let key = (*transaction, by);
                self.outstanding.entry(key).or_insert(accepted);
            }
            (
                ProcessId::Node(n),
                What::World(
                    WorldEvent::Killed
                    | WorldEvent::Exited
                    | WorldEvent::PowerLost { .. }
                    | WorldEvent::Panicked { .. },
                ),
            ) => self.ended(n),
            // What it stored later and what it had in memory is gone.
            (ProcessId::Node(n), What::World(WorldEvent::DiskRestored { taken, .. })) => {
                self.outstanding.retain(|_, accepted| {
                    let is_in_backup = |since| since < *taken;
                    accepted.by != n || accepted.durable_since.is_some_and(is_in_backup)
                });
            }
            (ProcessId::Node(n), What::Seen(Fact::EpochRecorded { record })) => {
                let newest = self.epochs.entry(n).or_default();
                *newest = record.epoch.max(*newest);
            }
            (ProcessId::Node(n), What::Seen(Fact::BlockStored { block, durability }))
                if self
                    .authorities
                    .validator(block.epoch, block.reference.author)
                    == Some(n) =>
            {
                self.own_block(n, block, *durability, entry);
            }
            (
                _,
                What::Derived(Derived::Commit {
                    frame,
                    transactions,
                    ..
                }),
            ) => {
                let delivered = (frame.epoch, transactions.clone());
                self.delivered.insert(frame.gei, delivered);
                if !self.is_late(entry.at) {
                    self.committed = self.committed.max(frame.gei);
                }
            }
            (_, What::Seen(Fact::Durable { watermark, .. })) => self.durable(*watermark, entry),
            (_, What::World(WorldEvent::FaultsEnded)) => {
                for n in self.plan.stays_down.clone() {
                    self.outstanding.retain(|_, accepted| accepted.by != n);
                }
                self.settling = Some(entry.clone());
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, end: SimTime) -> Result<(), Box<Violation>> {
        match (&self.settling, self.lost().next()) {
            (Some(ended), Some(lost)) if end.since(ended.at) >= self.settle => {
                Err(self.lost_by(lost.by, ended, end))
            }
            _ => Ok(()),
        }
    }

    fn is_satisfied(&self) -> bool {
        self.owed().next().is_none()
    }
}
