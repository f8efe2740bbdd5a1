//! Stores for the threads of a runtime: while a write is synced, another thread takes over the tasks of the one that waits
//! for the disk. Otherwise they wait, too, and on a slow disk a core that syncs one commit after the other would let nobody
//! deliver them.
//!
//! Only synced writes are worth it: reads are mostly from memory, and a write that is not synced goes to the cache of the
//! operating system.

use crate::store::{
    Column, Durability, Entry, Key, Scan, Store, StoreError, StoreFactory, WriteBatch,
};
use bytes::Bytes;
use std::sync::Arc;
use tokio::task::block_in_place;

/// Stores of a process whose runtime has several threads.
pub struct BlockInPlaceStores(pub Arc<dyn StoreFactory>);

impl StoreFactory for BlockInPlaceStores {
    fn open(&self, name: &str, columns: &[Column]) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(BlockInPlaceStore(self.0.open(name, columns)?)))
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        self.0.list()
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.0.remove(name)
    }
}

struct BlockInPlaceStore(Arc<dyn Store>);

impl Store for BlockInPlaceStore {
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
        match durability {
            Durability::Synced => block_in_place(|| self.0.write(batch, durability)),
            Durability::Buffered => self.0.write(batch, durability),
        }
    }
}
