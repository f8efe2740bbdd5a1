//! Disks with real RocksDB files that lose exactly the writes that the durability contract allows.
//!
//! RocksDB keeps unsynced writes in memory (`manual_wal_flush`), so its files always have the content after the worst
//! power loss. The unsynced writes are kept here as well, as an operating system keeps them: a store is always reopened
//! from a copy of its files, and the unsynced writes that were not lost are written again.
//!
//! The [`RocksServer`] opens, copies and closes files. Reads and writes run on the simulated thread: they do not depend
//! on a clock, and a handover would cost ten times as much.

use super::{DiskBackend, RocksServer};
use bytes::Bytes;
use metanode_core::store::{
    Column, Durability, Entry, Key, RocksOptions, RocksStore, Scan, Store, StoreError,
    StoreFactory, WriteBatch,
};
use std::{
    collections::BTreeMap,
    fs, io, mem,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Larger than what a simulation writes, because a thread of RocksDB flushes a full buffer at a time that does not
/// depend on the seed.
const WRITE_BUFFER_BYTES: usize = 16 << 20;

/// A disk with named RocksDB stores. Clones are the same disk.
#[derive(Clone)]
pub(super) struct RocksDisk(Arc<Mutex<Contents>>);

struct Contents {
    server: RocksServer,
    path: PathBuf,
    /// Number of the process; a handle with another number is closed.
    process: u64,
    /// Number of the last directory. None is used twice.
    directories: u64,
    stores: BTreeMap<String, StoredFiles>,
}

#[derive(Default)]
struct StoredFiles {
    /// The last RocksDB that was opened on them. It may outlive its handle and its process.
    database: Option<Arc<RocksStore>>,
    /// Whether a running process holds it.
    open: bool,
    /// Survived a power loss, so they are durable. Written when the store is opened next.
    survived: Vec<WriteBatch>,
    /// A part of its record is on the disk, after those that survived.
    torn: Option<WriteBatch>,
    /// Written since the last sync, oldest first.
    unsynced: Vec<WriteBatch>,
}

impl RocksDisk {
    pub(super) fn new(server: &RocksServer) -> Self {
        Self(Arc::new(Mutex::new(Contents {
            server: server.clone(),
            path: server.new_disk_path(),
            process: 0,
            directories: 0,
            stores: BTreeMap::new(),
        })))
    }

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

impl DiskBackend for RocksDisk {
    fn stores(&self) -> Arc<dyn StoreFactory> {
        Arc::new(RocksDiskStores {
            process: self.lock().process,
            disk: self.clone(),
        })
    }

    fn process_killed(&self) {
        self.lock().end_process();
    }

    fn power_lost(&self, keep: &mut dyn FnMut(usize) -> usize, torn: bool) {
        let mut contents = self.lock();
        contents.end_process();
        for store in contents.stores.values_mut() {
            let kept = keep(store.unsynced.len());
            let first_lost = store.unsynced.drain(kept..).next();
            store.torn = first_lost.filter(|_| torn);
            store.survived.append(&mut store.unsynced);
        }
    }

    fn wipe(&self, name: &str) {
        let mut contents = self.lock();
        contents.end_process();
        contents.remove(name);
    }
}

impl Contents {
    fn end_process(&mut self) {
        self.process += 1;
        for store in self.stores.values_mut() {
            store.open = false;
        }
    }

    fn open(&mut self, name: &str, columns: &[Column]) -> Result<(), StoreError> {
        let Self {
            server,
            stores,
            directories,
            ..
        } = self;
        *directories += 1;
        let path = self.path.join(directories.to_string());
        let store = stores.entry(name.to_owned()).or_default();
        if store.open {
            return Err(StoreError::Open {
                path: PathBuf::from(name),
                reason: "it is already open".to_owned(),
            });
        }
        let (before, columns) = (store.database.clone(), columns.to_vec());
        let (survived, unsynced) = (store.survived.clone(), store.unsynced.clone());
        let torn = store.torn.clone();
        let database = server.run(move || {
            if let Some(before) = before {
                before.copy_files(&path)?;
            }
            let options = RocksOptions {
                manual_wal_flush: true,
                write_buffer_bytes: WRITE_BUFFER_BYTES,
                preallocate: false,
                ..RocksOptions::default()
            };
            let mut database = RocksStore::open(&path, &columns, &options)?;
            for batch in survived {
                database.write(batch, Durability::Synced)?;
            }
            if let Some(batch) = torn {
                tear(database, batch)?;
                database = RocksStore::open(&path, &columns, &options)?;
            }
            for batch in unsynced {
                database.write(batch, Durability::Buffered)?;
            }
            Ok(Arc::new(database))
        })?;
        let before = store.database.replace(database);
        store.survived.clear();
        store.torn = None;
        store.open = true;
        close(server, before);
        Ok(())
    }

    fn remove(&mut self, name: &str) {
        if let Some(store) = self.stores.remove(name) {
            close(&self.server, store.database);
        }
    }

    /// The database of an open store.
    fn database(&self, name: &str, operation: &'static str) -> Result<&RocksStore, StoreError> {
        let store = self.stores.get(name);
        let database = store.and_then(|store| store.database.as_deref());
        database.ok_or_else(|| StoreError::closed(operation))
    }
}

impl Drop for Contents {
    fn drop(&mut self) {
        for (_, store) in mem::take(&mut self.stores) {
            close(&self.server, store.database);
        }
    }
}

/// Leaves files whose last record, that of `batch`, is truncated.
fn tear(database: RocksStore, batch: WriteBatch) -> Result<(), StoreError> {
    let failed = |e: io::Error| StoreError::of_store("tear", e);
    let path = database.path().to_owned();
    let before = wal(&path).map_err(failed)?;
    database.write(batch, Durability::Synced)?;
    drop(database);
    let (log, after) = wal(&path).map_err(failed)?;
    let kept = if before.0 == log { before.1 } else { 0 };
    let file = fs::OpenOptions::new().write(true).open(log);
    file.and_then(|file| file.set_len(kept.midpoint(after)))
        .map_err(failed)
}

/// The newest write-ahead log in a directory of RocksDB, and its length.
fn wal(path: &Path) -> io::Result<(PathBuf, u64)> {
    let mut newest = (PathBuf::new(), 0);
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let file = entry.path();
        if file.extension().is_some_and(|e| e == "log") && file > newest.0 {
            newest = (file, entry.metadata()?.len());
        }
    }
    Ok(newest)
}

/// Closes a database on the server's thread and deletes its files, which are not opened again.
fn close(server: &RocksServer, database: Option<Arc<RocksStore>>) {
    let Some(database) = database else { return };
    // Remaining files are deleted with the server's directory.
    let _ = server.run(move || {
        let path = database.path().to_owned();
        drop(database);
        fs::remove_dir_all(path).map_err(|e| StoreError::of_store("remove", e))
    });
}

/// The stores of one process on a [`RocksDisk`].
struct RocksDiskStores {
    disk: RocksDisk,
    process: u64,
}

impl StoreFactory for RocksDiskStores {
    fn open(&self, name: &str, columns: &[Column]) -> Result<Arc<dyn Store>, StoreError> {
        let mut contents = self.disk.of_process(self.process, "open")?;
        contents.open(name, columns)?;
        Ok(Arc::new(RocksDiskStore {
            disk: self.disk.clone(),
            process: self.process,
            name: name.to_owned(),
        }))
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        let contents = self.disk.of_process(self.process, "list")?;
        Ok(contents.stores.keys().cloned().collect())
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let mut contents = self.disk.of_process(self.process, "remove")?;
        if contents.stores.get(name).is_some_and(|store| store.open) {
            return Err(StoreError::still_open(name));
        }
        contents.remove(name);
        Ok(())
    }
}

/// One open store. Dropping it closes it.
struct RocksDiskStore {
    disk: RocksDisk,
    process: u64,
    name: String,
}

impl RocksDiskStore {
    fn read<T>(
        &self,
        operation: &'static str,
        how: impl FnOnce(&RocksStore) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let contents = self.disk.of_process(self.process, operation)?;
        how(contents.database(&self.name, operation)?)
    }
}

impl Drop for RocksDiskStore {
    fn drop(&mut self) {
        // The handle of an ended process is already closed, and its name may be open in the next process.
        if let Ok(mut contents) = self.disk.of_process(self.process, "close")
            && let Some(store) = contents.stores.get_mut(&self.name)
        {
            store.open = false;
        }
    }
}

impl Store for RocksDiskStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        self.read("get", |database| database.get(column, key))
    }

    fn get_many(&self, column: Column, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        self.read("get", |database| database.get_many(column, keys))
    }

    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        self.read("scan", |database| database.scan(scan))
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        let mut contents = self.disk.of_process(self.process, "write")?;
        let written = batch.clone();
        let database = contents.database(&self.name, "write")?;
        database.write(batch, durability)?;
        if let Some(store) = contents.stores.get_mut(&self.name) {
            match durability {
                Durability::Buffered => store.unsynced.push(written),
                Durability::Synced => store.unsynced.clear(),
            }
        }
        Ok(())
    }
}
