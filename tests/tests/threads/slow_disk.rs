//! A task that waits for the disk does not hold up others.

use bytes::Bytes;
use metanode_core::{
    env::real::BlockInPlaceStores,
    store::{Column, Durability, Entry, Key, Scan, Store, StoreError, StoreFactory, WriteBatch},
};
use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

/// Only a failing test waits this long.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A disk that has written when it is told so.
struct Slow(Arc<Mutex<mpsc::Receiver<()>>>);

impl StoreFactory for Slow {
    fn open(&self, _: &str, _: &[Column]) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(Self(self.0.clone())))
    }

    fn list(&self) -> Result<Vec<String>, StoreError> {
        Ok(vec![])
    }

    fn remove(&self, _: &str) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Store for Slow {
    fn get(&self, _: Column, _: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(None)
    }

    fn get_many(&self, _: Column, _: &[Key]) -> Result<Vec<Option<Bytes>>, StoreError> {
        Ok(vec![])
    }

    fn scan(&self, _: Scan<'_>) -> Result<Vec<Entry>, StoreError> {
        Ok(vec![])
    }

    fn write(&self, _: WriteBatch, _: Durability) -> Result<(), StoreError> {
        let written = self.0.lock().unwrap().recv_timeout(TIMEOUT);
        written.map_err(|error| StoreError::of_store("write", error))
    }
}

/// With one worker: the task that was woken last, which no other worker may take, waits in front of it in any case.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn others_run_while_a_write_is_synced() {
    let (done, written) = mpsc::channel();
    let disk = Slow(Arc::new(Mutex::new(written)));
    let stores = BlockInPlaceStores(Arc::new(disk));
    let store = stores.open("any", &[]).unwrap();
    let writing = tokio::spawn(async move {
        // The disk waits for this one.
        tokio::spawn(async move { done.send(()) });
        store.write(WriteBatch::default(), Durability::Synced)
    });
    writing.await.unwrap().unwrap();
}
