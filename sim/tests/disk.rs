//! Both backends, used from a simulated thread, keep and lose the same writes for the same draws.

#![cfg(madsim)]
#![allow(clippy::unwrap_used, reason = "in a test, to fail is to panic")]

use madsim::runtime::Runtime;
use metanode_core::store::{
    Column, Durability, Entry, Scan, ScanOrder, Store, StoreError, WriteBatch,
};
use metanode_sim::disk::{Disk, DiskCounters, RocksServer};
use proptest::{collection::vec, prelude::*};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use std::{collections::BTreeSet, sync::Arc};

const COLUMN: Column = Column("entries");
const NAMES: [&str; 2] = ["epoch-0", "epoch-1"];

/// Runs `test` on a simulated thread, with a RocksDB server that was started outside.
fn simulated<T>(test: impl FnOnce(&RocksServer) -> T) -> T {
    let server = RocksServer::start().unwrap();
    Runtime::new().block_on(async { test(&server) })
}

fn open(disk: &Disk, name: &str) -> Arc<dyn Store> {
    disk.stores().open(name, &[COLUMN]).unwrap()
}

fn put(store: &dyn Store, key: u8, value: &[u8], durability: Durability) -> Result<(), StoreError> {
    let mut batch = WriteBatch::default();
    batch.put(COLUMN, &[key], value.to_vec());
    store.write(batch, durability)
}

fn keys(disk: &Disk, name: &str) -> Vec<u8> {
    let entries = entries(&*open(disk, name));
    entries.into_iter().map(|(key, _)| key[0]).collect()
}

fn entries(store: &dyn Store) -> Vec<Entry> {
    let everything = &[][..]..&[0xff; 9][..];
    store
        .scan(Scan {
            column: COLUMN,
            range: everything,
            order: ScanOrder::Ascending,
            limit: usize::MAX,
        })
        .unwrap()
}

#[derive(Clone, Debug)]
enum Operation {
    /// In the store of this number.
    Put(usize, u8, u8, Durability),
    Delete(usize, u8, Durability),
    Read(usize),
    /// Close and open again in the same process.
    Reopen(usize),
    ProcessKilled,
    PowerLost {
        torn: bool,
    },
    Wipe(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    let durability = || prop_oneof![3 => Just(Durability::Buffered), 1 => Just(Durability::Synced)];
    let store = || 0..NAMES.len();
    prop_oneof![
        8 => (store(), 0..6_u8, any::<u8>(), durability())
            .prop_map(|(store, key, value, d)| Operation::Put(store, key, value, d)),
        2 => (store(), 0..6_u8, durability()).prop_map(|(store, key, d)| Operation::Delete(store, key, d)),
        3 => store().prop_map(Operation::Read),
        1 => store().prop_map(Operation::Reopen),
        1 => Just(Operation::ProcessKilled),
        2 => any::<bool>().prop_map(|torn| Operation::PowerLost { torn }),
        1 => store().prop_map(Operation::Wipe),
    ]
}

/// All results of reads, and the counters of the disk.
fn history(disk: &Disk, operations: &[Operation], seed: u64) -> (Vec<Vec<Entry>>, DiskCounters) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut read = vec![];
    let process = || (disk.stores(), NAMES.map(|name| Some(open(disk, name))));
    let (mut stores, mut handles) = process();
    for operation in operations {
        match *operation {
            Operation::Put(i, key, value, durability) => {
                put(handles[i].as_deref().unwrap(), key, &[value], durability).unwrap();
            }
            Operation::Delete(i, key, durability) => {
                let mut batch = WriteBatch::default();
                batch.delete(COLUMN, &[key]);
                handles[i]
                    .as_deref()
                    .unwrap()
                    .write(batch, durability)
                    .unwrap();
            }
            Operation::Read(i) => read.push(entries(handles[i].as_deref().unwrap())),
            Operation::Reopen(i) => {
                handles[i] = None;
                handles[i] = Some(stores.open(NAMES[i], &[COLUMN]).unwrap());
            }
            Operation::ProcessKilled => {
                disk.process_killed();
                (stores, handles) = process();
            }
            Operation::PowerLost { torn } => {
                disk.power_lost(&mut rng, torn);
                (stores, handles) = process();
            }
            Operation::Wipe(i) => {
                disk.wipe(NAMES[i]);
                (stores, handles) = process();
            }
        }
    }
    read.extend(handles.iter().flatten().map(|store| entries(&**store)));
    (read, disk.counters())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 32,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn both_backends_have_the_same_history(operations in vec(operation(), 1..40), seed: u64) {
        let (memory, rocks) = simulated(|server| (
            history(&Disk::memory(), &operations, seed),
            history(&Disk::rocksdb(server), &operations, seed),
        ));
        prop_assert_eq!(memory, rocks);
    }
}

