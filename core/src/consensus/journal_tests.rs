//! Tests of what an author still owes after a crash, with its core, its journal and its stores: nothing that was taken is
//! lost, and nothing is proposed twice unless the power was lost.

use super::{
    core::{Core, Signer},
    stored_log::recover_log,
};
use crate::{
    commit::is_boundary,
    config::ConsensusParameters,
    dag::test_dag::{Dice, TestDag},
    ingest::{
        Journal, Pool,
        testing::{journal_on, take},
    },
    store::{ConsensusStore, Durability, MemoryDisk, MemoryStores},
    types::{
        AuthorityIndex, Block, BlockRef, Chain, Epoch, EpochBase, EpochStart, GlobalExecIndex,
        KeyPair, Round, SignatureScheme, TimestampMs, Transaction, VerifiedBlock,
    },
};
use std::{sync::Arc, time::Duration};

const A: AuthorityIndex = AuthorityIndex(0);
const GC_DEPTH: u32 = 3;
const TRANSACTION_BYTES: usize = 10;

/// A number, in the form of a transaction.
fn transaction(number: u32) -> Transaction {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(TRANSACTION_BYTES, 0);
    Transaction(bytes.into())
}

fn number(transaction: &Transaction) -> u32 {
    u32::from_be_bytes(transaction.0[..4].try_into().unwrap())
}

/// A running process of authority A.
struct Process {
    core: Core,
    store: ConsensusStore,
    journal: Arc<Journal>,
}

/// Authority A of four, with its disk and what the others do.
struct Author {
    disk: MemoryDisk,
    /// The blocks of the others in each epoch so far.
    epochs: Vec<TestDag>,
    process: Option<Process>,
    /// A's newest block and the newest blocks of the others, in the current epoch.
    own: Option<BlockRef>,
    others: Vec<BlockRef>,
    round: Round,
    is_over: bool,
    now: Duration,
    /// Transactions from 0 up to this number were taken.
    taken: u32,
    committed: Vec<u32>,
    /// Whether its processes end by power losses, not by kills.
    loses_power: bool,
}

impl Author {
    fn new(loses_power: bool) -> Self {
        let mut author = Self {
            disk: MemoryDisk::default(),
            epochs: vec![],
            process: None,
            own: None,
            others: vec![],
            round: Round(0),
            is_over: false,
            now: Duration::ZERO,
            taken: 0,
            committed: vec![],
            loses_power,
        };
        author.next_epoch();
        author
    }

    fn epoch(&self) -> Epoch {
        Epoch(self.epochs.len() as u64 - 1)
    }

    /// The process starts in the next epoch.
    fn next_epoch(&mut self) {
        let epoch = Epoch(self.epochs.len() as u64);
        let genesis = |author| Block::genesis(epoch, AuthorityIndex(author)).reference();
        self.others = (1..4).map(genesis).collect();
        self.epochs.push(TestDag::with_stakes(epoch, &[1; 4]));
        (self.own, self.round, self.is_over) = (None, Round(0), false);
        self.restart();
    }

    /// The process ends, and starts in the current epoch.
    fn restart(&mut self) {
        self.process = None;
        match self.loses_power {
            true => self.disk.power_lost(|_| 0),
            false => self.disk.process_killed(),
        }
        let stores = MemoryStores::new(&self.disk);
        let store = ConsensusStore::open(&stores, self.epoch()).unwrap();
        let journal = journal_on(&self.disk, usize::MAX);
        let core = self.core(Pool::new(journal.clone()), &store);
        self.process = Some(Process {
            core,
            store,
            journal,
        });
    }

    fn core(&self, pool: Pool, store: &ConsensusStore) -> Core {
        let base = EpochBase {
            epoch: self.epoch(),
            base: GlobalExecIndex(0),
        };
        let start = EpochStart {
            base,
            timestamp_ms: TimestampMs(0),
            committee: self.epochs.last().unwrap().committee.clone(),
            chain: Chain::default(),
        };
        let parameters = ConsensusParameters {
            gc_depth_rounds: GC_DEPTH,
            max_block_bytes: 8 * TRANSACTION_BYTES as u32,
            ..ConsensusParameters::default()
        };
        let keys = KeyPair::from_seed(SignatureScheme::KeyedHash, &[1; 32]);
        let signer = Signer { index: A, keys };
        let commits = recover_log(store, GC_DEPTH).unwrap().intact;
        let core = Core::recover(Some(signer), start, parameters, pool, store, &commits);
        let mut core = core.unwrap();
        core.set_last_proposed_round(Round(0));
        core
    }

    fn submit(&mut self, transactions: u32) {
        let next = self.taken..self.taken + transactions;
        let batch: Vec<_> = next.map(transaction).collect();
        let process = self.process.as_ref().unwrap();
        assert_eq!(take(&process.journal, &batch).taken, batch.len());
        self.taken += transactions;
    }

