//! Tests of what the journal takes, refuses, keeps through crashes, and removes.

use super::{
    Answer, Batch, Journal, Phase, Pool, Refusal, Submitter,
    journal::{COLUMNS, ENTRIES, STORE},
    taken::OVERHEAD_BYTES,
    testing::{journal_on, take},
};
use crate::{
    store::{
        Column, Durability, Entry, Key, MemoryDisk, MemoryStores, Scan, Store, StoreError,
        StoreFactory, WriteBatch,
    },
    types::{ClientTransaction, Epoch, GlobalExecIndex, Transaction},
};
use bytes::Bytes;
use prost::Message;
use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

const ANY: usize = usize::MAX;

fn transaction(number: u8) -> Transaction {
    Transaction(vec![number; 100].into())
}

fn numbers(transactions: &[Transaction]) -> Vec<u8> {
    transactions.iter().map(|t| t.0[0]).collect()
}

/// What a process that starts on this disk proposes.
fn proposed(disk: &MemoryDisk) -> (Arc<Journal>, Vec<u8>) {
    let journal = journal_on(disk, ANY);
    let waiting = Pool::new(journal.clone()).fill(ANY);
    (journal, numbers(&waiting))
}

fn include(journal: &Journal, gei: u64, number: u8) {
    let transactions = [transaction(number)];
    let first = journal.include(GlobalExecIndex(gei), transactions.iter());
    first.unwrap();
}

#[test]
fn what_was_taken_survives_a_power_loss_until_it_is_executed() {
    let disk = MemoryDisk::default();
    let journal = journal_on(&disk, ANY);
    assert_eq!(take(&journal, &[1, 2, 3].map(transaction)).taken, 3);
    disk.power_lost(|_| 0);
    let (journal, waiting) = proposed(&disk);
    assert_eq!(waiting, [1, 2, 3]);

    include(&journal, 7, 1);
    include(&journal, 9, 3);
    journal.executed(GlobalExecIndex(8));
    disk.process_killed();
    let (journal, waiting) = proposed(&disk);
    assert_eq!(waiting, [2], "a commit contains 3, and 1 is executed");
    journal.executed(GlobalExecIndex(9));
    disk.process_killed();
    assert_eq!(proposed(&disk).1, [2]);
    disk.power_lost(|_| 0);
    assert_eq!(proposed(&disk).1, [1, 2, 3], "nothing of it was synced");
}

#[test]
fn numbers_are_not_used_twice() {
    let disk = MemoryDisk::default();
    let journal = journal_on(&disk, ANY);
    take(&journal, &[1, 2].map(transaction));
    include(&journal, 1, 2);
    disk.process_killed();
    let (journal, _) = proposed(&disk);
    take(&journal, &[3].map(transaction));
    journal.executed(GlobalExecIndex(1));
    disk.process_killed();
    assert_eq!(proposed(&disk).1, [1, 3]);
}

#[test]
fn what_does_not_fit_is_refused_until_something_is_executed() {
    let each = 100 + OVERHEAD_BYTES;
    let journal = journal_on(&MemoryDisk::default(), 2 * each);
    let full = Some(Refusal::Full {
        held_bytes: 2 * each,
        limit_bytes: 2 * each,
    });
    let answer = take(&journal, &[1, 1, 2, 3, 1].map(transaction));
    assert_eq!((answer.taken, answer.refusal), (3, full.clone()));
    let answer = take(&journal, &[2, 1, 4].map(transaction));
    assert_eq!((answer.taken, answer.refusal), (2, full));
    include(&journal, 1, 2);
    journal.executed(GlobalExecIndex(1));
    let answer = take(&journal, &[4].map(transaction));
    assert_eq!((answer.taken, answer.refusal), (1, None));
}

