//! What the executor keeps on disk, and how state, blocks and watermark become durable together although they are
//! written one after the other.
//!
//! A flush is three writes: **state** (buffered), **blocks** (buffered), **watermark** (synced). State is a log of the
//! accounts that each flush wrote, keyed by the height after it. A crash between the writes leaves a prefix of them
//! (see [`metanode_core::store`]), so what a start finds above the watermark was not durable, and is dropped.

use crate::bug_switches;
use crate::epochs::EpochStart;
use crate::ledger::{Accounts, ENTRY_BYTES, History, Writes, entry, parse_entry};
use bytes::Bytes;
use metanode_core::{
    store::{Column, Durability, Scan, ScanOrder, Store, StoreError, StoreFactory, WriteBatch},
    types::GlobalExecIndex,
};
use std::sync::Arc;

const STORE: &str = "executor";
/// GEI, big-endian → the accounts that the flush up to it wrote, one [`entry`] after the other.
const STATE: Column = Column("state");
/// GEI, big-endian → the frame's body as received.
const BLOCKS: Column = Column("blocks");
/// Number of an epoch above 0, big-endian → its [`EpochStart`].
const EPOCHS: Column = Column("epochs");
const META: Column = Column("meta");
const WATERMARK: &[u8] = b"watermark";
/// Above every key of a column that is keyed by GEI.
const END: &[u8] = &[0xff; 9];

/// What a start recovers: everything that was durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    pub watermark: GlobalExecIndex,
    pub accounts: Accounts,
    pub history: History,
}

/// The executor's store. Clones are the same store.
#[derive(Clone)]
pub struct Disk {
    store: Arc<dyn Store>,
}

impl Disk {
    /// Opens the store and rolls it back to its watermark.
    ///
    /// # Errors
    /// If the disk fails, or its content cannot be the result of a crash.
    pub fn open(stores: &dyn StoreFactory) -> Result<(Self, Recovered), StoreError> {
        let disk = Self {
            store: stores.open(STORE, &[STATE, BLOCKS, EPOCHS, META])?,
        };
        let watermark = disk.watermark()?;
        disk.drop_above(watermark)?;
        let (accounts, history) = disk.state()?;
        Ok((
            disk,
            Recovered {
                watermark,
                accounts,
                history,
            },
        ))
    }

    /// First write of a flush: the accounts written since the last one. `height` is the last executed block.
    ///
    /// # Errors
    /// If the disk fails; the executor then must end.
    pub fn save_state(&self, height: GlobalExecIndex, writes: &Writes) -> Result<(), StoreError> {
        let mut row = Vec::with_capacity(writes.len() * ENTRY_BYTES);
        for (address, account) in writes {
            row.extend(entry(*address, *account));
        }
        let mut batch = WriteBatch::default();
        batch.put(STATE, &key_of(height), row);
        self.store.write(batch, Durability::Buffered)
    }

    /// Second write: the blocks.
    ///
    /// # Errors
    /// If the disk fails; the executor then must end.
    pub fn save_blocks(&self, blocks: &[(GlobalExecIndex, Bytes)]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for (gei, body) in blocks {
            batch.put(BLOCKS, &key_of(*gei), body.clone());
        }
        if let Some((last, _)) = blocks.last()
            && bug_switches::watermark_is_with_blocks()
        {
            batch.put(META, WATERMARK, key_of(*last).to_vec());
        }
        self.store.write(batch, Durability::Buffered)
    }

