//! The binaries as they are deployed: real processes, sockets, signals and RocksDB.
//!
//! Only in the build without `--cfg madsim`, and only after `make real`, whose binaries it runs; `make test` does both
//! in this order. What processes do is read from their logs and asked of their executors, as an operator would.

#![cfg(not(madsim))]
#![allow(clippy::unwrap_used)] // clippy sees tests only in functions that are marked as such

use metanode_core::{
    config::{NodeConfig, RpcParameters},
    env::{Address, real},
    executor::{
        ExecutorClient,
        wire::{CommittedEpochData, GetBlocksRange, RequestPayload, ResponsePayload},
    },
};
use mock_go_executor::ExecutorConfig;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};
use tempfile::TempDir;

const NODE_EXAMPLE: &str = include_str!("../../core/node.example.toml");
const EXECUTOR_EXAMPLE: &str = include_str!("../../mock-go-executor/executor.example.toml");

/// Only a test that fails waits as long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks again and again until there is an answer.
async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let answered = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let answered = answered.await;
    answered.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// A binary of this build, which lies beside the test's own folder.
fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().unwrap().with_file_name(name);
    assert!(
        path.exists(),
        "{} is missing: `make real` builds it",
        path.display()
    );
    path
}

/// A process with its log. Killed when dropped.
struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    fn start(command: &mut Command, log: PathBuf) -> Self {
        let stderr = fs::File::create(&log).unwrap();
        let child = command
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The first line with all of `parts`, once it is there. The process must live until then.
    async fn line(&mut self, parts: &[&str]) -> String {
        let Self { child, log } = self;
        eventually(&format!("{parts:?} in {}", log.display()), async || {
            // First whether it has ended, then what it said: nothing comes after its end.
            let ended = child.try_wait().unwrap();
            let text = fs::read_to_string(&log).unwrap();
            let found = text
                .lines()
                .find(|line| parts.iter().all(|part| line.contains(part)));
            assert!(
                found.is_some() || ended.is_none(),
                "{ended:?} before {parts:?}:\n{text}"
            );
            found.map(str::to_owned)
        })
        .await
    }

    fn terminate(&self) {
        let id = self.child.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -TERM $0", &id])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    async fn ended(&mut self) -> ExitStatus {
        eventually("the end of a process", async || {
            self.child.try_wait().unwrap()
        })
        .await
    }

    /// Ends it in good order.
    async fn stop(mut self) {
        self.terminate();
        let status = self.ended().await;
        let log = self.log();
        assert!(status.success(), "{status}:\n{log}");
        assert!(log.contains("[STARTUP]: stops"), "{log}");
    }

    /// Ends it without a word.
    async fn kill(mut self) {
        self.child.kill().unwrap();
        self.ended().await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended already
        let _ = self.child.wait();
    }
}

/// The number behind `gei=` at the end of a log line.
fn gei(line: &str) -> u64 {
    let (_, number) = line.rsplit_once("gei=").unwrap();
    number.parse().unwrap()
}

/// A validator: the folder of its node and its executor, with their configurations.
struct Validator {
    folder: PathBuf,
    node: NodeConfig,
    executor: ExecutorConfig,
    client: ExecutorClient,
    starts: u32,
}

impl Validator {
    fn start_executor(&mut self) -> Process {
        let config = self.folder.join("executor.toml");
        fs::write(&config, toml::to_string(&self.executor).unwrap()).unwrap();
        let mut command = Command::new(binary("mock-go-executor"));
        command
            .args(["run", "--log", "trace", "--config"])
            .arg(config);
        Process::start(&mut command, self.next_log("executor"))
    }

    fn start_node(&mut self) -> Process {
        let mut command = Command::new(binary("metanode"));
        command.args(["run", "--config"]).arg(self.node_config());
        Process::start(&mut command, self.next_log("node"))
    }

    fn node_config(&self) -> PathBuf {
        let config = self.folder.join("node.toml");
        fs::write(&config, toml::to_string(&self.node).unwrap()).unwrap();
        config
    }

    fn next_log(&mut self, process: &str) -> PathBuf {
        self.starts += 1;
        self.folder.join(format!("{process}-{}.log", self.starts))
    }

    async fn watermark(&self) -> Option<u64> {
        self.client
            .last_block_number()
            .await
            .ok()
            .map(|watermark| watermark.0)
    }

    /// Waits until the executor is durable at this height, and says where it is then.
    async fn reaches(&self, height: u64) -> u64 {
        let what = format!("block {height} in {}", self.folder.display());
        eventually(&what, async || {
            self.watermark().await.filter(|at| *at >= height)
        })
        .await
    }

    /// Blocks 1 to `last` as the executor has them.
    async fn blocks(&self, last: u64) -> Vec<CommittedEpochData> {
        let mut blocks: Vec<CommittedEpochData> = vec![];
        while (blocks.len() as u64) < last {
            let from = blocks.len() as u64 + 1;
            let range = RequestPayload::GetBlocksRange(GetBlocksRange { from, to: last });
            let ResponsePayload::BlocksRange(range) = self.client.call(range).await.unwrap() else {
                panic!("not an answer to GetBlocksRange");
            };
            assert!(
                !range.blocks.is_empty(),
                "blocks {from}..={last} are durable"
            );
            blocks.extend(range.blocks);
        }
        blocks
    }
}