#[test]
fn several_batches_are_answered_apart() {
    let each = 100 + OVERHEAD_BYTES;
    let journal = journal_on(&MemoryDisk::default(), 3 * each);
    let batch = |numbers: &[u8]| Batch {
        transactions: numbers.iter().copied().map(transaction).collect(),
        refusal: None,
    };
    let batches = [batch(&[1, 2]), batch(&[2, 3, 4]), batch(&[1]), batch(&[])];
    let batches = batches.into_iter().map(|batch| (batch, Submitter::Client));
    let answers = journal.take(batches).unwrap();
    let outcome = |answer: &Answer| (answer.taken, answer.refusal.is_none());
    let outcomes: Vec<_> = answers.iter().map(outcome).collect();
    assert_eq!(outcomes, [(2, true), (2, false), (1, true), (0, true)]);
}

#[test]
fn nodes_find_place_in_a_quarter_of_the_journal() {
    let journal = journal_on(&MemoryDisk::default(), 8 * (100 + OVERHEAD_BYTES));
    let batch = |number| Batch {
        transactions: vec![transaction(number)],
        refusal: None,
    };
    let from = |submitter, numbers: [u8; 3]| {
        let batches = numbers.map(|number| (batch(number), submitter));
        let answers = journal.take(batches.into_iter()).unwrap();
        answers
            .iter()
            .map(|answer| answer.taken)
            .collect::<Vec<_>>()
    };
    assert_eq!(from(Submitter::Node, [1, 2, 3]), [1, 1, 0]);
    assert_eq!(
        from(Submitter::Node, [1, 2, 3]),
        [1, 1, 0],
        "it has the first two"
    );
    assert_eq!(from(Submitter::Client, [3, 4, 5]), [1, 1, 1]);
}

#[test]
fn what_waits_is_read_in_parts_and_leaves_out_what_a_commit_contains() {
    let each = 100 + OVERHEAD_BYTES;
    let disk = MemoryDisk::default();
    let journal = journal_on(&disk, ANY);
    take(&journal, &[1, 2, 3, 4, 5].map(transaction));
    include(&journal, 7, 2);
    let read = |after, bytes| {
        let found = journal.waiting(after, bytes).unwrap();
        found.map(|(transactions, next)| (numbers(&transactions), next))
    };
    let (first, after) = read(None, 2 * each).unwrap();
    assert_eq!(first, [1, 3]);
    let (second, after) = read(Some(after), 1).unwrap();
    assert_eq!(second, [4], "one at least");
    let (third, after) = read(Some(after), ANY).unwrap();
    assert_eq!(third, [5]);
    assert!(read(Some(after), ANY).is_none());
    for (gei, number) in [(8, 1), (9, 3), (10, 4), (11, 5)] {
        include(&journal, gei, number);
    }
    assert!(read(None, ANY).is_none());
}

#[test]
fn a_node_without_a_seat_takes_nothing_and_one_between_two_epochs_says_so() {
    let stores = MemoryStores::new(&MemoryDisk::default());
    let journal = Journal::open(&stores, ANY).unwrap();
    let refused = take(&journal, &[transaction(1)]);
    assert_eq!(
        (refused.taken, refused.refusal),
        (0, Some(Refusal::Starting))
    );
    journal.enter(Phase::Queueing);
    assert!(take(&journal, &[transaction(1)]).queued);
    journal.enter(Phase::Proposing);
    assert!(!take(&journal, &[transaction(2)]).queued);
    journal.epoch_is_ending();
    assert!(take(&journal, &[transaction(3)]).queued);
    let epoch = Epoch(4);
    journal.enter(Phase::NoSeat(epoch));
    journal.epoch_is_ending();
    let answer = take(&journal, &[transaction(4)]);
    assert_eq!(answer.refusal, Some(Refusal::NoSeat { epoch }));
    assert_eq!((answer.taken, answer.queued), (0, false));
}

/// The last entry is damaged, and where it was committed is not.
#[test]
fn the_number_of_a_damaged_entry_is_not_used_again() {
    let disk = MemoryDisk::default();
    let journal = journal_on(&disk, ANY);
    take(&journal, &[1, 2].map(transaction));
    include(&journal, 5, 2);
    disk.process_killed();
    {
        let store = MemoryStores::new(&disk).open(STORE, &COLUMNS).unwrap();
        let mut batch = WriteBatch::default();
        batch.put(ENTRIES, &1u64.to_be_bytes(), vec![7; 20]);
        store.write(batch, Durability::Synced).unwrap();
    }
    disk.process_killed();
    let (journal, waiting) = proposed(&disk);
    assert_eq!(waiting, [1]);
    take(&journal, &[transaction(3)]);
    disk.process_killed();
    let (journal, waiting) = proposed(&disk);
    assert_eq!(waiting, [1, 3]);
    journal.executed(GlobalExecIndex(9));
    disk.process_killed();
    assert_eq!(proposed(&disk).1, [1, 3]);
}

