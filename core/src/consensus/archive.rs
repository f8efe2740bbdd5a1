//! The retained epochs, from which this node serves its peers blocks, commits and its own blocks. Ended epochs are
//! served like the current one, so that a node that was down can catch up.

use super::own_blocks::OwnBlocks;
use crate::{
    env::TaskMonitor,
    peers::{RetainedEpochs, Sessions},
    store::{CommitLog, ConsensusStore, StoreError},
    sync::{Mutex, MutexGuard},
    tasks::Tasks,
    types::{AuthorityIndex, Chain, Epoch, EpochStart},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};
use tokio::sync::Notify;

/// One epoch with its store, current or ended.
pub(crate) struct RetainedEpoch {
    pub start: EpochStart,
    /// This node's index in the committee; `None` if it is a follower.
    pub own: Option<AuthorityIndex>,
    /// With the peers of this epoch.
    pub sessions: Sessions,
    pub store: ConsensusStore,
    pub log: Arc<CommitLog>,
    pub(super) own_blocks: OwnBlocks,
    /// The tasks that serve peers from this epoch.
    pub(super) serving: Tasks,
}

impl RetainedEpoch {
    /// # Errors
    /// If the store fails.
    pub fn new(
        monitor: Arc<dyn TaskMonitor>,
        start: EpochStart,
        own: Option<AuthorityIndex>,
        sessions: Sessions,
        store: ConsensusStore,
    ) -> Result<Self, StoreError> {
        let tip = store.last_commit()?.unwrap_or_default();
        Ok(Self {
            log: Arc::new(CommitLog::new(store.clone(), tip)),
            own_blocks: OwnBlocks::new(own, store.clone())?,
            start,
            own,
            sessions,
            store,
            serving: Tasks::new(monitor),
        })
    }
}

/// All retained epochs.
#[derive(Default)]
pub(crate) struct Archive {
    epochs: Mutex<BTreeMap<Epoch, Arc<RetainedEpoch>>>,
    added: Notify,
}

impl Archive {
    /// The chain of all epochs, the oldest and the newest of them; `None` before the first one is added.
    #[must_use]
    pub fn retained(&self) -> Option<(Chain, RetainedEpochs)> {
        let epochs = self.epochs();
        let (oldest, newest) = (epochs.first_key_value()?, epochs.last_key_value()?);
        let retained = RetainedEpochs {
            oldest: *oldest.0,
            newest: *newest.0,
        };
        Some((newest.1.start.chain, retained))
    }

    #[must_use]
    pub fn get(&self, epoch: Epoch) -> Option<Arc<RetainedEpoch>> {
        self.epochs().get(&epoch).cloned()
    }

    /// Whether a committee of a retained epoch has this network key, in the form of the exchange.
    #[must_use]
    pub fn has_member(&self, key: &[u8; 32]) -> bool {
        let epochs = self.epochs();
        let mut newest_first = epochs.values().rev();
        newest_first.any(|epoch| epoch.sessions.have_member(key))
    }

    /// Adds an epoch, from which peers are served from now on.
    pub fn add(&self, retained: Arc<RetainedEpoch>) {
        self.epochs().insert(retained.start.base.epoch, retained);
        self.added.notify_waiters();
    }

    /// This epoch runs from now on. All others are served from their stores alone: each would keep its newest commits
    /// and own blocks in memory otherwise, for as long as it is retained.
    pub fn run(&self, running: Epoch) {
        for (_, ended) in self.epochs().iter().filter(|(epoch, _)| **epoch != running) {
            ended.log.forget_recent();
            ended.own_blocks.forget_recent();
        }
    }

    /// Removes an epoch and aborts the tasks that serve peers from it. Its store is closed when the last of them is
    /// dropped. Returns whether the epoch was retained.
    pub fn withdraw(&self, epoch: Epoch) -> bool {
        let retained = self.epochs().remove(&epoch);
        if let Some(retained) = &retained {
            retained.serving.abort();
        }
        retained.is_some()
    }

    /// The epoch, waiting for it if it is the next one. `None` for any other epoch that is not retained.
    pub(super) async fn find(&self, epoch: Epoch) -> Option<Arc<RetainedEpoch>> {
        loop {
            // Created before the check, so that it is notified of an epoch that is added afterwards.
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
        // A task holds a reference to the epoch that owns it, so dropping the epoch would not abort it.
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
        peers::testing::sessions,
        store::{MemoryDisk, MemoryStores},
        types::{
            Block, Chain, Commit, CommitDigest, CommitIndex, EpochBase, GlobalExecIndex, SubDag,
            TimestampMs,
        },
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
            chain: Chain::default(),
        };
        let sessions = sessions(&start.committee, None);
        Arc::new(RetainedEpoch::new(Arc::new(Unmonitored), start, None, sessions, store).unwrap())
    }

    /// What is published here is not stored, so that it can be read from a cache only.
    #[test]
    fn ended_epochs_are_served_from_their_stores() {
        let archive = Archive::default();
        let ended = retained(0);
        let leader = Block::genesis(Epoch(0), AuthorityIndex(0));
        ended.own_blocks.publish(leader.clone());
        let commit = Commit {
            epoch: Epoch(0),
            index: CommitIndex(1),
            previous: CommitDigest::default(),
            leader: leader.reference(),
            timestamp_ms: TimestampMs(0),
            epoch_began_ms: TimestampMs(0),
            ending: vec![],
            blocks: vec![],
        };
        ended.log.publish(SubDag {
            reference: commit.reference(),
            commit,
            blocks: vec![],
        });
        archive.add(ended.clone());
        archive.add(retained(1));
        let cached = || {
            let has_commit = ended.log.read(CommitIndex(1), 1).is_ok();
            (has_commit, ended.own_blocks.recent())
        };
        archive.run(Epoch(0));
        assert_eq!(cached(), (true, 1));
        archive.run(Epoch(1));
        assert_eq!(cached(), (false, 0));
    }

    #[tokio::test]
    async fn find_waits_for_the_next_epoch_only() {
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
