//! Disk failures: failing syncs, no space left, flipped bits, restored backups. Wraps the stores of either backend, so
//! that both fail in the same way for the same draws, and counts writes.

use super::observer::{Observed, StoreObserver};
use crate::allocator::Uncharged;
use bytes::Bytes;
use metanode_core::store::{
    Column, Durability, Entry, Key, Scan, ScanOrder, Store, StoreError, StoreFactory, Write,
    WriteBatch,
};
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

/// How a disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFailure {
    /// The next sync fails, and its write is lost.
    Sync,
    /// The next sync fails, although its write is on the disk.
    SyncAfterWrite,
    /// Every write fails.
    Full,
}

impl DiskFailure {
    /// The error text of the operating system.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Sync | Self::SyncAfterWrite => "input/output error (os error 5)",
            Self::Full => "no space left on device (os error 28)",
        }
    }
}

/// The columns in which bits flip. Their values are checked against digests; all others are covered by RocksDB's
/// checksums.
const FRAGILE: [&str; 2] = ["blocks", "commits"];

/// A column in which bits flip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fragile {
    Blocks,
    Commits,
}

impl Fragile {
    const ALL: [Self; 2] = [Self::Blocks, Self::Commits];

    fn of(column: Column) -> Option<Self> {
        let position = FRAGILE.iter().position(|name| *name == column.0)?;
        Some(Self::ALL[position])
    }
}

/// Bits flip in one of this many newest values: older ones are below the garbage collection round.
const FRAGILE_VALUES: usize = 128;

/// Writes to a disk, over all its processes. Determined by the seed, so reports and traces may contain them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounters {
    /// Batches written.
    pub writes: u64,
    /// Batches that were synced.
    pub syncs: u64,
}

/// The state of one disk, shared by all its processes.
#[derive(Clone, Default)]
pub(super) struct DiskHealth(Arc<Mutex<Health>>);

#[derive(Default)]
struct Health {
    counters: DiskCounters,
    fails_next_sync: bool,
    fails_after_next_sync: bool,
    full: bool,
    /// One per [`Fragile`] column.
    fragile: [FragileColumn; 2],
    open: BTreeMap<String, OpenStore>,
    observer: Option<Arc<dyn StoreObserver>>,
}

/// A value of any store: the name of the store and the key.
pub(super) type InStore = (Arc<str>, Key);

#[derive(Default)]
struct FragileColumn {
    /// In the order in which they were written.
    written: VecDeque<InStore>,
    /// The flipped bit of each damaged value.
    flipped: BTreeMap<InStore, u64>,
}

struct OpenStore {
    columns: Vec<Column>,
    store: Weak<dyn Store>,
}

/// The content of all stores of a disk at some time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot(BTreeMap<String, (Vec<Column>, WriteBatch)>);

impl DiskHealth {
    /// Stores that are opened from now on are observed.
    pub fn observe(&self, observer: Arc<dyn StoreObserver>) {
        self.lock().observer = Some(observer);
    }

    fn observer(&self) -> Option<Arc<dyn StoreObserver>> {
        self.lock().observer.clone()
    }

    pub fn counters(&self) -> DiskCounters {
        self.lock().counters
    }

    pub fn begin(&self, how: DiskFailure) {
        let mut health = self.lock();
        match how {
            DiskFailure::Sync => health.fails_next_sync = true,
            DiskFailure::SyncAfterWrite => health.fails_after_next_sync = true,
            DiskFailure::Full => health.full = true,
        }
    }

    pub fn mend(&self) {
        let mut health = self.lock();
        health.fails_next_sync = false;
        health.fails_after_next_sync = false;
        health.full = false;
    }

