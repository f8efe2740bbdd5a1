//! What stored own blocks still owe, at a start: transactions of blocks that no commit contains or will contain, and
//! that no later own block contains either. They are proposed again (contract §6.7).
//!
//! Each own block is synced together with the *floor*: the oldest own block that still owed something then. Own blocks
//! below it need not be read. A floor that was lost is replaced by an older one, which only costs time.
//!
//! A damaged block is skipped. A damaged commit counts as one without own blocks, so that a transaction may be proposed
//! twice; that is harmless, because the executor accepts each nonce once.

use super::{bug_switches, stored_log::intact_log};
use crate::{
    commit::is_boundary,
    ingest::Pool,
    store::{ConsensusStore, StoreError},
    types::{
        AuthorityIndex, BlockRef, CommitIndex, Committee, Epoch, OwnRound, Round, Transaction,
    },
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Own blocks in memory at the same time.
const PAGE_BLOCKS: usize = 64;

/// A stored epoch of this node.
pub(crate) struct OwnEpoch {
    pub committee: Arc<Committee>,
    /// This node's index in the committee; `None` if it is a follower, which has no blocks.
    pub own: Option<AuthorityIndex>,
    pub store: ConsensusStore,
}

/// Puts what the own blocks of these epochs, in order, still owe back to the front of the pool, oldest first. Returns
/// the number of transactions by the epoch of their block.
///
/// `running` is the epoch that this process enters. Blocks that a commit of it, or of a later epoch, may still contain
/// are left to the recovery of that epoch.
///
/// # Errors
/// If a store fails.
pub(crate) fn requeue_unsettled(
    epochs: &[OwnEpoch],
    running: Epoch,
    gc_depth_rounds: u32,
    pool: &mut Pool,
) -> Result<BTreeMap<Epoch, u32>, StoreError> {
    let epochs = bug_switches::searched(epochs);
    let floor = floor(epochs)?;
    let mut owed = Owed::default();
    for epoch in epochs {
        let reached = epoch.committee.epoch();
        if reached < floor.epoch {
            continue;
        }
        let from = if reached == floor.epoch {
            floor.round
        } else {
            Round(0)
        };
        epoch.read(from, running, gc_depth_rounds, &mut owed)?;
    }
    let mut requeued = BTreeMap::new();
    for (block, transactions) in owed.finish() {
        pool.requeue(block, &transactions);
        let count = u32::try_from(transactions.len()).unwrap_or(u32::MAX);
        let of_epoch: &mut u32 = requeued.entry(block.epoch).or_default();
        *of_epoch = of_epoch.saturating_add(count);
    }
    Ok(requeued)
}

/// The floor that was stored last. Without any, all own blocks are read.
fn floor(epochs: &[OwnEpoch]) -> Result<OwnRound, StoreError> {
    for epoch in epochs.iter().rev() {
        if let Some(floor) = epoch.store.unsettled()? {
            return Ok(floor);
        }
    }
    Ok(OwnRound::default())
}

impl OwnEpoch {
    /// Reads the own blocks of round `from` and above, oldest first.
    fn read(
        &self,
        mut from: Round,
        running: Epoch,
        gc_depth_rounds: u32,
        owed: &mut Owed,
    ) -> Result<(), StoreError> {
        let Some(own) = self.own else { return Ok(()) };
        let log = self.log(own, from, running, gc_depth_rounds)?;
        loop {
            let page = self.store.references_by(own, from, PAGE_BLOCKS)?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            from = last.round.next();
            for block in self.store.blocks(&page)?.into_iter().flatten() {
                match log.fate(&block.reference()) {
                    Fate::Settled => owed.settle(&block.transactions),
                    Fate::LeftOut => owed.leave_out(block.own_round(), &block.transactions),
                }
            }
        }
    }

    fn log(
        &self,
        own: AuthorityIndex,
        from: Round,
        running: Epoch,
        gc_depth_rounds: u32,
    ) -> Result<OwnLog, StoreError> {
        // An epoch that this node has left behind gets no further commit.
        if self.committee.epoch() < running {
            let last = self.store.last_commit()?.unwrap_or_default();
            return Ok(OwnLog {
                committed: self.committed(own, from, last)?,
                open_above: None,
            });
        }
        // The recovery of the epoch cuts the log where this one ends.
        let log = intact_log(&self.store, gc_depth_rounds)?.intact;
        let Some(last) = log.last() else {
            return Ok(OwnLog {
                committed: BTreeSet::new(),
                open_above: Some(Round(0)),
            });
        };
        let gc_round = Round(last.leader.round.0.saturating_sub(gc_depth_rounds));
        let is_over = is_boundary(last, &self.committee);
        Ok(OwnLog {
            committed: self.committed(own, from, last.index)?,
            open_above: (!is_over).then_some(gc_round),
        })
    }

    /// The own blocks of round `from` and above that commits up to `last` contain.
    fn committed(
        &self,
        own: AuthorityIndex,
        from: Round,
        last: CommitIndex,
    ) -> Result<BTreeSet<BlockRef>, StoreError> {
        let mut committed = BTreeSet::new();
        for index in (1..=last.0).rev() {
            let Some(commit) = self.store.commit(CommitIndex(index))? else {
                continue;
            };
            // A commit contains only rounds up to that of its leader, and leaders are committed in the order of rounds.
            if commit.leader.round < from {
                break;
            }
            let blocks = commit.blocks.into_iter();
            committed.extend(blocks.filter(|block| block.author == own && block.round >= from));
        }
        Ok(committed)
    }
}

/// What the commit log of an epoch says about own blocks.
struct OwnLog {
    committed: BTreeSet<BlockRef>,
    /// A later commit may contain blocks above this round; `None` if there is no later commit.
    open_above: Option<Round>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Committed, or recovered by the core because a commit may still contain it.
    Settled,
    /// No commit contains it or will.
    LeftOut,
}

impl OwnLog {
    fn fate(&self, block: &BlockRef) -> Fate {
        let is_open = self
            .open_above
            .is_some_and(|gc_round| block.round > gc_round);
        if is_open || self.committed.contains(block) {
            Fate::Settled
        } else {
            Fate::LeftOut
        }
    }
}

/// Collects what own blocks owe. Blocks are added from the oldest to the newest, so that a transaction that was proposed
/// again is met in the newer block later. Pure.
#[derive(Default)]
struct Owed {
    left_out: Vec<(OwnRound, Vec<Transaction>)>,
    /// The block in which each transaction that is still owed stands.
    stands_in: BTreeMap<Bytes, OwnRound>,
}

impl Owed {
    /// Adds a block whose transactions are not owed any more, here or in an older block.
    fn settle(&mut self, transactions: &[Transaction]) {
        for transaction in transactions {
            self.stands_in.remove(&transaction.0);
        }
    }

    /// Adds a block that was left out. What an older one owes already keeps its place.
    fn leave_out(&mut self, block: OwnRound, transactions: &[Transaction]) {
        for transaction in transactions {
            let bytes = transaction.0.clone();
            self.stands_in.entry(bytes).or_insert(block);
        }
        if !transactions.is_empty() {
            self.left_out.push((block, transactions.to_vec()));
        }
    }

    /// What is owed, oldest first.
    fn finish(mut self) -> Vec<(OwnRound, Vec<Transaction>)> {
        for (block, transactions) in &mut self.left_out {
            // Removed, so that a transaction that a block contains twice is proposed once.
            let stands_in = &mut self.stands_in;
            transactions.retain(|transaction| {
                let is_here = stands_in.get(&transaction.0) == Some(block);
                is_here && stands_in.remove(&transaction.0).is_some()
            });
        }
        self.left_out
            .retain(|(_, transactions)| !transactions.is_empty());
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::BlockDigest;
    use proptest::prelude::*;

    fn at(position: usize) -> OwnRound {
        OwnRound {
            epoch: Epoch(position as u64 / 3),
            round: Round(position as u32 % 3 + 1),
        }
    }

    fn transactions(numbers: &[u8]) -> Vec<Transaction> {
        (numbers.iter().map(|n| Transaction(vec![*n].into()))).collect()
    }

    /// By definition: a transaction is owed in the first block that was left out after the last one that settles it.
    fn expected(history: &[(bool, Vec<u8>)]) -> Vec<(OwnRound, Vec<Transaction>)> {
        let stands_first = |position: usize, number: u8| {
            let has = |(_, numbers): &(bool, Vec<u8>)| numbers.contains(&number);
            let is_settled_later = history[position..].iter().any(|b| b.0 && has(b));
            let before = history[..position].iter().rev();
            let is_owed_before = before.take_while(|b| !(b.0 && has(b))).any(has);
            !is_settled_later && !is_owed_before
        };
        let mut owed = vec![];
        for (position, (is_settled, numbers)) in history.iter().enumerate() {
            let mut here: Vec<u8> = vec![];
            for number in numbers {
                if !is_settled && !here.contains(number) && stands_first(position, *number) {
                    here.push(*number);
                }
            }
            if !here.is_empty() {
                owed.push((at(position), transactions(&here)));
            }
        }
        owed
    }

    proptest! {
        #[test]
        fn a_transaction_is_owed_once_unless_a_later_block_settles_it(
            history in prop::collection::vec(
                (any::<bool>(), prop::collection::vec(0..12u8, 0..5)), 0..12,
            ),
        ) {
            let mut owed = Owed::default();
            for (position, (is_settled, numbers)) in history.iter().enumerate() {
                if *is_settled {
                    owed.settle(&transactions(numbers));
                } else {
                    owed.leave_out(at(position), &transactions(numbers));
                }
            }
            prop_assert_eq!(owed.finish(), expected(&history));
        }
    }

    #[test]
    fn a_block_is_left_out_if_no_commit_contains_it_or_will() {
        let block = |round, digest| BlockRef {
            round: Round(round),
            author: AuthorityIndex(0),
            digest: BlockDigest([digest; 32]),
        };
        let fates = |open_above| {
            let log = OwnLog {
                committed: [block(3, 1), block(5, 1)].into(),
                open_above,
            };
            let blocks = [
                block(3, 1),
                block(3, 2),
                block(4, 1),
                block(5, 1),
                block(5, 2),
            ];
            blocks.map(|block| log.fate(&block) == Fate::LeftOut)
        };
        assert_eq!(fates(Some(Round(4))), [false, true, true, false, false]);
        assert_eq!(fates(Some(Round(0))), [false; 5]);
        assert_eq!(fates(None), [false, true, true, false, true]);
    }
}