    /// Last write: the new watermark, which makes everything before it durable.
    ///
    /// # Errors
    /// If the disk fails; the executor then must end.
    pub fn save_watermark(&self, watermark: GlobalExecIndex) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        if !bug_switches::watermark_is_with_blocks() {
            batch.put(META, WATERMARK, key_of(watermark).to_vec());
        }
        self.store.write(batch, Durability::Synced)
    }

    /// Stores the start of an epoch. It is durable, with everything before it, when this returns.
    ///
    /// # Errors
    /// If the disk fails; the executor then must end.
    pub fn save_epoch(&self, epoch: u64, start: EpochStart) -> Result<(), StoreError> {
        let mut value = start.timestamp_ms.to_be_bytes().to_vec();
        value.extend(start.boundary.0.to_be_bytes());
        let mut batch = WriteBatch::default();
        batch.put(EPOCHS, &epoch.to_be_bytes(), value);
        self.store.write(batch, Durability::Synced)
    }

    /// The epochs after epoch 0, in order.
    ///
    /// # Errors
    /// If the disk fails or holds something else.
    pub fn epochs(&self) -> Result<Vec<EpochStart>, StoreError> {
        let entries = self.entries(EPOCHS, &[])?.into_iter().zip(1..);
        let start = |((key, value), expected): ((Bytes, Bytes), u64)| {
            let (timestamp, boundary) = value.split_at_checked(8).unwrap_or_default();
            let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).ok();
            match (number(&key), number(timestamp), number(boundary)) {
                (Some(epoch), Some(timestamp_ms), Some(boundary)) if epoch == expected => {
                    Ok(EpochStart {
                        timestamp_ms,
                        boundary: GlobalExecIndex(boundary),
                    })
                }
                _ => {
                    let reason = format!("expected the start of epoch {expected}");
                    Err(damaged(EPOCHS, &key, reason))
                }
            }
        };
        entries.map(start).collect()
    }

    /// The bodies of the stored blocks in `from..=to`, in order, at most `limit` of them.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn blocks(
        &self,
        from: GlobalExecIndex,
        to: GlobalExecIndex,
        limit: usize,
    ) -> Result<Vec<Bytes>, StoreError> {
        let (start, end) = (key_of(from), key_of(to.next()));
        let entries = self.store.scan(Scan {
            column: BLOCKS,
            range: &start..&end,
            order: ScanOrder::Ascending,
            limit,
        })?;
        Ok(entries.into_iter().map(|(_, body)| body).collect())
    }

    /// Removes what lies above the watermark, in one write.
    fn drop_above(&self, watermark: GlobalExecIndex) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for column in bug_switches::rolled_back(&[STATE, BLOCKS]) {
            for (key, _) in self.entries(*column, &key_of(watermark.next()))? {
                batch.delete(*column, &key);
            }
        }
        if batch.writes.is_empty() {
            return Ok(());
        }
        self.store.write(batch, Durability::Synced)
    }

    /// All writes, from the first one on.
    fn state(&self) -> Result<(Accounts, History), StoreError> {
        let (mut accounts, mut history) = (Accounts::default(), History::default());
        for (key, row) in self.entries(STATE, &[])? {
            let (entries, rest) = row.as_chunks::<ENTRY_BYTES>();
            if !rest.is_empty() {
                let reason = format!("{} bytes are not a multiple of {ENTRY_BYTES}", row.len());
                return Err(damaged(STATE, &key, reason));
            }
            accounts.extend(entries.iter().map(parse_entry));
            entries.iter().for_each(|entry| history.append(entry));
        }
        Ok((accounts, history))
    }

    /// The entries of a column from `start` on.
    fn entries(&self, column: Column, start: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.store.scan(Scan {
            column,
            range: start..END,
            order: ScanOrder::Ascending,
            limit: usize::MAX,
        })
    }

    fn watermark(&self) -> Result<GlobalExecIndex, StoreError> {
        let Some(value) = self.store.get(META, WATERMARK)? else {
            return Ok(GlobalExecIndex(0));
        };
        let number = value[..].try_into().map(u64::from_be_bytes);
        number.map(GlobalExecIndex).map_err(|_| {
            let reason = format!("expected 8 bytes, found {}", value.len());
            damaged(META, WATERMARK, reason)
        })
    }
}

const fn key_of(gei: GlobalExecIndex) -> [u8; 8] {
    gei.0.to_be_bytes()
}

fn damaged(column: Column, key: &[u8], reason: String) -> StoreError {
    StoreError::Damaged {
        column: column.0,
        key: format!("{key:02x?}"),
        reason,
    }
}
