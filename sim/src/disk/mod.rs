//! The disk of a process role on a host: it outlives the processes that open stores on it, and decides what is left
//! of their writes.
//!
//! Two backends keep the same promises and lose the same writes for the same draws: memory for sweeps, and real
//! RocksDB ([`RocksServer`]) where recovery is the subject. A disk does not know who kills processes, nor when.

mod faulty;
mod memory;
#[cfg(feature = "rocksdb")]
mod rocks;
#[cfg(feature = "rocksdb")]
mod rocks_server;

pub(crate) use faulty::Snapshot;
pub use faulty::{DiskCounters, DiskFailure};
#[cfg(feature = "rocksdb")]
pub use rocks_server::RocksServer;

use faulty::{DiskHealth, FaultyStores, Fragile};
use metanode_core::{
    store::{Key, MemoryDisk, StoreError, StoreFactory},
    types::CommitIndex,
};
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, io, sync::Arc};

/// What stores are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    #[default]
    Memory,
    Rocksdb,
}

/// What a power loss took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Writes that are gone.
    pub writes: u32,
    /// Those of them of which a part is on the disk, at most one of each store.
    pub torn: u32,
}

/// Where the stores of one disk are, and what a crash leaves of them.
trait DiskBackend: Send + Sync {
    /// A process starts on this disk: the stores that it may open, until it ends.
    fn stores(&self) -> Arc<dyn StoreFactory>;

    /// The process has ended. Every write is kept; its handles are closed.
    fn process_killed(&self);

    /// The host lost power. Per store, in the order of their names, `keep` gets the number of writes that were not
    /// synced and returns how many of them, from the oldest on, are left. Of the next one a part is there if it is
    /// `torn`.
    fn power_lost(&self, keep: &mut dyn FnMut(usize) -> usize, torn: bool);

    /// The store is gone, and the process with it.
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

    /// Call it **before** the simulated runtime is entered: RocksDB cannot be opened on a simulated thread, so it gets
    /// a thread of its own here.
    ///
    /// # Errors
    /// If there is no place for temporary files, no thread to be had, or no RocksDB in this build.
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

    /// A process starts on this disk: the stores that it may open, until it ends.
    #[must_use]
    pub fn stores(&self) -> Arc<dyn StoreFactory> {
        Arc::new(FaultyStores {
            stores: self.backend.stores(),
            health: self.health.clone(),
        })
    }

    /// From now on the disk fails like this.
    pub(crate) fn begin_failing(&self, how: DiskFailure) {
        self.health.begin(how);
    }

    /// The disk fails no more. What was damaged stays so.
    pub(crate) fn mend(&self) {
        self.health.mend();
    }

    /// Flips a bit in each of up to `count` of the blocks that were stored last, but in none of which none of the
    /// `others` has an intact copy: what is lost everywhere nobody can survive.
    pub fn flip_blocks(&self, count: u32, rng: &mut ChaCha8Rng, others: &[Self]) {
        let spared = |key: &[u8]| only_here(Fragile::Blocks, key, others);
        let _ = self.health.flip_bits(Fragile::Blocks, count, rng, spared);
    }

    /// The same with the commits that were stored last. Returns which.
    pub(crate) fn flip_commits(
        &self,
        count: u32,
        rng: &mut ChaCha8Rng,
        others: &[Self],
    ) -> BTreeSet<CommitIndex> {
        let spared = |key: &[u8]| only_here(Fragile::Commits, key, others);
        let keys = self.health.flip_bits(Fragile::Commits, count, rng, spared);
        let index = |key: Key| Some(CommitIndex(u32::from_be_bytes(key[..].try_into().ok()?)));
        keys.into_iter().filter_map(index).collect()
    }

    /// What is on the disk now.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.health.snapshot(self.backend.stores().as_ref())
    }

    /// The process has ended, and the disk is what it was then.
    ///
    /// # Errors
    /// If the disk fails.
    pub(crate) fn restore(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        for name in snapshot.names() {
            self.wipe(name);
        }
        snapshot.restore(self.backend.stores().as_ref())?;
        self.process_killed();
        Ok(())
    }

    /// The process has ended, in whatever way. Every write is kept; its handles are closed, and whoever still holds
    /// one gets errors.
    pub fn process_killed(&self) {
        self.backend.process_killed();
    }

    /// The host lost power. Of the writes of each store that were not synced, a prefix is left: sometimes none of
    /// them, sometimes all, drawn from `rng`. If the next one is `torn`, a part of it is on the disk.
    ///
    /// A write is all or nothing: RocksDB finds a torn record by its checksum and drops it, so that it counts as lost.
    /// In memory it is dropped here.
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

    /// The store `name` is gone, as if its directory had been deleted, and the process with it.
    pub fn wipe(&self, name: &str) {
        self.backend.wipe(name);
    }

    /// What was asked of this disk since it was made.
    #[must_use]
    pub fn counters(&self) -> DiskCounters {
        self.health.counters()
    }
}

fn only_here(what: Fragile, key: &[u8], others: &[Disk]) -> bool {
    !others.iter().any(|disk| disk.health.holds(what, key))
}

/// None and all are a quarter each, because they are the extremes that recovery is written for; the rest is uniform.
fn kept_by_power_loss(rng: &mut ChaCha8Rng, unsynced: usize) -> usize {
    let draw = rng.next_u64();
    match draw % 4 {
        0 => 0,
        1 => unsynced,
        _ => ((draw >> 2) % (unsynced as u64 + 1)) as usize,
    }
}