/// Validators that know each other, made of the example files: keys, addresses and folders are their own.
fn validators(root: &Path, count: u16) -> Vec<Validator> {
    let mut validators: Vec<_> = (0..count).map(|index| validator(root, index)).collect();
    let genesis: String = validators.iter().map(genesis_entry).collect();
    let genesis: toml::Table = toml::from_str(&genesis).unwrap();
    let genesis = genesis["genesis"]["validators"].clone();
    for validator in &mut validators {
        validator.executor.genesis.validators = genesis.clone().try_into().unwrap();
    }
    validators
}

fn validator(root: &Path, index: u16) -> Validator {
    let folder = root.join(index.to_string());
    fs::create_dir(&folder).unwrap();
    let mut node = NodeConfig::parse(NODE_EXAMPLE, Path::new("node.example.toml")).unwrap();
    node.node_index = index;
    node.data_dir = folder.join("node");
    node.protocol_key_seed.0[0] = u8::try_from(index).unwrap();
    node.p2p_listen_address = free_address(index);
    let block_stream = Address::Unix(folder.join("blocks.sock"));
    let rpc = Address::Unix(folder.join("rpc.sock"));
    node.executor_send_socket_path = Some(block_stream.clone());
    node.executor_receive_socket_path = Some(rpc.clone());
    let mut executor = ExecutorConfig::parse(EXECUTOR_EXAMPLE, "executor.example.toml").unwrap();
    executor.data_dir = folder.join("executor");
    executor.block_stream_address = block_stream;
    executor.rpc_address = rpc.clone();
    let env = real::env(&folder).unwrap();
    Validator {
        client: ExecutorClient::new(env, rpc, RpcParameters::default()),
        folder,
        node,
        executor,
        starts: 0,
    }
}

/// A free port on a loopback address that no outgoing connection has as its own, so that nobody takes the port while
/// its node is down.
fn free_address(index: u16) -> SocketAddr {
    let ip = Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(index).unwrap());
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}

/// What `metanode validator` says about a node.
fn genesis_entry(validator: &Validator) -> String {
    let mut command = Command::new(binary("metanode"));
    command
        .args(["validator", "--config"])
        .arg(validator.node_config());
    let output = command.output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// Holds a node's second start against contract §6: it asks for W first, replays what it has stored above W, and its
/// stream begins at W+1.
async fn assert_resumes(node: &mut Process, watermark: u64) {
    let asked = node.line(&["[STARTUP]", "hears from its executor"]).await;
    assert_eq!(gei(&asked), watermark, "{asked}");
    let plan = node.line(&["[STARTUP]", "plans: epoch 0"]).await;
    let from_next = format!("replay commits {}..=", watermark + 1);
    let nothing = format!("nothing to replay, {watermark} commits are durable");
    assert!(
        plan.contains(&from_next) || plan.contains(&nothing),
        "{plan}"
    );
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

/// What an executor executed in one life: every block above `watermark`, in order and once.
fn assert_executed_once(executor: &Process, watermark: u64) {
    let log = executor.log();
    let executed = log.lines().filter(|line| line.contains("executes GEI"));
    for (expected, line) in (watermark + 1..).zip(executed) {
        assert_eq!(gei(line), expected, "{line}");
    }
    assert!(!log.contains("refuses GEI"), "{log}");
}

#[test]
fn a_bad_configuration_is_told_with_its_line() {
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
    let told = String::from_utf8(output.stderr).unwrap();
    let place = format!("metanode: {}:{line}: ", config.display());
    assert!(
        told.starts_with(&place) && told.contains("delivry"),
        "{told}"
    );
}

/// One validator of a committee of four, which goes on without the others because it was told to.
#[tokio::test]
async fn a_single_node_executes_blocks_and_resumes() {
    let root = TempDir::new().unwrap();
    let mut all = validators(root.path(), 4);
    let validator = &mut all[0];
    let start_node = |validator: &mut Validator| {
        let mut command = Command::new(binary("metanode"));
        command.env("SINGLE_NODE", "1").args(["run", "--config"]);
        Process::start(
            command.arg(validator.node_config()),
            validator.next_log("node"),
        )
    };

    // The node waits for its executor.
    let mut node = start_node(validator);
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
    let mut node = start_node(validator);
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
async fn four_validators_go_on_while_one_is_killed_and_comes_back() {
    let root = TempDir::new().unwrap();
    let mut all = validators(root.path(), 4);
    let mut executors: Vec<_> = all.iter_mut().map(Validator::start_executor).collect();
    let mut nodes: Vec<_> = all.iter_mut().map(Validator::start_node).collect();
    for validator in &all {
        validator.reaches(10).await;
    }

    // A node dies, its executor finishes what it was sent, and the others go on.
    nodes.remove(3).kill().await;
    let sent = all_received(&mut executors[3], 1).await;
    let watermark = all[3].reaches(sent).await;
    assert_eq!(watermark, sent, "nobody else delivers");
    let others = all[0].reaches(watermark + 20).await;
    let mut back = all[3].start_node();
    assert_resumes(&mut back, watermark).await;
    nodes.push(back);
    all[3].reaches(others).await;

    // An executor dies, leaving its sockets behind; its node waits and goes on where the disk is.
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
