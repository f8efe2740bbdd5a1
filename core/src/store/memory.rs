//! The in-memory store, on a disk that outlives the process: a power loss removes unsynced writes and nothing else.
//!
//! [`MemoryDisk`] belongs to the machine, [`MemoryStores`] to one incarnation of a process on it. When the process
//! ends, its handles are closed, so that a task that is still being aborted cannot write into the stores of the next
//! incarnation.

use super::{
    Column, Durability, Entry, Key, Scan, ScanOrder, Store, StoreError, StoreFactory, Write,
    WriteBatch,
};
use crate::sync::{Mutex, MutexGuard};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    ops::Bound,
    path::PathBuf,
    sync::{Arc, PoisonError},
};

/// A disk with named stores. Clones refer to the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    /// Incremented when a process ends; handles with an older number are closed.
    process: u64,
    stores: BTreeMap<String, StoredColumns>,
}

type SortedEntries = BTreeMap<Key, Bytes>;

#[derive(Default)]
struct StoredColumns {
    /// A linear search is faster than a tree for so few columns.
    columns: Vec<(Column, SortedEntries)>,
    /// Inverse operations of each write since the last sync, oldest first. Cheaper than a copy of the whole store per
    /// sync.
    undo: Vec<Vec<Write>>,
    open: bool,
}

impl MemoryDisk {
    /// Ends the process that has stores open: its handles are closed, the disk keeps all writes.
    pub fn process_killed(&self) {
        self.lock().end_process();
    }

    /// Simulates a power loss. For each store, by name, `keep` gets the number of unsynced writes and returns how many
    /// of them, from the oldest, reached the disk nevertheless. The remaining ones are lost.
    pub fn power_lost(&self, mut keep: impl FnMut(usize) -> usize) {
        let mut contents = self.lock();
        contents.end_process();
        for store in contents.stores.values_mut() {
            let kept = keep(store.undo.len());
            while store.undo.len() > kept {
                let write = store.undo.pop().unwrap_or_default();
                for inverse in write.into_iter().rev() {
                    store.apply(inverse);
                }
            }
            store.undo.clear();
        }
    }

    /// Deletes the store `name`, as if its directory had been removed, and ends the process.
    pub fn wipe(&self, name: &str) {
        let mut contents = self.lock();
        contents.end_process();
        contents.stores.remove(name);
    }

    /// Ignores poisoning: a panic while the lock was held ends the test or simulation anyway.
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of_process(
        &self,
        process: u64,
        operation: &'static str,
    ) -> Result<MutexGuard<'_, Contents>, StoreError> {
        let contents = self.lock();
        if contents.process == process {
            Ok(contents)
        } else {
            Err(StoreError::closed(operation))
        }
    }
}

impl Contents {
    fn end_process(&mut self) {
        self.process += 1;
        for store in self.stores.values_mut() {
            store.open = false;
        }
    }
}

impl StoredColumns {
    fn column(
        &self,
        column: Column,
        operation: &'static str,
    ) -> Result<&SortedEntries, StoreError> {
        let mut columns = self.columns.iter();
        columns
            .find_map(|(name, entries)| (*name == column).then_some(entries))
            .ok_or_else(|| StoreError::unknown_column(column, operation))
    }

    /// The entries of a column, which is created if it does not exist.
    fn column_mut(&mut self, column: Column) -> &mut SortedEntries {
        let position = self.columns.iter().position(|(name, _)| *name == column);
        let position = position.unwrap_or_else(|| {
            self.columns.push((column, SortedEntries::new()));
            self.columns.len() - 1
        });
        &mut self.columns[position].1
    }

    /// Applies one operation without an inverse. The column must exist.
    fn apply_without_inverse(&mut self, write: Write) {
        match write {
            Write::Put { column, key, value } => {
                self.column_mut(column).insert(key, value);
            }
            Write::Delete { column, key } => {
                self.column_mut(column).remove(&key);
            }
        }
    }

