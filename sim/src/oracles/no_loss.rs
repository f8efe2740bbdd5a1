//! NOLOSS: *a transaction that was answered with `success` is executed.*
//!
//! Judged by the bytes of the reply: it promises the first transactions of its batch. A transaction is executed when a
//! block is durable in which it is delivered, whether it changes the state or not: another one may have spent its nonce.
//!
//! Violations, at once:
//! * a reply promises a transaction that is neither executed nor synced in the journal of the node;
//! * a node removes a transaction from its journal before it is durable in its executor;
//! * a start of a node does not find one that was promised and is not executed.
//!
//! Violations at the end of a run that lasted the plan's `settle_ms` after faults ended, like LIVE: a transaction that was
//! promised before faults ended, and that no executor executed, although a transaction that the same node took later was
//! executed in the first half of that time; or although the node proposed blocks in that half and nothing of them was
//! executed; or that a node without a seat since that half handed to no other one (contract §8.9).
//!
//! No violation: a transaction that is still queued because clients send faster than blocks are filled, because a
//! slow executor pauses its node's proposals, or because the executor still executes what was committed in the first
//! half, or because the node follows in an epoch that the others have left (its blocks there are in no commit; LIVE demands
//! that its executor catches up at its own rate); what was promised after the backup of a disk that was restored; a
//! transaction of a node that stays down for good, or of one without a seat whose last hand-over was refused; an execution that
//! is undone when an executor loses its tail, because other oracles check that it is repeated.

use super::{Invariant, Oracle, Violation};
use crate::{
    model::Derived,
    plan::{Authorities, Plan, Topology},
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
    witness::{Durability, Fact, Taken},
};
use metanode_core::types::{AuthorityIndex, Epoch, GlobalExecIndex, TransactionHash};
use rustc_hash::{FxHashMap, FxHashSet};
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
    /// Promised transactions that are not executed, by the node that promised them.
    outstanding: BTreeMap<(TransactionHash, u16), Promised>,
    journals: BTreeMap<u16, Journal>,
    executed_before: FxHashSet<TransactionHash>,
    /// The first block in which each transaction is delivered.
    delivered_at: FxHashMap<TransactionHash, GlobalExecIndex>,
    /// The highest watermark that each executor has had.
    watermarks: BTreeMap<u16, GlobalExecIndex>,
    /// When each node accepted the newest transaction of its own blocks that was executed in the first half of the time.
    overtaken_by: BTreeMap<u16, SimTime>,
    /// The last block that was committed in the first half of the time, and the last one that any executor executed.
    committed: GlobalExecIndex,
    executed: GlobalExecIndex,
    /// Nodes that proposed in the first half of the time, and of which nothing was executed since.
    fruitless: BTreeSet<u16>,
    /// The newest epoch that each node has recorded.
    epochs: BTreeMap<u16, Epoch>,
    /// Since when nodes have no seat.
    without_seat: BTreeMap<u16, SimTime>,
    /// The nodes that hand over, by connection.
    handing_over: BTreeMap<u64, u16>,
    /// Those to which something was refused since faults ended, and nothing was taken from since then.
    refused: BTreeSet<u16>,
    /// The entry that ended faults.
    settling: Option<Entry>,
}

/// The journal of a node.
#[derive(Default)]
struct Journal {
    /// Since when.
    synced: FxHashMap<TransactionHash, SimTime>,
    unsynced: Vec<TransactionHash>,
}

/// Each with the author of the block that contains it.
type Delivered = Arc<[(TransactionHash, AuthorityIndex)]>;

struct Promised {
    transaction: TransactionHash,
    by: u16,
    /// When it was synced in the journal, which is the order of proposals.
    taken_at: SimTime,
    /// The reply.
    entry: Entry,
}