    /// The others make the next round, all or none of them with A's newest block as ancestor.
    fn others_go_on(&mut self, name_own: bool) {
        let before = self.round;
        self.round = before.next();
        let own = (self.own).filter(|own| name_own && own.round == before);
        let dag = self.epochs.last_mut().unwrap();
        for author in (1..4).map(AuthorityIndex) {
            let ancestors = self.others.iter().copied().chain(own).collect();
            dag.block(
                self.round,
                author,
                ancestors,
                TimestampMs(self.round.0.into()),
            );
        }
        let blocks = dag.blocks[dag.blocks.len() - 3..].to_vec();
        self.others = blocks.iter().map(VerifiedBlock::reference).collect();
        let now = self.now;
        self.process
            .as_mut()
            .unwrap()
            .core
            .receive(blocks, AuthorityIndex(1), now);
        self.persist();
    }

    /// A proposes; `is_stored`: unless it crashes before.
    fn propose(&mut self, is_stored: bool) {
        self.now += Duration::from_secs(9);
        let process = self.process.as_mut().unwrap();
        process.core.propose(self.now, TimestampMs(1), false);
        if is_stored {
            self.persist();
        } else {
            self.restart();
        }
    }

    fn persist(&mut self) {
        let Process { core, store, .. } = self.process.as_mut().unwrap();
        let step = core.take_step();
        (store.write(&step.blocks, &[], Durability::Synced)).unwrap();
        if let Some(own) = step.own {
            self.own = Some(own.reference());
        }
        for (sub_dag, _) in step.commits {
            let commit = std::slice::from_ref(&sub_dag.commit);
            store.write(&[], commit, Durability::Synced).unwrap();
            let gei = GlobalExecIndex(sub_dag.commit.index.0.into());
            core.pool().included(gei, &sub_dag).unwrap();
            self.is_over |= is_boundary(
                commit.first().unwrap(),
                &self.epochs.last().unwrap().committee,
            );
            let own = sub_dag.blocks.iter().filter(|block| block.author == A);
            let transactions = own.flat_map(|block| block.transactions.iter().map(number));
            self.committed.extend(transactions);
        }
    }

    /// The transactions that this process would still propose, in order.
    fn owed(&mut self) -> Vec<u32> {
        let Process { core, .. } = self.process.take().unwrap();
        let (mut pool, _) = core.leave();
        let owed = pool.fill(usize::MAX).iter().map(number).collect();
        self.restart();
        owed
    }

    /// Asserts that each transaction that was taken is committed or owed, and only once unless the power was lost.
    fn assert_nothing_is_lost(&mut self, when: &str) {
        let mut found = self.owed();
        found.extend(&self.committed);
        found.sort_unstable();
        if self.loses_power {
            found.dedup();
        }
        let taken: Vec<_> = (0..self.taken).collect();
        assert_eq!(found, taken, "{when}");
    }
}

/// Three transactions in A's block of round 1, which no commit contains, and no block of A after it.
fn left_out() -> Author {
    let mut author = Author::new(true);
    author.submit(3);
    author.propose(true);
    for _ in 0..12 {
        author.others_go_on(false);
    }
    author
}

#[test]
fn what_was_left_out_is_proposed_again_after_a_crash_in_this_epoch_or_a_later_one() {
    let mut author = left_out();
    author.restart();
    assert_eq!(author.owed(), [0, 1, 2]);
    author.next_epoch();
    assert_eq!(author.owed(), [0, 1, 2]);
    author.propose(true);
    author.restart();
    assert_eq!(author.owed(), [0, 1, 2], "they were put back twice");
}

#[test]
fn what_an_open_own_block_contains_is_not_proposed_again_after_a_crash() {
    let mut author = Author::new(true);
    author.submit(3);
    author.propose(true);
    author.submit(2);
    author.restart();
    let process = author.process.as_mut().unwrap();
    let waiting = process.core.pool().fill(usize::MAX);
    let waiting: Vec<_> = waiting.iter().map(number).collect();
    assert_eq!(waiting, [3, 4]);
}

/// Each round, the others name A's block or do not, and A may crash before or after it stores its block. Epochs end with
/// their boundary or because the others are further.
#[test]
fn nothing_is_lost_or_doubled_whenever_the_author_crashes() {
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let mut author = Author::new(dice.chance(50));
        let named = 10 + dice.below(60);
        let crashes = dice.below(25);
        for round in 0..90 {
            author.submit(dice.below(6) as u32);
            author.others_go_on(dice.chance(named));
            author.propose(!dice.chance(crashes));
            if dice.chance(crashes) {
                author.assert_nothing_is_lost(&format!("seed {seed}, round {round}"));
            }
            if dice.chance(4) {
                author.epochs.last_mut().unwrap().epoch_ends_for(&[1, 2, 3]);
            }
            if dice.chance(1) || author.is_over && dice.chance(20) {
                author.next_epoch();
            }
        }
        author.assert_nothing_is_lost(&format!("the end of seed {seed}"));
    }
}
