//! Stores with known bugs, which do not sync some writes. Used only while one of these bugs is enabled.

use crate::{
    bugs::{self, KnownBug},
    store::{
        BLOCKS, COMMITS, Column, Durability, Entry, Key, Scan, Store, StoreError, StoreFactory,
        Write, WriteBatch,
    },
};
use bytes::Bytes;
use std::sync::Arc;

/// Whether one of these bugs is enabled.
pub(super) fn is_buggy() -> bool {
    bugs::enabled(KnownBug::HandedOnBeforeSynced) || bugs::enabled(KnownBug::OwnBlocksBuffered)
}

pub(super) struct BuggyStores(pub Arc<dyn StoreFactory>);

impl StoreFactory for BuggyStores {
    fn open(&self, name: &str, columns: &[Column]) -> Result<Arc<dyn Store>, StoreError> {
        let store = self.0.open(name, columns)?;
        Ok(Arc::new(BuggyStore(store)))
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        self.0.list()
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.0.remove(name)
    }
}

struct BuggyStore(Arc<dyn Store>);

impl Store for BuggyStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.0.get(column, key)
    }

    fn get_many(&self, column: Column, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.0.get_many(column, keys)
    }

    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        self.0.scan(scan)
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        let puts = |to: Column| {
            let mut writes = batch.writes.iter();
            writes.any(|write| matches!(write, Write::Put { column, .. } if *column == to))
        };
        // Writes that contain only blocks of others are not synced anyway.
        let is_unsynced = bugs::enabled(KnownBug::HandedOnBeforeSynced) && puts(COMMITS)
            || bugs::enabled(KnownBug::OwnBlocksBuffered) && puts(BLOCKS);
        let durability = if is_unsynced {
            Durability::Buffered
        } else {
            durability
        };
        self.0.write(batch, durability)
    }
}
