//! Listeners: Unix paths and TCP ports of each host, and the queues of connections that are not accepted yet.
//!
//! Plain data with the errors of `bind(2)`, `connect(2)` and `unlink(2)`.

use super::hijack::{Hijack, Left};
use super::link::HostId;
use super::rule::ConnectionId;
use super::waiting::Waiting;
use madsim::task::NodeId;
use metanode_core::types::Address;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::task::Context;

/// Numbers the listeners of one kernel, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ListenerId(u64);

/// A bound socket.
struct Bound {
    /// `None` for the silent listener of a hijacked path.
    owner: Option<NodeId>,
    host: HostId,
    address: Address,
    queue: VecDeque<ConnectionId>,
    /// Tasks in `accept`.
    acceptors: Waiting,
    /// Tasks in `connect` that wait for space in the queue.
    connectors: Waiting,
}

/// The namespaces of all hosts.
pub(super) struct Listeners {
    bound: BTreeMap<ListenerId, Bound>,
    /// Socket files; stale ones without a listener.
    files: BTreeMap<HostId, BTreeMap<PathBuf, Option<ListenerId>>>,
    /// A port has one listener for all addresses of the host.
    ports: BTreeMap<(HostId, u16), ListenerId>,
    last: u64,
    /// Connections that may wait for one listener's `accept`.
    pub backlog: usize,
}

impl Listeners {
    /// The first ephemeral port of Linux.
    const FIRST_EPHEMERAL_PORT: u16 = 32768;

    pub const fn new(backlog: usize) -> Self {
        Self {
            bound: BTreeMap::new(),
            files: BTreeMap::new(),
            ports: BTreeMap::new(),
            last: 0,
            backlog,
        }
    }

    pub fn bind(
        &mut self,
        host: HostId,
        address: &Address,
        owner: NodeId,
    ) -> io::Result<ListenerId> {
        let id = ListenerId(self.last + 1);
        let address = match address {
            Address::Unix(path) => {
                let files = self.files.entry(host).or_default();
                if files.contains_key(path) {
                    return Err(ErrorKind::AddrInUse.into());
                }
                files.insert(path.clone(), Some(id));
                address.clone()
            }
            Address::Tcp(socket) => {
                let ip = socket.ip();
                if !(ip.is_unspecified() || ip.is_loopback() || ip == host.ip()) {
                    return Err(ErrorKind::AddrNotAvailable.into());
                }
                let port = self.free_port(host, socket.port())?;
                self.ports.insert((host, port), id);
                Address::Tcp(SocketAddr::new(ip, port))
            }
        };
        self.insert(id, Bound::new(Some(owner), host, address));
        Ok(id)
    }

    fn insert(&mut self, id: ListenerId, bound: Bound) {
        self.last = id.0;
        self.bound.insert(id, bound);
    }

    /// Replaces the file of a live listener. Returns that listener, and what is at the path now.
    pub fn hijack(&mut self, host: HostId, path: &Path, how: Hijack) -> Option<(ListenerId, Left)> {
        let silent = ListenerId(self.last + 1);
        let files = self.files.entry(host).or_default();
        let owner = (*files.get(path)?)?;
        // A hijacked path is not hijacked again.
        self.bound.get(&owner)?.owner?;
        let left = match how {
            Hijack::Removed => Left::Nothing,
            Hijack::Refuses => Left::File(None),
            Hijack::Silent => Left::File(Some(silent)),
        };
        match left {
            Left::Nothing => files.remove(path),
            Left::File(listener) => files.insert(path.to_owned(), listener),
        };
        if how == Hijack::Silent {
            let bound = Bound::new(None, host, Address::Unix(path.to_owned()));
            self.insert(silent, bound);
        }
        Some((owner, left))
    }

    /// Restores the file of `owner`, if it still listens and the path was not bound again.
    pub fn restore(&mut self, host: HostId, path: &Path, owner: ListenerId, left: Left) {
        let files = self.files.entry(host).or_default();
        let found = match files.get(path) {
            None => Left::Nothing,
            Some(listener) => Left::File(*listener),
        };
        if found == left && self.bound.contains_key(&owner) {
            files.insert(path.to_owned(), Some(owner));
        }
    }