impl NoLoss {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            authorities: Authorities::new(plan),
            settle: SimTime::from_ms(plan.settle_ms),
            delivered: BTreeMap::new(),
            outstanding: BTreeMap::new(),
            journals: BTreeMap::new(),
            executed_before: FxHashSet::default(),
            delivered_at: FxHashMap::default(),
            watermarks: BTreeMap::new(),
            overtaken_by: BTreeMap::new(),
            committed: GlobalExecIndex(0),
            executed: GlobalExecIndex(0),
            fruitless: BTreeSet::new(),
            epochs: BTreeMap::new(),
            without_seat: BTreeMap::new(),
            handing_over: BTreeMap::new(),
            refused: BTreeSet::new(),
            settling: None,
        }
    }

    /// Transactions that must be executed.
    fn owed(&self) -> impl Iterator<Item = &Promised> {
        let ended = self.settling.as_ref().map(|ended| ended.at);
        let owed = self.outstanding.values();
        owed.filter(move |promised| {
            let in_time = ended.is_none_or(|ended| promised.entry.at <= ended);
            in_time && (self.is_member(promised.by) || self.is_to_be_handed_over(promised))
        })
    }

    /// Whether no member has taken it, and what its node handed over last was not refused.
    fn is_to_be_handed_over(&self, promised: &Promised) -> bool {
        let hash = promised.transaction;
        let by_all = (hash, u16::MIN)..=(hash, u16::MAX);
        let mut promised_by = self.outstanding.range(by_all).map(|((_, by), _)| *by);
        !promised_by.any(|by| self.is_member(by)) && !self.refused.contains(&promised.by)
    }

    /// A node has recorded an epoch.
    fn entered(&mut self, n: u16, epoch: Epoch, at: SimTime) {
        let newest = self.epochs.entry(n).or_default();
        *newest = epoch.max(*newest);
        if self.is_member(n) {
            self.without_seat.remove(&n);
        } else {
            self.without_seat.entry(n).or_insert(at);
        }
    }

    /// A member has answered a client, or a node that hands over.
    fn answered(&mut self, connection: u64, success: bool) {
        match self.handing_over.get(&connection) {
            Some(node) if success => self.refused.remove(node),
            Some(node) => self.refused.insert(*node),
            None => false,
        };
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
    fn own_block(&mut self, n: u16, entry: &Entry) {
        if self.settling.is_some() && !self.is_late(entry.at) {
            self.fruitless.insert(n);
        }
    }

    /// A node has answered a client.
    fn promised(
        &mut self,
        by: u16,
        transactions: &[Taken],
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        for Taken { hash, .. } in transactions {
            let taken_at = self.journals.entry(by).or_default().synced.get(hash);
            if self.executed_before.contains(hash) {
                continue;
            }
            let Some(taken_at) = taken_at.copied() else {
                return Err(at_once(
                    "promised-before-synced",
                    format!(
                        "expected transaction {hash} to be synced in the journal before its client is told so"
                    ),
                    entry,
                ));
            };
            // What a node takes again, it owes from the first time on.
            let promised = || Promised {
                transaction: *hash,
                by,
                taken_at,
                entry: entry.clone(),
            };
            let outstanding = self.outstanding.entry((*hash, by));
            outstanding.or_insert_with(promised);
        }
        Ok(())
    }

    /// A node has written transactions to its journal. What is synced is synced with all that was written before.
    fn journaled(
        &mut self,
        n: u16,
        hashes: &[TransactionHash],
        durability: Durability,
        at: SimTime,
    ) {
        let journal = self.journals.entry(n).or_default();
        journal.unsynced.extend(hashes);
        if durability == Durability::Synced {
            for hash in journal.unsynced.drain(..) {
                journal.synced.entry(hash).or_insert(at);
            }
        }
    }

    /// A start of a node has found its journal.
    fn found(
        &mut self,
        n: u16,
        hashes: &[TransactionHash],
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        let at = entry.at;
        let found: FxHashSet<_> = hashes.iter().collect();
        let lost = self
            .outstanding
            .values()
            .find(|promised| promised.by == n && !found.contains(&promised.transaction));
        if let Some(Promised { transaction, .. }) = lost {
            let message = format!(
                "expected transaction {transaction}, which a client was told is taken, in the journal at a start"
            );
            return Err(at_once("lost-from-the-journal", message, entry));
        }
        let before = self.journals.remove(&n).unwrap_or_default();
        let since = |hash| before.synced.get(hash).copied().unwrap_or(at);
        let journal = Journal {
            synced: hashes.iter().map(|hash| (*hash, since(hash))).collect(),
            unsynced: vec![],
        };
        self.journals.insert(n, journal);
        Ok(())
    }

    /// A node has removed transactions from its journal.
    fn removed(
        &mut self,
        n: u16,
        hashes: &[TransactionHash],
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        let executor = match self.plan.topology {
            Topology::SingleMaster => 0,
            Topology::MasterPerNode => n,
        };
        let watermark = self.watermarks.get(&executor).copied().unwrap_or_default();
        let journal = self.journals.entry(n).or_default();
        for hash in hashes {
            journal.synced.remove(hash);
            let delivered = self.delivered_at.get(hash);
            if delivered.is_none_or(|gei| *gei > watermark) {
                let place =
                    delivered.map_or_else(|| "no block".to_owned(), |gei| format!("block {gei}"));
                return Err(at_once(
                    "removed-before-executed",
                    format!(
                        "expected transaction {hash} to stay in the journal until it is executed: it is in {place}, \
                         executor-{executor} has {watermark}"
                    ),
                    entry,
                ));
            }
        }
        Ok(())
    }

    /// The model has derived a commit.
    fn committed(&mut self, gei: GlobalExecIndex, delivered: (Epoch, Delivered), at: SimTime) {
        for (hash, _) in delivered.1.iter() {
            self.delivered_at.entry(*hash).or_insert(gei);
        }
        self.delivered.insert(gei, delivered);
        if !self.is_late(at) {
            self.committed = self.committed.max(gei);
        }
    }

    /// An executor has durable what it executed up to this watermark.
    fn durable(&mut self, executor: u16, watermark: GlobalExecIndex, entry: &Entry) {
        let highest = self.watermarks.entry(executor).or_default();
        *highest = watermark.max(*highest);
        self.executed = self.executed.max(watermark);
        let later = self.delivered.split_off(&watermark.next());
        for (epoch, delivered) in std::mem::replace(&mut self.delivered, later).into_values() {
            for (transaction, author) in delivered.iter() {
                let proposed_by = self.authorities.validator(epoch, *author);
                self.executed(*transaction, proposed_by, entry);
            }
        }
    }

    /// Those of them that are lost, not merely queued.
    fn lost(&self) -> impl Iterator<Item = &Promised> {
        let busy = self.executed < self.committed;
        self.owed().filter(move |promised| {
            if busy {
                return false;
            }
            if let Some(since) = self.without_seat.get(&promised.by) {
                return !self.is_late(*since);
            }
            let overtaken_by = self.overtaken_by.get(&promised.by);
            overtaken_by.is_some_and(|later| *later > promised.taken_at)
                || self.fruitless.contains(&promised.by)
                    && !self.is_in_an_earlier_epoch(promised.by)
        })
    }

    fn executed(&mut self, transaction: TransactionHash, proposed_by: Option<u16>, entry: &Entry) {
        self.executed_before.insert(transaction);
        let by_all = (transaction, u16::MIN)..=(transaction, u16::MAX);
        let is_late = self.is_late(entry.at);
        for (_, promised) in self.outstanding.extract_if(by_all, |_, _| true) {
            if proposed_by != Some(promised.by) {
                continue;
            }
            self.fruitless.remove(&promised.by);
            if !is_late {
                let overtaken_by = self.overtaken_by.entry(promised.by).or_default();
                *overtaken_by = promised.taken_at.max(*overtaken_by);
            }
        }
    }

    /// Whether the first half of the time is over.
    fn is_late(&self, now: SimTime) -> bool {
        let settling = self.settling.as_ref();
        settling.is_some_and(|ended| now.since(ended.at).ns > self.settle.ns / 2)
    }

    fn lost_by(&self, n: u16, faults_ended: &Entry, end: SimTime) -> Box<Violation> {
        let of_node = self.lost().filter(|promised| promised.by == n);
        let mut promised: Vec<_> = of_node.collect();
        promised.sort_by_key(|promised| promised.taken_at);
        let count = promised.len();
        let example = promised.first().map_or_else(String::new, |first| {
            let at = first.taken_at.to_string();
            format!("{}, taken at {}", first.transaction, at.trim_start())
        });
        let entries = promised.iter().map(|promised| promised.entry.clone());
        let mut evidence: Vec<Entry> = entries.take(EXAMPLES).collect();
        evidence.push(faults_ended.clone());
        Box::new(Violation {
            invariant: Invariant::Noloss,
            clause: "not-executed",
            at: end,
            process: ProcessId::Node(n),
            message: format!(
                "expected all transactions taken before faults ended to be executed within {} ms after; \
                 not executed of node-{n}: {count}, the first of them {example}",
                self.settle.as_ms()
            ),
            evidence,
        })
    }
}

