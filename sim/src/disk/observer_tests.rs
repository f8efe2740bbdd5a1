//! What an observer of a disk learns, with the writes of a real store of consensus.

use super::{Backend, Disk, DiskFailure, Disks, StoreObserver};
use crate::{
    process_id::ProcessId,
    witness::{Blocks, DiskWitness, Fact},
};
use madsim::runtime::Runtime;
use metanode_core::{
    store::{Column, ConsensusStore, Durability, Store, StoreFactory, WriteBatch},
    types::{
        AuthorityIndex, Block, BlockRef, ChainId, Commit, CommitDigest, CommitIndex, CommitRef,
        Epoch, KeyPair, Round, SignatureScheme, TimestampMs, VerifiedBlock,
    },
};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use std::{
    mem,
    sync::{Arc, Mutex},
};

const EPOCH: Epoch = Epoch(4);

struct Observer(Mutex<(DiskWitness, Vec<Fact>)>);

impl Observer {
    fn of(disk: &Disk) -> Arc<Self> {
        let witness = DiskWitness::new(ProcessId::Node(1), Blocks::default());
        let observer = Arc::new(Self(Mutex::new((witness, vec![]))));
        disk.observe(observer.clone());
        observer
    }

    fn with(&self, then: impl FnOnce(&mut DiskWitness, &mut Vec<Fact>)) {
        let (witness, facts) = &mut *self.0.lock().unwrap();
        then(witness, facts);
    }

    /// The facts since the last call, in short.
    fn take(&self) -> Vec<String> {
        let facts = mem::take(&mut self.0.lock().unwrap().1);
        facts.iter().map(ToString::to_string).collect()
    }
}

impl StoreObserver for Observer {
    fn observes(&self, column: Column) -> bool {
        DiskWitness::reads(column)
    }

    fn opened(&self, name: &str, store: &Arc<dyn Store>) {
        self.with(|witness, facts| witness.opened(name, store, facts));
    }

    fn written(&self, name: &str, batch: &WriteBatch, durability: Durability) {
        self.with(|witness, facts| witness.written(name, batch, durability, facts));
    }

    fn read_at_end(&self, name: &str, store: &Arc<dyn Store>) {
        self.with(|witness, facts| witness.read_at_end(name, store, facts));
    }

    fn removed(&self, name: &str) {
        self.with(|witness, facts| witness.removed(name, facts));
    }
}

fn block(author: u16) -> VerifiedBlock {
    let keys = KeyPair::from_seed(SignatureScheme::KeyedHash, &[7; 32]);
    let mut block = Block::clone(&Block::genesis(EPOCH, AuthorityIndex(author)));
    block.round = Round(3);
    block.commit_votes = vec![commit(1).reference()];
    block.sign(&keys, ChainId::default())
}

fn commit(index: u32) -> Commit {
    Commit {
        epoch: EPOCH,
        index: CommitIndex(index),
        previous: CommitDigest::default(),
        leader: BlockRef::first_of_round(Round(index)),
        timestamp_ms: TimestampMs(500),
        epoch_began_ms: TimestampMs(500),
        ending: vec![],
        blocks: vec![],
    }
}

fn stored_commit(index: u32, durability: &str) -> String {
    let (leader, CommitRef { digest, .. }) = (commit(index).leader, commit(index).reference());
    format!("the disk has commit {index}:{digest} of epoch 4, leader {leader} ({durability})")
}

fn open(stores: &dyn StoreFactory) -> ConsensusStore {
    ConsensusStore::open(stores, EPOCH).unwrap()
}

/// On each backend.
fn on_every_disk(test: impl Fn(Disk)) {
    for backend in [Backend::Memory, Backend::Rocksdb] {
        if Disks::supports(backend) {
            let disks = Disks::start(backend).unwrap();
            Runtime::new().block_on(async { test(disks.new_disk()) });
        }
    }
}

#[test]
fn what_a_node_stores_survives_or_is_lost_and_is_found() {
    on_every_disk(|disk| {
        let observer = Observer::of(&disk);
        let store = open(&*disk.stores());
        assert_eq!(
            observer.take(),
            ["the disk holds commits up to 0 of epoch 4"]
        );
        let block = block(1);
        store
            .write(std::slice::from_ref(&block), &[], Durability::Buffered)
            .unwrap();
        let stored = format!("the disk has {} (Buffered)", block.reference());
        assert_eq!(observer.take(), [stored]);
        for index in [1, 2] {
            store
                .write(&[], &[commit(index)], Durability::Synced)
                .unwrap();
            assert_eq!(observer.take(), [stored_commit(index, "Synced")]);
        }
        store
            .write(&[block], &[commit(3)], Durability::Buffered)
            .unwrap();
        assert_eq!(observer.take(), [stored_commit(3, "Buffered")]);
        store.cut_commits(CommitIndex(2)).unwrap();
        assert_eq!(
            observer.take(),
            ["commits of epoch 4 from 2 on are deleted"]
        );
        store
            .write(&[], &[commit(2)], Durability::Buffered)
            .unwrap();
        disk.process_killed();
        let store = open(&*disk.stores());
        let found = "the disk holds commits up to 2 of epoch 4".to_owned();
        assert_eq!(observer.take(), [stored_commit(2, "Buffered"), found]);
        drop(store);
        disk.power_lost(&mut ChaCha8Rng::seed_from_u64(0), false);
        let last = open(&*disk.stores()).last_commit().unwrap().unwrap();
        let found = format!("the disk holds commits up to {last} of epoch 4");
        assert_eq!(observer.take(), [found]);
    });
}

