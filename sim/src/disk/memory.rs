//! Stores in memory with the durability of RocksDB.

use super::DiskBackend;
use metanode_core::store::{MemoryDisk, MemoryStores, StoreFactory};
use std::sync::Arc;

impl DiskBackend for MemoryDisk {
    fn stores(&self) -> Arc<dyn StoreFactory> {
        Arc::new(MemoryStores::new(self))
    }

    fn process_killed(&self) {
        Self::process_killed(self);
    }

    /// A torn write is dropped, as RocksDB does when the checksum is wrong.
    fn power_lost(&self, keep: &mut dyn FnMut(usize) -> usize, _torn: bool) {
        Self::power_lost(self, keep);
    }

    fn wipe(&self, name: &str) {
        Self::wipe(self, name);
    }
}
