//! The journal: every transaction that was taken, on disk until the executor has durable a commit that contains it.
//!
//! A client is told so after the transaction is synced here. After a crash, what no commit is known to contain is proposed
//! again. Which commit contains a transaction is noted after the commit is stored, and not synced: a crash in between costs
//! a second proposal, which executors skip.

use super::{
    batch::{Batch, Refusal},
    bug_switches,
    taken::{Digest, Entry, OVERHEAD_BYTES, Sequence, Submitter, Taken},
};
use crate::{
    store::{
        Column, Durability, Scan, ScanOrder, Store, StoreError, StoreFactory, WriteBatch,
        open_version,
    },
    sync::{Mutex, MutexGuard},
    types::{Epoch, GlobalExecIndex, Transaction},
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, PoisonError},
};
use tokio::sync::Notify;
use tracing::{info, warn};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The name of the journal's store.
pub(super) const STORE: &str = "journal";
/// Of its format.
const VERSION: u32 = 1;
/// [`Sequence`] → checksum and bytes of the transaction.
pub(super) const ENTRIES: Column = Column("entries");
/// [`Sequence`] → checksum and GEI of the first commit that contains the transaction.
const INCLUDED: Column = Column("included");

pub(super) const COLUMNS: [Column; 2] = [ENTRIES, INCLUDED];

const CHECKSUM_BYTES: usize = 8;

/// The part of the journal in which what nodes without a seat hand over finds place.
const HANDED_OVER_SHARE: usize = 4;

/// Entries per read at a start.
const PAGE: usize = 1_000;

/// What the node can do with transactions now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It does not know yet whether it has a seat.
    Starting,
    /// It has a seat, and is between two epochs.
    Queueing,
    Proposing,
    /// It is not a member of the committee.
    NoSeat(Epoch),
}

impl Phase {
    /// Why nothing is taken.
    pub(super) const fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Starting => Some(Refusal::Starting),
            Self::NoSeat(epoch) => Some(Refusal::NoSeat { epoch }),
            Self::Queueing | Self::Proposing => None,
        }
    }
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// So many of its transactions, the first ones, are durable here or already executed.
    pub taken: usize,
    /// They are proposed once the next epoch has begun.
    pub queued: bool,
    /// Why the others are not taken.
    pub refusal: Option<Refusal>,
}

/// The taken transactions of a node. Only one task may call [`Self::take`].
pub struct Journal {
    store: Arc<dyn Store>,
    limit_bytes: usize,
    state: Mutex<State>,
    /// What is executed and still on the disk, because a removal failed. Held while an inclusion or a removal changes the
    /// state and the disk, so that both have the same order.
    unremoved: Mutex<Vec<Sequence>>,
    included: Notify,
}

struct State {
    taken: Taken,
    next: Sequence,
    /// What the pool has not seen yet.
    unseen: Vec<(Sequence, Transaction)>,
    phase: Phase,
}

/// A place in the order in which transactions were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position(Sequence);

/// What a write adds to the journal.
#[derive(Default)]
struct New {
    entries: Vec<(Sequence, Digest, Transaction, Submitter)>,
    digests: BTreeSet<Digest>,
    /// Of all of it, each with [`OVERHEAD_BYTES`] more.
    bytes: usize,
    /// Those of nodes.
    handed_over_bytes: usize,
}

