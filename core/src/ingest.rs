//! The transaction pool: a bounded queue that the proposer drains.

use crate::types::{MAX_BLOCK_TRANSACTION_BYTES, MAX_BLOCK_TRANSACTIONS, OwnRound, Transaction};
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
    #[error(
        "the transaction has {bytes} bytes, no block carries more than {MAX_BLOCK_TRANSACTION_BYTES}"
    )]
    TooLarge { bytes: usize },
    #[error("the node is stopping")]
    Stopped,
}

/// The receiving side of the pool, which the proposer drains.
#[derive(Debug)]
pub struct Pool {
    incoming: mpsc::Receiver<Transaction>,
    /// Received from the channel or requeued, and not proposed yet; proposed before the rest of the channel.
    held_back: VecDeque<HeldBack>,
    /// The newest own block that was filled from this pool.
    last_proposed: Option<OwnRound>,
    /// The adaptive limit of a block's transactions, see `consensus::uncommitted`. Kept here because it outlives the
    /// epoch, like the waiting transactions.
    pub(crate) block_bytes: usize,
}

#[derive(Debug)]
struct HeldBack {
    transaction: Transaction,
    /// The own block that contains it and was left out of all commits; `None` if it was never proposed.
    left_out: Option<OwnRound>,
    /// The newest own block when it was put back.
    put_back_after: Option<OwnRound>,
}

/// A pool of at most `capacity` transactions.
#[must_use]
pub fn pool(capacity: usize) -> (Submitter, Pool) {
    let (sender, incoming) = mpsc::channel(capacity.max(1));
    let pool = Pool {
        incoming,
        held_back: VecDeque::new(),
        last_proposed: None,
        block_bytes: usize::MAX,
    };
    (Submitter(sender), pool)
}

impl Submitter {
    /// Queues one transaction for proposal. It is in memory only until a block with it is stored.
    ///
    /// # Errors
    /// If no block can contain it, or the pool is full or closed.
    pub fn submit(&self, transaction: Transaction) -> Result<(), SubmitError> {
        let bytes = transaction.0.len();
        if bytes > MAX_BLOCK_TRANSACTION_BYTES {
            return Err(SubmitError::TooLarge { bytes });
        }
        self.0.try_send(transaction).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => SubmitError::Full,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Stopped,
        })
    }
}

impl Pool {
    /// Puts back transactions of an own block that no commit will contain: they are the next ones to be proposed, after
    /// those of earlier blocks that were put back since that block was proposed. Otherwise a node that is always late
    /// would propose the newest ones for ever.
    pub fn requeue(&mut self, left_out: OwnRound, transactions: &[Transaction]) {
        let is_earlier = |held: &HeldBack| {
            held.left_out.is_some_and(|block| block < left_out)
                && held.put_back_after >= Some(left_out)
        };
        let put_back_after = self.last_proposed;
        let position = self
            .held_back
            .iter()
            .take_while(|held| is_earlier(held))
            .count();
        let later = self.held_back.split_off(position);
        let put_back = transactions.iter().map(|transaction| HeldBack {
            transaction: transaction.clone(),
            left_out: Some(left_out),
            put_back_after,
        });
        self.held_back.extend(put_back);
        self.held_back.extend(later);
    }

    /// Drops what was put back of an own block that a commit may contain after all.
    pub fn forget(&mut self, block: OwnRound) {
        self.held_back.retain(|held| held.left_out != Some(block));
    }

    /// The oldest own block of which something was put back and not proposed again yet.
    #[must_use]
    pub fn oldest_left_out(&self) -> Option<OwnRound> {
        self.held_back.iter().filter_map(|held| held.left_out).min()
    }

    /// The transactions of a new own block, see [`Self::take`].
    pub fn fill(&mut self, block: OwnRound, max_bytes: usize) -> Vec<Transaction> {
        self.last_proposed = Some(block);
        self.take(max_bytes)
    }

    /// The next transactions in order, as many as fit into `max_bytes` and into a block. A transaction that is larger
    /// than `max_bytes` is returned alone, so that it does not block those behind it.
    pub fn take(&mut self, max_bytes: usize) -> Vec<Transaction> {
        let mut taken = vec![];
        let mut bytes = 0;
        while taken.len() < MAX_BLOCK_TRANSACTIONS
            && let Some(next) = self.next()
        {
            // An empty one takes space in a block, too.
            bytes += next.transaction.0.len().max(1);
            if bytes > max_bytes && !taken.is_empty() {
                self.held_back.push_front(next);
                break;
            }
            taken.push(next.transaction);
        }
        taken
    }

