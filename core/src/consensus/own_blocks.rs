//! This authority's own blocks for its subscribers: stored blocks in the order of rounds, from any round on.

use crate::{
    store::{ConsensusStore, StoreError},
    sync::{Mutex, MutexGuard},
    types::{AuthorityIndex, Round, VerifiedBlock},
};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::PoisonError,
};
use tokio::sync::Notify;

/// Number of newest own blocks kept decoded.
const RECENT_BLOCKS: usize = 64;

/// Blocks per read from the store.
const READ_BLOCKS: usize = 4;

/// What a subscription holds in memory while its peer takes blocks: it ends with the block with which it has this size, or
/// after so many blocks.
const PAGE_BYTES: usize = 1024 * 1024;
const PAGE_BLOCKS: usize = 64;

/// Number of blocks that were left out and are known as such. Older ones are sent like all others.
const MOST_LEFT_OUT: usize = 1024;

/// The source of all subscriptions.
pub(super) struct OwnBlocks {
    /// `None` for a follower, which has no blocks.
    own: Option<AuthorityIndex>,
    store: ConsensusStore,
    published: Mutex<Published>,
    /// Wakes the subscriptions in the order in which they started to wait. A `watch` would wake several waiting tasks
    /// in an order that is not deterministic.
    newer: Notify,
}

struct Published {
    newest: Round,
    recent: VecDeque<VerifiedBlock>,
    late: Late,
}

/// Which blocks of this process came too late for every commit. Pure.
#[derive(Default)]
struct Late {
    /// The blocks that a commit may still contain.
    open: BTreeSet<Round>,
    /// The newest blocks that no commit contains or will.
    left_out: BTreeSet<Round>,
}

