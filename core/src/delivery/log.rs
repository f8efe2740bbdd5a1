//! The commit log as delivery sees it: the store, a small cache of the newest commits, and a signal when it grows.

use crate::{
    store::{ConsensusStore, StoreError},
    types::{CommitIndex, SubDag},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// The newest commits that are kept decoded, so that live delivery does not read back what was just written.
const RECENT_COMMITS: usize = 32;

/// Reads stored commits; consensus appends.
pub struct CommitLog {
    store: Arc<ConsensusStore>,
    recent: Mutex<VecDeque<Arc<SubDag>>>,
    tip: watch::Sender<CommitIndex>,
}

impl CommitLog {
    /// A log whose last commit is `tip`.
    #[must_use]
    pub fn new(store: Arc<ConsensusStore>, tip: CommitIndex) -> Self {
        Self {
            store,
            recent: Mutex::default(),
            tip: watch::Sender::new(tip),
        }
    }

    /// Hands on a commit that is **stored and synced**.
    pub fn publish(&self, sub_dag: SubDag) {
        let index = sub_dag.commit.index;
        {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if recent.len() == RECENT_COMMITS {
                recent.pop_front();
            }
            recent.push_back(Arc::new(sub_dag));
        }
        self.tip.send_replace(index);
    }

    /// Follows the index of the last stored commit.
    #[must_use]
    pub fn tip(&self) -> watch::Receiver<CommitIndex> {
        self.tip.subscribe()
    }

    /// At most `limit` commits from `from` on, in order; fewer at the tip.
    ///
    /// # Errors
    /// If the store fails or a commit's block is damaged or gone.
    pub fn read(&self, from: CommitIndex, limit: usize) -> Result<Vec<Arc<SubDag>>, StoreError> {
        let tip = *self.tip.borrow();
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
        self.store
            .commits(from, last)?
            .iter()
            .map(|commit| self.store.sub_dag(commit).map(Arc::new))
            .collect()
    }
}
