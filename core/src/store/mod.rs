//! Durable storage: an ordered key-value [`Store`] with two backends that give the same guarantees, and the typed
//! [`ConsensusStore`] on top of it.
//!
//! **Durability.** A write is atomic. After a [`Durability::Synced`] write returns, it and all writes before it survive
//! a power loss. A [`Durability::Buffered`] write survives the end of the process, but a power loss may remove it
//! together with all writes after it: the surviving writes are always a prefix.

mod commit_log;
mod consensus;
mod memory;
#[cfg(feature = "rocksdb")]
mod rocks;
mod schema;

pub(crate) use commit_log::{CommitLog, Damage};
pub(crate) use consensus::{BLOCKS, COMMITS};
pub use consensus::{CommitRun, ConsensusStore};
pub use memory::{MemoryDisk, MemoryStores};
#[cfg(feature = "rocksdb")]
pub use rocks::{RocksOptions, RocksStore, RocksStores};
pub use schema::open_version;

use bytes::Bytes;
use smallvec::SmallVec;
use std::{ops::Range, path::PathBuf, sync::Arc};
use thiserror::Error;

/// A named key space of a store (a column family in RocksDB).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Column(pub &'static str);

/// What a write survives once the call has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process.
    Buffered,
    /// A power loss, together with all writes before it.
    Synced,
}

/// A key of a store. All keys that are written often fit inline, without an allocation.
pub type Key = SmallVec<[u8; 48]>;

/// One operation of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Put {
        column: Column,
        key: Key,
        value: Bytes,
    },
    Delete {
        column: Column,
        key: Key,
    },
}

impl Write {
    /// The column of the key.
    #[must_use]
    pub const fn column(&self) -> Column {
        match self {
            Self::Put { column, .. } | Self::Delete { column, .. } => *column,
        }
    }
}

/// Writes that are applied atomically, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteBatch {
    pub writes: Vec<Write>,
}

impl WriteBatch {
    pub fn put(&mut self, column: Column, key: &[u8], value: impl Into<Bytes>) {
        self.writes.push(Write::Put {
            column,
            key: Key::from_slice(key),
            value: value.into(),
        });
    }

    pub fn delete(&mut self, column: Column, key: &[u8]) {
        self.writes.push(Write::Delete {
            column,
            key: Key::from_slice(key),
        });
    }
}

/// The direction of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanOrder {
    Ascending,
    Descending,
}

/// A key with its value.
pub type Entry = (Bytes, Bytes);

/// A range of entries to read.
#[derive(Clone, Debug)]
pub struct Scan<'a> {
    pub column: Column,
    /// The first key (included) and the last one (excluded).
    pub range: Range<&'a [u8]>,
    pub order: ScanOrder,
    /// Maximum number of entries, counted in the direction of `order`.
    pub limit: usize,
}

/// An ordered key-value store with columns. Calls block until the disk has answered.
pub trait Store: Send + Sync {
    /// # Errors
    /// If the disk fails.
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Reads several keys; the values are in the order of the keys.
    ///
    /// # Errors
    /// If the disk fails.
    fn get_many(&self, column: Column, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError>;

    /// Reads the entries of a range, in the order of the scan.
    ///
    /// # Errors
    /// If the disk fails.
    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError>;

    /// Applies the batch atomically.
    ///
    /// # Errors
    /// If the disk fails. The batch may then be lost, and the caller must not depend on it.
    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError>;
}

/// Opens the stores of one process.
pub trait StoreFactory: Send + Sync {
    /// Opens the store `name`, creating it if it does not exist.
    ///
    /// # Errors
    /// If the disk fails, the store is damaged, or it is already open.
    fn open(&self, name: &str, columns: &[Column]) -> Result<Arc<dyn Store>, StoreError>;

    /// The names of the stores that exist, sorted.
    ///
    /// # Errors
    /// If the disk fails.
    fn list(&self) -> Result<Vec<String>, StoreError>;

    /// Removes a store if it exists. It must not be open.
    ///
    /// # Errors
    /// If the disk fails.
    fn remove(&self, name: &str) -> Result<(), StoreError>;
}

/// A failed operation of a store.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error(
        "cannot open store {path}: {reason}; check that no other process uses it and that the disk has space"
    )]
    Open { path: PathBuf, reason: String },
    #[error("store column {column}: {operation} failed: {reason}")]
    Io {
        column: &'static str,
        operation: &'static str,
        reason: String,
    },
    #[error("store column {column}: the entry at {key} is damaged: {reason}")]
    Damaged {
        column: &'static str,
        key: String,
        reason: String,
    },
    #[error(
        "store {name}: expected version {expected} of its format, found version {found}: start the version of the program \
         that wrote it. Without its data directory a node begins anew, and loses what it promised to clients and nobody has \
         executed"
    )]
    OtherVersion {
        name: &'static str,
        expected: u32,
        found: u32,
    },
    #[error("store column {column}: expected {what}, which was written before, found nothing")]
    Missing { column: &'static str, what: String },
}

/// The column in errors of operations on a whole store.
const EVERY_COLUMN: &str = "(all)";

impl StoreError {
    /// An operation on one column failed.
    fn of_column(column: Column, operation: &'static str, reason: impl ToString) -> Self {
        Self::Io {
            column: column.0,
            operation,
            reason: reason.to_string(),
        }
    }

    /// An operation on a whole store failed.
    #[must_use]
    pub fn of_store(operation: &'static str, reason: impl ToString) -> Self {
        Self::of_column(Column(EVERY_COLUMN), operation, reason)
    }

    /// The process that opened the store has ended.
    #[must_use]
    pub fn closed(operation: &'static str) -> Self {
        Self::of_store(operation, "closed: the process that opened it has ended")
    }

    /// A store cannot be removed because it is open.
    #[must_use]
    pub fn still_open(name: &str) -> Self {
        Self::of_store("remove", format!("{name} is open"))
    }

    fn unknown_column(column: Column, operation: &'static str) -> Self {
        Self::of_column(
            column,
            operation,
            "the store was opened without this column",
        )
    }
}
