//! How much a Sub has sent, for metrics.

use super::batch::{Batch, Reply};
use metanode_core::env::{Env, Quantity};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Numbers of transactions. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Counts(Arc<Numbers>);

#[derive(Default)]
struct Numbers {
    sent: AtomicU64,
    answered: AtomicU64,
}

impl Counts {
    /// Numbers that metrics read.
    pub fn measured(env: &Env) -> Self {
        let counts = Self::default();
        let of = counts.clone();
        env.measure(Quantity::SubTransactionsSent, move || {
            of.0.sent.load(Ordering::Relaxed)
        });
        let of = counts.clone();
        env.measure(Quantity::SubTransactionsAnswered, move || {
            of.0.answered.load(Ordering::Relaxed)
        });
        counts
    }

    /// So many transactions were written.
    pub fn sent(&self, transactions: usize) {
        let sent = transactions as u64;
        self.0.sent.fetch_add(sent, Ordering::Relaxed);
    }

    /// The metanode has answered a batch.
    pub fn answered(&self, batch: &Batch, reply: &Reply) {
        let taken = reply.taken_of(batch.transactions()) as u64;
        self.0.answered.fetch_add(taken, Ordering::Relaxed);
    }
}
