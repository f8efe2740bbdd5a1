//! What a node writes down about its epochs: a row each, synced, outlives the epoch's own store.

use super::Boundary;
use crate::{
    store::{Column, Durability, ScanOrder, Store, StoreError, StoreFactory, WriteBatch},
    types::{Epoch, EpochBase},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How far the change out of an epoch has come. Each is recorded before anything that needs it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeStep {
    /// No boundary yet.
    Running,
    /// The last commit is stored; the executor may not have it.
    BoundaryCommitted(Boundary),
    /// W has reached the boundary.
    Drained(Boundary),
    /// The executor has entered the next epoch.
    Advanced(Boundary),
}

/// One epoch of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRecord {
    pub base: EpochBase,
    pub step: ChangeStep,
}

const STORE: &str = "epochs";
/// Epoch, big-endian → [`EpochRecord`].
const RECORDS: Column = Column("records");

/// The records of a node.
pub struct EpochStore {
    store: Arc<dyn Store>,
}

impl EpochStore {
    /// # Errors
    /// If the disk fails.
    pub fn open(stores: &dyn StoreFactory) -> Result<Self, StoreError> {
        Ok(Self {
            store: stores.open(STORE, &[RECORDS])?,
        })
    }

    /// Durable when this returns.
    ///
    /// # Errors
    /// If the disk fails; nothing may then be done that relies on the record.
    #[allow(clippy::expect_used)]
    pub fn write(&self, record: &EpochRecord) -> Result<(), StoreError> {
        let value = bcs::to_bytes(record).expect("plain structs always encode");
        let mut batch = WriteBatch::default();
        batch.put(RECORDS, &key_of(record.base.epoch), value);
        self.store.write(batch, Durability::Synced)
    }

    /// What is recorded of an epoch.
    ///
    /// # Errors
    /// If the disk fails or holds something else.
    pub fn read(&self, epoch: Epoch) -> Result<Option<EpochRecord>, StoreError> {
        let value = self.store.get(RECORDS, &key_of(epoch))?;
        value.map(|value| parse(&key_of(epoch), &value)).transpose()
    }

    /// The last epoch that this node was in.
    ///
    /// # Errors
    /// If the disk fails or holds something else.
    pub fn newest(&self) -> Result<Option<EpochRecord>, StoreError> {
        let all = &[][..]..&[0xff; 9][..];
        let newest = self.store.scan(RECORDS, all, ScanOrder::Descending, 1)?;
        let newest = newest.first();
        newest.map(|(key, value)| parse(key, value)).transpose()
    }
}

const fn key_of(epoch: Epoch) -> [u8; 8] {
    epoch.0.to_be_bytes()
}

fn parse(key: &[u8], value: &[u8]) -> Result<EpochRecord, StoreError> {
    bcs::from_bytes(value).map_err(|e| StoreError::Damaged {
        column: RECORDS.0,
        key: format!("{key:02x?}"),
        reason: e.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::{MemoryDisk, MemoryStores},
        types::GlobalExecIndex,
    };

    #[test]
    fn records_survive_a_power_loss_and_the_newest_is_found() {
        let disk = MemoryDisk::default();
        let record = |epoch, base| EpochRecord {
            base: EpochBase {
                epoch: Epoch(epoch),
                base: GlobalExecIndex(base),
            },
            step: ChangeStep::Running,
        };
        let store = EpochStore::open(&MemoryStores::new(&disk)).unwrap();
        assert_eq!(store.newest().unwrap(), None);
        for record in [record(255, 5), record(256, 9)] {
            store.write(&record).unwrap();
        }
        disk.power_lost(|_| 0);
        let store = EpochStore::open(&MemoryStores::new(&disk)).unwrap();
        assert_eq!(store.newest().unwrap(), Some(record(256, 9)));
        assert_eq!(store.read(Epoch(255)).unwrap(), Some(record(255, 5)));
        assert_eq!(store.read(Epoch(7)).unwrap(), None);
    }
}