    fn free_port(&self, host: HostId, wanted: u16) -> io::Result<u16> {
        let is_free = |port: &u16| !self.ports.contains_key(&(host, *port));
        match wanted {
            0 => (Self::FIRST_EPHEMERAL_PORT..=u16::MAX).find(is_free),
            port => Some(port).filter(is_free),
        }
        .ok_or_else(|| ErrorKind::AddrInUse.into())
    }

    /// The listener that a connection to `address` on `host` reaches.
    pub fn find(&self, host: HostId, address: &Address) -> io::Result<ListenerId> {
        match address {
            Address::Unix(path) => {
                let file = self.files.get(&host).and_then(|files| files.get(path));
                let listener = file.ok_or(ErrorKind::NotFound)?;
                listener.ok_or_else(|| ErrorKind::ConnectionRefused.into())
            }
            Address::Tcp(socket) => self
                .ports
                .get(&(host, socket.port()))
                .copied()
                .filter(|id| self.bound[id].is_reached_by(socket.ip()))
                .ok_or_else(|| ErrorKind::ConnectionRefused.into()),
        }
    }

    /// Removes a socket file. The open connections of its listener are not affected.
    pub fn unlink(&mut self, host: HostId, path: &Path) -> io::Result<()> {
        let files = self.files.entry(host).or_default();
        match files.remove(path) {
            Some(_) => Ok(()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    /// Stops listening. Returns the connections that were not accepted.
    pub fn close(&mut self, id: ListenerId) -> VecDeque<ConnectionId> {
        let Some(mut bound) = self.bound.remove(&id) else {
            return VecDeque::new();
        };
        match &bound.address {
            Address::Unix(path) => {
                let files = self.files.entry(bound.host).or_default();
                if let Some(file) = files.get_mut(path).filter(|file| **file == Some(id)) {
                    *file = None;
                }
            }
            Address::Tcp(socket) => {
                self.ports.remove(&(bound.host, socket.port()));
            }
        }
        bound.acceptors.wake_all();
        bound.connectors.wake_all();
        bound.queue
    }

    pub fn owned_by(&self, node: NodeId) -> Vec<ListenerId> {
        let owned = self
            .bound
            .iter()
            .filter(|(_, bound)| bound.owner == Some(node));
        owned.map(|(&id, _)| id).collect()
    }

    /// The addresses of all listeners of `host`, in the order of binding.
    pub fn addresses(&self, host: HostId) -> Vec<Address> {
        let here = self.bound.values().filter(|bound| bound.host == host);
        here.map(|bound| bound.address.clone()).collect()
    }

    /// Whether the queue of `id` has space; otherwise the caller is woken when it has.
    pub fn has_space(&mut self, id: ListenerId, context: &Context<'_>) -> bool {
        let Some(bound) = self.bound.get_mut(&id) else {
            return false;
        };
        let has_space = bound.queue.len() < self.backlog || bound.owner.is_none();
        if !has_space {
            bound.connectors.add(context);
        }
        has_space
    }

    /// Appends a connection to the queue of `id`.
    pub fn enqueue(&mut self, id: ListenerId, connection: ConnectionId) {
        if let Some(bound) = self.bound.get_mut(&id) {
            bound.queue.push_back(connection);
            bound.acceptors.wake_all();
        }
    }

    /// The oldest connection in the queue of `id`; if there is none, the caller is woken when one is appended.
    ///
    /// # Errors
    /// If the listener is closed.
    pub fn dequeue(
        &mut self,
        id: ListenerId,
        context: &Context<'_>,
    ) -> io::Result<Option<ConnectionId>> {
        let bound = self.bound.get_mut(&id).ok_or(ErrorKind::NotConnected)?;
        let connection = bound.queue.pop_front();
        if connection.is_some() {
            bound.connectors.wake_all();
        } else {
            bound.acceptors.add(context);
        }
        Ok(connection)
    }
}

impl Bound {
    fn new(owner: Option<NodeId>, host: HostId, address: Address) -> Self {
        Self {
            owner,
            host,
            address,
            queue: VecDeque::new(),
            acceptors: Waiting::default(),
            connectors: Waiting::default(),
        }
    }

    /// A listener that is bound to one address of its host is not reached over another.
    fn is_reached_by(&self, ip: IpAddr) -> bool {
        match &self.address {
            Address::Tcp(socket) => socket.ip().is_unspecified() || socket.ip() == ip,
            Address::Unix(_) => false,
        }
    }
}
