//! Many schedules of what the core shares with the tasks that serve peers: own blocks, and the epochs.

use super::{
    archive::{Archive, RetainedEpoch},
    own_blocks::OwnBlocks,
};
use crate::{
    env::{Event, EventSink, Unmonitored},
    peers::{Sessions, SharedRandom},
    schedules::{self, block},
    store::{ConsensusStore, Durability, MemoryDisk, MemoryStores},
    types::{
        AuthorityIndex, Chain, Epoch, EpochBase, EpochStart, GlobalExecIndex, Round, TimestampMs,
    },
};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use std::sync::Arc;

const ROUNDS: u32 = 5;
const SUBSCRIBERS: usize = 3;

/// # Panics
/// If a schedule shows a defect.
pub fn check() {
    schedules::run(subscribe);
    schedules::run(enter_next_epoch);
}

/// Every subscriber gets every block once, in order, and is woken for the last one.
async fn subscribe() {
    let stores = MemoryStores::new(&MemoryDisk::default());
    let store = ConsensusStore::open(&stores, Epoch(0)).expect("memory");
    let own_blocks = OwnBlocks::new(Some(AuthorityIndex(0)), store.clone()).expect("memory");
    let own_blocks = Arc::new(own_blocks);
    let subscribers = (0..SUBSCRIBERS).map(|_| tokio::spawn(receive_all(own_blocks.clone())));
    let subscribers: Vec<_> = subscribers.collect();
    for round in 1..=ROUNDS {
        let block = block(round, vec![]);
        let stored = store.write(std::slice::from_ref(&block), &[], Durability::Synced);
        stored.expect("memory");
        own_blocks.publish(block);
    }
    for subscriber in subscribers {
        subscriber.await.expect("no panic");
    }
}

/// As the server streams them.
async fn receive_all(own_blocks: Arc<OwnBlocks>) {
    let mut after = Round(0);
    while after < Round(ROUNDS) {
        let seen = own_blocks.newest();
        let blocks = own_blocks.after(after).expect("memory");
        for block in &blocks {
            assert_eq!(block.round, after.next());
            after = block.round;
        }
        if blocks.is_empty() {
            own_blocks.newer_than(seen).await;
        }
    }
}

/// Peers that wait for the next epoch are woken when it is added.
async fn enter_next_epoch() {
    let archive = Arc::new(Archive::default());
    archive.add(retained(0));
    let waiting = (0..SUBSCRIBERS).map(|_| {
        let archive = archive.clone();
        tokio::spawn(async move { archive.find(Epoch(1)).await.is_some() })
    });
    let waiting: Vec<_> = waiting.collect();
    archive.add(retained(1));
    archive.run(Epoch(1));
    for found in waiting {
        assert!(found.await.expect("no panic"));
    }
}

struct Nobody;

impl EventSink for Nobody {
    fn emit(&self, _: Event) {}
}

fn retained(epoch: u64) -> Arc<RetainedEpoch> {
    let stores = MemoryStores::new(&MemoryDisk::default());
    let store = ConsensusStore::open(&stores, Epoch(epoch)).expect("memory");
    let start = EpochStart {
        base: EpochBase {
            epoch: Epoch(epoch),
            base: GlobalExecIndex(0),
        },
        timestamp_ms: TimestampMs(0),
        committee: schedules::committee(),
        chain: Chain::default(),
    };
    // The only member has no peers.
    let sessions = Sessions::new(
        Chain::default(),
        schedules::committee(),
        None,
        schedules::network_keys(),
        SharedRandom::new(ChaCha8Rng::from_seed([1; 32])),
        Arc::new(Nobody),
    );
    let retained = RetainedEpoch::new(Arc::new(Unmonitored), start, None, sessions, store);
    Arc::new(retained.expect("memory"))
}
