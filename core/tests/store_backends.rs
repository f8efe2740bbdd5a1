//! Both backends behave like a model of two sorted maps, the current content and that of the last sync, for any
//! sequence of operations.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use metanode_core::store::{
    Column, Durability, Entry, Key, MemoryDisk, MemoryStores, RocksOptions, RocksStore,
    RocksStores, Scan, ScanOrder, Store, StoreError, StoreFactory, WriteBatch,
};
use proptest::{collection::vec, prelude::*};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc};
use tempfile::TempDir;

const COLUMNS: [Column; 2] = [Column("left"), Column("right")];
const NAME: &str = "store";
/// Above all keys of these tests.
const LAST: &[u8] = &[0xff; 9];

/// `None` deletes.
type Change = (Column, Vec<u8>, Option<Vec<u8>>);

#[derive(Clone, Debug)]
enum Operation {
    Write(Vec<Change>, Durability),
    Get(Column, Vec<u8>),
    GetMany(Column, Vec<Vec<u8>>),
    Scan {
        column: Column,
        start: Vec<u8>,
        end: Vec<u8>,
        order: ScanOrder,
        limit: usize,
    },
    Reopen,
    Crash,
}

/// A kind of crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crash {
    /// The process is killed: nothing is lost.
    Kill,
    /// The machine loses power, and no unsynced write has reached the disk.
    PowerLoss,
}

fn column() -> impl Strategy<Value = Column> {
    prop::sample::select(&COLUMNS[..])
}

/// Few keys, so that operations collide, and of several lengths, to test the order.
fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(prop::sample::select(&[0, 1, 0x7f, 0xff][..]), 0..3)
}

fn durability() -> impl Strategy<Value = Durability> {
    prop_oneof![3 => Just(Durability::Buffered), 1 => Just(Durability::Synced)]
}

fn operation() -> impl Strategy<Value = Operation> {
    let change = (column(), key(), prop::option::of(vec(any::<u8>(), 0..4)));
    let order = prop_oneof![Just(ScanOrder::Ascending), Just(ScanOrder::Descending)];
    let limit = prop_oneof![0..4_usize, Just(usize::MAX)];
    prop_oneof![
        6 => (vec(change, 0..4), durability()).prop_map(|(c, d)| Operation::Write(c, d)),
        2 => (column(), key()).prop_map(|(c, k)| Operation::Get(c, k)),
        2 => (column(), vec(key(), 0..5)).prop_map(|(c, k)| Operation::GetMany(c, k)),
        4 => (column(), key(), key(), order, limit).prop_map(
            |(column, start, end, order, limit)| Operation::Scan { column, start, end, order, limit }
        ),
        1 => Just(Operation::Reopen),
        1 => Just(Operation::Crash),
    ]
}

trait Backend {
    fn store(&self) -> &dyn Store;
    fn reopen(&mut self);
    fn crash(&mut self);
}

struct Memory {
    disk: MemoryDisk,
    crash: Crash,
    store: Option<Arc<dyn Store>>,
}

impl Backend for Memory {
    fn store(&self) -> &dyn Store {
        self.store.as_deref().unwrap()
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(MemoryStores::new(&self.disk).open(NAME, &COLUMNS).unwrap());
    }

    fn crash(&mut self) {
        match self.crash {
            Crash::Kill => self.disk.process_killed(),
            Crash::PowerLoss => self.disk.power_lost(|_| 0),
        }
        self.reopen();
    }
}

/// A RocksDB store with a new directory after each crash.
struct Rocks {
    root: TempDir,
    crashes: u32,
    options: RocksOptions,
    store: Option<RocksStore>,
}

impl Rocks {
    fn path(&self) -> PathBuf {
        self.root.path().join(self.crashes.to_string())
    }
}

impl Backend for Rocks {
    fn store(&self) -> &dyn Store {
        self.store.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(RocksStore::open(&self.path(), &COLUMNS, &self.options).unwrap());
    }

    fn crash(&mut self) {
        self.crashes += 1;
        let crashed = self.store.take().unwrap();
        crashed.copy_files(&self.path()).unwrap();
        self.reopen();
    }
}

fn backends(crash: Crash) -> [Box<dyn Backend>; 2] {
    let mut memory = Memory {
        disk: MemoryDisk::default(),
        crash,
        store: None,
    };
    let mut rocks = Rocks {
        root: TempDir::new().unwrap(),
        crashes: 0,
        options: RocksOptions {
            manual_wal_flush: crash == Crash::PowerLoss,
            ..RocksOptions::default()
        },
        store: None,
    };
    memory.reopen();
    rocks.reopen();
    [Box::new(memory), Box::new(rocks)]
}

