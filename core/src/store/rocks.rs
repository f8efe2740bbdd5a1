//! The store on RocksDB: one directory per store, one column family per column.
//!
//! RocksDB recovers to a point in time of its write-ahead log, which is a prefix of the writes as [`super`] requires.
//! Must not know what is stored.

use super::{
    Column, Durability, Entry, Key, Scan, ScanOrder, Store, StoreError, StoreFactory, Write,
    WriteBatch,
};
use bytes::Bytes;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, DB, DBCompressionType, DBRecoveryMode, IteratorMode,
    LogLevel, Options, ReadOptions, WriteOptions,
};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Configuration of RocksDB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RocksOptions {
    /// Keeps unsynced writes in the process instead of passing them to the operating system. Breaks
    /// [`Durability::Buffered`]; with it, [`RocksStore::copy_files`] copies what a power loss would leave.
    pub manual_wal_flush: bool,
    /// Size of the write buffer of one column.
    pub write_buffer_bytes: usize,
    /// Size of the block cache of one store.
    pub block_cache_bytes: usize,
    /// Threads for flushes and compactions, shared by all stores of the process.
    pub background_jobs: i32,
    /// Preallocates files. On a tmpfs this uses the memory at once.
    pub preallocate: bool,
}

impl Default for RocksOptions {
    fn default() -> Self {
        Self {
            manual_wal_flush: false,
            write_buffer_bytes: 16 << 20,
            block_cache_bytes: 32 << 20,
            background_jobs: 2,
            preallocate: true,
        }
    }
}

/// Limit of open files per store; RocksDB closes and reopens files above it.
const MAX_OPEN_FILES: i32 = 512;
/// A false positive rate of about 1 % for absent keys.
const BLOOM_BITS_PER_KEY: f64 = 10.0;

impl RocksOptions {
    fn database(&self) -> Result<Options, rocksdb::Error> {
        // rust-rocksdb has no setter for this option.
        let preallocate = format!("allow_fallocate={}", self.preallocate);
        let mut options = Options::default().get_options_from_string(preallocate)?;
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_manual_wal_flush(self.manual_wal_flush);
        if self.manual_wal_flush {
            // A full buffer is written to the file even with manual flush; it grows on demand up to this size.
            options.set_writable_file_max_buffer_size(self.write_buffer_bytes as u64);
        }
        options.set_max_background_jobs(self.background_jobs);
        options.set_max_open_files(MAX_OPEN_FILES);
        options.set_keep_log_file_num(2);
        options.set_log_level(LogLevel::Warn);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        Ok(options)
    }

    fn column_family(&self, cache: &Cache) -> Options {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(cache);
        table.set_bloom_filter(BLOOM_BITS_PER_KEY, false);
        let mut options = Options::default();
        options.set_write_buffer_size(self.write_buffer_bytes);
        options.set_compression_type(DBCompressionType::None);
        options.set_block_based_table_factory(&table);
        options
    }
}

/// The stores of a process, each in its own directory under one root.
pub struct RocksStores {
    root: PathBuf,
    options: RocksOptions,
}

impl RocksStores {
    /// The root is created with the first store.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, options: RocksOptions) -> Self {
        Self {
            root: root.into(),
            options,
        }
    }
}

impl StoreFactory for RocksStores {
    fn open(&self, name: &str, columns: &[Column]) -> Result<Arc<dyn Store>, StoreError> {
        let store = RocksStore::open(&self.root.join(name), columns, &self.options)?;
        Ok(Arc::new(store))
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        let failed = |error: io::Error| StoreError::of_store("list", error);
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            other => other.map_err(failed)?,
        };
        let mut names = BTreeSet::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_dir() {
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names.into_iter().collect())
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.root.join(name);
        if !path.exists() {
            return Ok(());
        }
        // RocksDB's own removal respects the lock of an open store, but leaves the directory.
        DB::destroy(&Options::default(), &path).map_err(|e| StoreError::of_store("remove", e))?;
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::of_store("remove", error))
            }
            _ => Ok(()),
        }
    }
}

/// An open RocksDB database. Dropping it closes it.
pub struct RocksStore {
    db: DB,
}

