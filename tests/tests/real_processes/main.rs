//! The binaries as they are deployed: real processes, sockets, signals and RocksDB.
//!
//! Only in the build without `--cfg madsim`. Runs the binaries of `make real`, which must come before; `make test` does
//! both. The tests observe the logs of the processes and the replies of the executors.

#![cfg(not(madsim))]
#![allow(clippy::unwrap_used)] // clippy sees tests only in functions that are marked as such

mod check_config;
mod client;
mod conformance;
mod faulty_master;
mod guide;
mod hostile_bytes;
mod interop;
mod localnet;
mod machines;
mod metrics;
mod old_transport;
mod parity;
mod process;
mod soak;
mod stand_in;
mod strangers;
mod three_machines;
mod transactions;
mod validator;

use metanode_core::types::Address;
use process::{Process, binary, gei};
use std::{fs, process::Command};
use tempfile::TempDir;
use validator::{NODE_EXAMPLE, Validator, validators};

/// Asserts that a restart follows contract §6: the node queries W first, replays what it has stored above W, and its
/// stream begins at W+1.
async fn assert_resumes(node: &mut Process, watermark: u64) {
    let asked = node.line(&["[STARTUP]", "learns from its executor"]).await;
    assert_eq!(gei(&asked), watermark, "{asked}");
    let learned = format!(" last_global_exec_index={watermark} ");
    assert!(asked.contains(&learned), "{asked}");
    let plan = node.line(&["[STARTUP]", "plans: epoch 0"]).await;
    let from_next = format!("replay commits {}..=", watermark + 1);
    let nothing = format!("nothing to replay, {watermark} commits are durable");
    assert!(
        plan.contains(&from_next) || plan.contains(&nothing),
        "{plan}"
    );
    let after = format!(" replay_after_commit_index={watermark} skipped={watermark} replayed=");
    assert!(plan.contains(&after), "{plan}");
    let consumer = node.line(&["[STARTUP]", "creates the consumer"]).await;
    assert_eq!(gei(&consumer), watermark + 1, "{consumer}");
    let stream = node.line(&["[SEQUENTIAL-BUFFER]", "delivers from"]).await;
    assert_eq!(gei(&stream), watermark + 1, "{stream}");
}

/// The last block that an executor read from this stream, once the stream has ended.
async fn all_received(executor: &mut Process, stream: u64) -> u64 {
    executor.line(&[&format!("closes stream {stream}")]).await;
    let read = format!("from stream {stream} ");
    let log = executor.log();
    let last = log
        .lines()
        .rfind(|line| line.contains("reads GEI") && line.contains(&read));
    gei(last.expect("blocks came over this stream"))
}

/// Asserts that this incarnation of an executor executed every block above `watermark`, in order and once.
fn assert_executed_once(executor: &Process, watermark: u64) {
    let log = executor.log();
    let executed = log.lines().filter(|line| line.contains("executes GEI"));
    for (expected, line) in (watermark + 1..).zip(executed) {
        assert_eq!(gei(line), expected, "{line}");
    }
    assert!(!log.contains("refuses GEI"), "{log}");
}

