//! This authority's own blocks as they are offered to peers: stored ones only, in order of rounds, from any round on.

use crate::{
    store::{ConsensusStore, StoreError},
    types::{AuthorityIndex, Round, VerifiedBlock},
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// The newest own blocks that are kept decoded.
const RECENT_BLOCKS: usize = 64;

/// Blocks read from the store at once.
const PAGE_BLOCKS: usize = 64;

/// Feeds every subscription.
pub struct OwnBlocks {
    own: AuthorityIndex,
    store: Arc<ConsensusStore>,
    recent: Mutex<VecDeque<VerifiedBlock>>,
    newest: watch::Sender<Round>,
}

impl OwnBlocks {
    /// `newest` is the round of the last stored own block.
    #[must_use]
    pub fn new(own: AuthorityIndex, store: Arc<ConsensusStore>, newest: Round) -> Self {
        Self {
            own,
            store,
            recent: Mutex::default(),
            newest: watch::Sender::new(newest),
        }
    }

    /// Offers a block that is **stored and synced**.
    pub fn publish(&self, block: VerifiedBlock) {
        let round = block.round;
        {
            let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if recent.len() == RECENT_BLOCKS {
                recent.pop_front();
            }
            recent.push_back(block);
        }
        self.newest.send_replace(round);
    }

    /// Follows the round of the newest own block.
    #[must_use]
    pub fn newest(&self) -> watch::Receiver<Round> {
        self.newest.subscribe()
    }

    /// The next own blocks above `after`, in order; none if there are none yet.
    ///
    /// # Errors
    /// If the store fails.
    pub fn after(&self, after: Round) -> Result<Vec<VerifiedBlock>, StoreError> {
        if *self.newest.borrow() <= after {
            return Ok(vec![]);
        }
        {
            let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
            if recent
                .front()
                .is_some_and(|first| first.round <= after.next())
            {
                return Ok(recent.iter().filter(|b| b.round > after).cloned().collect());
            }
        }
        self.store.blocks_of(self.own, after.next(), PAGE_BLOCKS)
    }
}
