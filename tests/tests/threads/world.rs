//! Members of a network in one runtime of several threads, each a node and an executor that lose their power now and then,
//! and their clients.

use crate::{
    facts::Facts,
    network::Wires,
    process::{Name, Running},
    random::Random,
};
use bytes::Bytes;
use metanode_core::{
    config::NodeConfig,
    env::{Network, Quantity, WallClock, real::OsClock},
    executor::wire::ValidatorInfo,
    framing::{Decoder, Framing, read_frame, write_frame},
    node,
    store::MemoryDisk,
    types::{Address, ClientTransaction, SignatureScheme, Transactions},
};
use mock_go_executor::{Controls, ExecutorConfig};
use prost::Message;
use std::{future::pending, path::Path, sync::Arc};
use tokio::sync::watch;

const NODE_EXAMPLE: &str = include_str!("../../../core/node.example.toml");
const EXECUTOR_EXAMPLE: &str = include_str!("../../../mock-go-executor/executor.example.toml");

pub struct World {
    pub facts: Arc<Facts>,
    pub random: Arc<Random>,
    wires: Arc<Wires>,
    pub members: Vec<Member>,
}

pub struct Member {
    index: u16,
    node_config: NodeConfig,
    executor_config: ExecutorConfig,
    node_disk: MemoryDisk,
    executor_disk: MemoryDisk,
    node: Option<Running>,
    executor: Option<Running>,
    starts: u32,
}

impl World {
    /// Starts so many members.
    pub fn start(
        seed: u64,
        members: u16,
        configure: impl Fn(&mut NodeConfig, &mut ExecutorConfig),
    ) -> Self {
        let mut world = Self {
            facts: Arc::default(),
            random: Arc::new(Random::new(seed)),
            wires: Arc::default(),
            members: (0..members).map(Member::new).collect(),
        };
        for member in &mut world.members {
            configure(&mut member.node_config, &mut member.executor_config);
        }
        let validators: Vec<_> = (world.members.iter())
            .map(|member| ValidatorInfo::from(&member.node_config.authority()))
            .collect();
        let now_ms = OsClock.now().0;
        for member in 0..world.members.len() {
            let genesis = &mut world.members[member].executor_config.genesis;
            genesis.validators.clone_from(&validators);
            genesis.epoch_timestamp_ms = now_ms;
            world.start_executor(member);
            world.start_node(member);
        }
        world
    }

    fn name(&mut self, member: usize, is_node: bool) -> Name {
        let member = &mut self.members[member];
        member.starts += 1;
        Name {
            is_node,
            member: member.index,
            incarnation: member.starts,
        }
    }

    fn start_node(&mut self, member: usize) {
        let name = self.name(member, true);
        let of_all = (&self.facts, &self.wires, &self.random);
        let member = &mut self.members[member];
        let config = member.node_config.clone();
        member.node = Some(Running::start(
            name,
            &member.node_disk,
            of_all,
            |env| async move { format!("{:?}", node::run(env, config, pending()).await) },
        ));
    }

    fn start_executor(&mut self, member: usize) {
        let name = self.name(member, false);
        let of_all = (&self.facts, &self.wires, &self.random);
        let member = &mut self.members[member];
        let config = member.executor_config.clone();
        let run = |env| async move {
            let (_nobody, controls) = watch::channel(Controls::default());
            let ended = mock_go_executor::run(env, config, controls, pending());
            format!("{:?}", ended.await)
        };
        member.executor = Some(Running::start(name, &member.executor_disk, of_all, run));
    }

    /// The node of this member loses its power and starts again.
    pub async fn restart_node(&mut self, member: usize) {
        if let Some(running) = self.members[member].node.take() {
            running.lose_power().await;
        }
        self.start_node(member);
    }

    /// The executor of this member loses its power and starts again.
    pub async fn restart_executor(&mut self, member: usize) {
        if let Some(running) = self.members[member].executor.take() {
            running.lose_power().await;
        }
        self.start_executor(member);
    }

    /// One process of a member, or none, loses its power and starts again.
    pub async fn restart_something(&mut self) {
        let member = self.random.from(0..self.members.len() as u64) as usize;
        match self.random.from(0..3) {
            0 => self.restart_node(member).await,
            1 => self.restart_executor(member).await,
            _ => {}
        }
    }

    /// Waits until any node has so many more commits.
    pub async fn commits(&self, blocks: u64) {
        let last = self.facts.read(|known| known.last_commit);
        let what = format!("{blocks} commits more than {last}");
        (self.facts)
            .until(&what, |known| known.last_commit >= last + blocks)
            .await;
    }

    /// Waits until all executors have so many more blocks durable.
    pub async fn advances(&self, blocks: u64) {
        let last = self.facts.read(|known| known.last_commit);
        let members = self.members.len();
        let is_durable = |durable: &u64| *durable >= last + blocks;
        let what = format!("{blocks} blocks more than {last}");
        (self.facts)
            .until(&what, |known| {
                known.durable.values().filter(|it| is_durable(it)).count() == members
            })
            .await;
    }

