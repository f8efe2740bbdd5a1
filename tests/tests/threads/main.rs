//! Nodes as in production, on several threads, which overtake each other wherever a node meets its environment: at events,
//! at crash points, at calls of the disk and of the network. The simulation runs all tasks on one thread, so it cannot show
//! what depends on that.
//!
//! | file | content |
//! |---|---|
//! | `random` | where threads are overtaken |
//! | `facts` | what processes report, and its verdict |
//! | `process` | the environment of one incarnation of a process, which can lose its power |
//! | `network` | sockets in memory that break |
//! | `world` | nodes, executors, clients |
//! | `slow_disk` | a task that waits for the disk does not hold up others |
//! | `panic` | a panic of any task ends the process |
//!
//! Only in the build without `--cfg madsim`. No schedule can be repeated: a failure is a reason to read the code, and the
//! long form of each test (`make soak`) makes it likelier.

#![cfg(not(madsim))]
#![allow(clippy::unwrap_used)] // clippy sees tests only in functions that are marked as such

mod facts;
mod network;
mod panic;
mod process;
mod random;
mod slow_disk;
mod world;

use mock_go_executor::Reports;
use tokio::task::JoinHandle;
use world::World;

/// Window, sender, reconnects and watermark. The executor loses blocks that it has reported, so that the window is reset,
/// too.
async fn delivers(seed: u64, steps: u64) {
    let mut world = World::start(seed, 1, |_, executor| {
        executor.manners.reports = Reports::Executed;
        executor.flush_every_blocks = [3, 30];
        executor.flush_idle_ms = 20;
    });
    for _ in 0..steps {
        world.commits(world.random.from(0..12)).await;
        world.restart_something().await;
    }
    world.advances(10).await;
    let counts = world.facts.read(|known| known.counts.clone());
    for reached in ["connections", "pauses", "rewinds"] {
        assert!(counts.contains_key(reached), "{reached}: {counts:?}");
    }
    world.end().await;
}

/// Many clients of a journal whose node loses its power.
async fn keeps_what_it_took(seed: u64, count: u32) {
    let mut world = World::start(seed, 1, |_, _| {});
    let clients = (0..6).map(|number| tokio::spawn(world.client(0, number, count).run()));
    let clients: Vec<_> = clients.collect();
    while !are_done(&clients) {
        world.commits(world.random.from(0..12)).await;
        world.restart_something().await;
    }
    world.advances(10).await;
    world.keeps_promises().await;
    let promised = world.facts.read(|known| known.promised.len());
    assert_eq!(promised, 6 * count as usize);
    world.end().await;
}

/// Members that go from epoch to epoch.
async fn agree(seed: u64, count: u32) {
    let mut world = World::start(seed, 4, |node, _| node.consensus.epoch_duration_ms = 400);
    let clients = (0..4).map(|member| {
        let client = world.client(member.into(), member, count);
        tokio::spawn(client.run())
    });
    let clients: Vec<_> = clients.collect();
    while !are_done(&clients) {
        world.commits(world.random.from(0..12)).await;
        world.restart_something().await;
    }
    world.advances(10).await;
    world.keeps_promises().await;
    let second = |epoch: &u64| *epoch > 0;
    (world.facts)
        .until("a second epoch", |known| known.epochs.values().all(second))
        .await;
    world.end().await;
}

fn are_done(clients: &[JoinHandle<()>]) -> bool {
    clients.iter().all(JoinHandle::is_finished)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn delivery() {
    delivers(1, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn journal() {
    keeps_what_it_took(2, 3_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn consensus() {
    agree(3, 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "minutes"]
async fn for_longer() {
    for seed in 0..20 {
        delivers(seed, 300).await;
        keeps_what_it_took(seed, 20_000).await;
        agree(seed, 3_000).await;
    }
}
