//! The witnesses of a run: what its sockets and disks show becomes entries of the trace.

use super::lock;
use crate::{
    addresses::{
        BLOCK_STREAM_PATH, OLD_TRANSPORT_PORT, P2P_PORT, PEER_RPC_PORT, RPC_PATH, TRANSACTIONS_PATH,
    },
    disk::{Disk, StoreObserver},
    net::{ConnectionId, HostId, Kernel, Route, Segment, Side, Tap},
    plan::Plan,
    recorder::Recorder,
    stranger,
    trace::{ProcessId, SimTime},
    witness::{Blocks, Channel, Connections, DiskWitness, End, Ends, Fact, Sessions},
};
use madsim::time::TimeHandle;
use metanode_core::{
    env::SessionKeys,
    store::{Column, Durability, Store, WriteBatch},
    types::{Address, Encryption},
};
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// Observes sockets and disks. Clones are the same witnesses.
#[derive(Clone)]
pub(super) struct Witnesses {
    blocks: Blocks,
    /// Executors count blocks and GEIs apart.
    counts_blocks: bool,
    sessions: Sessions,
    /// Connections between nodes are not readable.
    is_encrypted: bool,
    /// Nodes reach executors of others over TCP only to ask them as peers.
    asks_peers: bool,
    record: Record,
}

/// Where facts go.
#[derive(Clone)]
struct Record {
    recorder: Arc<Mutex<Recorder>>,
    time: TimeHandle,
    decided: Arc<Notify>,
}

impl Witnesses {
    pub fn new(plan: &Plan, recorder: Arc<Mutex<Recorder>>, decided: Arc<Notify>) -> Self {
        Self {
            blocks: Blocks::default(),
            counts_blocks: plan.counts_blocks(),
            asks_peers: !plan.peers_of(0).is_empty(),
            sessions: Sessions::default(),
            is_encrypted: plan.encryption == Encryption::Noise,
            record: Record {
                recorder,
                time: TimeHandle::current(),
                decided,
            },
        }
    }

    /// Observes all sockets of the kernel.
    pub fn observe_sockets(&self, kernel: &Kernel) {
        kernel.tap(SocketTap {
            connections: Connections::new(
                self.blocks.clone(),
                self.counts_blocks,
                self.is_encrypted.then(|| self.sessions.clone()),
            ),
            between_nodes: FxHashMap::default(),
            asks_peers: self.asks_peers,
            facts: vec![],
            record: self.record.clone(),
        });
    }

    /// A process has established a session with these keys.
    pub fn on_session(&self, process: ProcessId, keys: &SessionKeys) {
        let epoch = keys.epoch;
        let other = self.sessions.tell(keys);
        let fact = other.map(|other| (process, Fact::SessionDiffers { epoch, other }));
        self.record.facts(fact.into_iter());
    }

    /// Observes the disk of a process.
    pub fn observed(&self, process: ProcessId, disk: Disk) -> Disk {
        disk.observe(Arc::new(DiskTap {
            process,
            witness: Mutex::new(DiskWitness::new(process, self.blocks.clone())),
            record: self.record.clone(),
        }));
        disk
    }
}

impl Record {
    fn facts(&self, facts: impl Iterator<Item = (ProcessId, Fact)>) {
        let mut facts = facts.peekable();
        if facts.peek().is_none() {
            return;
        }
        let at = SimTime {
            ns: u64::try_from(self.time.elapsed().as_nanos()).unwrap_or(u64::MAX),
        };
        let mut recorder = lock(&self.recorder);
        for (process, fact) in facts {
            recorder.see(at, process, fact);
        }
        if recorder.is_over() {
            self.decided.notify_one();
        }
    }
}

struct SocketTap {
    connections: Connections,
    /// Who connected.
    between_nodes: FxHashMap<u64, ProcessId>,
    asks_peers: bool,
    facts: Vec<(ProcessId, Fact)>,
    record: Record,
}

impl Tap for SocketTap {
    fn opened(&mut self, connection: ConnectionId, route: &Route) {
        let Some(ends) = ends(route, self.asks_peers) else {
            return;
        };
        let connection = connection.0;
        let opened = match (ends.channel, ends.server) {
            (Channel::BlockStream, _) => Fact::StreamOpened { connection },
            (Channel::Peers, ProcessId::Node(listener)) => {
                self.between_nodes.insert(connection, ends.client);
                Fact::PeerConnected {
                    connection,
                    listener,
                }
            }
            _ => return,
        };
        self.record.facts([(ends.client, opened)].into_iter());
    }