    /// Applies one operation and returns its inverse. The column must exist.
    fn apply(&mut self, write: Write) -> Write {
        let (column, key, replaced) = match write {
            Write::Put { column, key, value } => {
                let entries = self.column_mut(column);
                let replaced = entries.insert(key.clone(), value);
                (column, key, replaced)
            }
            Write::Delete { column, key } => {
                let entries = self.column_mut(column);
                let replaced = entries.remove(&key);
                (column, key, replaced)
            }
        };
        match replaced {
            Some(value) => Write::Put { column, key, value },
            None => Write::Delete { column, key },
        }
    }
}

/// The stores of one incarnation of a process on a [`MemoryDisk`].
pub struct MemoryStores {
    disk: MemoryDisk,
    process: u64,
}

impl MemoryStores {
    /// Starts an incarnation on this disk.
    #[must_use]
    pub fn new(disk: &MemoryDisk) -> Self {
        Self {
            process: disk.lock().process,
            disk: disk.clone(),
        }
    }
}

impl StoreFactory for MemoryStores {
    fn open(&self, name: &str, columns: &[Column]) -> Result<Arc<dyn Store>, StoreError> {
        let mut contents = self.disk.of_process(self.process, "open")?;
        let store = contents.stores.entry(name.to_owned()).or_default();
        if store.open {
            return Err(StoreError::Open {
                path: PathBuf::from(name),
                reason: "it is already open".to_owned(),
            });
        }
        store.open = true;
        for column in columns {
            store.column_mut(*column);
        }
        Ok(Arc::new(MemoryStore {
            disk: self.disk.clone(),
            process: self.process,
            name: name.to_owned(),
        }))
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        Ok(self
            .disk
            .of_process(self.process, "list")?
            .stores
            .keys()
            .cloned()
            .collect())
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let mut contents = self.disk.of_process(self.process, "remove")?;
        if contents.stores.get(name).is_some_and(|store| store.open) {
            return Err(StoreError::still_open(name));
        }
        contents.stores.remove(name);
        Ok(())
    }
}

/// One open store. Dropping it closes it.
struct MemoryStore {
    disk: MemoryDisk,
    process: u64,
    name: String,
}

impl MemoryStore {
    /// Calls `access` with the stored columns, unless the process that opened this handle has ended.
    fn with<T>(
        &self,
        operation: &'static str,
        access: impl FnOnce(&mut StoredColumns) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut contents = self.disk.of_process(self.process, operation)?;
        let store = contents.stores.get_mut(&self.name);
        access(store.ok_or_else(|| StoreError::closed(operation))?)
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        // If the process has ended, the handle is closed already, and the next incarnation may have opened the same
        // name.
        let _ = self.with("close", |store| {
            store.open = false;
            Ok(())
        });
    }
}

impl Store for MemoryStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.with("get", |store| {
            Ok(store.column(column, "get")?.get(key).cloned())
        })
    }

    fn get_many(&self, column: Column, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.with("get", |store| {
            let entries = store.column(column, "get")?;
            Ok(keys
                .iter()
                .map(|key| entries.get(&key[..]).cloned())
                .collect())
        })
    }

    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        let Scan {
            column,
            range,
            order,
            limit,
        } = scan;
        self.with("scan", |store| {
            let entries = store.column(column, "scan")?;
            // `BTreeMap::range` panics if the range ends before it starts.
            if range.start >= range.end {
                return Ok(vec![]);
            }
            let bounds = (Bound::Included(range.start), Bound::Excluded(range.end));
            let found = entries.range::<[u8], _>(bounds);
            let copied =
                |(key, value): (&Key, &Bytes)| (Bytes::copy_from_slice(key), value.clone());
            Ok(match order {
                ScanOrder::Ascending => found.take(limit).map(copied).collect(),
                ScanOrder::Descending => found.rev().take(limit).map(copied).collect(),
            })
        })
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        self.with("write", |store| {
            // Checked before the first change, because a batch is atomic.
            for write in &batch.writes {
                store.column(write.column(), "write")?;
            }
            match durability {
                Durability::Buffered => {
                    let writes = batch.writes.into_iter();
                    let inverses = writes.map(|write| store.apply(write)).collect();
                    store.undo.push(inverses);
                }
                Durability::Synced => {
                    store.undo.clear();
                    for write in batch.writes {
                        store.apply_without_inverse(write);
                    }
                }
            }
            Ok(())
        })
    }
}
