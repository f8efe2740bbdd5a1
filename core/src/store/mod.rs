//! Durable storage: an ordered key-value [`Store`] with two backends that keep the same promises, and the typed
//! [`ConsensusStore`] over it.
//!
//! **Durability.** A write is atomic. After [`Durability::Synced`] returns, it and everything written before it
//! survive a power loss. A [`Durability::Buffered`] write survives the end of the process, but a power loss may take
//! it together with everything written after it: what is left is always a prefix of the writes.

mod commit_log;
mod consensus;
mod memory;
#[cfg(feature = "rocksdb")]
mod rocks;

pub use commit_log::{CommitLog, Damage};
pub(crate) use consensus::{BLOCKS, COMMITS};
pub use consensus::{CommitRun, ConsensusStore};
pub use memory::{MemoryDisk, MemoryStores};
#[cfg(feature = "rocksdb")]
pub use rocks::{RocksOptions, RocksStore, RocksStores};

use bytes::Bytes;
use smallvec::SmallVec;
use std::{ops::Range, path::PathBuf, sync::Arc};
use thiserror::Error;

/// A named key space of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Column(pub &'static str);

/// How far a write goes before the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// To the operating system.
    Buffered,
    /// To the disk, with everything before it.
    Synced,
}

/// A key of a store. All that are written in numbers are short enough to need no memory of their own.
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
    /// The column that it changes.
    #[must_use]
    pub const fn column(&self) -> Column {
        match self {
            Self::Put { column, .. } | Self::Delete { column, .. } => *column,
        }
    }
}

/// Writes that happen together or not at all, in order.
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

/// Which end of a range a scan starts from.
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
    /// The first key and the one behind the last.
    pub range: Range<&'a [u8]>,
    pub order: ScanOrder,
    /// At most so many entries, from the end that `order` names.
    pub limit: usize,
}

/// An ordered key-value store with columns. Calls block for as long as the disk takes.
pub trait Store: Send + Sync {
    /// # Errors
    /// If the disk fails.
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Several keys at once, answers in the order of the keys.
    ///
    /// # Errors
    /// If the disk fails.
    fn get_many(&self, column: Column, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError>;

    /// The entries of a range, in its order.
    ///
    /// # Errors
    /// If the disk fails.
    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError>;

    /// Applies the batch as a whole.
    ///
    /// # Errors
    /// If the disk fails. The batch then may or may not survive; the caller must not act as if it had.
    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError>;
}

/// Opens the stores of one process.
pub trait StoreFactory: Send + Sync {
    /// Opens the store `name`, creating it if there is none. One process opens a store once at a time.
    ///
    /// # Errors
    /// If the disk fails or the store is damaged.
    fn open(&self, name: &str, columns: &[Column]) -> Result<Arc<dyn Store>, StoreError>;

    /// The names of the stores that exist, sorted.
    ///
    /// # Errors
    /// If the disk fails.
    fn list(&self) -> Result<Vec<String>, StoreError>;

    /// Removes a store that is not open. One that does not exist is fine.
    ///
    /// # Errors
    /// If the disk fails.
    fn remove(&self, name: &str) -> Result<(), StoreError>;
}

/// A store that did not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("cannot open store {path}: {reason}; is another process using it, or the disk full?")]
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
    #[error("store column {column} holds no {what}, although it was written before")]
    Missing { column: &'static str, what: String },
}

/// Stands for the column in errors of operations that are not about one.
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

    /// A store is to be removed that is open.
    #[must_use]
    pub fn still_open(name: &str) -> Self {
        Self::of_store("remove", format!("{name} is still open"))
    }

    fn unknown_column(column: Column, operation: &'static str) -> Self {
        Self::of_column(
            column,
            operation,
            "the store was opened without this column",
        )
    }
}