impl Late {
    /// Notes which own blocks new commits contain, and that later ones contain no block up to `gc_round`.
    fn on_committed(&mut self, committed: impl IntoIterator<Item = Round>, gc_round: Round) {
        for round in committed {
            self.open.remove(&round);
        }
        let open = self.open.split_off(&gc_round.next());
        self.left_out
            .extend(std::mem::replace(&mut self.open, open));
        while self.left_out.len() > MOST_LEFT_OUT {
            self.left_out.pop_first();
        }
    }
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
                late: Late::default(),
            }),
            newer: Notify::new(),
        })
    }

    /// Publishes a block, which must be **stored and synced**.
    pub fn publish(&self, block: VerifiedBlock) {
        {
            let mut published = self.published();
            if published.recent.len() == RECENT_BLOCKS {
                published.recent.pop_front();
            }
            published.newest = block.round;
            published.late.open.insert(block.round);
            published.recent.push_back(block);
        }
        self.newer.notify_waiters();
    }

    /// Notes which own blocks new commits contain, and that later ones contain no block up to `gc_round`.
    pub fn on_committed(&self, committed: impl IntoIterator<Item = Round>, gc_round: Round) {
        self.published().late.on_committed(committed, gc_round);
    }

    /// Whether the block of `round` is still sent to a peer that subscribed when the newest own block was one of round
    /// `asked`.
    ///
    /// A block that no commit contains or will is of no use any more; on a slow link it would only make the next ones
    /// late as well. Its only readers are peers that do not know yet that it came too late: they find it among the
    /// ancestors of later blocks and request it. That costs a round trip for each block, so what a peer may need to catch
    /// up is sent nevertheless: blocks that commits contain, and all that it asked for when it subscribed.
    #[must_use]
    pub fn is_sent(&self, round: Round, asked: Round) -> bool {
        round <= asked || !self.published().late.left_out.contains(&round)
    }

    /// Drops what is known of the blocks besides their store: the next reads are from there.
    pub fn forget_recent(&self) {
        let mut published = self.published();
        (published.recent, published.late) = (VecDeque::new(), Late::default());
    }

    /// The number of decoded blocks.
    #[cfg(test)]
    pub fn recent(&self) -> usize {
        self.published().recent.len()
    }

    /// The round of the newest own block.
    #[must_use]
    pub fn newest(&self) -> Round {
        self.published().newest
    }

    /// Completes when the round of the newest own block is not `seen`.
    pub async fn newer_than(&self, seen: Round) {
        // Created before the check, so that it is notified of a block that is published afterwards.
        let newer = self.newer.notified();
        if self.newest() == seen {
            newer.await;
        }
    }

    /// The next own blocks above round `after`, in order, without damaged ones; empty if there are none yet.
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
                let mut bytes = 0;
                let newer = recent.iter().filter(|block| block.round > after);
                let page = newer.take_while(|block| {
                    let is_open = bytes < PAGE_BYTES;
                    bytes += block.bytes().len();
                    is_open
                });
                return Ok(page.cloned().collect());
            }
        }
        let Some(own) = self.own else {
            return Ok(vec![]);
        };
        let (mut page, mut bytes, mut from) = (vec![], 0, after.next());
        while page.len() < PAGE_BLOCKS && bytes < PAGE_BYTES {
            let read = self.store.blocks_of(own, from, READ_BLOCKS)?;
            let Some(last) = read.last() else {
                break;
            };
            from = last.round.next();
            bytes += read.iter().map(|block| block.bytes().len()).sum::<usize>();
            page.extend(read);
        }
        Ok(page)
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        self.published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::{
            BLOCKS, Durability, MemoryDisk, MemoryStores, Scan, ScanOrder, StoreFactory, WriteBatch,
        },
        types::{Block, ChainId, Epoch, KeyPair, SignatureScheme, TimestampMs},
    };

    const OWN: AuthorityIndex = AuthorityIndex(0);

    fn block(round: u32) -> VerifiedBlock {
        Block {
            epoch: Epoch(0),
            round: Round(round),
            author: OWN,
            timestamp_ms: TimestampMs(0),
            ancestors: vec![],
            transactions: vec![],
            commit_votes: vec![],
            end_of_epoch: false,
        }
        .sign(
            &KeyPair::from_seed(SignatureScheme::KeyedHash, &[1; 32]),
            ChainId::default(),
        )
    }

    /// Own blocks of the rounds 1 to 200 in a store, of which those up to this round are damaged.
    fn damaged_up_to(round: usize) -> OwnBlocks {
        let stores = MemoryStores::new(&MemoryDisk::default());
        let blocks: Vec<_> = (1..=200).map(block).collect();
        let store = ConsensusStore::open(&stores, Epoch(0)).unwrap();
        store.write(&blocks, &[], Durability::Synced).unwrap();
        drop(store);
        let raw = stores.open(&ConsensusStore::store_name(Epoch(0)), &[]);
        let raw = raw.unwrap();
        let scan = Scan {
            column: BLOCKS,
            range: &[]..&[0xff; 64],
            order: ScanOrder::Ascending,
            limit: round,
        };
        let mut batch = WriteBatch::default();
        for (key, _) in raw.scan(scan).unwrap() {
            batch.put(BLOCKS, &key, vec![0]);
        }
        raw.write(batch, Durability::Synced).unwrap();
        drop(raw);
        OwnBlocks::new(Some(OWN), ConsensusStore::open(&stores, Epoch(0)).unwrap()).unwrap()
    }

    #[test]
    fn blocks_that_no_commit_contains_are_left_out_when_they_are_collected() {
        let mut late = Late::default();
        late.open.extend([3, 4, 5, 6, 9].map(Round));
        late.on_committed([Round(4), Round(6)], Round(3));
        assert_eq!(late.left_out, [Round(3)].into());
        late.on_committed([], Round(6));
        assert_eq!(late.left_out, [3, 5].map(Round).into());
        assert_eq!(late.open, [Round(9)].into());
        late.open.extend((10..2_000).map(Round));
        late.on_committed([], Round(2_000));
        assert_eq!(late.left_out.len(), MOST_LEFT_OUT);
        assert!(late.left_out.contains(&Round(1_999)));
    }

    #[test]
    fn blocks_behind_damaged_ones_are_found() {
        for damaged in [0, 1, PAGE_BLOCKS - 1, PAGE_BLOCKS, 3 * PAGE_BLOCKS, 199] {
            let own_blocks = damaged_up_to(damaged);
            let next = own_blocks.after(Round(0)).unwrap();
            let first = next.first().map(|block| block.round);
            assert_eq!(first, Some(Round(damaged as u32 + 1)), "{damaged} damaged");
        }
        assert!(damaged_up_to(200).after(Round(0)).unwrap().is_empty());
    }
}