#[test]
fn an_invalid_configuration_is_reported_with_its_line() {
    let root = TempDir::new().unwrap();
    let config = root.path().join("node.toml");
    fs::write(&config, NODE_EXAMPLE.replace("[delivery]", "[delivry]")).unwrap();
    let line = 1 + NODE_EXAMPLE
        .lines()
        .position(|line| line == "[delivery]")
        .unwrap();
    let output = Command::new(binary("metanode"))
        .args(["run", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    let place = format!("metanode: {}:{line}: ", config.display());
    assert!(
        error.starts_with(&place) && error.contains("delivry"),
        "{error}"
    );
}

#[tokio::test]
async fn a_log_in_json_has_one_object_per_line() {
    let root = TempDir::new().unwrap();
    let mut all = validators(root.path(), 1);
    let mut command = Command::new(binary("metanode"));
    command
        .args(["run", "--log-format", "json", "--config"])
        .arg(all[0].node_config());
    let mut node = Process::start(&mut command, all[0].next_log("node"));
    node.line(&["waits (attempt 1): ", "no such file"]).await;
    for line in node.log().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        for key in ["timestamp", "level", "target", "message"] {
            assert!(line[key].is_string(), "{key}: {line}");
        }
    }
    node.kill().await;
}

/// One validator of a committee of four, started with `SINGLE_NODE=1`.
#[tokio::test]
async fn a_single_node_executes_blocks_and_resumes() {
    let root = TempDir::new().unwrap();
    let mut all = validators(root.path(), 4);
    let validator = &mut all[0];
    let alone = [("SINGLE_NODE", "1")];

    // The node waits for its executor.
    let mut node = validator.start_node(&alone);
    node.line(&["[STARTUP]", "waits", "no such file"]).await;
    let executor = validator.start_executor();
    validator.reaches(20).await;
    node.stop().await;
    executor.stop().await;
    let sockets = [
        &validator.executor.block_stream_address,
        &validator.executor.rpc_address,
    ];
    for socket in sockets {
        let Address::Unix(path) = socket else {
            panic!("{socket} is no Unix socket")
        };
        assert!(!path.exists(), "{socket} was left behind");
    }

    let mut executor = validator.start_executor();
    let watermark = gei(&executor.line(&["[STARTUP]", "finds block"]).await);
    assert!(watermark >= 20);
    let mut node = validator.start_node(&alone);
    assert_resumes(&mut node, watermark).await;
    let last = validator.reaches(watermark + 20).await;
    assert_executed_once(&executor, watermark);
    let found = validator.blocks(last).await;
    assert!(
        found
            .iter()
            .map(|block| block.global_exec_index)
            .eq(1..=last)
    );
    node.stop().await;
    executor.stop().await;
}

#[tokio::test]
async fn four_validators_go_from_epoch_to_epoch() {
    let root = TempDir::new().unwrap();
    let mut all = validators(root.path(), 4);
    for validator in &mut all {
        validator.node.consensus.epoch_duration_ms = 500;
        validator.node.consensus.epoch_start_granularity_ms = 100;
    }
    let executors: Vec<_> = all.iter_mut().map(Validator::start_executor).collect();
    let mut nodes: Vec<_> = all.iter_mut().map(|v| v.start_node(&[])).collect();
    for node in &mut nodes {
        for epoch in 1..=5 {
            let opens = format!("opens epoch {epoch} ");
            node.line(&["[EPOCH TRANSITION]", &opens]).await;
        }
    }
    // A node is killed, and finds the others one or more epochs ahead after its restart.
    nodes.remove(3).kill().await;
    nodes[0]
        .line(&["[EPOCH TRANSITION]", "opens epoch 7 "])
        .await;
    let mut back = all[3].start_node(&[]);
    back.line(&["[EPOCH TRANSITION]", "opens epoch 7 "]).await;
    nodes.push(back);

    let tip = all[0].reaches(1).await;
    let mut chains = vec![];
    for validator in &all {
        validator.reaches(tip).await;
        chains.push(validator.blocks(tip).await);
    }
    let numbers = chains[0].iter().map(|block| block.global_exec_index);
    assert!(numbers.eq(1..=tip));
    let last = chains[0].last().unwrap();
    assert!(last.epoch >= 6, "{}", last.epoch);
    assert!(chains.iter().all(|chain| *chain == chains[0]), "one chain");
    for process in nodes.into_iter().chain(executors) {
        process.stop().await;
    }
}

#[tokio::test]
async fn four_validators_go_on_while_one_is_killed_and_comes_back() {
    let root = TempDir::new().unwrap();
    let mut all = validators(root.path(), 4);
    let mut executors: Vec<_> = all.iter_mut().map(Validator::start_executor).collect();
    let mut nodes: Vec<_> = all.iter_mut().map(|v| v.start_node(&[])).collect();
    for validator in &all {
        validator.reaches(10).await;
    }

    // A node is killed; its executor executes what it has received, and the others go on.
    nodes.remove(3).kill().await;
    let sent = all_received(&mut executors[3], 1).await;
    let watermark = all[3].reaches(sent).await;
    assert_eq!(watermark, sent, "no other node delivers");
    let others = all[0].reaches(watermark + 20).await;
    let mut back = all[3].start_node(&[]);
    assert_resumes(&mut back, watermark).await;
    nodes.push(back);
    all[3].reaches(others).await;

    // An executor is killed and leaves its sockets behind; its node waits and resumes above the durable watermark.
    executors.remove(2).kill().await;
    nodes[2]
        .line(&["[SEQUENTIAL-BUFFER]", "loses stream 1"])
        .await;
    let mut executor = all[2].start_executor();
    let durable = gei(&executor.line(&["[STARTUP]", "finds block"]).await);
    let tip = all[2].reaches(durable + 10).await;
    assert_executed_once(&executor, durable);
    executors.insert(2, executor);

    let mut chains = vec![];
    for validator in &all {
        validator.reaches(tip).await;
        chains.push(validator.blocks(tip).await);
    }
    assert!(
        chains[0]
            .iter()
            .map(|block| block.global_exec_index)
            .eq(1..=tip)
    );
    assert!(chains.iter().all(|chain| *chain == chains[0]), "one chain");
    for process in nodes.into_iter().chain(executors) {
        process.stop().await;
    }
}
