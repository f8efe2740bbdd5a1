//! The transaction pool: a bounded queue that the proposer drains.

use crate::types::{MAX_BLOCK_TRANSACTION_BYTES, MAX_BLOCK_TRANSACTIONS, OwnRound, Transaction};
use std::collections::{BTreeMap, VecDeque};
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

/// The receiving side of the pool, which the proposer drains in the order of acceptance.
#[derive(Debug)]
pub struct Pool {
    incoming: mpsc::Receiver<Transaction>,
    /// How many transactions were received from the channel.
    received: u64,
    /// Received from the channel or requeued, and not proposed yet; by acceptance, all before the rest of the channel.
    held_back: VecDeque<HeldBack>,
    /// When the transactions of the own blocks that were filled here were accepted, until each block is committed or
    /// its transactions are put back.
    proposed: BTreeMap<OwnRound, Vec<Acceptance>>,
    /// The adaptive limit of a block's transactions, see `consensus::uncommitted`. Kept here because it outlives the
    /// epoch, like the waiting transactions.
    pub(crate) block_bytes: usize,
}

/// When a transaction was accepted, relative to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Acceptance {
    /// By an earlier process, or in an epoch to which this one has returned: all that is known is the stored block.
    Before(OwnRound),
    /// As this one of all that were received from the channel.
    Received(u64),
}

#[derive(Debug)]
struct HeldBack {
    transaction: Transaction,
    accepted: Acceptance,
    /// The own block that contains it and was left out of all commits; `None` if it was never proposed.
    left_out: Option<OwnRound>,
}

