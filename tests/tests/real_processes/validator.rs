//! A validator of the tests: configurations and processes of its node and its executor, and queries to the executor.

use crate::process::{Process, binary, eventually};
use metanode_core::{
    config::{NodeConfig, RpcParameters},
    env::real,
    executor::{
        ExecutorClient,
        wire::{BlockData, CommittedEpochData, GetBlocksRange},
    },
    types::Address,
};
use mock_go_executor::ExecutorConfig;
use prost::Message;
use std::{
    fmt::{self, Display, Formatter},
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU16, Ordering},
};

pub const NODE_EXAMPLE: &str = include_str!("../../../core/node.example.toml");
const EXECUTOR_EXAMPLE: &str = include_str!("../../../mock-go-executor/executor.example.toml");

/// A validator: the folder of its node and its executor, with their configurations.
pub struct Validator {
    folder: PathBuf,
    pub node: NodeConfig,
    pub executor: ExecutorConfig,
    client: ExecutorClient,
    starts: u32,
}

impl Validator {
    pub fn start_executor(&mut self) -> Process {
        let mut command = Command::new(binary("mock-go-executor"));
        command
            .args(["run", "--log", "trace", "--config"])
            .arg(self.executor_config());
        Process::start(&mut command, self.next_log("executor"))
    }

    /// `environment` is added to the environment of the test.
    pub fn start_node(&mut self, environment: &[(&str, &str)]) -> Process {
        let mut command = Command::new(binary("metanode"));
        command.args(["run", "--config"]).arg(self.node_config());
        command.envs(environment.iter().copied());
        Process::start(&mut command, self.next_log("node"))
    }

    /// The transaction socket of the node.
    pub fn transaction_path(&self) -> PathBuf {
        self.folder.join("transactions.sock")
    }

    /// The RPC socket of the executor.
    pub fn rpc_path(&self) -> PathBuf {
        self.folder.join("rpc.sock")
    }

    pub fn node_config(&self) -> PathBuf {
        let config = self.folder.join("node.toml");
        fs::write(&config, toml::to_string(&self.node).unwrap()).unwrap();
        config
    }

    pub fn executor_config(&self) -> PathBuf {
        let config = self.folder.join("executor.toml");
        fs::write(&config, toml::to_string(&self.executor).unwrap()).unwrap();
        config
    }

    pub fn next_log(&mut self, process: &str) -> PathBuf {
        self.starts += 1;
        self.folder.join(format!("{process}-{}.log", self.starts))
    }

    /// The executor's RPC.
    pub fn rpc_address(&self) -> &Address {
        &self.executor.rpc_address
    }

    /// The log lines of all executions by its executor and its Sub.
    pub fn executions(&self) -> Vec<String> {
        let starts = 1..=self.starts;
        let names =
            starts.flat_map(|start| ["executor", "sub"].map(|name| format!("{name}-{start}.log")));
        let logs = names.map(|name| self.folder.join(name));
        let logs = logs.filter_map(|log| fs::read_to_string(log).ok());
        let lines = logs.flat_map(|log| log.lines().map(str::to_owned).collect::<Vec<_>>());
        lines
            .filter(|line| line.contains("executes GEI "))
            .collect()
    }

    /// Waits until the executor answers.
    pub async fn answers(&self) {
        self.reaches(0).await;
    }

    pub async fn watermark(&self) -> Option<u64> {
        self.client
            .watermark()
            .await
            .ok()
            .map(|watermark| watermark.0)
    }

    /// Waits until the executor is durable at this height or above, and returns its watermark.
    pub async fn reaches(&self, height: u64) -> u64 {
        let validator = self;
        eventually(Reaching { validator, height }, async || {
            self.watermark().await.filter(|at| *at >= height)
        })
        .await
    }

    /// Blocks 1 to `last` of the executor.
    pub async fn blocks(&self, last: u64) -> Vec<CommittedEpochData> {
        let mut blocks: Vec<CommittedEpochData> = vec![];
        while (blocks.len() as u64) < last {
            let from = blocks.len() as u64 + 1;
            let range = GetBlocksRange {
                from,
                to: last,
                skip_bytes: 0,
            };
            let range = self.client.blocks_range(range).await.unwrap();
            assert!(!range.blocks.is_empty(), "{}", range.error);
            let decoded = |block: BlockData| CommittedEpochData::decode(block.raw_block_bytes);
            blocks.extend(
                range
                    .blocks
                    .into_iter()
                    .map(|block| decoded(block).unwrap()),
            );
        }
        blocks
    }
}

/// The validators of one genesis, with the configurations of the example files and keys, addresses and folders of their
/// own.
pub fn validators(root: &Path, count: u16) -> Vec<Validator> {
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
    node.network_key_seed.0[0] = u8::try_from(index).unwrap();
    node.p2p_listen_address = free_address();
    node.metrics_listen_address = None;
    let block_stream = Address::Unix(folder.join("blocks.sock"));
    let rpc = Address::Unix(folder.join("rpc.sock"));
    node.transaction_socket_path = Some(Address::Unix(folder.join("transactions.sock")));
    node.executor_send_socket_path = Some(block_stream.clone());
    node.executor_receive_socket_path = Some(rpc.clone());
    let mut executor = ExecutorConfig::parse(EXECUTOR_EXAMPLE, "executor.example.toml").unwrap();
    executor.data_dir = folder.join("executor");
    executor.metrics_listen_address = None;
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

/// What is awaited of a validator; if it does not come, the ends of its logs say why.
struct Reaching<'a> {
    validator: &'a Validator,
    height: u64,
}

impl Display for Reaching<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Validator { folder, starts, .. } = self.validator;
        write!(f, "block {} in {}", self.height, folder.display())?;
        let starts = 1..=*starts;
        for log in starts.flat_map(|n| ["executor", "node"].map(|name| format!("{name}-{n}.log"))) {
            let text = fs::read_to_string(folder.join(&log)).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            let end = &lines[lines.len().saturating_sub(10)..];
            end.iter()
                .try_for_each(|line| write!(f, "\n{log}: {line}"))?;
        }
        Ok(())
    }
}

/// A free port on a loopback address of its own, so that nobody takes the port before it is used or while the node is down.
pub fn free_address() -> SocketAddr {
    static CALLS: AtomicU16 = AtomicU16::new(0);
    let [high, low] = CALLS.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let ip = Ipv4Addr::new(127, 1 + high, low, 1);
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}

/// The genesis entry that `metanode validator` prints for a node.
fn genesis_entry(validator: &Validator) -> String {
    let mut command = Command::new(binary("metanode"));
    command
        .args(["validator", "--config"])
        .arg(validator.node_config());
    let output = command.output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}
