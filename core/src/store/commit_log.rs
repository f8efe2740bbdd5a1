//! The commit log: the stored commits of an epoch, with a cache of the newest ones and a notification for new ones. It
//! is the queue between consensus and delivery.

use super::{ConsensusStore, StoreError};
use crate::{
    sync::Mutex,
    types::{BlockRef, CommitIndex, SubDag, VerifiedBlock},
};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, PoisonError},
};
use tokio::sync::{Notify, watch};

/// Number of newest commits kept decoded, so that delivery need not read back commits that were just written.
const RECENT_COMMITS: usize = 32;

/// Stored data that could not be read and must be fetched from peers again. Delivery waits for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Damage {
    /// The commit at which reading stopped.
    pub commit: Option<CommitIndex>,
    /// Damaged blocks of intact commits, and those that a peer requested.
    pub blocks: BTreeSet<BlockRef>,
}

/// The commit log of one epoch. Consensus appends, delivery reads.
pub(crate) struct CommitLog {
    store: ConsensusStore,
    recent: Mutex<VecDeque<Arc<SubDag>>>,
    tip: watch::Sender<CommitIndex>,
    damaged: watch::Sender<Damage>,
    /// Separate from `damaged` because another task waits for it: a watch wakes several waiting tasks in an order that
    /// is not deterministic.
    repaired: Notify,
}

impl CommitLog {
    /// A log whose last commit is `tip`.
    #[must_use]
    pub fn new(store: ConsensusStore, tip: CommitIndex) -> Self {
        Self {
            store,
            recent: Mutex::default(),
            tip: watch::channel(tip).0,
            damaged: watch::channel(Damage::default()).0,
            repaired: Notify::new(),
        }
    }

    /// Sets the end of the log to `tip`, after a damaged rest was cut off, of which nothing is missing any more.
    pub fn end_at(&self, tip: CommitIndex) {
        self.damaged.send_if_modified(|damage| {
            damage.commit = damage.commit.filter(|index| *index <= tip);
            false
        });
        self.recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|sub_dag| sub_dag.commit.index <= tip);
        self.tip.send_replace(tip);
    }

    /// Publishes the next commit, which must be **stored and synced**.
    pub fn publish(&self, sub_dag: SubDag) {
        let index = sub_dag.commit.index;
        assert_eq!(
            index,
            self.last().next(),
            "a commit was published out of order"
        );
        {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if recent.len() == RECENT_COMMITS {
                recent.pop_front();
            }
            recent.push_back(Arc::new(sub_dag));
        }
        self.tip.send_replace(index);
    }

    /// Drops the cache: the next reads are from the store.
    pub fn forget_recent(&self) {
        let recent = self.recent.lock();
        *recent.unwrap_or_else(PoisonError::into_inner) = VecDeque::new();
    }

    /// The index of the last stored commit, 0 if there is none.
    #[must_use]
    pub fn last(&self) -> CommitIndex {
        *self.tip.borrow()
    }

    /// Watches the index of the last stored commit.
    #[must_use]
    pub fn tip(&self) -> watch::Receiver<CommitIndex> {
        self.tip.subscribe()
    }

    /// Completes when damaged data was stored again. Only one task may wait.
    pub async fn something_repaired(&self) {
        self.repaired.notified().await;
    }

    /// Watches the damaged data. Only one task may wait.
    #[must_use]
    pub fn damaged(&self) -> watch::Receiver<Damage> {
        self.damaged.subscribe()
    }

    /// Notes that these blocks are **stored** again.
    pub fn repaired_blocks(&self, blocks: &[VerifiedBlock]) {
        self.damaged.send_if_modified(|damage| {
            for block in blocks {
                damage.blocks.remove(&block.reference());
            }
            false
        });
        self.repaired.notify_one();
    }

    /// Notes that this commit is **stored** again.
    pub fn repaired_commit(&self, index: CommitIndex) {
        self.damaged.send_if_modified(|damage| {
            damage.commit = damage.commit.filter(|c| *c != index);
            false
        });
        self.repaired.notify_one();
    }

    /// At most `limit` commits from `from` on, in order; fewer at the tip, and before a commit that is damaged or has
    /// damaged blocks, which is noted as such.
    ///
    /// # Errors
    /// If the store fails.
    pub fn read(&self, from: CommitIndex, limit: usize) -> Result<Vec<Arc<SubDag>>, StoreError> {
        let tip = self.last();
        if from > tip || limit == 0 {
            return Ok(vec![]);
        }
        {
            let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(first) = recent.front().map(|s| s.commit.index)
                && first <= from
            {
                let skip = (from.0 - first.0) as usize;
                return Ok(recent.iter().skip(skip).take(limit).cloned().collect());
            }
        }
        let last = u32::try_from(limit).map_or(tip, |n| {
            CommitIndex(from.prev().0.saturating_add(n)).min(tip)
        });
        let mut sub_dags = vec![];
        let run = self.store.commits(from, last)?;
        for commit in run.intact {
            match self.store.sub_dag(&commit)? {
                Ok(sub_dag) => sub_dags.push(Arc::new(sub_dag)),
                Err(missing) => {
                    self.note_damage(|damage| damage.blocks.extend(missing));
                    return Ok(sub_dags);
                }
            }
        }
        if run.damaged.is_some() {
            self.note_damage(|damage| damage.commit = run.damaged);
        }
        Ok(sub_dags)
    }

    /// Notes that this stored block is damaged and must be fetched again.
    pub fn miss_block(&self, block: BlockRef) {
        self.note_damage(|damage| {
            damage.blocks.insert(block);
        });
    }

    /// Notes that this stored commit is damaged and must be fetched again.
    pub fn miss_commit(&self, index: CommitIndex) {
        self.note_damage(|damage| damage.commit = damage.commit.or(Some(index)));
    }

    fn note_damage(&self, note: impl FnOnce(&mut Damage)) {
        self.damaged.send_if_modified(|damage| {
            let before = damage.clone();
            note(damage);
            *damage != before
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::{MemoryDisk, MemoryStores},
        types::Epoch,
    };

    #[test]
    fn what_is_cut_off_is_not_missing_any_more() {
        let stores = MemoryStores::new(&MemoryDisk::default());
        let store = ConsensusStore::open(&stores, Epoch(0)).unwrap();
        let log = CommitLog::new(store, CommitIndex(9));
        log.miss_commit(CommitIndex(7));
        let missing = |tip| {
            log.end_at(CommitIndex(tip));
            log.damaged().borrow().commit
        };
        assert_eq!(missing(7), Some(CommitIndex(7)));
        assert_eq!(missing(6), None);
    }
}
