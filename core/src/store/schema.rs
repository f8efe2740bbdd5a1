//! The version of the format in which a store is written, so that a program that would misread it refuses it instead.

use super::{Column, Durability, Scan, ScanOrder, Store, StoreError, StoreFactory, WriteBatch};
use std::sync::Arc;

const SCHEMA: Column = Column("schema");
const VERSION: &[u8] = b"version";

/// Opens a store of this version. A store without entries gets it.
///
/// # Errors
/// If the disk fails, or the store has entries of another version.
pub fn open_version(
    stores: &dyn StoreFactory,
    name: &'static str,
    columns: &[Column],
    version: u32,
) -> Result<Arc<dyn Store>, StoreError> {
    let store = stores.open(name, &[columns, &[SCHEMA]].concat())?;
    let found = store.get(SCHEMA, VERSION)?;
    let found = found.map(|value| value[..].try_into().map_or(0, u32::from_be_bytes));
    match found {
        Some(found) if found == version => return Ok(store),
        None if is_empty(store.as_ref(), columns)? => {}
        found => {
            return Err(StoreError::OtherVersion {
                name,
                expected: version,
                found: found.unwrap_or(0),
            });
        }
    }
    let mut batch = WriteBatch::default();
    batch.put(SCHEMA, VERSION, version.to_be_bytes().to_vec());
    store.write(batch, Durability::Synced)?;
    Ok(store)
}

fn is_empty(store: &dyn Store, columns: &[Column]) -> Result<bool, StoreError> {
    for column in columns {
        let first = store.scan(Scan {
            column: *column,
            range: &[][..]..&[0xff; 64][..],
            order: ScanOrder::Ascending,
            limit: 1,
        })?;
        if !first.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MemoryDisk, MemoryStores};

    const ENTRIES: Column = Column("entries");

    fn open(disk: &MemoryDisk, version: u32) -> Result<Arc<dyn Store>, String> {
        disk.process_killed();
        let opened = open_version(&MemoryStores::new(disk), "things", &[ENTRIES], version);
        opened.map_err(|error| error.to_string())
    }

    fn put(store: &Arc<dyn Store>) {
        let mut batch = WriteBatch::default();
        batch.put(ENTRIES, &[1], vec![]);
        store.write(batch, Durability::Synced).unwrap();
    }

    #[test]
    fn a_store_is_opened_by_the_version_that_wrote_it() {
        let disk = MemoryDisk::default();
        open(&disk, 3).unwrap();
        disk.power_lost(|_| 0);
        put(&open(&disk, 3).unwrap());
        open(&disk, 3).unwrap();
        let Err(error) = open(&disk, 4) else {
            panic!("version 4 opened a store of version 3");
        };
        assert!(
            error.contains("version 3") && error.contains("version 4"),
            "{error}"
        );
    }

    #[test]
    fn entries_from_before_there_were_versions_are_refused() {
        let disk = MemoryDisk::default();
        let store = MemoryStores::new(&disk).open("things", &[ENTRIES]).unwrap();
        put(&store);
        assert!(open(&disk, 1).is_err());
    }
}
