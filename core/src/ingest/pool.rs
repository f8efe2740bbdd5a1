//! The pool: what the node proposes next, in the order in which it was taken.
//!
//! A transaction is here from when it is taken until a block with it is made, and again when no commit will contain that
//! block. Otherwise a node that is always late would propose some for ever and others never, so the order is always that
//! of taking, whichever block contained a transaction last.

use super::{Journal, taken::Sequence};
use crate::{
    store::StoreError,
    types::{
        GlobalExecIndex, MAX_BLOCK_TRANSACTION_BYTES, MAX_BLOCK_TRANSACTIONS, OwnRound, SubDag,
        Transaction,
    },
};
use std::{collections::BTreeMap, sync::Arc};

/// What is to be proposed. It outlives epochs.
pub struct Pool {
    journal: Arc<Journal>,
    waiting: BTreeMap<Place, Transaction>,
    /// The adaptive limit of a block's transactions, see `consensus::uncommitted`. Kept here because it outlives the
    /// epoch, like the waiting transactions.
    pub(crate) block_bytes: usize,
}

/// The place of a transaction in the order of proposals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// In an own block, at this position, and not in the journal, because this disk is older than the block.
    Block(OwnRound, usize),
    Taken(Sequence),
}

impl Pool {
    /// The pool of a journal that was just opened.
    #[must_use]
    pub const fn new(journal: Arc<Journal>) -> Self {
        Self {
            journal,
            waiting: BTreeMap::new(),
            block_bytes: usize::MAX,
        }
    }

    /// Takes out the transactions of a new own block: the next ones in order, as many as fit into `max_bytes` and into a
    /// block. A transaction that is larger than `max_bytes` is returned alone, so that it does not block those behind it.
    pub fn fill(&mut self, max_bytes: usize) -> Vec<Transaction> {
        self.see();
        let max_bytes = max_bytes.min(MAX_BLOCK_TRANSACTION_BYTES);
        let mut taken = vec![];
        let mut bytes = 0;
        while taken.len() < MAX_BLOCK_TRANSACTIONS
            && let Some(next) = self.waiting.first_entry()
        {
            // An empty one takes space in a block, too.
            bytes += next.get().0.len().max(1);
            if bytes > max_bytes && !taken.is_empty() {
                break;
            }
            taken.push(next.remove());
        }
        taken
    }

    /// Puts back transactions of an own block that no commit will contain. Returns the number of those that no other
    /// commit is known to contain. `is_older`: whether this process has not made the block, so that the journal may not
    /// know what it contains. Otherwise what is not in the journal is executed.
    pub fn requeue(
        &mut self,
        left_out: OwnRound,
        transactions: &[Transaction],
        is_older: bool,
    ) -> u32 {
        let mut requeued = 0;
        for (position, transaction) in transactions.iter().enumerate() {
            let place = match self.journal.entry(transaction) {
                None => is_older.then_some(Place::Block(left_out, position)),
                Some(entry) if entry.included.is_some() => None,
                Some(entry) => Some(Place::Taken(entry.sequence)),
            };
            if let Some(place) = place {
                self.waiting.insert(place, transaction.clone());
                requeued += 1;
            }
        }
        requeued
    }

    /// Drops what a stored own block contains: a commit may contain that block.
    pub fn withdraw(&mut self, block: OwnRound, transactions: &[Transaction]) {
        self.see();
        for (position, transaction) in transactions.iter().enumerate() {
            self.waiting.remove(&Place::Block(block, position));
            if let Some(entry) = self.journal.entry(transaction) {
                self.waiting.remove(&Place::Taken(entry.sequence));
            }
        }
    }

    /// Notes that a **stored** commit contains these blocks: nothing of them is proposed again.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn included(&mut self, gei: GlobalExecIndex, commit: &SubDag) -> Result<(), StoreError> {
        let transactions = commit.blocks.iter().flat_map(|block| &block.transactions);
        let first = self.journal.include(gei, transactions)?;
        if first.is_empty() {
            return Ok(());
        }
        self.see();
        for sequence in first {
            self.waiting.remove(&Place::Taken(sequence));
        }
        Ok(())
    }

    /// The boundary of the epoch is known: what is taken from now on is proposed in the next one.
    pub fn epoch_is_ending(&self) {
        self.journal.epoch_is_ending();
    }

    fn see(&mut self) {
        let unseen = self.journal.take_unseen().into_iter();
        let unseen = unseen.map(|(sequence, it)| (Place::Taken(sequence), it));
        self.waiting.extend(unseen);
    }
}