    /// Flips a bit in each of up to `count` values of a column, but in none that is `spared`. Returns where they are.
    pub fn flip_bits(
        &self,
        what: Fragile,
        count: u32,
        rng: &mut ChaCha8Rng,
        spared: impl Fn(&InStore) -> bool,
    ) -> Vec<InStore> {
        let mut health = self.lock();
        let FragileColumn { written, flipped } = &mut health.fragile[what as usize];
        let mut keys = vec![];
        for _ in 0..count {
            if written.is_empty() {
                break;
            }
            let position = (rng.next_u64() % written.len() as u64) as usize;
            if spared(&written[position]) {
                continue;
            }
            if let Some(key) = written.swap_remove_back(position) {
                flipped.insert(key.clone(), rng.next_u64());
                keys.push(key);
            }
        }
        keys
    }

    /// Whether this value is among the newest ones and intact.
    pub fn holds(&self, what: Fragile, value: &InStore) -> bool {
        self.lock().fragile[what as usize].written.contains(value)
    }

    /// The present content, read through the stores of the running process, or through `stores` if none is running.
    pub fn snapshot(&self, stores: &dyn StoreFactory) -> Result<Snapshot, StoreError> {
        let mut snapshot = Snapshot::default();
        for (name, open) in &self.lock().open {
            let store = match open.store.upgrade() {
                Some(store) => store,
                None => stores.open(name, &open.columns)?,
            };
            let mut batch = WriteBatch::default();
            for column in &open.columns {
                let all = &[][..]..&[0xff; 64][..];
                for (key, value) in store.scan(Scan {
                    column: *column,
                    range: all,
                    order: ScanOrder::Ascending,
                    limit: usize::MAX,
                })? {
                    batch.put(*column, &key, value);
                }
            }
            snapshot
                .0
                .insert(name.clone(), (open.columns.clone(), batch));
        }
        Ok(snapshot)
    }

    /// The disk has only the stores of the snapshot.
    pub fn restored(&self, snapshot: &Snapshot) {
        self.lock()
            .open
            .retain(|name, _| snapshot.0.contains_key(name));
    }

    /// Shows the observer the whole content. The process has ended.
    pub fn read_at_end(&self, stores: &dyn StoreFactory) -> Result<(), StoreError> {
        let health = self.lock();
        let Some(observer) = &health.observer else {
            return Ok(());
        };
        for (name, open) in &health.open {
            let store = stores.open(name, &open.columns)?;
            observer.read_at_end(name, &store);
        }
        Ok(())
    }

    fn removed(&self, name: &str) {
        let mut health = self.lock();
        health.open.remove(name);
        for FragileColumn { written, flipped } in &mut health.fragile {
            written.retain(|(store, _)| **store != *name);
            flipped.retain(|(store, _), _| **store != *name);
        }
    }

    fn before_write(
        &self,
        store: &Arc<str>,
        batch: &WriteBatch,
        durability: Durability,
    ) -> Result<(), StoreError> {
        let mut health = self.lock();
        let failure = if health.full {
            Some(DiskFailure::Full)
        } else if health.fails_next_sync && durability == Durability::Synced {
            health.fails_next_sync = false;
            Some(DiskFailure::Sync)
        } else {
            None
        };
        if let Some(failure) = failure {
            return Err(StoreError::of_store("write", failure.reason()));
        }
        for write in &batch.writes {
            if let Write::Put { column, key, .. } = write
                && let Some(what) = Fragile::of(*column)
            {
                let FragileColumn { written, flipped } = &mut health.fragile[what as usize];
                let value = (store.clone(), key.clone());
                flipped.remove(&value);
                if written.len() == FRAGILE_VALUES {
                    written.pop_front();
                }
                written.push_back(value);
            }
        }
        Ok(())
    }

    fn after_write(&self, durability: Durability) -> Result<(), StoreError> {
        let mut health = self.lock();
        let is_synced = durability == Durability::Synced;
        health.counters.writes += 1;
        health.counters.syncs += u64::from(is_synced);
        if is_synced && std::mem::take(&mut health.fails_after_next_sync) {
            let reason = DiskFailure::SyncAfterWrite.reason();
            return Err(StoreError::of_store("write", reason));
        }
        Ok(())
    }

