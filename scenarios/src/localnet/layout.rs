//! Folders, addresses and configurations of a local network.

use super::{
    chaos::{Shape, Target},
    links::Member,
};
use metanode_core::{
    config::{ConfigError, NodeConfig},
    executor::wire::ValidatorInfo,
};
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};
use thiserror::Error;

/// The kernel's limit of a path of a Unix socket, without the terminating zero.
const MAX_SOCKET_PATH_BYTES: usize = 107;

/// Of each account.
pub const INITIAL_BALANCE: u64 = 1_000_000;

/// Who executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// One executor, to which node 0 delivers.
    SingleMaster,
    /// One per node.
    MasterPerNode,
}

/// Why the folder of a network cannot be made.
#[derive(Debug, Error)]
pub enum LayoutError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is not empty: expected a new folder for the network, name another one with --dir", .0.display())]
    NotEmpty(PathBuf),
    #[error(
        "{} has {} bytes: a Unix socket allows {MAX_SOCKET_PATH_BYTES}, name a shorter folder with --dir",
        .0.display(), .0.as_os_str().len()
    )]
    PathTooLong(PathBuf),
    #[error("no free port on {ip}: {source}")]
    Port { ip: Ipv4Addr, source: io::Error },
    #[error("a configuration that was made for a node is refused: {0}")]
    Config(#[from] ConfigError),
}

/// What the network is made of.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub nodes: usize,
    pub subs: usize,
    pub topology: Topology,
    /// How long an epoch lasts.
    pub epoch_ms: u64,
    /// What executors do with a block that is not the next one, as their configuration names it.
    pub guard: &'static str,
    /// Of the file system of each process, if it has one of its own.
    pub small_disk_mib: Option<u64>,
}

/// The folder of a network, with all configurations written.
pub struct Layout {
    folder: PathBuf,
    pub size: Size,
    /// When epoch 0 begins.
    pub genesis_ms: u64,
    /// Where executors answer the nodes of others.
    peer_rpc: Vec<SocketAddr>,
    /// By node.
    pub members: Vec<Member>,
    /// The configurations of the nodes.
    pub nodes: Vec<NodeConfig>,
}