    fn next(&mut self) -> Option<HeldBack> {
        self.held_back.pop_front().or_else(|| {
            Some(HeldBack {
                transaction: self.incoming.try_recv().ok()?,
                left_out: None,
                put_back_after: None,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Epoch, Round};

    const fn at(epoch: u64, round: u32) -> OwnRound {
        OwnRound {
            epoch: Epoch(epoch),
            round: Round(round),
        }
    }

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
    fn what_no_block_can_contain_is_refused() {
        let (submitter, mut pool) = pool(MAX_BLOCK_TRANSACTIONS + 2);
        let bytes = MAX_BLOCK_TRANSACTION_BYTES + 1;
        let refused = submitter.submit(transaction(bytes));
        assert_eq!(refused, Err(SubmitError::TooLarge { bytes }));
        submitter.submit(transaction(bytes - 1)).unwrap();
        assert_eq!(pool.take(1).len(), 1);
        for _ in 0..=MAX_BLOCK_TRANSACTIONS {
            submitter.submit(transaction(0)).unwrap();
        }
        assert_eq!(pool.take(usize::MAX).len(), MAX_BLOCK_TRANSACTIONS);
        assert_eq!(pool.take(usize::MAX).len(), 1);
    }

    #[test]
    fn empty_transactions_fill_a_block() {
        let (submitter, mut pool) = pool(8);
        for _ in 0..5 {
            submitter.submit(transaction(0)).unwrap();
        }
        assert_eq!(pool.take(3).len(), 3);
        assert_eq!(pool.take(3).len(), 2);
    }

    #[test]
    fn requeued_transactions_come_first() {
        let (submitter, mut pool) = pool(8);
        for bytes in 1..=5 {
            submitter.submit(transaction(bytes)).unwrap();
        }
        let first = pool.take(3);
        let second = pool.take(3);
        pool.requeue(at(0, 2), &second);
        pool.requeue(at(0, 1), &first);
        assert_eq!(pool.take(100), (1..=5).map(transaction).collect::<Vec<_>>());
    }

    /// Blocks are left out one by one, the earliest first.
    #[test]
    fn what_was_proposed_first_is_proposed_again_first() {
        let (submitter, mut pool) = pool(8);
        for bytes in 1..=4 {
            submitter.submit(transaction(bytes)).unwrap();
        }
        let first = pool.fill(at(0, 1), 3);
        let second = pool.fill(at(0, 2), 3);
        pool.requeue(at(0, 1), &first);
        pool.requeue(at(0, 2), &second);
        let third = pool.fill(at(0, 5), 1);
        assert_eq!(third, [transaction(1)]);
        pool.requeue(at(0, 5), &third);
        assert_eq!(pool.take(100), [1, 2, 3, 4].map(transaction));
    }

    #[test]
    fn requeued_transactions_have_an_origin_until_the_last_one_is_taken() {
        let (submitter, mut pool) = pool(8);
        submitter.submit(transaction(1)).unwrap();
        submitter.submit(transaction(9)).unwrap();
        pool.take(5);
        assert_eq!(
            pool.oldest_left_out(),
            None,
            "held back, but never proposed"
        );
        pool.requeue(at(2, 1), &[transaction(2)]);
        pool.requeue(at(1, 7), &[transaction(3), transaction(4)]);
        assert_eq!(pool.oldest_left_out(), Some(at(1, 7)));
        pool.take(3);
        assert_eq!(pool.oldest_left_out(), Some(at(1, 7)));
        pool.take(4);
        assert_eq!(pool.oldest_left_out(), Some(at(2, 1)));
        pool.requeue(at(2, 2), &[transaction(5)]);
        pool.forget(at(2, 1));
        assert_eq!(pool.oldest_left_out(), Some(at(2, 2)));
        assert_eq!(pool.take(100), [transaction(5), transaction(9)]);
        assert_eq!(pool.oldest_left_out(), None);
    }

    #[test]
    fn a_full_pool_rejects_transactions() {
        let (submitter, _pool) = pool(1);
        assert_eq!(submitter.submit(transaction(1)), Ok(()));
        assert_eq!(submitter.submit(transaction(1)), Err(SubmitError::Full));
    }
}
