//! Four validators, each with a Sub, under load, while processes are killed at random: what a client was told is executed, and
//! all executors and Subs have the same blocks and the same state.
//!
//! `make soak` runs the long form.

use crate::{
    client::{Client, batch, transfer},
    process::{Process, binary, eventually},
    validator::{Validator, validators},
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::PathBuf,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;

const VALIDATORS: u16 = 4;
const BATCH: u32 = 50;

/// What was promised, all clients together.
#[derive(Default)]
struct Promised {
    count: AtomicUsize,
    transactions: Mutex<BTreeSet<Vec<u8>>>,
}

impl Promised {
    fn add(&self, transactions: &[Vec<u8>]) {
        let mut all = self.transactions.lock().unwrap();
        all.extend(transactions.iter().cloned());
        self.count.store(all.len(), Ordering::Relaxed);
    }
}

/// A process that may be killed, and how it is started again.
struct Target {
    process: Option<Process>,
    kind: Kind,
    validator: usize,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Node,
    Executor,
    Sub,
}

fn start(kind: Kind, validator: &mut Validator) -> Process {
    match kind {
        Kind::Node => validator.start_node(&[]),
        Kind::Executor => validator.start_executor(),
        Kind::Sub => start_sub(validator),
    }
}

fn local_path(validator: &Validator) -> PathBuf {
    validator.transaction_path().with_file_name("sub.sock")
}

fn start_sub(validator: &mut Validator) -> Process {
    let node = validator.transaction_path();
    let config = node.with_file_name("sub.toml");
    let text = format!(
        "transaction_socket_path = \"{}\"\nlisten_address = \"{}\"\n[limits]\nworkers = 2\nretry_max_ms = 500\n\
         [follow]\nmaster_address = \"{}\"\ndata_dir = \"{}\"\nrange_blocks = 50\n",
        node.display(),
        local_path(validator).display(),
        validator.rpc_address(),
        node.with_file_name("sub").display(),
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new(binary("mock-go-executor"));
    command
        .args(["sub", "--log", "debug", "--config"])
        .arg(&config);
    Process::start(&mut command, validator.next_log("sub"))
}

/// Time until a client tries again.
const PAUSE: Duration = Duration::from_millis(50);

/// Sends the transactions of one sender in batches over a Sub, each until it is answered with success.
async fn send_all(path: PathBuf, sender: u8, count: u32, promised: Arc<Promised>) {
    let mut client: Option<Client> = None;
    for first in (0..count).step_by(BATCH as usize) {
        let nonces = first..count.min(first + BATCH);
        let transactions: Vec<_> = nonces.map(|nonce| transfer(sender, nonce, 100)).collect();
        let body = batch(&transactions);
        loop {
            let (path, body, connected) = (path.clone(), body.clone(), client.take());
            let asked = tokio::task::spawn_blocking(move || {
                let mut client = connected.map_or_else(|| Client::connect(&path), Ok)?;
                let reply = client.ask(&body)?;
                io::Result::Ok((client, reply))
            });
            match asked.await.unwrap() {
                Ok((connected, reply)) => {
                    client = Some(connected);
                    if reply.starts_with("{\"success\":true,") {
                        break;
                    }
                }
                // The Sub has died. What it has not answered is sent again.
                Err(_) => client = None,
            }
            tokio::time::sleep(PAUSE).await;
        }
        promised.add(&transactions);
    }
}

/// The different transactions in the blocks of this executor up to this one.
async fn delivered(validator: &Validator, tip: u64) -> BTreeSet<Vec<u8>> {
    let blocks = validator.blocks(tip).await;
    let blocks = blocks.iter().flat_map(|block| &block.blocks);
    let transactions = blocks.flat_map(|block| &block.transactions);
    transactions.map(|it| it.digest.to_vec()).collect()
}

/// Block and state root in the log line of an execution.
fn executed(line: &str) -> (u64, String) {
    let (_, rest) = line.split_once("executes GEI ").unwrap();
    let (gei, rest) = rest.split_once(',').unwrap();
    let (_, rest) = rest.split_once("root ").unwrap();
    let root = rest.split(' ').next().unwrap();
    (gei.parse().unwrap(), root.to_owned())
}

async fn soak(seed: u64, transactions: u32, kills: u32) {
    let root = TempDir::new().unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut all = validators(root.path(), VALIDATORS);
    let mut targets = vec![];
    for kind in [Kind::Executor, Kind::Node, Kind::Sub] {
        for (index, validator) in all.iter_mut().enumerate() {
            targets.push(Target {
                process: Some(start(kind, validator)),
                kind,
                validator: index,
            });
        }
    }
    let promised = Arc::new(Promised::default());
    let clients: Vec<_> = (0u8..)
        .zip(&all)
        .map(|(sender, validator)| {
            let (path, promised) = (local_path(validator), promised.clone());
            let count = transactions / u32::from(VALIDATORS);
            tokio::spawn(send_all(path, 1 + sender, count, promised))
        })
        .collect();

    for kill in 1..=kills {
        let progress = transactions as usize * kill as usize / (kills as usize + 1);
        eventually("promises", async || {
            (promised.count.load(Ordering::Relaxed) >= progress).then_some(())
        })
        .await;
        let position = random.next_u64() as usize % targets.len();
        let target = &mut targets[position];
        target.process.take().unwrap().kill().await;
        tokio::time::sleep(Duration::from_millis(random.next_u64() % 1_000)).await;
        target.process = Some(start(target.kind, &mut all[target.validator]));
    }
    for client in clients {
        client.await.unwrap();
    }

    let promised = promised.transactions.lock().unwrap().clone();
    assert_eq!(promised.len(), transactions as usize);
    let tip = eventually(
        "all that was promised in the blocks of an executor",
        async || {
            let tip = all[0].watermark().await?;
            let delivered = delivered(&all[0], tip).await;
            promised.is_subset(&delivered).then_some(tip)
        },
    )
    .await;
    let mut chains = vec![];
    for validator in &all {
        validator.reaches(tip).await;
        chains.push(validator.blocks(tip).await);
    }
    assert!(chains.iter().all(|chain| *chain == chains[0]), "one chain");
    for target in targets.iter_mut().filter(|it| matches!(it.kind, Kind::Sub)) {
        let sub = target.process.as_mut().unwrap();
        sub.line(&[&format!("executes GEI {tip},")]).await;
    }
    let mut roots = BTreeMap::new();
    for line in all.iter().flat_map(Validator::executions) {
        let (gei, root) = executed(&line);
        let known = roots.entry(gei).or_insert_with(|| root.clone());
        assert_eq!(*known, root, "{line}");
    }
    assert!((1..=tip).all(|gei| roots.contains_key(&gei)));
    for target in targets.iter_mut().rev() {
        target.process.take().unwrap().stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promised_is_executed_although_processes_are_killed() {
    soak(1, 10_000, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "minutes: `make soak`"]
async fn what_was_promised_is_executed_although_many_processes_are_killed() {
    soak(2, 100_000, 20).await;
}
