//! Tests of what an author finds in its own blocks after a crash, with its core and its stores: nothing that was in a
//! synced own block is lost, nothing of it is proposed twice.

use super::{
    core::{Core, Signer},
    unsettled::{OwnEpoch, requeue_unsettled},
};
use crate::{
    commit::is_boundary,
    config::ConsensusParameters,
    dag::test_dag::{Dice, TestDag},
    ingest::{self, Submitter},
    store::{ConsensusStore, Durability, MemoryDisk, MemoryStores},
    types::{
        AuthorityIndex, Block, BlockRef, Chain, CommitIndex, Epoch, EpochBase, EpochStart,
        GlobalExecIndex, KeyPair, OwnRound, Round, SignatureScheme, TimestampMs, Transaction,
        VerifiedBlock,
    },
};
use std::{collections::BTreeSet, time::Duration};

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
    stores: Vec<ConsensusStore>,
    submitter: Submitter,
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
    submitted: u32,
    synced: BTreeSet<u32>,
    committed: Vec<u32>,
}

impl Author {
    fn new() -> Self {
        let mut author = Self {
            disk: MemoryDisk::default(),
            epochs: vec![],
            process: None,
            own: None,
            others: vec![],
            round: Round(0),
            is_over: false,
            now: Duration::ZERO,
            submitted: 0,
            synced: BTreeSet::new(),
            committed: vec![],
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

    /// A power loss, and a start in the current epoch.
    fn restart(&mut self) {
        self.process = None;
        self.disk.power_lost(|_| 0);
        let disk = MemoryStores::new(&self.disk);
        let open = |dag: &TestDag| OwnEpoch {
            committee: dag.committee.clone(),
            own: Some(A),
            store: ConsensusStore::open(&disk, dag.committee.epoch()).unwrap(),
        };
        let epochs: Vec<_> = self.epochs.iter().map(open).collect();
        let (submitter, mut pool) = ingest::pool(100);
        requeue_unsettled(&epochs, self.epoch(), GC_DEPTH, &mut pool).unwrap();
        let stores: Vec<_> = epochs.into_iter().map(|epoch| epoch.store).collect();
        let core = self.core(pool, stores.last().unwrap());
        self.process = Some(Process {
            core,
            stores,
            submitter,
        });
    }

    fn core(&self, pool: ingest::Pool, store: &ConsensusStore) -> Core {
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
        let mut core = Core::recover(Some(signer), start, parameters, pool, store).unwrap();
        core.set_last_proposed_round(Round(0));
        core
    }

    fn submit(&mut self, transactions: u32) {
        let process = self.process.as_ref().unwrap();
        for _ in 0..transactions {
            let next = transaction(self.submitted);
            if process.submitter.submit(next).is_ok() {
                self.submitted += 1;
            }
        }
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
        let Process { core, stores, .. } = self.process.as_mut().unwrap();
        let store = stores.last().unwrap();
        let step = core.take_step();
        match step.unsettled {
            Some(unsettled) => store.write_own(&step.blocks, unsettled).unwrap(),
            None => (store.write(&step.blocks, &[], Durability::Buffered)).unwrap(),
        }
        assert_eq!(step.own.is_some(), step.unsettled.is_some());
        if let Some(own) = step.own {
            self.own = Some(own.reference());
            self.synced.extend(own.transactions.iter().map(number));
        }
        for (sub_dag, _) in step.commits {
            let commit = std::slice::from_ref(&sub_dag.commit);
            store.write(&[], commit, Durability::Synced).unwrap();
            self.is_over |= is_boundary(
                commit.first().unwrap(),
                &self.epochs.last().unwrap().committee,
            );
            let own = sub_dag.blocks.iter().filter(|block| block.author == A);
            let transactions = own.flat_map(|block| block.transactions.iter().map(number));
            self.committed.extend(transactions);
        }
    }

    /// One round in which the others leave A's blocks out.
    fn ignored(&mut self) {
        self.others_go_on(false);
        self.propose(true);
    }

    fn unsettled(&self) -> Option<OwnRound> {
        let store = self.process.as_ref().unwrap().stores.last().unwrap();
        store.unsettled().unwrap()
    }

    /// The transactions of synced own blocks that this process would still propose, in order.
    fn owed(&mut self) -> Vec<u32> {
        let Process { core, .. } = self.process.take().unwrap();
        let (mut pool, _) = core.leave();
        let transactions = pool.take(usize::MAX);
        let numbers = transactions.iter().map(number);
        let owed = numbers.filter(|number| self.synced.contains(number));
        let owed = owed.collect();
        self.restart();
        owed
    }

    /// Asserts that each transaction of a synced own block is either committed or owed, and only once.
    fn assert_nothing_is_lost(&mut self, when: &str) {
        let mut found = self.owed();
        found.extend(&self.committed);
        found.sort_unstable();
        let synced: Vec<_> = self.synced.iter().copied().collect();
        assert_eq!(found, synced, "{when}");
    }
}

/// Three transactions in A's block of round 1, which no commit contains, and no block of A after it.
fn left_out() -> Author {
    let mut author = Author::new();
    author.submit(3);
    author.propose(true);
    assert_eq!(author.synced.len(), 3);
    for _ in 0..12 {
        author.others_go_on(false);
    }
    author
}

#[test]
fn a_process_that_crashed_before_it_proposed_again_finds_the_transactions_in_its_blocks() {
    let mut author = left_out();
    author.restart();
    assert_eq!(author.owed(), [0, 1, 2]);
    let first = author.own;
    author.propose(true);
    assert_ne!(author.own, first);
    let own = author.own.unwrap();
    let store = &author.process.as_ref().unwrap().stores[0];
    let again = store.block(&own).unwrap().unwrap();
    let numbers: Vec<_> = again.transactions.iter().map(number).collect();
    assert_eq!(numbers, [0, 1, 2]);
    let at = again.own_round();
    assert_eq!(author.unsettled(), Some(at), "the first block is settled");
    author.restart();
    assert_eq!(author.owed(), [0, 1, 2], "they were put back twice");
}

#[test]
fn a_process_that_crashed_after_the_end_of_the_epoch_finds_them_in_the_next_one() {
    let mut author = left_out();
    author.next_epoch();
    assert_eq!(author.unsettled(), None, "no own block in this epoch yet");
    assert_eq!(author.owed(), [0, 1, 2]);
    author.next_epoch();
    author.restart();
    assert_eq!(author.owed(), [0, 1, 2]);
    author.propose(true);
    author.restart();
    assert_eq!(author.owed(), [0, 1, 2], "they were put back twice");
}

#[test]
fn what_a_later_block_carries_is_not_put_back_although_an_older_block_is_not_settled() {
    let mut author = Author::new();
    author.submit(8);
    author.propose(true);
    for _ in 0..12 {
        author.others_go_on(false);
    }
    author.propose(true);
    let own = author.own.unwrap();
    let store = &author.process.as_ref().unwrap().stores[0];
    let carried = store.block(&own).unwrap().unwrap().transactions.len();
    assert_eq!(carried, 4, "the limit of the block was not halved");
    let first = OwnRound {
        epoch: Epoch(0),
        round: Round(1),
    };
    assert_eq!(author.unsettled(), Some(first));
    author.assert_nothing_is_lost("after the second block");
}

#[test]
fn without_a_floor_all_own_blocks_are_read() {
    let mut author = Author::new();
    for _ in 0..70 {
        author.submit(1);
        author.ignored();
    }
    author.disk.process_killed();
    let disk = MemoryStores::new(&author.disk);
    let dag = &author.epochs[0];
    let written = ConsensusStore::open(&disk, Epoch(0)).unwrap();
    let blocks = written.blocks_from_round(Round(0)).unwrap();
    let commits = written.commits(CommitIndex(1), written.last_commit().unwrap().unwrap());
    let older = MemoryStores::new(&MemoryDisk::default());
    let store = ConsensusStore::open(&older, Epoch(0)).unwrap();
    let commits = commits.unwrap().intact;
    store.write(&blocks, &commits, Durability::Synced).unwrap();
    let epoch = OwnEpoch {
        committee: dag.committee.clone(),
        own: Some(A),
        store,
    };
    let (_, mut pool) = ingest::pool(1);
    requeue_unsettled(&[epoch], Epoch(1), GC_DEPTH, &mut pool).unwrap();
    let mut numbers: Vec<_> = pool.take(usize::MAX).iter().map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, author.synced.iter().copied().collect::<Vec<_>>());
}

/// Each round, the others name A's block or do not, and A may crash before or after it stores its block. Epochs end with
/// their boundary or because the others are further.
#[test]
fn nothing_is_lost_or_doubled_whenever_the_author_crashes() {
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let mut author = Author::new();
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
