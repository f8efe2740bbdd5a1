//! The transaction pool: a bounded queue that the proposer drains.

use crate::types::Transaction;
use std::collections::VecDeque;
use thiserror::Error;
use tokio::sync::mpsc;

/// The sending side of the pool. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Submitter(mpsc::Sender<Transaction>);

/// Why a transaction was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubmitError {
    #[error(
        "the transaction pool is full: clients send faster than the node proposes, try again later"
    )]
    Full,
    #[error("the node is stopping")]
    Stopped,
}

/// The receiving side of the pool, which the proposer drains.
#[derive(Debug)]
pub struct Pool {
    incoming: mpsc::Receiver<Transaction>,
    /// Received from the channel or requeued, and not proposed yet; proposed before the rest of the channel.
    held_back: VecDeque<Transaction>,
    /// The adaptive limit of a block's transactions, see `consensus::uncommitted`. Kept here because it outlives the
    /// epoch, like the waiting transactions.
    pub(crate) block_bytes: usize,
}

/// A pool of at most `capacity` transactions.
#[must_use]
pub fn pool(capacity: usize) -> (Submitter, Pool) {
    let (sender, incoming) = mpsc::channel(capacity.max(1));
    let pool = Pool {
        incoming,
        held_back: VecDeque::new(),
        block_bytes: usize::MAX,
    };
    (Submitter(sender), pool)
}

impl Submitter {
    /// Queues one transaction for proposal. It is in memory only until a block with it is stored.
    ///
    /// # Errors
    /// If the pool is full or closed.
    pub fn submit(&self, transaction: Transaction) -> Result<(), SubmitError> {
        self.0.try_send(transaction).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => SubmitError::Full,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Stopped,
        })
    }
}

impl Pool {
    /// Puts back transactions of blocks that were not committed: they are the next ones to be proposed.
    pub fn requeue(&mut self, transactions: &[Transaction]) {
        for transaction in transactions.iter().rev() {
            self.held_back.push_front(transaction.clone());
        }
    }

    /// The next transactions in order, as many as fit into `max_bytes`. A transaction that is larger than `max_bytes`
    /// is returned alone, so that it does not block those behind it.
    pub fn take(&mut self, max_bytes: usize) -> Vec<Transaction> {
        let mut taken = vec![];
        let mut bytes = 0;
        while let Some(next) = self
            .held_back
            .pop_front()
            .or_else(|| self.incoming.try_recv().ok())
        {
            bytes += next.0.len();
            if bytes > max_bytes && !taken.is_empty() {
                self.held_back.push_front(next);
                break;
            }
            taken.push(next);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(bytes: usize) -> Transaction {
        Transaction(vec![7; bytes].into())
    }

    #[test]
    fn blocks_are_filled_in_order_and_nothing_is_lost() {
        let (submitter, mut pool) = pool(8);
        for bytes in [3, 4, 5, 20, 1] {
            submitter.submit(transaction(bytes)).unwrap();
        }
        let lengths = |taken: Vec<Transaction>| taken.iter().map(|t| t.0.len()).collect::<Vec<_>>();
        assert_eq!(lengths(pool.take(10)), [3, 4]);
        assert_eq!(lengths(pool.take(10)), [5]);
        assert_eq!(lengths(pool.take(10)), [20]);
        assert_eq!(lengths(pool.take(10)), [1]);
        assert_eq!(lengths(pool.take(10)), [0usize; 0]);
    }

    #[test]
    fn requeued_transactions_come_first() {
        let (submitter, mut pool) = pool(8);
        for bytes in 1..=5 {
            submitter.submit(transaction(bytes)).unwrap();
        }
        let first = pool.take(3);
        let second = pool.take(3);
        pool.requeue(&second);
        pool.requeue(&first);
        assert_eq!(pool.take(100), (1..=5).map(transaction).collect::<Vec<_>>());
    }

    #[test]
    fn a_full_pool_rejects_transactions() {
        let (submitter, _pool) = pool(1);
        assert_eq!(submitter.submit(transaction(1)), Ok(()));
        assert_eq!(submitter.submit(transaction(1)), Err(SubmitError::Full));
    }
}