#[test]
fn bytes_with_the_same_hash_are_promised_apart() {
    let signed = |sign: u8| {
        let transaction = ClientTransaction {
            nonce: vec![1].into(),
            sign: vec![sign; 64].into(),
            ..ClientTransaction::default()
        };
        Transaction(transaction.encode_to_vec().into())
    };
    let [good, forged] = [signed(1), signed(2)];
    assert_eq!(good.hash(), forged.hash());
    let journal = journal_on(&MemoryDisk::default(), ANY);
    take(&journal, &[forged.clone(), good.clone()]);
    let first = journal.include(GlobalExecIndex(1), [forged].iter());
    assert_eq!(first.unwrap().len(), 1);
    journal.executed(GlobalExecIndex(1));
    assert!(journal.entry(&good).is_some());
}

/// Stores on a disk that is full for as long as the flag is set.
struct SometimesFull<T> {
    inner: T,
    is_full: Arc<AtomicBool>,
}

impl StoreFactory for SometimesFull<MemoryStores> {
    fn open(&self, name: &str, columns: &[Column]) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(SometimesFull {
            inner: self.inner.open(name, columns)?,
            is_full: self.is_full.clone(),
        }))
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        self.inner.list()
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.inner.remove(name)
    }
}

impl Store for SometimesFull<Arc<dyn Store>> {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(column, key)
    }

    fn get_many(&self, column: Column, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.inner.get_many(column, keys)
    }

    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        self.inner.scan(scan)
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        match self.is_full.load(Ordering::Relaxed) {
            true => Err(StoreError::of_store("write", "no space left on device")),
            false => self.inner.write(batch, durability),
        }
    }
}

/// A journal with 1, 2 and 3, of which 1 is executed while the disk was full, so that it has not removed it.
fn with_an_unremoved_entry(disk: &MemoryDisk) -> Journal {
    let is_full = Arc::new(AtomicBool::new(false));
    let stores = SometimesFull {
        inner: MemoryStores::new(disk),
        is_full: is_full.clone(),
    };
    let journal = Journal::open(&stores, ANY).unwrap();
    journal.enter(Phase::Proposing);
    take(&journal, &[1, 2, 3].map(transaction));
    include(&journal, 1, 1);
    is_full.store(true, Ordering::Relaxed);
    journal.executed(GlobalExecIndex(1));
    is_full.store(false, Ordering::Relaxed);
    journal
}

#[test]
fn what_a_full_disk_has_not_removed_is_removed_later() {
    let disk = MemoryDisk::default();
    let journal = with_an_unremoved_entry(&disk);
    let asks_for_watermark = pin!(journal.awaits_execution());
    let polled = asks_for_watermark.poll(&mut Context::from_waker(Waker::noop()));
    assert_eq!(polled, Poll::Ready(()));
    journal.executed(GlobalExecIndex(1));
    disk.process_killed();
    let (journal, _) = proposed(&disk);
    assert_eq!(journal.entry(&transaction(1)), None);
    assert!(journal.entry(&transaction(2)).is_some());
}

#[test]
fn a_start_keeps_the_first_of_two_entries_for_the_same_transaction() {
    let disk = MemoryDisk::default();
    let journal = with_an_unremoved_entry(&disk);
    take(&journal, &[transaction(1)]);
    for _ in 0..2 {
        disk.process_killed();
        let (journal, waiting) = proposed(&disk);
        assert_eq!(waiting, [2, 3], "a commit contains 1");
        journal.executed(GlobalExecIndex(1));
        assert_eq!(journal.entry(&transaction(1)), None);
    }
}