    fn sent(&mut self, segment: &Segment<'_>, bytes: &[u8]) {
        self.record.facts(to_stranger(segment, bytes).into_iter());
        self.connections.sent(
            segment.connection.0,
            || ends(segment.route, self.asks_peers),
            end(segment.sender),
            bytes,
            &mut self.facts,
        );
        self.record.facts(self.facts.drain(..));
    }

    fn read(&mut self, connection: ConnectionId, _: &Route, reader: Side, total_bytes: u64) {
        self.connections
            .read(connection.0, end(reader), total_bytes, &mut self.facts);
        self.record.facts(self.facts.drain(..));
    }

    fn closed(&mut self, connection: ConnectionId) {
        let connection = connection.0;
        self.connections.closed(connection, &mut self.facts);
        if let Some(client) = self.between_nodes.remove(&connection) {
            self.facts.push((client, Fact::PeerClosed { connection }));
        }
        self.record.facts(self.facts.drain(..));
    }
}

const fn end(side: Side) -> End {
    match side {
        Side::Client => End::Client,
        Side::Server => End::Server,
    }
}

/// What a node sends to a stranger.
fn to_stranger(segment: &Segment<'_>, bytes: &[u8]) -> Option<(ProcessId, Fact)> {
    let Route {
        client,
        server: HostId(server),
        address,
        ..
    } = segment.route;
    let is_peer = matches!(address, Address::Tcp(socket) if socket.port() == P2P_PORT);
    let is_meant = *client == stranger::HOST && segment.sender == Side::Server && is_peer;
    let gets = Fact::StrangerGets {
        connection: segment.connection.0,
        bytes: bytes.len() as u64,
    };
    (is_meant && !bytes.is_empty()).then_some((ProcessId::Node(*server), gets))
}

/// The processes of a connection, if it is one of the system.
fn ends(route: &Route, asks_peers: bool) -> Option<Ends> {
    if route.client == stranger::HOST {
        return None;
    }
    let HostId(server) = route.server;
    let executor = ProcessId::Executor(server);
    // A client on the same machine is part of the world.
    let client = route.process.unwrap_or(ProcessId::World);
    let (channel, server) = match &route.address {
        Address::Unix(path) if *path == *TRANSACTIONS_PATH => {
            (Channel::Transactions, ProcessId::Node(server))
        }
        Address::Unix(path) if *path == *BLOCK_STREAM_PATH => (Channel::BlockStream, executor),
        Address::Unix(path) if *path == *RPC_PATH => (Channel::ExecutorRpc, executor),
        Address::Tcp(socket) if socket.port() == OLD_TRANSPORT_PORT => {
            (Channel::OldTransport, ProcessId::Node(server))
        }
        Address::Tcp(socket) if socket.port() == PEER_RPC_PORT => match client {
            ProcessId::Node(_) if asks_peers => (Channel::PeerRpc, executor),
            _ => (Channel::ExecutorRpc, executor),
        },
        Address::Tcp(socket) if socket.port() == P2P_PORT => {
            (Channel::Peers, ProcessId::Node(server))
        }
        _ => return None,
    };
    Some(Ends {
        channel,
        client,
        server,
    })
}

struct DiskTap {
    process: ProcessId,
    witness: Mutex<DiskWitness>,
    record: Record,
}

impl DiskTap {
    fn observe(&self, observe: impl FnOnce(&mut DiskWitness, &mut Vec<Fact>)) {
        let mut facts = vec![];
        observe(&mut lock(&self.witness), &mut facts);
        let of_process = facts.into_iter().map(|fact| (self.process, fact));
        self.record.facts(of_process);
    }
}

impl StoreObserver for DiskTap {
    fn observes(&self, column: Column) -> bool {
        DiskWitness::reads(column)
    }

    fn opened(&self, name: &str, store: &Arc<dyn Store>) {
        self.observe(|witness, facts| witness.opened(name, store, facts));
    }

    fn written(&self, name: &str, batch: &WriteBatch, durability: Durability) {
        self.observe(|witness, facts| witness.written(name, batch, durability, facts));
    }

    fn read_at_end(&self, name: &str, store: &Arc<dyn Store>) {
        self.observe(|witness, facts| witness.read_at_end(name, store, facts));
    }

    fn removed(&self, name: &str) {
        self.observe(|witness, facts| witness.removed(name, facts));
    }
}
