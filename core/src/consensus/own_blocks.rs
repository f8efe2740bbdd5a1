//! This authority's own blocks as they are offered to peers: stored ones only, in order of rounds, from any round on.

use crate::{
    store::{ConsensusStore, StoreError},
    types::{AuthorityIndex, Round, VerifiedBlock},
};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// The newest own blocks that are kept decoded.
const RECENT_BLOCKS: usize = 64;

/// Blocks read from the store at once.
const PAGE_BLOCKS: usize = 64;

/// Feeds every subscription.
pub struct OwnBlocks {
    /// Nobody's, if this node only follows: then there is nothing to offer.
    own: Option<AuthorityIndex>,
    store: ConsensusStore,
    published: Mutex<Published>,
    /// Wakes the subscriptions in the order in which they began to wait. A `watch` would wake several in an order of
    /// its own making, which no seed decides.
    newer: Notify,
}

struct Published {
    newest: Round,
    recent: VecDeque<VerifiedBlock>,
}

impl OwnBlocks {
    /// # Errors
    /// If the store fails.
    pub fn new(own: Option<AuthorityIndex>, store: ConsensusStore) -> Result<Self, StoreError> {
        let newest = match own {
            Some(own) => store.newest_round_of(own)?.unwrap_or_default(),
            None => Round(0),
        };
        Ok(Self {
            own,
            store,
            published: Mutex::new(Published {
                newest,
                recent: VecDeque::new(),
            }),
            newer: Notify::new(),
        })
    }

    /// Offers a block that is **stored and synced**.
    pub fn publish(&self, block: VerifiedBlock) {
        {
            let mut published = self.published();
            if published.recent.len() == RECENT_BLOCKS {
                published.recent.pop_front();
            }
            published.newest = block.round;
            published.recent.push_back(block);
        }
        self.newer.notify_waiters();
    }

    /// The round of the newest own block.
    #[must_use]
    pub fn newest(&self) -> Round {
        self.published().newest
    }

    /// Completes when the newest own block is another than at round `seen`.
    pub async fn newer_than(&self, seen: Round) {
        // Made before the look: what is published from here on wakes it.
        let newer = self.newer.notified();
        if self.newest() == seen {
            newer.await;
        }
    }

    /// The next own blocks above `after`, in order; none if there are none yet.
    ///
    /// # Errors
    /// If the store fails.
    pub fn after(&self, after: Round) -> Result<Vec<VerifiedBlock>, StoreError> {
        {
            let published = self.published();
            if published.newest <= after {
                return Ok(vec![]);
            }
            let recent = &published.recent;
            if recent
                .front()
                .is_some_and(|first| first.round <= after.next())
            {
                return Ok(recent.iter().filter(|b| b.round > after).cloned().collect());
            }
        }
        let Some(own) = self.own else {
            return Ok(vec![]);
        };
        self.store.blocks_of(own, after.next(), PAGE_BLOCKS)
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