/// A pool of at most `capacity` transactions.
#[must_use]
pub fn pool(capacity: usize) -> (Submitter, Pool) {
    let (sender, incoming) = mpsc::channel(capacity.max(1));
    let pool = Pool {
        incoming,
        received: 0,
        held_back: VecDeque::new(),
        proposed: BTreeMap::new(),
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
    /// Puts back transactions of an own block that no commit will contain. They are proposed again in the order of
    /// acceptance, whichever block contained them last. Otherwise a node that is always late would propose some for ever
    /// and others never.
    pub fn requeue(&mut self, left_out: OwnRound, transactions: &[Transaction]) {
        // An earlier process may have made another block of this round.
        let accepted = (self.proposed.remove(&left_out))
            .filter(|accepted| accepted.len() == transactions.len())
            .unwrap_or_else(|| vec![Acceptance::Before(left_out); transactions.len()]);
        let put_back = transactions.iter().zip(accepted);
        self.held_back
            .extend(put_back.map(|(transaction, accepted)| HeldBack {
                transaction: transaction.clone(),
                accepted,
                left_out: Some(left_out),
            }));
        // Stable: transactions of one stored block keep their order. Two sorted runs are only merged.
        let held_back = self.held_back.make_contiguous();
        held_back.sort_by_key(|held| held.accepted);
    }

    /// Notes that a commit contains this own block: nothing of it will be put back.
    pub fn settle(&mut self, block: OwnRound) {
        self.proposed.remove(&block);
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

    /// The transactions of a new own block: the next ones in order, as many as fit into `max_bytes` and into a block. A
    /// transaction that is larger than `max_bytes` is returned alone, so that it does not block those behind it.
    pub fn fill(&mut self, block: OwnRound, max_bytes: usize) -> Vec<Transaction> {
        let (transactions, accepted): (Vec<_>, Vec<_>) = (self.next_within(max_bytes).into_iter())
            .map(|held| (held.transaction, held.accepted))
            .unzip();
        if !accepted.is_empty() {
            self.proposed.insert(block, accepted);
        }
        transactions
    }

    fn next_within(&mut self, max_bytes: usize) -> Vec<HeldBack> {
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
            taken.push(next);
        }
        taken
    }

    fn next(&mut self) -> Option<HeldBack> {
        self.held_back.pop_front().or_else(|| {
            let transaction = self.incoming.try_recv().ok()?;
            self.received += 1;
            Some(HeldBack {
                transaction,
                accepted: Acceptance::Received(self.received),
                left_out: None,
            })
        })
    }

    /// Removes what [`Self::fill`] would propose.
    #[cfg(test)]
    pub fn take(&mut self, max_bytes: usize) -> Vec<Transaction> {
        let taken = self.next_within(max_bytes).into_iter();
        taken.map(|held| held.transaction).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Epoch, Round};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

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

    /// A pool in which transactions of 1, 2, … bytes wait.
    fn waiting(transactions: usize) -> Pool {
        let (submitter, pool) = pool(transactions);
        for bytes in 1..=transactions {
            submitter.submit(transaction(bytes)).unwrap();
        }
        pool
    }

    #[test]
    fn requeued_transactions_come_first() {
        let mut pool = waiting(5);
        let first = pool.fill(at(0, 1), 3);
        let second = pool.fill(at(0, 2), 3);
        pool.requeue(at(0, 2), &second);
        pool.requeue(at(0, 1), &first);
        assert_eq!(pool.take(100), [1, 2, 3, 4, 5].map(transaction));
    }

    /// Blocks are left out one by one, the earliest first.
    #[test]
    fn what_was_proposed_first_is_proposed_again_first() {
        let mut pool = waiting(4);
        let first = pool.fill(at(0, 1), 3);
        let second = pool.fill(at(0, 2), 3);
        pool.requeue(at(0, 1), &first);
        pool.requeue(at(0, 2), &second);
        let third = pool.fill(at(0, 5), 1);
        assert_eq!(third, [transaction(1)]);
        pool.requeue(at(0, 5), &third);
        assert_eq!(pool.take(100), [1, 2, 3, 4].map(transaction));
    }

    /// A block that is proposed again is newer than blocks with transactions that were accepted later.
    #[test]
    fn what_was_accepted_first_is_proposed_again_first_although_a_newer_block_carried_it() {
        let mut pool = waiting(4);
        let first = pool.fill(at(0, 1), 1);
        pool.requeue(at(0, 1), &first);
        let second = pool.fill(at(0, 2), 3);
        let third = pool.fill(at(0, 3), 3);
        assert_eq!((second.len(), third.len()), (2, 1));
        pool.requeue(at(0, 2), &second);
        let fourth = pool.fill(at(0, 4), 1);
        pool.requeue(at(0, 3), &third);
        let fifth = pool.fill(at(0, 5), 2);
        assert_eq!(fifth, [transaction(2)]);
        pool.requeue(at(0, 4), &fourth);
        pool.requeue(at(0, 5), &fifth);
        assert_eq!(pool.take(100), [1, 2, 3, 4].map(transaction));
    }

    #[test]
    fn what_an_earlier_process_proposed_comes_before_all_that_this_one_accepted() {
        let mut pool = waiting(2);
        let own = pool.fill(at(3, 1), 3);
        pool.requeue(at(3, 1), &own);
        pool.requeue(at(2, 8), &[transaction(7), transaction(8)]);
        pool.requeue(at(2, 5), &[transaction(9)]);
        let again = pool.fill(at(3, 2), 100);
        assert_eq!(again, [9, 7, 8, 1, 2].map(transaction));
        pool.requeue(at(3, 2), &again);
        assert_eq!(pool.take(100), again);
    }

    #[test]
    fn only_uncommitted_blocks_are_remembered() {
        let mut pool = waiting(3);
        for round in 1..=3 {
            pool.fill(at(0, round), 1);
        }
        pool.fill(at(0, 4), 1);
        assert_eq!(pool.proposed.len(), 3, "the last block is empty");
        pool.settle(at(0, 2));
        pool.requeue(at(0, 1), &[transaction(1)]);
        pool.forget(at(0, 1));
        assert_eq!(pool.proposed.keys().collect::<Vec<_>>(), [&at(0, 3)]);
    }

    proptest! {
        /// Blocks are filled, committed and put back in any order.
        #[test]
        fn the_pool_proposes_in_the_order_of_acceptance(
            moves in prop::collection::vec((0..3u8, 0..8usize), 0..60),
        ) {
            let mut pool = waiting(40);
            let mut uncommitted: Vec<(OwnRound, Vec<Transaction>)> = vec![];
            let mut proposable: BTreeSet<usize> = (1..=40).collect();
            let bytes = |block: &[Transaction]| block.iter().map(|t| t.0.len()).collect::<Vec<_>>();
            for (round, (kind, number)) in (1..).zip(moves) {
                if kind == 0 {
                    let filled = pool.fill(at(0, round), 10 * number);
                    let expected: Vec<_> = proposable.iter().take(filled.len()).copied().collect();
                    prop_assert_eq!(bytes(&filled), &expected[..]);
                    proposable.retain(|bytes| !expected.contains(bytes));
                    uncommitted.push((at(0, round), filled));
                } else if !uncommitted.is_empty() {
                    let (block, transactions) = uncommitted.remove(number % uncommitted.len());
                    if kind == 1 {
                        pool.settle(block);
                    } else {
                        pool.requeue(block, &transactions);
                        proposable.extend(bytes(&transactions));
                    }
                }
            }
            let rest = pool.take(usize::MAX);
            prop_assert_eq!(bytes(&rest), proposable.into_iter().collect::<Vec<_>>());
        }
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