#[test]
fn a_power_loss_keeps_synced_writes_and_any_prefix_of_unsynced_ones() {
    let lengths: BTreeSet<usize> = (0..64)
        .map(|seed| {
            let disk = Disk::memory();
            let store = open(&disk, "store");
            put(&*store, 0, b"", Durability::Synced).unwrap();
            for key in 1..5 {
                put(&*store, key, b"", Durability::Buffered).unwrap();
            }
            disk.power_lost(&mut ChaCha8Rng::seed_from_u64(seed), false);
            let left = keys(&disk, "store");
            assert_eq!(left, (0..left.len() as u8).collect::<Vec<_>>());
            left.len()
        })
        .collect();
    assert_eq!(lengths, BTreeSet::from([1, 2, 3, 4, 5]));
}

#[test]
fn unsynced_writes_of_any_size_can_be_lost() {
    simulated(|server| {
        let value = vec![7; 1 << 20];
        for seed in 0..4 {
            let left = [Disk::memory(), Disk::rocksdb(server)].map(|disk| {
                let store = open(&disk, "store");
                for key in 0..8 {
                    put(&*store, key, &value, Durability::Buffered).unwrap();
                }
                disk.power_lost(&mut ChaCha8Rng::seed_from_u64(seed), false);
                keys(&disk, "store")
            });
            assert_eq!(left[0], left[1], "seed {seed}");
        }
    });
}

#[test]
fn a_handle_of_an_ended_process_is_closed() {
    simulated(|server| {
        for disk in [Disk::memory(), Disk::rocksdb(server)] {
            let dead_stores = disk.stores();
            let dead = dead_stores.open("store", &[COLUMN]).unwrap();
            put(&*dead, 1, b"alive", Durability::Buffered).unwrap();
            disk.process_killed();
            let stores = disk.stores();
            let store = stores.open("store", &[COLUMN]).unwrap();

            let error = put(&*dead, 2, b"zombie", Durability::Synced).unwrap_err();
            assert!(error.to_string().contains("closed"), "{error}");
            dead.get(COLUMN, &[1]).unwrap_err();
            dead_stores.remove("store").unwrap_err();
            drop(dead);
            let again = stores.open("store", &[COLUMN]);
            assert!(
                again.is_err(),
                "dropping the dead handle closed that of the next process"
            );
            assert_eq!(entries(&*store), [(vec![1].into(), "alive".into())]);
            let expected = DiskCounters {
                writes: 1,
                syncs: 0,
            };
            assert_eq!(disk.counters(), expected, "a refused write is not counted");
        }
    });
}

#[test]
fn a_removed_store_starts_empty() {
    simulated(|server| {
        for disk in [Disk::memory(), Disk::rocksdb(server)] {
            let stores = disk.stores();
            let store = stores.open("store", &[COLUMN]).unwrap();
            put(&*store, 1, b"", Durability::Synced).unwrap();
            stores.remove("store").unwrap_err();
            drop(store);
            assert_eq!(stores.list().unwrap(), ["store"]);
            stores.remove("store").unwrap();
            assert_eq!(stores.list().unwrap(), Vec::<String>::new());
            assert_eq!(keys(&disk, "store"), [0u8; 0]);
        }
    });
}

#[test]
fn a_bit_flips_in_one_store_and_a_write_to_another_does_not_mend_it() {
    const BLOCKS: Column = Column("blocks");
    let disks = [Disk::memory(), Disk::memory()];
    let [one, _other] = disks.clone().map(|disk| {
        ["epoch-0", "epoch-1"].map(|name| {
            let store = disk.stores().open(name, &[BLOCKS]).unwrap();
            let mut batch = WriteBatch::default();
            batch.put(BLOCKS, &[1], vec![0; 8]);
            store.write(batch.clone(), Durability::Synced).unwrap();
            (store, batch)
        })
    });
    let intact = || {
        one.each_ref()
            .map(|(store, _)| store.get(BLOCKS, &[1]).unwrap().unwrap() == [0; 8][..])
    };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    disks[0].flip_blocks(1, &mut rng, &disks[1..]);
    let damaged = intact().iter().position(|is_intact| !is_intact).unwrap();
    for written in [1 - damaged, damaged] {
        assert_eq!(intact(), [damaged == 1, damaged == 0]);
        let (store, batch) = &one[written];
        store.write(batch.clone(), Durability::Synced).unwrap();
    }
    assert_eq!(intact(), [true, true]);
}

#[test]
fn bits_do_not_flip_in_the_last_intact_copy() {
    const BLOCKS: Column = Column("blocks");
    let disks = [Disk::memory(), Disk::memory()];
    let stores = disks.clone().map(|disk| {
        let store = disk.stores().open("store", &[BLOCKS]).unwrap();
        let mut batch = WriteBatch::default();
        batch.put(BLOCKS, &[1], vec![0; 8]);
        store.write(batch, Durability::Synced).unwrap();
        store
    });
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    disks[0].flip_blocks(9, &mut rng, &disks[1..]);
    disks[1].flip_blocks(9, &mut rng, &disks[..1]);
    let intact = stores.map(|store| store.get(BLOCKS, &[1]).unwrap().unwrap() == [0; 8][..]);
    assert_eq!(intact, [false, true]);
}
