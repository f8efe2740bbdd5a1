//! Who observes the stores of a disk: what a process finds in them, and every write that succeeded.

use metanode_core::store::{Column, Durability, Store, Write, WriteBatch};
use std::sync::Arc;

/// Is called on the thread of the process, before the call of the process returns. A handle of an ended process, a
/// failing disk and a restored backup are not observed.
pub(crate) trait StoreObserver: Send + Sync {
    /// Whether writes to this column are observed. All others are left out of batches, so that they cost nothing.
    fn observes(&self, column: Column) -> bool;

    /// A process opened the store. Reads from `store` return what was written, without flipped bits.
    fn opened(&self, name: &str, store: &Arc<dyn Store>);

    /// The writes to observed columns of a batch. It may have none.
    fn written(&self, name: &str, batch: &WriteBatch, durability: Durability);

    /// The run has ended: the whole content of the store, without flipped bits.
    fn read_at_end(&self, name: &str, store: &Arc<dyn Store>);

    /// The process removed the store.
    fn removed(&self, name: &str);
}

/// One open store and its observer.
pub(super) struct Observed {
    name: String,
    observer: Arc<dyn StoreObserver>,
}

impl Observed {
    pub fn open(name: &str, store: &Arc<dyn Store>, observer: Arc<dyn StoreObserver>) -> Self {
        observer.opened(name, store);
        let name = name.to_owned();
        Self { name, observer }
    }

    /// What [`Self::written`] needs of a batch that is about to be written. Values are shared, not copied.
    pub fn writing(&self, batch: &WriteBatch) -> WriteBatch {
        let is_observed = |write: &&Write| self.observer.observes(write.column());
        WriteBatch {
            writes: batch.writes.iter().filter(is_observed).cloned().collect(),
        }
    }

    pub fn written(&self, batch: &WriteBatch, durability: Durability) {
        self.observer.written(&self.name, batch, durability);
    }
}
