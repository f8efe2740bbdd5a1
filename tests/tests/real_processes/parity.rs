//! The history of contract §6 with real processes: what `parity.rs` has in simulation, to the state roots.

mod history;

use crate::{
    client::{Client, batch},
    process::{Process, binary, eventually},
    validator::{Validator, validators},
};
use history::{DURABLE, Incarnation, STORED, text};
use metanode_core::env::trace_line::{TraceEvent, TraceLine};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// What the simulation says.
const SIMULATED: &str = include_str!("../snapshots/parity__ten_stored_and_seven_durable.snap");

/// The event logs of one incarnation.
struct Logs {
    node: PathBuf,
    executor: PathBuf,
}

impl Logs {
    fn new(root: &Path, incarnation: u32) -> Self {
        let at = |process: &str| root.join(format!("{process}-{incarnation}.jsonl"));
        Self {
            node: at("node"),
            executor: at("executor"),
        }
    }

    fn start(&self, validator: &mut Validator) -> [Process; 2] {
        let mut executor = Command::new(binary("mock-go-executor"));
        executor
            .args(["run", "--config"])
            .arg(validator.executor_config());
        executor.arg("--event-log").arg(&self.executor);
        let mut node = Command::new(binary("metanode"));
        node.args(["run", "--config"]).arg(validator.node_config());
        node.arg("--event-log").arg(&self.node);
        [
            Process::start(&mut executor, validator.next_log("executor")),
            Process::start(&mut node, validator.next_log("node")),
        ]
    }

    async fn has(&self, log: &Path, what: &str, is_it: impl Fn(&TraceEvent) -> bool) {
        eventually(what, async || events(log).iter().any(&is_it).then_some(())).await;
    }

    async fn is_durable_at(&self, gei: u64) {
        let is_it = |event: &TraceEvent| matches!(event, TraceEvent::WatermarkDurable { watermark } if watermark.0 == gei);
        self.has(&self.executor, &format!("durable at {gei}"), is_it)
            .await;
    }

    async fn is_known(&self, gei: u64) {
        let is_it = |event: &TraceEvent| matches!(event, TraceEvent::WatermarkLearned { watermark } if watermark.0 == gei);
        self.has(&self.node, &format!("W = {gei}"), is_it).await;
    }

    async fn has_stored(&self, commit: u64) {
        let is_it = |event: &TraceEvent| matches!(event, TraceEvent::CommitStored { gei, .. } if gei.0 == commit);
        self.has(&self.node, &format!("commit {commit}"), is_it)
            .await;
    }

    async fn incarnation(&self, node: &mut Process) -> Incarnation {
        let plan = node.line(&["[STARTUP]", "plans: "]).await;
        let (_, plan) = plan.split_once("plans: ").unwrap();
        let (plan, _) = plan.rsplit_once(" epoch=").unwrap();
        Incarnation {
            replay_plan: plan.to_owned(),
            node: events(&self.node),
            executor: events(&self.executor),
        }
    }
}

/// The whole lines so far.
fn events(log: &Path) -> Vec<TraceEvent> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    lines
        .map(|line| serde_json::from_str::<TraceLine>(line).unwrap().event)
        .collect()
}

#[tokio::test]
async fn ten_stored_and_seven_durable() {
    let (_, simulated) = SIMULATED.rsplit_once("---\n").unwrap();
    let root = TempDir::new().unwrap();
    let mut validator = validators(root.path(), 1).remove(0);
    validator.node.consensus.min_round_delay_ms = 200;
    validator.node.delivery.window_blocks = 3;
    validator.node.delivery.watermark_poll_ms = 20;

    let logs = Logs::new(root.path(), 1);
    let [executor, mut node] = logs.start(&mut validator);
    let mut history = String::new();
    let transactions = simulated
        .lines()
        .filter_map(|line| line.strip_prefix("client sends "));
    for transaction in transactions {
        let mut client = client(&mut node, &validator).await;
        let reply = client.asks(&batch(&[bytes(transaction)]));
        assert!(reply.contains("\"success\":true"), "{reply}");
        history.push_str(&format!("client sends {transaction}\n"));
    }
    // The node has heard of it long before the next block, and goes on until its window is full: the executor keeps its
    // sockets.
    logs.is_known(DURABLE).await;
    executor.pause();
    logs.has_stored(STORED).await;
    node.line(&["stops proposing"]).await;
    let before = logs.incarnation(&mut node).await;
    node.kill().await;
    executor.kill().await;

    let logs = Logs::new(root.path(), 2);
    let [_executor, mut node] = logs.start(&mut validator);
    logs.is_durable_at(STORED).await;
    let after = logs.incarnation(&mut node).await;
    let real = format!(
        "{history}{}killed\n{}",
        text(&before, DURABLE..=DURABLE),
        text(&after, 1..=STORED)
    );
    assert_eq!(real, simulated, "with real processes, and in simulation");
}

/// A client of the node, once it is ready.
async fn client(node: &mut Process, validator: &Validator) -> Client {
    node.line(&["is ready"]).await;
    Client::connect(&validator.transaction_path()).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}