type Entries = BTreeMap<(Column, Vec<u8>), Vec<u8>>;

#[derive(Default)]
struct Model {
    now: Entries,
    synced: Entries,
}

impl Model {
    fn get(&self, column: Column, key: &[u8]) -> Option<Bytes> {
        let value = self.now.get(&(column, key.to_vec()));
        value.cloned().map(Bytes::from)
    }

    fn write(&mut self, changes: &[Change], durability: Durability) {
        for (column, key, value) in changes.iter().cloned() {
            match value {
                Some(value) => self.now.insert((column, key), value),
                None => self.now.remove(&(column, key)),
            };
        }
        if durability == Durability::Synced {
            self.synced = self.now.clone();
        }
    }

    fn scan(&self, column: Column, start: &[u8], end: &[u8], order: ScanOrder) -> Vec<Entry> {
        let entries = self.now.iter();
        let mut found: Vec<Entry> = entries
            .filter(|((of, key), _)| *of == column && start <= &key[..] && &key[..] < end)
            .map(|((_, key), value)| (key.clone().into(), value.clone().into()))
            .collect();
        if order == ScanOrder::Descending {
            found.reverse();
        }
        found
    }
}

fn batch(changes: &[Change]) -> WriteBatch {
    let mut batch = WriteBatch::default();
    for (column, key, value) in changes {
        match value {
            Some(value) => batch.put(*column, key, value.clone()),
            None => batch.delete(*column, key),
        }
    }
    batch
}