impl RocksStore {
    /// Opens the store in the directory `path`, with these columns and its existing ones.
    ///
    /// # Errors
    /// If the disk fails, the store is damaged, or it is already open.
    pub fn open(
        path: &Path,
        columns: &[Column],
        options: &RocksOptions,
    ) -> Result<Self, StoreError> {
        let failed = |reason: String| StoreError::Open {
            path: path.to_owned(),
            reason,
        };
        fs::create_dir_all(path).map_err(|e| failed(e.to_string()))?;
        let database = options.database().map_err(|e| failed(e.to_string()))?;
        // RocksDB requires that all existing column families are opened; a new directory has none.
        let mut names: BTreeSet<String> = if path.join("CURRENT").exists() {
            let existing = DB::list_cf(&database, path).map_err(|e| failed(e.to_string()))?;
            existing.into_iter().collect()
        } else {
            BTreeSet::new()
        };
        names.extend(columns.iter().map(|column| column.0.to_owned()));
        let cache = Cache::new_lru_cache(options.block_cache_bytes);
        let families = names
            .into_iter()
            .map(|name| (name, options.column_family(&cache)));
        let db =
            DB::open_cf_with_opts(&database, path, families).map_err(|e| failed(e.to_string()))?;
        Ok(Self { db })
    }

    /// The directory of the store.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.db.path()
    }

    /// Copies the current files to the new directory `to`: the state after a kill of the process or, with
    /// [`RocksOptions::manual_wal_flush`], after a power loss. The store must not be written afterwards.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn copy_files(&self, to: &Path) -> Result<(), StoreError> {
        // A compaction would delete files during the copy.
        self.db.cancel_all_background_work(true);
        let copy = || -> io::Result<()> {
            fs::create_dir_all(to)?;
            for entry in fs::read_dir(self.path())? {
                let entry = entry?;
                fs::copy(entry.path(), to.join(entry.file_name()))?;
            }
            Ok(())
        };
        copy().map_err(|e| StoreError::of_store("copy", e))
    }

    fn family(&self, column: Column, operation: &'static str) -> Result<&ColumnFamily, StoreError> {
        self.db
            .cf_handle(column.0)
            .ok_or_else(|| StoreError::unknown_column(column, operation))
    }
}

impl Store for RocksStore {
    fn get(&self, column: Column, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let value = self.db.get_cf(self.family(column, "get")?, key);
        let value = value.map_err(|e| StoreError::of_column(column, "get", e))?;
        Ok(value.map(Bytes::from))
    }

    fn get_many(&self, column: Column, keys: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let family = self.family(column, "get")?;
        self.db
            .batched_multi_get_cf(family, keys, false)
            .into_iter()
            .map(|value| match value {
                Ok(value) => Ok(value.map(|bytes| Bytes::copy_from_slice(&bytes))),
                Err(error) => Err(StoreError::of_column(column, "get", error)),
            })
            .collect()
    }

    fn scan(&self, scan: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        let Scan {
            column,
            range,
            order,
            limit,
        } = scan;
        let family = self.family(column, "scan")?;
        if range.start >= range.end {
            return Ok(vec![]);
        }
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(range.start);
        options.set_iterate_upper_bound(range.end);
        let mode = match order {
            ScanOrder::Ascending => IteratorMode::Start,
            ScanOrder::Descending => IteratorMode::End,
        };
        self.db
            .iterator_cf_opt(family, options, mode)
            .take(limit)
            .map(|entry| match entry {
                Ok((key, value)) => Ok((Bytes::from(key), Bytes::from(value))),
                Err(error) => Err(StoreError::of_column(column, "scan", error)),
            })
            .collect()
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), StoreError> {
        let mut writes = rocksdb::WriteBatch::default();
        for write in batch.writes {
            let family = self.family(write.column(), "write")?;
            match write {
                Write::Put { key, value, .. } => writes.put_cf(family, key, value),
                Write::Delete { key, .. } => writes.delete_cf(family, key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        self.db
            .write_opt(writes, &options)
            .map_err(|e| StoreError::of_store("write", e))
    }
}
