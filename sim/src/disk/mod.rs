//! The disk of a process on a host: it outlives the incarnations that open stores on it, and decides which of their
//! writes survive.
//!
//! Two backends have the same durability and lose the same writes for the same draws: memory, and real RocksDB
//! ([`RocksServer`]).

mod faulty;
mod memory;
mod observer;
#[cfg(test)]
mod observer_tests;
#[cfg(feature = "rocksdb")]
mod rocks;
#[cfg(feature = "rocksdb")]
mod rocks_server;

pub(crate) use faulty::Snapshot;
pub use faulty::{DiskCounters, DiskFailure};
#[cfg(feature = "rocksdb")]
pub use rocks_server::RocksServer;

pub(crate) use observer::StoreObserver;

use faulty::{DiskHealth, FaultyStores, Fragile, InStore};
use metanode_core::{
    store::{MemoryDisk, StoreError, StoreFactory},
    types::{CommitIndex, Epoch},
};
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, io, sync::Arc};

/// The backend of stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    #[default]
    Memory,
    Rocksdb,
}

/// The writes that a power loss took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Lost writes.
    pub writes: u32,
    /// Lost writes of which a part is on the disk, at most one per store.
    pub torn: u32,
}

/// Keeps the stores of one disk, and applies crashes to them.
trait DiskBackend: Send + Sync {
    /// A process starts on this disk. Returns the stores that it may open until it ends.
    fn stores(&self) -> Arc<dyn StoreFactory>;

    /// The process has ended. All its writes are kept and its handles are closed.
    fn process_killed(&self);

    /// The host lost power. For each store, in the order of their names, `keep` gets the number of unsynced writes and
    /// returns how many of them survive, oldest first. Of the next one a part is on the disk if `torn`.
    fn power_lost(&self, keep: &mut dyn FnMut(usize) -> usize, torn: bool);

    /// Deletes the store. The process has ended.
    fn wipe(&self, name: &str);
}

/// Makes the disks of one simulation.
pub enum Disks {
    Memory,
    #[cfg(feature = "rocksdb")]
    Rocksdb(RocksServer),
}

impl Disks {
    /// Whether this build has stores of this kind.
    #[must_use]
    pub const fn supports(backend: Backend) -> bool {
        match backend {
            Backend::Memory => true,
            Backend::Rocksdb => cfg!(feature = "rocksdb"),
        }
    }

    /// Must be called **before** the simulated runtime is entered: RocksDB cannot be opened on a simulated thread and
    /// gets one of its own here.
    ///
    /// # Errors
    /// If temporary files or the thread cannot be created, or this build has no RocksDB.
    pub fn start(backend: Backend) -> io::Result<Self> {
        match backend {
            Backend::Memory => Ok(Self::Memory),
            #[cfg(feature = "rocksdb")]
            Backend::Rocksdb => RocksServer::start().map(Self::Rocksdb),
            #[cfg(not(feature = "rocksdb"))]
            Backend::Rocksdb => Err(io::Error::other(
                "this build has no RocksDB: build with the feature `rocksdb`, which is on by default",
            )),
        }
    }

    /// An empty disk.
    pub(crate) fn new_disk(&self) -> Disk {
        match self {
            Self::Memory => Disk::memory(),
            #[cfg(feature = "rocksdb")]
            Self::Rocksdb(server) => Disk::rocksdb(server),
        }
    }
}

/// One disk. Clones are the same disk.
#[derive(Clone)]
pub struct Disk {
    backend: Arc<dyn DiskBackend>,
    health: DiskHealth,
}

impl Disk {
    /// An empty disk in memory.
    #[must_use]
    pub fn memory() -> Self {
        Self::over(MemoryDisk::default())
    }

    /// An empty disk with real RocksDB files, which `server` opens.
    #[cfg(feature = "rocksdb")]
    #[must_use]
    pub fn rocksdb(server: &RocksServer) -> Self {
        Self::over(rocks::RocksDisk::new(server))
    }

    fn over(backend: impl DiskBackend + 'static) -> Self {
        Self {
            backend: Arc::new(backend),
            health: DiskHealth::default(),
        }
    }

    /// Stores that are opened from now on are observed. Nothing else changes.
    pub(crate) fn observe(&self, observer: Arc<dyn StoreObserver>) {
        self.health.observe(observer);
    }

