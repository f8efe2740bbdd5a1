//! BOUND, of connections between nodes: *who is no member gets no more than guests may have*; and TRUTH: *a node that says
//! that a member has more connections than it may is right* (contract §10.8). EPOCH, of sessions: *both ends have established
//! a session for the same epoch* (§10.7).
//!
//! Judged by the bytes that nodes send to strangers, and by the connections that exist. What a guest may have over a time
//! is what its node's parameters say for all guests together, and one answer beyond it: how large that is, is known when it
//! was made. It ends with the block that makes it large enough, and a block has at least one transaction, however large they
//! are.
//!
//! No violation: a connection of a member that is displaced while more of them exist than the parameters say, also such as
//! the member has left without a word.

use super::{Invariant, Oracle, Violation};
use crate::{
    plan::{Authorities, Plan},
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
    witness::Fact,
};
use metanode_core::{
    consensus::protocol::MAX_GUEST_ANSWER_BYTES,
    env::{Event, NodeEvent},
    types::AuthorityIndex,
};
use std::collections::{BTreeMap, BTreeSet};

/// The names of commits and blocks in an answer, beside its blocks.
const BEYOND_ANSWER_BYTES: u64 = 1 << 20;

/// Judges for which epoch both ends have established a session.
pub(super) struct SessionEpochs;

impl Oracle for SessionEpochs {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        let What::Seen(Fact::SessionDiffers { epoch, other }) = &entry.what else {
            return Ok(());
        };
        let message = format!(
            "expected the end that has a session of epoch {epoch} to reach one of epoch {epoch}, found one of {other}"
        );
        let (invariant, clause) = (Invariant::Epoch, "session-of-two-epochs");
        Err(Violation::by(entry, invariant, clause, message, None))
    }
}

/// The greetings of a connection, and what encryption adds to an answer.
const PER_CONNECTION_BYTES: u64 = 4 << 10;

/// Judges what strangers get.
pub(super) struct GuestBytes {
    plan: Plan,
    nodes: BTreeMap<u16, Given>,
    /// The size of the largest block on any disk.
    largest_block_bytes: u64,
}

/// What a node has given to strangers since its last start.
#[derive(Default)]
struct Given {
    since: Option<SimTime>,
    bytes: u64,
    connections: BTreeSet<u64>,
}

impl GuestBytes {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            nodes: BTreeMap::new(),
            largest_block_bytes: 0,
        }
    }

    /// The bytes that strangers may have got by now.
    fn allowed(&self, n: u16, given: &Given, now: SimTime) -> u64 {
        let peers = self.plan.node_of(n, 1).peers;
        let since = given.since.unwrap_or(now);
        // A second may be saved up, and a part of one counts as a whole.
        let seconds = now.since(since).as_ms() / 1_000 + 2;
        u64::from(peers.guest_bytes_per_second) * seconds
            + MAX_GUEST_ANSWER_BYTES as u64
            + self.largest_block_bytes
            + BEYOND_ANSWER_BYTES
            + PER_CONNECTION_BYTES * given.connections.len() as u64
    }
}

impl Oracle for GuestBytes {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        let ProcessId::Node(n) = entry.process else {
            return Ok(());
        };
        match &entry.what {
            What::World(WorldEvent::Started { .. }) => {
                self.nodes.remove(&n);
            }
            What::Seen(Fact::BlockStored { block, .. }) => {
                self.largest_block_bytes = block.content_bytes().max(self.largest_block_bytes);
            }
            What::Seen(Fact::StrangerGets { connection, bytes }) if !self.plan.is_byzantine(n) => {
                let given = self.nodes.entry(n).or_default();
                given.since.get_or_insert(entry.at);
                given.bytes += bytes;
                given.connections.insert(*connection);
                let found = given.bytes;
                let allowed = self.allowed(n, &self.nodes[&n], entry.at);
                if found > allowed {
                    let message = format!(
                        "expected at most {allowed} bytes for who is no member, by guest_bytes_per_second, found {found}"
                    );
                    let (invariant, clause) = (Invariant::Bound, "guest-bytes");
                    return Err(Violation::by(entry, invariant, clause, message, None));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Judges which connections of members are displaced.
pub(super) struct Displaced {
    plan: Plan,
    authorities: Authorities,
    /// Client and listener of each connection between nodes.
    open: BTreeMap<u64, (u16, u16)>,
}

impl Displaced {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            authorities: Authorities::new(plan),
            open: BTreeMap::new(),
        }
    }
}

impl Oracle for Displaced {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match (&entry.what, entry.process) {
            (
                What::Seen(Fact::PeerConnected {
                    connection,
                    listener,
                }),
                ProcessId::Node(client),
            ) => {
                self.open.insert(*connection, (client, *listener));
            }
            (What::Seen(Fact::PeerClosed { connection }), _) => {
                self.open.remove(connection);
            }
            (
                What::Process(Event::Node(NodeEvent::PeerDisplaced { epoch, peer })),
                ProcessId::Node(n),
            ) => {
                let member = self.authorities.validator(*epoch, AuthorityIndex(*peer));
                let Some(member) = member.filter(|member| !self.plan.is_byzantine(*member)) else {
                    return Ok(());
                };
                let open = self.open.values().filter(|ends| **ends == (member, n));
                let (found, limit) = (
                    open.count(),
                    self.plan.node_of(n, 1).peers.max_connections_per_member as usize,
                );
                if found <= limit {
                    let message = format!(
                        "expected more than {limit} connections of node-{member}, of which one has to go, found {found}"
                    );
                    let (invariant, clause) = (Invariant::Truth, "displaced");
                    return Err(Violation::by(entry, invariant, clause, message, None));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