    /// The value as a read returns it.
    fn read(&self, store: &Arc<str>, column: Column, key: &[u8], value: Bytes) -> Bytes {
        let Some(what) = Fragile::of(column) else {
            return value;
        };
        let health = self.lock();
        let flipped = &health.fragile[what as usize].flipped;
        if flipped.is_empty() || value.is_empty() {
            return value;
        }
        let Some(bit) = flipped.get(&(store.clone(), Key::from_slice(key))) else {
            return value;
        };
        let mut bytes = value.to_vec();
        let bit = bit % (bytes.len() as u64 * 8);
        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        bytes.into()
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshot {
    /// Writes everything to empty stores.
    pub(super) fn restore(self, stores: &dyn StoreFactory) -> Result<(), StoreError> {
        for (name, (columns, batch)) in self.0 {
            stores
                .open(&name, &columns)?
                .write(batch, Durability::Synced)?;
        }
        Ok(())
    }

    /// The names of the stores.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The stores of one process on a disk in this state.
pub(super) struct FaultyStores {
    pub stores: Arc<dyn StoreFactory>,
    pub health: DiskHealth,
}

impl StoreFactory for FaultyStores {
    fn open(&self, name: &str, columns: &[Column]) -> Result<Arc<dyn Store>, StoreError> {
        let _uncharged = Uncharged::begin();
        let store = self.stores.open(name, columns)?;
        let open = OpenStore {
            columns: columns.to_vec(),
            store: Arc::downgrade(&store),
        };
        self.health.lock().open.insert(name.to_owned(), open);
        let observed =
            (self.health.observer()).map(|observer| Observed::open(name, &store, observer));
        Ok(Arc::new(FaultyStore {
            name: name.into(),
            store,
            health: self.health.clone(),
            observed,
        }))
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        self.stores.list()
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let _uncharged = Uncharged::begin();
        self.stores.remove(name)?;
        self.health.removed(name);
        if let Some(observer) = self.health.observer() {
            observer.removed(name);
        }
        Ok(())
    }
}

/// The same batch with bytes of its own.
fn copy(batch: &WriteBatch) -> WriteBatch {
    let copy = |write: &Write| match write {
        Write::Put { column, key, value } => Write::Put {
            column: *column,
            key: key.clone(),
            value: Bytes::copy_from_slice(value),
        },
        delete @ Write::Delete { .. } => delete.clone(),
    };
    WriteBatch {
        writes: batch.writes.iter().map(copy).collect(),
    }
}

struct FaultyStore {
    name: Arc<str>,
    store: Arc<dyn Store>,
    health: DiskHealth,
    observed: Option<Observed>,
}

impl Store for FaultyStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let _uncharged = Uncharged::begin();
        let value = self.store.get(column, key)?;
        Ok(value.map(|value| self.health.read(&self.name, column, key, value)))
    }

    fn get_many(&self, column: Column, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let _uncharged = Uncharged::begin();
        let values = self.store.get_many(column, keys)?;
        let read = |(key, value): (&Key, Option<Bytes>)| {
            Some(self.health.read(&self.name, column, key, value?))
        };
        Ok(keys.iter().zip(values).map(read).collect())
    }

    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        let _uncharged = Uncharged::begin();
        let column = scan.column;
        let entries = self.store.scan(scan)?;
        let read = |(key, value): Entry| {
            let value = self.health.read(&self.name, column, &key, value);
            (key, value)
        };
        Ok(entries.into_iter().map(read).collect())
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        let uncharged = Uncharged::begin();
        let batch = match uncharged.is_measured() {
            true => copy(&batch),
            false => batch,
        };
        self.health.before_write(&self.name, &batch, durability)?;
        let observed = self.observed.as_ref();
        let writing = observed.map(|observed| observed.writing(&batch));
        self.store.write(batch, durability)?;
        if let (Some(observed), Some(batch)) = (observed, writing) {
            observed.written(&batch, durability);
        }
        self.health.after_write(durability)
    }
}
