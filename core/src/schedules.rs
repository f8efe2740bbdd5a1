//! What tests of schedules share. Built with `--cfg shuttle`, tokio and `sync` belong to a scheduler that may switch between
//! tasks at every use of a lock, an atomic, a channel or a signal. So it finds what depends on the order of two steps on
//! several threads, and lost wake-ups, which end in a deadlock. Timers are over at once.

use crate::{
    env::{
        Computed, Env, EventSink, Network, Unmonitored,
        real::{NoCrashPoints, OsClock, OsEntropy},
    },
    store::StoreFactory,
    types::{
        Authority, AuthorityIndex, Block, ChainId, Commit, CommitDigest, CommitIndex, Committee,
        Encryption, Epoch, KeyPair, NetworkKeyPair, Round, SignatureScheme, Stake, SubDag,
        TimestampMs, Transaction, VerifiedBlock,
    },
};
use shuttle::{Config, MaxSteps, Runner, scheduler::RandomScheduler};
use std::{env::var, sync::Arc};

/// Schedules that are tried, unless the variable `SCHEDULES` says another number.
const SCHEDULES: usize = 2_000;

/// Steps of a schedule, at most: nothing goes on for ever.
const MOST_STEPS: usize = 200_000;

/// Runs a test with many schedules.
///
/// # Panics
/// If the test panics in one of them, or does not end; with its schedule.
pub fn run<F: Future<Output = ()> + 'static>(test: fn() -> F) {
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    config.max_steps = MaxSteps::FailAfter(MOST_STEPS);
    let schedules = var("SCHEDULES").ok().and_then(|it| it.parse().ok());
    let scheduler = RandomScheduler::new(schedules.unwrap_or(SCHEDULES));
    Runner::new(scheduler, config).run(move || shuttle::future::block_on(test()));
}

/// An environment in which nothing is real but the time of day.
pub(crate) fn env(
    network: Arc<dyn Network>,
    events: Arc<dyn EventSink>,
    stores: Arc<dyn StoreFactory>,
) -> Env {
    Env {
        network,
        clock: Arc::new(OsClock),
        stores,
        entropy: Arc::new(OsEntropy::new().expect("randomness")),
        crash_points: Arc::new(NoCrashPoints),
        events,
        monitor: Arc::new(Unmonitored),
        hashes: Arc::new(Computed),
    }
}

fn keys() -> KeyPair {
    KeyPair::from_seed(SignatureScheme::KeyedHash, &[1; 32])
}

/// The network keys of the only member.
pub(crate) fn network_keys() -> NetworkKeyPair {
    NetworkKeyPair::from_seed(Encryption::Readable, &[1; 32])
}

/// A block of the only member.
pub(crate) fn block(round: u32, transactions: Vec<Transaction>) -> VerifiedBlock {
    Block {
        epoch: Epoch(0),
        round: Round(round),
        author: AuthorityIndex(0),
        timestamp_ms: TimestampMs(0),
        ancestors: vec![],
        transactions,
        commit_votes: vec![],
        end_of_epoch: false,
    }
    .sign(&keys(), ChainId::default())
}

/// The commit of one block.
pub(crate) fn sub_dag(index: u32, previous: CommitDigest, block: VerifiedBlock) -> SubDag {
    let commit = Commit {
        epoch: Epoch(0),
        index: CommitIndex(index),
        previous,
        leader: block.reference(),
        timestamp_ms: TimestampMs(0),
        epoch_began_ms: TimestampMs(0),
        ending: vec![],
        blocks: vec![block.reference()],
    };
    SubDag {
        reference: commit.reference(),
        commit,
        blocks: vec![block],
    }
}

/// A committee of one.
pub(crate) fn committee() -> Arc<Committee> {
    let authority = Authority {
        network_key: network_keys().public(),
        authority_key: vec![1],
        protocol_key: keys().public(),
        stake: Stake(1),
        address: [1; 20],
        p2p_address: ([0, 0, 0, 0], 0).into(),
        name: "alone".to_owned(),
    };
    Arc::new(Committee::new(Epoch(0), vec![authority]).expect("a member"))
}

/// The first commits of that committee.
pub(crate) fn chain(commits: u32) -> Vec<SubDag> {
    let mut previous = CommitDigest::default();
    let commits = (1..=commits).map(|index| {
        let sub_dag = sub_dag(index, previous, block(index, vec![]));
        previous = sub_dag.reference.digest;
        sub_dag
    });
    commits.collect()
}