impl Journal {
    /// Opens the journal. What no commit contains is proposed first.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn open(stores: &dyn StoreFactory, limit_bytes: usize) -> Result<Self, StoreError> {
        let store = open_version(stores, STORE, &COLUMNS, VERSION)?;
        let entries = all(store.as_ref(), ENTRIES)?;
        let included = all(store.as_ref(), INCLUDED)?;
        // Also of a damaged entry, so that its number is not used again.
        let last = entries.keys().chain(included.keys()).max();
        let next = Sequence(last.map_or(0, |last| last.0 + 1));
        let mut state = State {
            taken: Taken::default(),
            next,
            unseen: vec![],
            phase: Phase::Starting,
        };
        let mut unremoved = vec![];
        for (sequence, bytes) in bug_switches::stored(entries) {
            let Some(bytes) = bytes else { continue };
            let transaction = Transaction(bytes);
            let digest = Digest::of(&transaction);
            let bytes = transaction.0.len();
            let taken = &mut state.taken;
            if !taken.insert(digest, sequence, bytes, Submitter::Client) {
                unremoved.push(sequence); // it came again before the disk had removed it
                continue;
            }
            let gei = included.get(&sequence).and_then(Option::as_ref);
            match gei.map(|gei| gei[..].try_into().map(u64::from_be_bytes)) {
                Some(Ok(gei)) => {
                    state.taken.include(&transaction, GlobalExecIndex(gei));
                }
                Some(Err(_)) | None => state.unseen.push((sequence, transaction)),
            }
        }
        info!(
            target: "[STARTUP]", bytes = state.taken.held_bytes(), waiting = state.unseen.len(),
            "reads the transactions of clients that are not executed from the journal"
        );
        Ok(Self {
            store,
            limit_bytes,
            state: Mutex::new(state),
            unremoved: Mutex::new(unremoved),
            included: Notify::new(),
        })
    }

    /// Takes batches: when this returns, what is new of them is synced, all with one write.
    ///
    /// # Errors
    /// If the disk fails. Nothing of these batches is taken then.
    pub fn take(
        &self,
        batches: impl Iterator<Item = (Batch, Submitter)>,
    ) -> Result<Vec<Answer>, StoreError> {
        let mut new = New::default();
        let admitted = batches.map(|(batch, submitter)| {
            let sent = batch.transactions.len();
            (self.admit(batch, submitter, &mut new), sent)
        });
        let admitted: Vec<_> = admitted.collect();
        if !new.entries.is_empty() {
            let mut batch = WriteBatch::default();
            for (sequence, _, transaction, _) in &new.entries {
                let key = sequence.0.to_be_bytes();
                batch.put(ENTRIES, &key, sealed(*sequence, &transaction.0));
            }
            self.store.write(batch, bug_switches::durability())?;
        }
        let mut state = self.state();
        for (sequence, digest, transaction, submitter) in new.entries {
            let bytes = transaction.0.len();
            state.taken.insert(digest, sequence, bytes, submitter);
            if bug_switches::is_seen(state.phase) {
                state.unseen.push((sequence, transaction));
            }
        }
        let queued = state.phase == Phase::Queueing;
        let answers = admitted.into_iter().map(|(mut answer, sent)| {
            answer.queued = queued;
            bug_switches::answer(answer, sent)
        });
        Ok(answers.collect())
    }

    /// Decides what is taken of a batch, after what is new of those before it.
    fn admit(&self, batch: Batch, submitter: Submitter, new: &mut New) -> Answer {
        let digests: Vec<_> = batch.transactions.iter().map(Digest::of).collect();
        let mut answer = Answer {
            taken: 0,
            queued: false,
            refusal: batch.refusal,
        };
        let mut state = self.state();
        for (transaction, digest) in batch.transactions.into_iter().zip(digests) {
            if let Some(refusal) = bug_switches::refusal(state.phase) {
                answer.refusal = Some(refusal);
                break;
            }
            if !state.taken.contains(&digest) && new.digests.insert(digest) {
                let bytes = transaction.0.len() + OVERHEAD_BYTES;
                let all = (state.taken.held_bytes() + new.bytes, self.limit_bytes);
                let handed_over = (
                    state.taken.handed_over_bytes() + new.handed_over_bytes,
                    self.limit_bytes / HANDED_OVER_SHARE,
                );
                // Any transaction fits into an empty journal.
                let is_full = |&(held, limit): &(usize, usize)| held > 0 && held + bytes > limit;
                let full = match submitter {
                    Submitter::Client => Some(all).filter(is_full),
                    Submitter::Node => [all, handed_over].into_iter().find(is_full),
                };
                if let Some((held_bytes, limit_bytes)) = full {
                    new.digests.remove(&digest);
                    answer.refusal = Some(Refusal::Full {
                        held_bytes,
                        limit_bytes,
                    });
                    break;
                }
                new.bytes += bytes;
                if submitter == Submitter::Node {
                    new.handed_over_bytes += bytes;
                }
                // The frame in which it came may be much larger.
                let transaction = Transaction(Bytes::copy_from_slice(&transaction.0));
                new.entries
                    .push((state.next, digest, transaction, submitter));
                state.next = Sequence(state.next.0 + 1);
            }
            answer.taken += 1;
        }
        answer
    }

    /// Sets what the node can do with transactions from now on.
    pub fn enter(&self, phase: Phase) {
        let mut state = self.state();
        state.phase = phase;
        bug_switches::entered(&mut state.taken);
    }

    /// The epoch ends: what is taken from now on is proposed in the next one.
    pub fn epoch_is_ending(&self) {
        let mut state = self.state();
        if state.phase == Phase::Proposing {
            state.phase = Phase::Queueing;
        }
    }

    /// Number of the transactions that are taken and not known to be executed, and their bytes as the limit counts them.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        let state = self.state();
        (state.taken.len(), state.taken.held_bytes())
    }

    /// What was taken since the last call, in order.
    pub(super) fn take_unseen(&self) -> Vec<(Sequence, Transaction)> {
        std::mem::take(&mut self.state().unseen)
    }

    /// Transactions that no commit contains, in the order in which they were taken, as many as have `most_bytes`, one at
    /// least; and where to go on. `None` if there are no more.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) fn waiting(
        &self,
        after: Option<Position>,
        most_bytes: usize,
    ) -> Result<Option<(Vec<Transaction>, Position)>, StoreError> {
        let entries = self.state().taken.waiting(after.map(|Position(last)| last));
        let (mut transactions, mut bytes, mut next) = (vec![], 0, None);
        for entry in entries {
            bytes += entry.bytes + OVERHEAD_BYTES;
            if bytes > most_bytes && !transactions.is_empty() {
                break;
            }
            next = Some(Position(entry.sequence));
            let stored = self.store.get(ENTRIES, &entry.sequence.0.to_be_bytes())?;
            let intact = stored.and_then(|stored| unsealed(entry.sequence, &stored));
            // It may have been executed meanwhile.
            transactions.extend(intact.map(Transaction));
        }
        Ok(next.map(|next| (transactions, next)))
    }

    /// The entry of a transaction that is taken and not executed.
    pub(super) fn entry(&self, transaction: &Transaction) -> Option<Entry> {
        self.state().taken.find(transaction)
    }

    /// Notes that a **stored** commit contains these transactions. Returns those of the journal that no earlier commit
    /// contains.
    ///
    /// # Errors
    /// If the disk fails.
    pub(super) fn include<'a>(
        &self,
        gei: GlobalExecIndex,
        transactions: impl Iterator<Item = &'a Transaction>,
    ) -> Result<Vec<Sequence>, StoreError> {
        if self.state().taken.is_empty() {
            return Ok(vec![]);
        }
        let order = self.unremoved();
        let mut batch = WriteBatch::default();
        let mut first = vec![];
        {
            let mut state = self.state();
            for transaction in transactions {
                if let Some(Entry { sequence, .. }) = state.taken.include(transaction, gei) {
                    let value = sealed(sequence, &gei.0.to_be_bytes());
                    batch.put(INCLUDED, &sequence.0.to_be_bytes(), value);
                    first.push(sequence);
                }
            }
        }
        if !first.is_empty() {
            self.store.write(batch, Durability::Buffered)?;
            self.included.notify_one();
        }
        drop(order);
        if bug_switches::is_removed_with_its_commit() {
            self.executed(gei);
        }
        Ok(first)
    }

    /// The executor has this durable: removes what commits up to there contain. What the disk does not remove is removed the
    /// next time, or after a start; until then some of it may be proposed again, which the executor skips.
    pub fn executed(&self, watermark: GlobalExecIndex) {
        let mut unremoved = self.unremoved();
        let executed = self.state().taken.executed(watermark);
        unremoved.extend(executed.iter().map(|entry| entry.sequence));
        let mut removed = bug_switches::removed(&unremoved, executed.len()).peekable();
        if removed.peek().is_none() {
            return;
        }
        let mut batch = WriteBatch::default();
        for sequence in removed {
            let key = sequence.0.to_be_bytes();
            batch.delete(ENTRIES, &key);
            batch.delete(INCLUDED, &key);
        }
        // Not synced for the same reason.
        match self.store.write(batch, Durability::Buffered) {
            Ok(()) => unremoved.clear(),
            Err(error) => {
                warn!(%error, "executed transactions cannot be removed from the journal; trying again");
            }
        }
    }

    /// Returns when a commit contains something that is not known to be executed, or something executed is still on the disk.
    /// Only one task may wait.
    pub(crate) async fn awaits_execution(&self) {
        while !self.state().taken.awaits_execution() && self.unremoved().is_empty() {
            self.included.notified().await;
        }
    }

    fn unremoved(&self) -> MutexGuard<'_, Vec<Sequence>> {
        self.unremoved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A checksum of key and value, then the value.