fn at_once(clause: &'static str, message: String, entry: &Entry) -> Box<Violation> {
    Box::new(Violation {
        invariant: Invariant::Noloss,
        clause,
        at: entry.at,
        process: entry.process,
        message,
        evidence: vec![entry.clone()],
    })
}

impl Oracle for NoLoss {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match (entry.process, &entry.what) {
            (ProcessId::Node(n), What::Seen(Fact::BatchSent { connection, .. })) => {
                self.handing_over.insert(*connection, n);
            }
            (
                ProcessId::Node(by),
                What::Seen(Fact::BatchAnswered {
                    connection,
                    success,
                    taken,
                    ..
                }),
            ) => {
                self.answered(*connection, *success);
                return self.promised(by, taken, entry);
            }
            (
                ProcessId::Node(n),
                What::Seen(Fact::JournalWritten {
                    transactions,
                    durability,
                }),
            ) => self.journaled(n, transactions, *durability, entry.at),
            (ProcessId::Node(n), What::Seen(Fact::JournalFound { transactions })) => {
                return self.found(n, transactions, entry);
            }
            (ProcessId::Node(n), What::Seen(Fact::JournalRemoved { transactions })) => {
                return self.removed(n, transactions, entry);
            }
            // What it took later is gone.
            (ProcessId::Node(n), What::World(WorldEvent::DiskRestored { taken, .. })) => {
                let is_in_backup = |promised: &Promised| promised.taken_at < *taken;
                self.outstanding
                    .retain(|_, promised| promised.by != n || is_in_backup(promised));
            }
            (ProcessId::Node(n), What::Seen(Fact::EpochRecorded { record })) => {
                self.entered(n, record.epoch, entry.at);
            }
            (ProcessId::Node(n), What::Seen(Fact::BlockStored { block, .. }))
                if self
                    .authorities
                    .validator(block.epoch, block.reference.author)
                    == Some(n) =>
            {
                self.own_block(n, entry);
            }
            (
                _,
                What::Derived(Derived::Commit {
                    frame,
                    transactions,
                    ..
                }),
            ) => self.committed(frame.gei, (frame.epoch, transactions.clone()), entry.at),
            // Also after it was given the disk of another executor.
            (ProcessId::Executor(n), What::Seen(Fact::ExecutorFound { watermark, .. })) => {
                let highest = self.watermarks.entry(n).or_default();
                *highest = (*watermark).max(*highest);
            }
            (ProcessId::Executor(n), What::Seen(Fact::Durable { watermark, .. })) => {
                self.durable(n, *watermark, entry);
            }
            (_, What::World(WorldEvent::FaultsEnded)) => {
                for n in self.plan.stays_down.clone() {
                    self.outstanding.retain(|_, promised| promised.by != n);
                }
                self.refused.clear();
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
