//! Journals and pools for tests.

use super::{Answer, Batch, Journal, Phase, Pool, Submitter};
use crate::{
    store::{MemoryDisk, MemoryStores},
    types::Transaction,
};
use std::sync::Arc;

/// The journal on this disk, which no process has open.
pub(crate) fn journal_on(disk: &MemoryDisk, limit_bytes: usize) -> Arc<Journal> {
    let stores = MemoryStores::new(disk);
    let journal = Journal::open(&stores, limit_bytes).unwrap();
    journal.enter(Phase::Proposing);
    Arc::new(journal)
}

/// Takes transactions as one batch.
pub(crate) fn take(journal: &Journal, transactions: &[Transaction]) -> Answer {
    let batch = Batch {
        transactions: transactions.to_vec(),
        refusal: None,
    };
    journal
        .take([(batch, Submitter::Client)].into_iter())
        .unwrap()
        .remove(0)
}

/// A pool in which these transactions wait.
pub(crate) fn pool_of(transactions: &[Transaction]) -> Pool {
    let journal = journal_on(&MemoryDisk::default(), usize::MAX);
    let answer = take(&journal, transactions);
    assert_eq!(answer.taken, transactions.len());
    Pool::new(journal)
}