#[test]
fn what_is_on_the_disk_is_a_fact_although_its_sync_failed() {
    on_every_disk(|disk| {
        let observer = Observer::of(&disk);
        let store = open(&*disk.stores());
        observer.take();
        disk.begin_failing(DiskFailure::SyncAfterWrite);
        store
            .write(&[], &[commit(1)], Durability::Synced)
            .unwrap_err();
        assert_eq!(observer.take().len(), 1);
        disk.process_killed();
        let last = open(&*disk.stores()).last_commit().unwrap();
        assert_eq!(last, Some(commit(1).index));
    });
}

#[test]
fn a_write_that_fails_is_no_fact() {
    on_every_disk(|disk| {
        let observer = Observer::of(&disk);
        let store = open(&*disk.stores());
        observer.take();
        disk.begin_failing(DiskFailure::Full);
        store
            .write(&[block(1)], &[], Durability::Buffered)
            .unwrap_err();
        disk.mend();
        disk.begin_failing(DiskFailure::Sync);
        store
            .write(&[], &[commit(1)], Durability::Synced)
            .unwrap_err();
        let (dead, dead_stores) = (store, disk.stores());
        disk.process_killed();
        dead.write(&[block(1)], &[], Durability::Buffered)
            .unwrap_err();
        dead_stores.remove("epoch-4").unwrap_err();
        assert!(ConsensusStore::open(&*dead_stores, EPOCH).is_err());
        assert_eq!(observer.take(), Vec::<String>::new());
        let stores = disk.stores();
        let store = open(&*stores);
        store.write(&[block(1)], &[], Durability::Buffered).unwrap();
        assert_eq!(observer.take().len(), 2, "the block is new");
        stores.remove("epoch-4").unwrap_err();
        drop(store);
        stores.remove("epoch-4").unwrap();
        assert_eq!(observer.take(), ["the store of epoch 4 is removed"]);
    });
}

#[test]
fn an_observer_reads_what_was_written_and_not_the_flipped_bits() {
    on_every_disk(|disk| {
        let observer = Observer::of(&disk);
        let store = open(&*disk.stores());
        let other = Disk::memory();
        for store in [&store, &open(&*other.stores())] {
            store.write(&[], &[commit(1)], Durability::Synced).unwrap();
        }
        disk.flip_commits(1, &mut ChaCha8Rng::seed_from_u64(1), &[other]);
        drop(store);
        disk.process_killed();
        observer.take();
        let store = open(&*disk.stores());
        assert_eq!(store.commit(CommitIndex(1)).unwrap(), None);
        assert_eq!(
            observer.take(),
            ["the disk holds commits up to 1 of epoch 4"]
        );
    });
}

#[test]
fn a_restored_backup_is_found_at_the_next_start() {
    on_every_disk(|disk| {
        let observer = Observer::of(&disk);
        let store = open(&*disk.stores());
        store.write(&[], &[commit(1)], Durability::Synced).unwrap();
        let backup = disk.snapshot().unwrap();
        store.write(&[], &[commit(2)], Durability::Synced).unwrap();
        disk.process_killed();
        observer.take();
        disk.restore(backup).unwrap();
        assert_eq!(observer.take(), Vec::<String>::new());
        open(&*disk.stores());
        assert_eq!(
            observer.take(),
            ["the disk holds commits up to 1 of epoch 4"]
        );
    });
}

/// Commits that continue each other, and the block that each of them contains.
fn log(length: u32) -> Vec<(Commit, VerifiedBlock)> {
    let mut previous = CommitDigest::default();
    (1..=length)
        .map(|index| {
            let block = block(index as u16);
            let commit = Commit {
                previous,
                blocks: vec![block.reference()],
                ..commit(index)
            };
            previous = commit.reference().digest;
            (commit, block)
        })
        .collect()
}

#[test]
fn at_the_end_the_log_is_whole_and_has_all_its_blocks() {
    let at_end = |written: &[(Commit, VerifiedBlock)], without: Option<usize>| {
        let disk = Disk::memory();
        let observer = Observer::of(&disk);
        let store = open(&*disk.stores());
        for (position, (commit, block)) in written.iter().enumerate() {
            let blocks = match without == Some(position) {
                true => &[][..],
                false => std::slice::from_ref(block),
            };
            let commits = std::slice::from_ref(commit);
            store.write(blocks, commits, Durability::Synced).unwrap();
        }
        drop(store);
        observer.take();
        disk.read_at_end().unwrap();
        observer.take()
    };
    let found = |last| format!("the disk holds commits up to {last} of epoch 4");
    assert_eq!(at_end(&log(3), None), [found(3)]);
    for (written, without, expected) in [
        (&log(3)[1..], None, "expected commit 1 of epoch 4 after 0"),
        (
            &[&log(3)[..1], &log(3)[2..]].concat(),
            None,
            "expected commit 2 of epoch 4 after 1",
        ),
        (&log(3), Some(1), "which is not stored"),
        (
            &[log(1)[0].clone(), (commit(2), block(2))],
            None,
            "does not name the commit before it",
        ),
    ] {
        let facts = at_end(written, without);
        assert_eq!(facts.len(), 2, "{facts:?}");
        assert!(facts[1].contains(expected), "{facts:?}");
    }
}
