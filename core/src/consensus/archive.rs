//! What this node offers to its peers: of every epoch whose store it keeps, the blocks, the commits and its own blocks
//! in their order. A node that was down finds an epoch that is over here as if it were still running.

use super::own_blocks::OwnBlocks;
use crate::{
    env::TaskMonitor,
    store::{CommitLog, ConsensusStore, StoreError},
    tasks::Tasks,
    types::{AuthorityIndex, Epoch, EpochStart},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// One epoch with its store, running or over.
pub struct RetainedEpoch {
    pub start: EpochStart,
    /// This node's place in the committee, if it has one.
    pub own: Option<AuthorityIndex>,
    pub store: ConsensusStore,
    pub log: Arc<CommitLog>,
    pub(super) own_blocks: OwnBlocks,
    /// Those that serve peers out of it.
    pub(super) serving: Tasks,
}

impl RetainedEpoch {
    /// # Errors
    /// If the store fails.
    pub fn new(
        monitor: Arc<dyn TaskMonitor>,
        start: EpochStart,
        own: Option<AuthorityIndex>,
        store: ConsensusStore,
    ) -> Result<Self, StoreError> {
        let tip = store.last_commit()?.unwrap_or_default();
        Ok(Self {
            log: Arc::new(CommitLog::new(store.clone(), tip)),
            own_blocks: OwnBlocks::new(own, store.clone())?,
            start,
            own,
            store,
            serving: Tasks::new(monitor),
        })
    }
}

/// All epochs that this node keeps.
#[derive(Default)]
pub struct Archive {
    epochs: Mutex<BTreeMap<Epoch, Arc<RetainedEpoch>>>,
    added: Notify,
}

impl Archive {
    #[must_use]
    pub fn get(&self, epoch: Epoch) -> Option<Arc<RetainedEpoch>> {
        self.epochs().get(&epoch).cloned()
    }

    /// Peers are served out of this from now on.
    pub fn add(&self, retained: Arc<RetainedEpoch>) {
        self.epochs().insert(retained.start.base.epoch, retained);
        self.added.notify_waiters();
    }

    /// Ends everybody who is served out of this epoch. Its store is closed once the last of them is gone. Says whether
    /// it was here.
    pub fn withdraw(&self, epoch: Epoch) -> bool {
        let retained = self.epochs().remove(&epoch);
        if let Some(retained) = &retained {
            retained.serving.abort();
        }
        retained.is_some()
    }

    /// The epoch as soon as it is retained; none if this node will not come to it next.
    pub(super) async fn find(&self, epoch: Epoch) -> Option<Arc<RetainedEpoch>> {
        loop {
            // Made before the look: what is added from here on wakes it.
            let added = self.added.notified();
            {
                let epochs = self.epochs();
                if let Some(retained) = epochs.get(&epoch) {
                    return Some(retained.clone());
                }
                let newest = epochs.last_key_value();
                if newest.is_some_and(|(newest, _)| newest.next() != epoch) {
                    return None;
                }
            }
            added.await;
        }
    }

    fn epochs(&self) -> MutexGuard<'_, BTreeMap<Epoch, Arc<RetainedEpoch>>> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        // They hold what they serve from, which holds them.
        for retained in self.epochs().values() {
            retained.serving.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dag::test_dag::TestDag,
        env::Unmonitored,
        store::{MemoryDisk, MemoryStores},
        types::{EpochBase, GlobalExecIndex, TimestampMs},
    };
    use std::{
        future::{Future, poll_fn},
        pin::pin,
        task::Poll,
    };

    fn retained(epoch: u64) -> Arc<RetainedEpoch> {
        let epoch = Epoch(epoch);
        let stores = MemoryStores::new(&MemoryDisk::default());
        let store = ConsensusStore::open(&stores, epoch).unwrap();
        let start = EpochStart {
            base: EpochBase {
                epoch,
                base: GlobalExecIndex(0),
            },
            timestamp_ms: TimestampMs(0),
            committee: TestDag::with_stakes(epoch, &[1]).committee,
        };
        Arc::new(RetainedEpoch::new(Arc::new(Unmonitored), start, None, store).unwrap())
    }

    #[tokio::test]
    async fn who_asks_about_the_next_epoch_waits_for_it_and_who_asks_further_off_does_not() {
        let archive = Archive::default();
        archive.add(retained(3));
        assert!(archive.find(Epoch(3)).await.is_some());
        for unknown in [2, 5, u64::MAX] {
            assert!(archive.find(Epoch(unknown)).await.is_none(), "{unknown}");
        }
        let mut next = pin!(archive.find(Epoch(4)));
        let waits = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_pending())).await;
        assert!(waits);
        archive.add(retained(4));
        let found = next.await.unwrap();
        assert_eq!(found.start.base.epoch, Epoch(4));
        assert!(archive.withdraw(Epoch(3)));
        assert!(!archive.withdraw(Epoch(3)));
        assert!(archive.get(Epoch(3)).is_none());
    }
}
