//! What a node writes down about its epochs: a row each, synced, outlives the epoch's own store.

use crate::{
    store::{Column, Durability, Scan, ScanOrder, Store, StoreError, StoreFactory, WriteBatch},
    types::{ChangeStep, Epoch, EpochStart},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One epoch of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochRecord {
    pub start: EpochStart,
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
        batch.put(RECORDS, &key_of(record.start.base.epoch), value);
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

    /// All epochs that this node was in and has not forgotten, in their order.
    ///
    /// # Errors
    /// If the disk fails or holds something else.
    pub fn all(&self) -> Result<Vec<EpochRecord>, StoreError> {
        let all = &[][..]..&[0xff; 9][..];
        let order = ScanOrder::Ascending;
        let records = self.store.scan(Scan {
            column: RECORDS,
            range: all,
            order,
            limit: usize::MAX,
        })?;
        let records = records.iter().map(|(key, value)| parse(key, value));
        records.collect()
    }

    /// Forgets an epoch. Not synced: to find it again after a crash does no harm.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn forget(&self, epoch: Epoch) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        batch.delete(RECORDS, &key_of(epoch));
        self.store.write(batch, Durability::Buffered)
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
        dag::test_dag::TestDag,
        store::{MemoryDisk, MemoryStores},
        types::{EpochBase, GlobalExecIndex, TimestampMs},
    };

    fn record(epoch: u64, base: u64) -> EpochRecord {
        let committee = TestDag::with_stakes(Epoch(epoch), &[1, 2]).committee;
        EpochRecord {
            start: EpochStart {
                base: EpochBase {
                    epoch: Epoch(epoch),
                    base: GlobalExecIndex(base),
                },
                timestamp_ms: TimestampMs(7),
                committee,
            },
            step: ChangeStep::Running,
        }
    }

    #[test]
    fn records_survive_a_power_loss_and_come_in_the_order_of_epochs() {
        let disk = MemoryDisk::default();
        let store = EpochStore::open(&MemoryStores::new(&disk)).unwrap();
        assert_eq!(store.all().unwrap(), []);
        for record in [record(256, 9), record(255, 5)] {
            store.write(&record).unwrap();
        }
        disk.power_lost(|_| 0);
        let store = EpochStore::open(&MemoryStores::new(&disk)).unwrap();
        assert_eq!(store.all().unwrap(), [record(255, 5), record(256, 9)]);
        assert_eq!(store.read(Epoch(255)).unwrap(), Some(record(255, 5)));
        assert_eq!(store.read(Epoch(7)).unwrap(), None);
        store.forget(Epoch(255)).unwrap();
        assert_eq!(store.all().unwrap(), [record(256, 9)]);
    }
}