    /// A process starts on this disk. Returns the stores that it may open until it ends.
    #[must_use]
    pub fn stores(&self) -> Arc<dyn StoreFactory> {
        Arc::new(FaultyStores {
            stores: self.backend.stores(),
            health: self.health.clone(),
        })
    }

    /// Makes the disk fail.
    pub(crate) fn begin_failing(&self, how: DiskFailure) {
        self.health.begin(how);
    }

    /// Ends failures. Damage stays.
    pub(crate) fn mend(&self) {
        self.health.mend();
    }

    /// Flips a bit in each of up to `count` of the newest blocks, except where no disk of `others` has an intact copy:
    /// no protocol survives the loss of all copies.
    pub fn flip_blocks(&self, count: u32, rng: &mut ChaCha8Rng, others: &[Self]) {
        let spared = |block: &InStore| only_here(Fragile::Blocks, block, others);
        let _ = self.health.flip_bits(Fragile::Blocks, count, rng, spared);
    }

    /// The same for the newest commits. Returns the damaged ones.
    pub(crate) fn flip_commits(
        &self,
        count: u32,
        rng: &mut ChaCha8Rng,
        others: &[Self],
    ) -> BTreeSet<(Epoch, CommitIndex)> {
        let spared = |commit: &InStore| only_here(Fragile::Commits, commit, others);
        let flipped = (self.health).flip_bits(Fragile::Commits, count, rng, spared);
        let commit = |(store, key): InStore| {
            let epoch = store.strip_prefix("epoch-")?.parse().ok()?;
            let index = key[..].try_into().ok()?;
            Some((Epoch(epoch), CommitIndex(u32::from_be_bytes(index))))
        };
        flipped.into_iter().filter_map(commit).collect()
    }

    /// The present content of the disk.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.health.snapshot(self.backend.stores().as_ref())
    }

    /// Shows the observer all that is on the disk at the end of the run. The process has ended.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) fn read_at_end(&self) -> Result<(), StoreError> {
        self.process_killed();
        self.health.read_at_end(self.backend.stores().as_ref())
    }

    /// Restores the content of a snapshot. The process has ended.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) fn restore(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        let present = self.backend.stores().list()?;
        for name in present.iter().map(String::as_str).chain(snapshot.names()) {
            self.wipe(name);
        }
        self.health.restored(&snapshot);
        snapshot.restore(self.backend.stores().as_ref())?;
        self.process_killed();
        Ok(())
    }

    /// The process has ended. All its writes are kept; its handles are closed and return errors.
    pub fn process_killed(&self) {
        self.backend.process_killed();
    }

    /// The host lost power. Of the unsynced writes of each store a prefix survives, drawn from `rng`; it may be empty
    /// or complete. With `torn`, a part of the next write is on the disk.
    ///
    /// A write is atomic: RocksDB detects a torn record by its checksum and drops it, so it counts as lost.
    pub fn power_lost(&self, rng: &mut ChaCha8Rng, torn: bool) -> Lost {
        let mut lost = Lost::default();
        let mut keep = |unsynced| {
            let kept = kept_by_power_loss(rng, unsynced);
            lost.writes += u32::try_from(unsynced - kept).unwrap_or(u32::MAX);
            lost.torn += u32::from(torn && kept < unsynced);
            kept
        };
        self.backend.power_lost(&mut keep, torn);
        lost
    }

    /// Deletes the store `name`. The process has ended.
    pub fn wipe(&self, name: &str) {
        self.backend.wipe(name);
    }

    /// Writes since the disk was created.
    #[must_use]
    pub fn counters(&self) -> DiskCounters {
        self.health.counters()
    }
}

fn only_here(what: Fragile, value: &InStore, others: &[Disk]) -> bool {
    !others.iter().any(|disk| disk.health.holds(what, value))
}

/// Nothing and everything survive with a probability of a quarter each, because these are the extreme cases of
/// recovery; the rest is uniform.
fn kept_by_power_loss(rng: &mut ChaCha8Rng, unsynced: usize) -> usize {
    let draw = rng.next_u64();
    match draw % 4 {
        0 => 0,
        1 => unsynced,
        _ => ((draw >> 2) % (unsynced as u64 + 1)) as usize,
    }
}
