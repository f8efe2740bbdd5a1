//! Counts what passes through a disk.

use bytes::Bytes;
use metanode_core::store::{
    Column, Durability, Entry, Key, ScanOrder, Store, StoreError, StoreFactory, WriteBatch,
};
use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

/// What was asked of a disk, over all its processes. A function of the seed, so reports and traces may show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounters {
    /// Batches written.
    pub writes: u64,
    /// Those of them that were synced.
    pub syncs: u64,
}

#[derive(Clone, Default)]
pub(super) struct SharedCounters(Arc<Mutex<DiskCounters>>);

impl SharedCounters {
    pub(super) fn read(&self) -> DiskCounters {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, durability: Durability) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counters.writes += 1;
        counters.syncs += u64::from(durability == Durability::Synced);
    }
}

/// The stores of one process, counted.
pub(super) struct CountedStores {
    stores: Arc<dyn StoreFactory>,
    counters: SharedCounters,
}

impl CountedStores {
    pub(super) fn new(stores: Arc<dyn StoreFactory>, counters: SharedCounters) -> Self {
        Self { stores, counters }
    }
}

impl StoreFactory for CountedStores {
    fn open(&self, name: &str, columns: &[Column]) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(CountedStore {
            store: self.stores.open(name, columns)?,
            counters: self.counters.clone(),
        }))
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        self.stores.list()
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.stores.remove(name)
    }
}

struct CountedStore {
    store: Arc<dyn Store>,
    counters: SharedCounters,
}

impl Store for CountedStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.store.get(column, key)
    }

    fn get_many(&self, column: Column, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.store.get_many(column, keys)
    }

    fn scan(
        &self,
        column: Column,
        range: Range<&[u8]>,
        order: ScanOrder,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.store.scan(column, range, order, limit)
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        self.store.write(batch, durability)?;
        self.counters.count(durability);
        Ok(())
    }
}