fn sealed(sequence: Sequence, value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(CHECKSUM_BYTES + value.len());
    stored.extend(xxh3_64_with_seed(value, sequence.0).to_be_bytes());
    stored.extend(value);
    stored
}

/// The value, if it is intact.
fn unsealed(sequence: Sequence, stored: &Bytes) -> Option<Bytes> {
    let (checksum, value) = stored.split_first_chunk::<CHECKSUM_BYTES>()?;
    let is_intact = u64::from_be_bytes(*checksum) == xxh3_64_with_seed(value, sequence.0);
    is_intact.then(|| stored.slice(CHECKSUM_BYTES..))
}

/// The entries of a column; `None` for a damaged one, which is logged.
fn all(store: &dyn Store, column: Column) -> Result<BTreeMap<Sequence, Option<Bytes>>, StoreError> {
    let mut found = BTreeMap::new();
    let mut from = vec![];
    loop {
        let page = store.scan(Scan {
            column,
            range: &from..&[0xff; 9][..],
            order: ScanOrder::Ascending,
            limit: PAGE,
        })?;
        let Some((last, _)) = page.last() else {
            return Ok(found);
        };
        from = [last, &[0][..]].concat();
        for (key, stored) in &page {
            let sequence = key[..].try_into().map(u64::from_be_bytes).map(Sequence);
            let value = sequence.ok().and_then(|it| unsealed(it, stored));
            if value.is_none() {
                warn!(
                    target: "[STARTUP]", column = column.0, key = ?key,
                    "the journal is damaged here: of its entries, a transaction that a client was promised is lost; of \
                     what is included, a transaction is proposed again"
                );
            }
            found.extend(sequence.map(|sequence| (sequence, value)));
        }
    }
}