fn check(crash: Crash, operations: Vec<Operation>) -> Result<(), TestCaseError> {
    let mut model = Model::default();
    let mut backends = backends(crash);
    let everything = COLUMNS.map(|column| Operation::Scan {
        column,
        start: vec![],
        end: LAST.to_vec(),
        order: ScanOrder::Ascending,
        limit: usize::MAX,
    });
    for operation in operations.into_iter().chain(everything) {
        match operation {
            Operation::Write(changes, durability) => {
                model.write(&changes, durability);
                for backend in &backends {
                    backend.store().write(batch(&changes), durability).unwrap();
                }
            }
            Operation::Get(column, key) => {
                let expected = model.get(column, &key);
                for backend in &backends {
                    let found = backend.store().get(column, &key).unwrap();
                    prop_assert_eq!(&found, &expected);
                }
            }
            Operation::GetMany(column, keys) => {
                let expected: Vec<_> = keys.iter().map(|key| model.get(column, key)).collect();
                let keys: Vec<_> = keys.iter().map(|key| Key::from_slice(key)).collect();
                for backend in &backends {
                    let found = backend.store().get_many(column, &keys).unwrap();
                    prop_assert_eq!(&found, &expected);
                }
            }
            Operation::Scan {
                column,
                start,
                end,
                order,
                limit,
            } => {
                let mut expected = model.scan(column, &start, &end, order);
                expected.truncate(limit);
                for backend in &backends {
                    let found = backend.store().scan(Scan {
                        column,
                        range: &start..&end,
                        order,
                        limit,
                    });
                    prop_assert_eq!(&found.unwrap(), &expected);
                }
            }
            Operation::Reopen => {
                // A clean close of RocksDB writes its log to the operating system, which this test cannot undo. Sync
                // first, so that the next power loss has the same effect on all.
                model.write(&[], Durability::Synced);
                for backend in &mut backends {
                    backend
                        .store()
                        .write(batch(&[]), Durability::Synced)
                        .unwrap();
                    backend.reopen();
                }
            }
            Operation::Crash => {
                if crash == Crash::PowerLoss {
                    model.now = model.synced.clone();
                }
                backends.iter_mut().for_each(|backend| backend.crash());
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn backends_agree_and_a_kill_loses_nothing(
        operations in vec(operation(), 1..40),
    ) {
        check(Crash::Kill, operations)?;
    }

    #[test]
    fn backends_agree_and_a_power_loss_removes_unsynced_writes(
        operations in vec(operation(), 1..40),
    ) {
        check(Crash::PowerLoss, operations)?;
    }

    #[test]
    fn a_power_loss_keeps_a_prefix_of_the_writes(
        writes in vec((key(), any::<u8>(), durability()), 1..20),
        kept in 0..20_usize,
    ) {
        let mut model = Model::default();
        let disk = MemoryDisk::default();
        let store = MemoryStores::new(&disk).open(NAME, &COLUMNS).unwrap();
        let synced = writes.iter().rposition(|(_, _, d)| *d == Durability::Synced);
        let synced = synced.map_or(0, |last| last + 1);
        for (i, (key, value, durability)) in writes.iter().enumerate() {
            let change = [(COLUMNS[0], key.clone(), Some(vec![*value]))];
            store.write(batch(&change), *durability).unwrap();
            if i < synced + kept {
                model.write(&change, *durability);
            }
        }
        let mut unsynced_writes = None;
        disk.power_lost(|unsynced| {
            unsynced_writes = Some(unsynced);
            kept
        });
        prop_assert_eq!(unsynced_writes, Some(writes.len() - synced));
        // Writes that survived a power loss are durable: the next one removes nothing.
        disk.power_lost(|_| 0);
        let store = MemoryStores::new(&disk).open(NAME, &COLUMNS).unwrap();
        let left = store.scan(Scan { column: COLUMNS[0], range: &[]..LAST, order: ScanOrder::Ascending, limit: usize::MAX }).unwrap();
        prop_assert_eq!(left, model.scan(COLUMNS[0], &[], LAST, ScanOrder::Ascending));
    }
}

/// Both factories, each with an empty disk. The directory is removed when its guard is dropped.
fn factories() -> ([Box<dyn StoreFactory>; 2], TempDir) {
    let root = TempDir::new().unwrap();
    let rocks = RocksStores::new(root.path().join("on-demand"), RocksOptions::default());
    let memory = MemoryStores::new(&MemoryDisk::default());
    ([Box::new(memory), Box::new(rocks)], root)
}

#[test]
fn stores_are_listed_opened_once_and_removed_when_closed() {
    let (factories, _root) = factories();
    for factory in factories {
        assert_eq!(factory.list().unwrap(), Vec::<String>::new());
        let _b = factory.open("b", &COLUMNS).unwrap();
        let a = factory.open("a", &COLUMNS).unwrap();
        assert_eq!(factory.list().unwrap(), ["a", "b"]);
        let again = factory.open("a", &COLUMNS).map(drop).unwrap_err();
        assert!(matches!(again, StoreError::Open { .. }), "{again}");
        factory.remove("a").unwrap_err();
        drop(a);
        factory.remove("a").unwrap();
        factory.remove("never-existed").unwrap();
        assert_eq!(factory.list().unwrap(), ["b"]);
    }
}

#[test]
fn columns_may_be_added_and_an_unknown_one_is_an_error_that_changes_nothing() {
    let [left, right] = COLUMNS;
    let change = |column| (column, b"key".to_vec(), Some(b"value".to_vec()));
    let changes = [change(left), change(right)];
    let (factories, _root) = factories();
    for factory in factories {
        let store = factory.open(NAME, &[left]).unwrap();
        let error = store
            .write(batch(&changes), Durability::Synced)
            .unwrap_err();
        assert!(error.to_string().contains("right"), "{error}");
        store.get(right, b"key").unwrap_err();
        assert_eq!(store.get(left, b"key").unwrap(), None);
        drop(store);
        let store = factory.open(NAME, &COLUMNS).unwrap();
        store.write(batch(&changes), Durability::Buffered).unwrap();
        drop(store);
        let store = factory.open(NAME, &[right]).unwrap();
        assert_eq!(store.get(left, b"key").unwrap(), Some("value".into()));
    }
}

#[test]
fn a_handle_of_a_killed_process_is_closed() {
    let disk = MemoryDisk::default();
    let old_stores = MemoryStores::new(&disk);
    let old = old_stores.open(NAME, &COLUMNS).unwrap();
    disk.process_killed();
    let stores = MemoryStores::new(&disk);
    let store = stores.open(NAME, &COLUMNS).unwrap();

    let change = (COLUMNS[0], b"key".to_vec(), Some(b"zombie".to_vec()));
    let error = old.write(batch(&[change]), Durability::Synced).unwrap_err();
    assert!(error.to_string().contains("closed"), "{error}");
    assert_eq!(store.get(COLUMNS[0], b"key").unwrap(), None);
    old_stores.open("other", &COLUMNS).map(drop).unwrap_err();
    drop(old);
    let again = stores.open(NAME, &COLUMNS);
    assert!(
        again.is_err(),
        "dropping the old handle closed the store of the next incarnation"
    );
}

#[test]
fn wiping_a_store_empties_no_other() {
    let disk = MemoryDisk::default();
    let change = (COLUMNS[0], b"key".to_vec(), Some(b"value".to_vec()));
    for name in ["lost", "kept"] {
        let store = MemoryStores::new(&disk).open(name, &COLUMNS).unwrap();
        store
            .write(batch(std::slice::from_ref(&change)), Durability::Synced)
            .unwrap();
    }
    disk.wipe("lost");
    let stores = MemoryStores::new(&disk);
    assert_eq!(stores.list().unwrap(), ["kept"]);
    let lost = stores.open("lost", &COLUMNS).unwrap();
    assert_eq!(lost.get(COLUMNS[0], b"key").unwrap(), None);
}
