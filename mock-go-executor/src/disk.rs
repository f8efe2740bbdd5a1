//! What the executor keeps on disk, and how state, blocks and watermark become durable together although they are
//! written one after the other.
//!
//! A flush is three writes: **state** (buffered), **blocks** with their headers (buffered), **watermark** (synced).
//! State is a log of the accounts that each flush wrote, keyed by the height after it. A crash between the writes leaves a prefix of them
//! (see [`metanode_core::store`]), so what a start finds above the watermark was not durable, and is dropped.

use crate::bug_switches;
use crate::epochs::EpochStart;
use crate::ledger::{Accounts, ENTRY_BYTES, History, Writes, entry, parse_entry};
use bytes::Bytes;
use metanode_core::{
    store::{
        Column, Durability, Scan, ScanOrder, Store, StoreError, StoreFactory, WriteBatch,
        open_version,
    },
    types::GlobalExecIndex,
};
use std::sync::Arc;

const STORE: &str = "executor";
/// Of its format.
const VERSION: u32 = 1;
/// GEI, big-endian → the accounts that the flush up to it wrote, one [`entry`] after the other.
const STATE: Column = Column("state");
/// GEI, big-endian → the frame's body as received.
const BLOCKS: Column = Column("blocks");
/// GEI, big-endian → the block's [`Header`].
const HEADERS: Column = Column("headers");
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

/// A block that was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutedBlock {
    pub gei: GlobalExecIndex,
    /// As received.
    pub body: Bytes,
    pub header: Header,
}

/// What is known of a block without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Of the body.
    pub hash: [u8; 32],
    /// After the block.
    pub state_root: [u8; 32],
    pub epoch: u64,
    pub timestamp_ms: u64,
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let numbers = [self.epoch, self.timestamp_ms].map(u64::to_be_bytes);
        [&self.hash[..], &self.state_root, &numbers.concat()].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (hash, rest) = bytes.split_first_chunk()?;
        let (state_root, rest) = rest.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        Some(Self {
            hash: *hash,
            state_root: *state_root,
            epoch: u64::from_be_bytes(*epoch),
            timestamp_ms: u64::from_be_bytes(rest.try_into().ok()?),
        })
    }
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
            store: open_version(
                stores,
                STORE,
                &[STATE, BLOCKS, HEADERS, EPOCHS, META],
                VERSION,
            )?,
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
    pub fn save_blocks(&self, blocks: &[ExecutedBlock]) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for block in blocks {
            let key = key_of(block.gei);
            batch.put(BLOCKS, &key, block.body.clone());
            batch.put(HEADERS, &key, block.header.encode());
        }
        if let Some(last) = blocks.last()
            && bug_switches::watermark_is_with_blocks()
        {
            batch.put(META, WATERMARK, key_of(last.gei).to_vec());
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

    /// The header of a stored block.
    ///
    /// # Errors
    /// If the disk fails, or has no such block.
    pub fn header(&self, gei: GlobalExecIndex) -> Result<Header, StoreError> {
        let value = self.value(HEADERS, gei)?;
        Header::decode(&value).ok_or_else(|| {
            let reason = format!("expected a header of 80 bytes, found {}", value.len());
            damaged(HEADERS, &key_of(gei), reason)
        })
    }

    /// A stored block.
    ///
    /// # Errors
    /// If the disk fails, or has no such block.
    pub fn block(&self, gei: GlobalExecIndex) -> Result<ExecutedBlock, StoreError> {
        Ok(ExecutedBlock {
            gei,
            header: self.header(gei)?,
            body: self.value(BLOCKS, gei)?,
        })
    }

    /// The body of a block, if it is stored.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn body(&self, gei: GlobalExecIndex) -> Result<Option<Bytes>, StoreError> {
        self.store.get(BLOCKS, &key_of(gei))
    }

    fn value(&self, column: Column, gei: GlobalExecIndex) -> Result<Bytes, StoreError> {
        let key = key_of(gei);
        let missing = || {
            let reason = "expected that of an executed block, found none. If an older version has written this store, \
                          remove it: the node delivers all blocks again";
            damaged(column, &key, reason.to_owned())
        };
        self.store.get(column, &key)?.ok_or_else(missing)
    }

    /// Removes what lies above the watermark, in one write.
    fn drop_above(&self, watermark: GlobalExecIndex) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for column in bug_switches::rolled_back(&[STATE, BLOCKS, HEADERS]) {
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
        if bug_switches::stored_reads_as_executed()
            && let Some((key, _)) = self.entries(HEADERS, &[])?.pop()
        {
            return number(&key, HEADERS, &key);
        }
        let Some(value) = self.store.get(META, WATERMARK)? else {
            return Ok(GlobalExecIndex(0));
        };
        number(&value, META, WATERMARK)
    }
}

/// What is stored in `column` under `key`, or is that key.
fn number(bytes: &[u8], column: Column, key: &[u8]) -> Result<GlobalExecIndex, StoreError> {
    let number = bytes.try_into().map(u64::from_be_bytes);
    number.map(GlobalExecIndex).map_err(|_| {
        let reason = format!("expected 8 bytes, found {}", bytes.len());
        damaged(column, key, reason)
    })
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
