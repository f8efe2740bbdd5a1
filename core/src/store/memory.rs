//! The store in memory, on a disk that outlives the process: a power loss takes unsynced writes and nothing else.
//!
//! [`MemoryDisk`] is what the machine owns, [`MemoryStores`] is one process start on it. When the process ends, its
//! handles are closed for good, so that a task that is still being torn down cannot write under its successor.
//! This room does not know who ends processes, nor why.

use super::{
    Column, Durability, Entry, Key, Scan, ScanOrder, Store, StoreError, StoreFactory, Write,
    WriteBatch,
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    ops::Bound,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A disk with named stores. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Contents>>);

#[derive(Default)]
struct Contents {
    /// Counts process starts and ends; a handle of another number is closed.
    process: u64,
    stores: BTreeMap<String, StoredColumns>,
}

type SortedEntries = BTreeMap<Key, Bytes>;

#[derive(Default)]
struct StoredColumns {
    /// A handful, found faster one by one than by a tree.
    columns: Vec<(Column, SortedEntries)>,
    /// What would take back each write since the last sync, oldest first: a synced write costs what it writes, not
    /// what the store holds.
    undo: Vec<Vec<Write>>,
    open: bool,
}

impl MemoryDisk {
    /// The process that had stores open has ended. The disk keeps everything; the handles are closed.
    pub fn process_killed(&self) {
        self.lock().end_process();
    }

    /// The machine lost power. Per store, in the order of their names, `keep` is told how many writes were not
    /// synced and says how many of them, from the oldest, reached the disk nevertheless. What is left is durable.
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

    /// The store `name` is gone, as if its directory had been deleted, and the process with it.
    pub fn wipe(&self, name: &str) {
        let mut contents = self.lock();
        contents.end_process();
        contents.stores.remove(name);
    }

    /// A panic while the lock was held ends the test or simulation anyway; what comes after need not panic again.
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

    /// The entries of a column, which is made if there is none.
    fn made(&mut self, column: Column) -> &mut SortedEntries {
        let position = self.columns.iter().position(|(name, _)| *name == column);
        let position = position.unwrap_or_else(|| {
            self.columns.push((column, SortedEntries::new()));
            self.columns.len() - 1
        });
        &mut self.columns[position].1
    }

    /// Applies one operation that nothing will take back. The column is known to exist.
    fn apply_for_good(&mut self, write: Write) {
        match write {
            Write::Put { column, key, value } => {
                self.made(column).insert(key, value);
            }
            Write::Delete { column, key } => {
                self.made(column).remove(&key);
            }
        }
    }

    /// Applies one operation and returns the one that takes it back. The column is known to exist.
    fn apply(&mut self, write: Write) -> Write {
        let (column, key, replaced) = match write {
            Write::Put { column, key, value } => {
                let entries = self.made(column);
                let replaced = entries.insert(key.clone(), value);
                (column, key, replaced)
            }
            Write::Delete { column, key } => {
                let entries = self.made(column);
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

/// The stores of one process on a [`MemoryDisk`].
pub struct MemoryStores {
    disk: MemoryDisk,
    process: u64,
}

impl MemoryStores {
    /// A process starts on this disk.
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
                reason: "it is open already".to_owned(),
            });
        }
        store.open = true;
        for column in columns {
            store.made(*column);
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
    /// Runs `access` on the stored columns, unless the process that opened this handle has ended.
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
        // A handle whose process has ended was closed then, and its name may belong to a successor.
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
            // `BTreeMap::range` panics on a range that ends before it starts.
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
            // Before the first change, because a batch happens as a whole or not at all.
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
                        store.apply_for_good(write);
                    }
                }
            }
            Ok(())
        })
    }
}
