//! The commit log as delivery sees it: the store, a small cache of the newest commits, and a signal when it grows.

use super::{ConsensusStore, StoreError};
use crate::types::{BlockRef, CommitIndex, SubDag, VerifiedBlock};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{Notify, watch};

/// The newest commits that are kept decoded, so that live delivery does not read back what was just written.
const RECENT_COMMITS: usize = 32;

/// What of the store could not be read: it is to be fetched from peers again. Nothing is delivered without it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// The commit at which reading stopped.
    pub commit: Option<CommitIndex>,
    /// Blocks of intact commits, and others that were asked for.
    pub blocks: BTreeSet<BlockRef>,
}

/// Reads stored commits; consensus appends.
pub struct CommitLog {
    store: ConsensusStore,
    recent: Mutex<VecDeque<Arc<SubDag>>>,
    tip: watch::Sender<CommitIndex>,
    damaged: watch::Sender<Damage>,
    /// Another signal than `damaged`, because another task waits for it: a watch wakes several in no certain order.
    repaired: Notify,
}

impl CommitLog {
    /// A log whose last commit is `tip`.
    #[must_use]
    pub fn new(store: ConsensusStore, tip: CommitIndex) -> Self {
        Self {
            store,
            recent: Mutex::default(),
            tip: watch::Sender::new(tip),
            damaged: watch::Sender::default(),
            repaired: Notify::new(),
        }
    }

    /// The log ends at `tip`: what came after it was damaged and is cut off.
    pub fn end_at(&self, tip: CommitIndex) {
        self.recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|sub_dag| sub_dag.commit.index <= tip);
        self.tip.send_replace(tip);
    }

    /// Hands on the next commit, which is **stored and synced**.
    pub fn publish(&self, sub_dag: SubDag) {
        let index = sub_dag.commit.index;
        assert_eq!(index, self.last().next(), "the commit log has no gaps");
        {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if recent.len() == RECENT_COMMITS {
                recent.pop_front();
            }
            recent.push_back(Arc::new(sub_dag));
        }
        self.tip.send_replace(index);
    }

    /// The index of the last stored commit, 0 if there is none.
    #[must_use]
    pub fn last(&self) -> CommitIndex {
        *self.tip.borrow()
    }

    /// Follows the index of the last stored commit.
    #[must_use]
    pub fn tip(&self) -> watch::Receiver<CommitIndex> {
        self.tip.subscribe()
    }

    /// Returns once something of the log was stored again. One task may wait.
    pub async fn something_repaired(&self) {
        self.repaired.notified().await;
    }

    /// Follows what of the log could not be read. One task may wait.
    #[must_use]
    pub fn damaged(&self) -> watch::Receiver<Damage> {
        self.damaged.subscribe()
    }

    /// These blocks are **stored** again.
    pub fn repaired_blocks(&self, blocks: &[VerifiedBlock]) {
        self.damaged.send_if_modified(|damage| {
            for block in blocks {
                damage.blocks.remove(&block.reference());
            }
            false
        });
        self.repaired.notify_one();
    }

    /// This commit is **stored** again.
    pub fn repaired_commit(&self, index: CommitIndex) {
        self.damaged.send_if_modified(|damage| {
            damage.commit = damage.commit.filter(|c| *c != index);
            false
        });
        self.repaired.notify_one();
    }

    /// At most `limit` commits from `from` on, in order; fewer at the tip, and before one that is
    /// damaged or has damaged blocks.
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

    /// This block was stored and is damaged, and somebody needs it: it is to be fetched again.
    pub fn miss_block(&self, block: BlockRef) {
        self.note_damage(|damage| {
            damage.blocks.insert(block);
        });
    }

    /// This commit was stored and is damaged, and somebody needs it: it is to be fetched again.
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