    /// Waits until everything that clients were promised is executed, and has left the journals.
    pub async fn keeps_promises(&self) {
        let kept = "what was promised is executed";
        (self.facts)
            .until(kept, |known| known.has_kept_promises())
            .await;
        let nodes = self
            .members
            .iter()
            .filter_map(|member| member.node.as_ref());
        let nodes: Vec<_> = nodes.map(|node| node.process.clone()).collect();
        (self.facts)
            .until_outside("journals are empty", || {
                let mut held = nodes
                    .iter()
                    .map(|node| node.read(Quantity::JournalTransactions));
                held.all(|held| held == Some(0))
            })
            .await;
    }

    /// A client of this member that sends single transactions, each from an account of its own, until so many were taken.
    pub fn client(&self, member: usize, number: u8, count: u32) -> Client {
        let config = &self.members[member].node_config;
        Client {
            network: self.wires.of_clients(&self.random),
            address: config.transaction_address(),
            facts: self.facts.clone(),
            number,
            count,
        }
    }

    /// Ends all processes.
    pub async fn end(mut self) {
        for member in &mut self.members {
            let running = [member.node.take(), member.executor.take()];
            for running in running.into_iter().flatten() {
                running.lose_power().await;
            }
        }
    }
}

impl Member {
    fn new(index: u16) -> Self {
        let mut node = NodeConfig::parse(NODE_EXAMPLE, Path::new("node.example.toml")).unwrap();
        let mut executor =
            ExecutorConfig::parse(EXECUTOR_EXAMPLE, "executor.example.toml").unwrap();
        node.node_index = index;
        node.protocol_key_seed.0[0] = u8::try_from(index).unwrap();
        node.network_key_seed.0[0] = u8::try_from(index).unwrap();
        node.p2p_listen_address = ([127, 0, 0, 1], 9_000 + index).into();
        let path = |of: &str| Address::Unix(format!("/{of}-{index}").into());
        node.transaction_socket_path = Some(path("transactions"));
        executor.block_stream_address = path("blocks");
        executor.rpc_address = path("rpc");
        node.executor_send_socket_path = Some(path("blocks"));
        node.executor_receive_socket_path = Some(path("rpc"));
        let consensus = &mut node.consensus;
        consensus.signatures = SignatureScheme::KeyedHash;
        consensus.min_round_delay_ms = 1;
        consensus.leader_timeout_ms = 20;
        consensus.fetch_delay_ms = 5;
        consensus.peer_timeout_ms = 200;
        consensus.peer_retry_min_ms = 1;
        consensus.peer_retry_max_ms = 20;
        consensus.epoch_start_granularity_ms = 1;
        node.delivery.window_blocks = 6;
        node.delivery.recovery_batch_commits = 4;
        node.delivery.watermark_poll_ms = 3;
        node.delivery.reconnect_min_ms = 1;
        node.delivery.reconnect_max_ms = 5;
        node.rpc.connect_retry_ms = 1;
        node.rpc.start_retry_min_ms = 1;
        node.rpc.start_retry_max_ms = 5;
        executor.flush_every_blocks = [1, 3];
        executor.flush_idle_ms = 2;
        Self {
            index,
            node_config: node,
            executor_config: executor,
            node_disk: MemoryDisk::default(),
            executor_disk: MemoryDisk::default(),
            node: None,
            executor: None,
            starts: 0,
        }
    }
}

/// A client of a transaction socket.
pub struct Client {
    network: Arc<dyn Network>,
    address: Address,
    facts: Arc<Facts>,
    number: u8,
    count: u32,
}

impl Client {
    /// Sends until everything is taken, what was not answered again.
    pub async fn run(self) {
        let mut taken = 0;
        while taken < self.count {
            // An error means that the connection broke.
            let _ = self.send(&mut taken).await;
            tokio::task::yield_now().await;
        }
    }

    /// Sends over one connection, a few transactions at a time.
    async fn send(&self, taken: &mut u32) -> std::io::Result<()> {
        const AT_ONCE: u32 = 3;
        let mut stream = self.network.connect(&self.address).await?;
        let mut decoder = Decoder::new(Framing::TRANSACTIONS);
        while *taken < self.count {
            let next = *taken..self.count.min(*taken + AT_ONCE);
            for number in next.clone() {
                let transactions = Transactions {
                    transactions: vec![self.transaction(number)],
                };
                let frame = Framing::TRANSACTIONS.encode(&transactions).unwrap();
                write_frame(&mut stream, &frame).await?;
            }
            for number in next {
                let reply = read_frame(&mut stream, &mut decoder).await;
                let reply = reply.map_err(std::io::Error::other)?;
                let reply = reply.ok_or(std::io::ErrorKind::UnexpectedEof)?;
                let reply: serde_json::Value = serde_json::from_slice(&reply)?;
                if reply["success"] != true {
                    return Ok(()); // it is starting
                }
                self.facts.promised(self.sender(number));
                *taken += 1;
            }
        }
        Ok(())
    }

    fn sender(&self, number: u32) -> [u8; 20] {
        let mut sender = [self.number; 20];
        sender[..4].copy_from_slice(&number.to_be_bytes());
        sender
    }

    fn transaction(&self, number: u32) -> Bytes {
        let transaction = ClientTransaction {
            to_address: vec![0xff; 20].into(),
            amount: vec![1].into(),
            from_address: self.sender(number).to_vec().into(),
            ..ClientTransaction::default()
        };
        transaction.encode_to_vec().into()
    }
}