impl Layout {
    /// Makes the folder. Ports are free now; nobody else takes them, because outgoing connections use other addresses.
    pub fn create(folder: &Path, size: Size, genesis_ms: u64) -> Result<Self, LayoutError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| LayoutError::Io { path, source }
        };
        fs::create_dir_all(folder).map_err(at(folder))?;
        let folder = folder.canonicalize().map_err(at(folder))?;
        if (folder.read_dir().map_err(at(&folder))?).next().is_some() {
            return Err(LayoutError::NotEmpty(folder));
        }
        let mut layout = Self {
            folder,
            size,
            genesis_ms,
            peer_rpc: vec![],
            members: vec![],
            nodes: vec![],
        };
        let longest = layout.socket("transactions", size.nodes);
        if longest.as_os_str().len() > MAX_SOCKET_PATH_BYTES {
            return Err(LayoutError::PathTooLong(longest));
        }
        for name in ["events", "sockets", "logs", "config", "data", "copies"] {
            let folder = layout.folder.join(name);
            fs::create_dir(&folder).map_err(at(&folder))?;
        }
        // All are held until they are chosen, or one could be chosen twice.
        let free = |count| (0..count).map(free_port).collect::<Result<Vec<_>, _>>();
        let (listened, dialled) = (free(size.nodes)?, free(size.nodes)?);
        let peer_rpc = free(layout.executors())?;
        layout.peer_rpc = peer_rpc.iter().map(|(address, _)| *address).collect();
        let addresses = listened
            .iter()
            .zip(&dialled)
            .map(|(it, other)| (it.0, other.0));
        let addresses: Vec<_> = addresses.collect();
        drop((listened, dialled, peer_rpc));
        let mut validators = vec![];
        for (n, (listens, dialled)) in addresses.into_iter().enumerate() {
            let text = layout.node_config(n, listens);
            let config = layout.config(Target::Node(n));
            fs::write(&config, &text).map_err(at(&config))?;
            let node = NodeConfig::parse(&text, &config)?;
            let mut authority = node.authority();
            authority.p2p_address = dialled;
            validators.push(ValidatorInfo::from(&authority));
            layout.members.push(Member {
                authority_key: authority.authority_key,
                listens,
                dialled,
            });
            layout.nodes.push(node);
        }
        let executors = (0..layout.executors()).map(|n| {
            let text = layout.executor_config(n, &validators);
            (Target::Executor(n), text)
        });
        let subs = (0..size.subs).map(|n| (Target::Sub(n), layout.sub_config(n)));
        for (target, text) in executors.chain(subs) {
            let config = layout.config(target);
            fs::write(&config, text).map_err(at(&config))?;
        }
        Ok(layout)
    }

    pub const fn executors(&self) -> usize {
        match self.size.topology {
            Topology::SingleMaster => 1,
            Topology::MasterPerNode => self.size.nodes,
        }
    }

    /// What faults are drawn for.
    pub const fn shape(&self) -> Shape {
        Shape {
            nodes: self.size.nodes,
            executors: self.executors(),
            subs: self.size.subs,
            has_small_disks: self.size.small_disk_mib.is_some(),
        }
    }

    /// All processes: executors first, because nodes wait for them.
    pub fn targets(&self) -> impl Iterator<Item = Target> + use<> {
        let executors = (0..self.executors()).map(Target::Executor);
        let nodes = (0..self.size.nodes).map(Target::Node);
        executors
            .chain(nodes)
            .chain((0..self.size.subs).map(Target::Sub))
    }

    pub fn config(&self, target: Target) -> PathBuf {
        self.folder.join("config").join(format!("{target}.toml"))
    }

    /// What the process logs.
    pub fn log(&self, target: Target) -> PathBuf {
        self.folder.join("logs").join(format!("{target}.log"))
    }

    pub fn events(&self, target: Target) -> PathBuf {
        self.folder.join("events").join(format!("{target}.jsonl"))
    }

    /// The disk of a process.
    pub fn disk(&self, target: Target) -> PathBuf {
        self.folder.join("data").join(target.to_string())
    }

    pub fn data(&self, target: Target) -> PathBuf {
        self.disk(target).join("stores")
    }

    /// Where a copy of the data is kept.
    pub fn copy(&self, target: Target) -> PathBuf {
        self.folder.join("copies").join(target.to_string())
    }

    /// The data of a process that has ended. Small disks end with this program: they are copied to here.
    pub fn kept(&self, target: Target) -> PathBuf {
        match self.size.small_disk_mib {
            Some(_) => self.folder.join("kept").join(target.to_string()),
            None => self.data(target),
        }
    }

    fn socket(&self, name: &str, n: usize) -> PathBuf {
        self.folder.join("sockets").join(format!("{name}-{n}.sock"))
    }

    /// The executor of a node.
    const fn executor_of(&self, node: usize) -> usize {
        match self.size.topology {
            Topology::SingleMaster => 0,
            Topology::MasterPerNode => node,
        }
    }

    pub fn block_stream(&self, executor: usize) -> PathBuf {
        self.socket("blocks", executor)
    }

    pub fn rpc(&self, executor: usize) -> PathBuf {
        self.socket("rpc", executor)
    }

    fn transactions(&self, node: usize) -> PathBuf {
        self.socket("transactions", node)
    }

    /// Where clients send: to the Sub of each node that has one, otherwise to the node.
    pub fn submission_sockets(&self) -> Vec<PathBuf> {
        let socket = |n| match n < self.size.subs {
            true => self.sub(n),
            false => self.transactions(n),
        };
        (0..self.size.nodes).map(socket).collect()
    }

    fn node_config(&self, n: usize, listens: SocketAddr) -> String {
        let executor = self.executor_of(n);
        let delivers = self.size.topology == Topology::MasterPerNode || n == 0;
        let others = self.peer_rpc.iter().enumerate();
        let peers: Vec<_> = others
            .filter(|(other, _)| *other != executor)
            .map(|(_, address)| address.to_string())
            .collect();
        format!(
            "node_index = {n}\n\
             data_dir = {:?}\n\
             protocol_key_seed = \"{:064x}\"\n\
             network_key_seed = \"{:064x}\"\n\
             p2p_listen_address = \"{listens}\"\n\
             executor_send_socket_path = {:?}\n\
             executor_receive_socket_path = {:?}\n\
             transaction_socket_path = {:?}\n\
             executor_commit_enabled = {delivers}\n\
             peer_go_master_sockets = {peers:?}\n\
             [peers]\n\
             poll_ms = 1_000\n\
             [consensus]\n\
             epoch_duration_ms = {}\n\
             retained_epochs = 1_000_000\n",
            self.data(Target::Node(n)),
            n + 1,
            n + 0x1001,
            self.block_stream(executor),
            self.rpc(executor),
            self.transactions(n),
            self.size.epoch_ms,
        )
    }

    fn executor_config(&self, n: usize, validators: &[ValidatorInfo]) -> String {
        let mut text = format!(
            "block_stream_address = {:?}\n\
             rpc_address = {:?}\n\
             peer_rpc_address = \"{}\"\n\
             data_dir = {:?}\n\
             guard = {:?}\n\
             [genesis]\n\
             epoch_timestamp_ms = {}\n\
             initial_balance = {INITIAL_BALANCE}\n",
            self.block_stream(n),
            self.rpc(n),
            self.peer_rpc[n],
            self.data(Target::Executor(n)),
            self.size.guard,
            self.genesis_ms,
        );
        for info in validators {
            text.push_str("[[genesis.validators]]\n");
            for (key, value) in [
                ("name", &info.name),
                ("address", &info.address),
                ("stake", &info.stake),
                ("authority_key", &info.authority_key),
                ("protocol_key", &info.protocol_key),
                ("network_key", &info.network_key),
                ("p2p_address", &info.p2p_address),
            ] {
                text.push_str(&format!("{key} = {value:?}\n"));
            }
        }
        text
    }

    /// A Sub of the node with its number, which follows the executor of that node.
    fn sub_config(&self, n: usize) -> String {
        format!(
            "transaction_socket_path = {:?}\n\
             listen_address = {:?}\n\
             [follow]\n\
             master_address = {:?}\n\
             data_dir = {:?}\n",
            self.transactions(n),
            self.sub(n),
            self.rpc(self.executor_of(n)),
            self.data(Target::Sub(n)),
        )
    }

    /// Where a Sub takes transactions.
    fn sub(&self, n: usize) -> PathBuf {
        self.socket("sub", n)
    }
}

/// A free port on a loopback address of the node's own, as long as the listener is not dropped.
fn free_port(n: usize) -> Result<(SocketAddr, TcpListener), LayoutError> {
    let ip = Ipv4Addr::new(127, 0, 1, u8::try_from(n + 1).unwrap_or(u8::MAX));
    let bound = TcpListener::bind((ip, 0)).and_then(|it| Ok((it.local_addr()?, it)));
    bound.map_err(|source| LayoutError::Port { ip, source })
}
