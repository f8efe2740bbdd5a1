//! Tests of the order of proposals and of what is proposed again.

use super::{
    Pool,
    testing::{journal_on, pool_of, take},
};
use crate::{
    store::MemoryDisk,
    types::{Epoch, OwnRound, Round, Transaction},
};
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

fn bytes(transactions: &[Transaction]) -> Vec<usize> {
    transactions.iter().map(|t| t.0.len()).collect()
}

/// A pool in which transactions of 1, 2, … bytes wait.
fn waiting(transactions: usize) -> Pool {
    pool_of(&(1..=transactions).map(transaction).collect::<Vec<_>>())
}

#[test]
fn blocks_are_filled_in_order_and_nothing_is_lost() {
    let mut pool = pool_of(&[3, 4, 5, 20, 1].map(transaction));
    let blocks = [10, 10, 10, 10, 10].map(|limit| bytes(&pool.fill(limit)));
    assert_eq!(blocks, [vec![3, 4], vec![5], vec![20], vec![1], vec![]]);
}

#[test]
fn an_empty_transaction_takes_space_in_a_block() {
    let mut pool = pool_of(&[0, 1, 2].map(transaction));
    assert_eq!(bytes(&pool.fill(2)), [0, 1]);
}

#[test]
fn what_was_taken_first_is_proposed_again_first_whichever_block_contained_it_last() {
    let mut pool = waiting(4);
    let first = pool.fill(1);
    pool.requeue(at(0, 1), &first, true);
    let (second, third) = (pool.fill(3), pool.fill(3));
    assert_eq!((bytes(&second), bytes(&third)), (vec![1, 2], vec![3]));
    pool.requeue(at(0, 3), &third, true);
    assert_eq!(pool.requeue(at(0, 2), &second, true), 2);
    assert_eq!(bytes(&pool.fill(100)), [1, 2, 3, 4]);
}

#[test]
fn what_is_not_in_the_journal_comes_before_all_that_is() {
    let mut pool = waiting(2);
    let own = pool.fill(3);
    pool.requeue(at(3, 1), &own, true);
    pool.requeue(at(2, 8), &[transaction(7), transaction(8)], true);
    pool.requeue(at(2, 5), &[transaction(9)], true);
    assert_eq!(bytes(&pool.fill(100)), [9, 7, 8, 1, 2]);
}

#[test]
fn what_an_own_block_contains_that_may_be_committed_after_all_is_withdrawn() {
    let mut pool = waiting(3);
    let block = [transaction(2), transaction(9)];
    pool.withdraw(at(1, 4), &block);
    assert_eq!(bytes(&pool.fill(100)), [1, 3]);
    assert_eq!(pool.requeue(at(1, 4), &block, true), 2);
    pool.withdraw(at(1, 4), &block);
    assert_eq!(bytes(&pool.fill(100)), [0usize; 0]);
}

#[test]
fn a_transaction_that_comes_twice_is_proposed_once() {
    let journal = journal_on(&MemoryDisk::default(), usize::MAX);
    let mut pool = Pool::new(journal.clone());
    assert_eq!(take(&journal, &[1, 2, 1].map(transaction)).taken, 3);
    assert_eq!(take(&journal, &[2, 3].map(transaction)).taken, 2);
    assert_eq!(bytes(&pool.fill(100)), [1, 2, 3]);
}

proptest! {
    /// Blocks are filled, committed and put back in any order.
    #[test]
    fn the_pool_proposes_in_the_order_of_taking(
        moves in prop::collection::vec((0..3u8, 0..8usize), 0..60),
    ) {
        let mut pool = waiting(40);
        let mut uncommitted: Vec<(OwnRound, Vec<Transaction>)> = vec![];
        let mut proposable: BTreeSet<usize> = (1..=40).collect();
        for (round, (kind, number)) in (1..).zip(moves) {
            if kind == 0 {
                let filled = pool.fill(10 * number);
                let expected: Vec<_> = proposable.iter().take(filled.len()).copied().collect();
                prop_assert_eq!(bytes(&filled), &expected[..]);
                proposable.retain(|bytes| !expected.contains(bytes));
                uncommitted.push((at(0, round), filled));
            } else if !uncommitted.is_empty() {
                let (block, transactions) = uncommitted.remove(number % uncommitted.len());
                if kind == 2 {
                    pool.requeue(block, &transactions, false);
                    proposable.extend(bytes(&transactions));
                }
            }
        }
        let rest = pool.fill(usize::MAX);
        prop_assert_eq!(bytes(&rest), proposable.into_iter().collect::<Vec<_>>());
    }
}
