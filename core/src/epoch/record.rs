//! The records of a node's epochs: one synced entry each, kept until the epoch's own store is removed.

use crate::{
    store::{
        Column, Durability, Scan, ScanOrder, Store, StoreError, StoreFactory, WriteBatch,
        open_version,
    },
    types::{ChangeStep, Epoch, EpochStart},
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The record of one epoch of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EpochRecord {
    pub start: EpochStart,
    pub step: ChangeStep,
}

const STORE: &str = "epochs";
/// The format of this store, and of those of the epochs that it names.
const VERSION: u32 = 2;
/// Epoch (big-endian) → [`EpochRecord`].
const RECORDS: Column = Column("records");

/// The records of all epochs of a node.
pub(crate) struct EpochStore {
    store: Arc<dyn Store>,
}

impl EpochStore {
    /// # Errors
    /// If the disk fails.
    pub fn open(stores: &dyn StoreFactory) -> Result<Self, StoreError> {
        Ok(Self {
            store: open_version(stores, STORE, &[RECORDS], VERSION)?,
        })
    }

    /// Writes a record, which is durable when this returns.
    ///
    /// # Errors
    /// If the disk fails. The record may then be lost, and the caller must not depend on it.
    #[allow(clippy::expect_used)]
    pub fn write(&self, record: &EpochRecord) -> Result<(), StoreError> {
        let value = bcs::to_bytes(record).expect("structs without maps always encode");
        let mut batch = WriteBatch::default();
        batch.put(RECORDS, &key_of(record.start.base.epoch), value);
        self.store.write(batch, Durability::Synced)
    }

    /// The record of an epoch.
    ///
    /// # Errors
    /// If the disk fails or the record is damaged.
    pub fn read(&self, epoch: Epoch) -> Result<Option<EpochRecord>, StoreError> {
        let value = self.store.get(RECORDS, &key_of(epoch))?;
        value.map(|value| parse(&key_of(epoch), &value)).transpose()
    }

    /// All records, by epoch.
    ///
    /// # Errors
    /// If the disk fails or the record is damaged.
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

    /// Deletes the record of an epoch. Not synced: it is harmless if the record reappears after a crash.
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
        reason: format!("{e}; or another version of this program wrote it"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dag::test_dag::TestDag,
        store::{MemoryDisk, MemoryStores},
        types::{Chain, EpochBase, GlobalExecIndex, TimestampMs},
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
                chain: Chain::default(),
            },
            step: ChangeStep::Running,
        }
    }

    #[test]
    fn records_survive_a_power_loss_and_are_ordered_by_epoch() {
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
