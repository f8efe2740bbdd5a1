//! What a stranger overhears: the greetings of nodes to each other, which are not encrypted.

use crate::{
    addresses::P2P_PORT,
    net::{HostId, Segment, Side, Tap},
    stranger,
};
use metanode_core::types::Address;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

/// The newest greeting to each host. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Sniffer(Arc<Mutex<Overheard>>);

#[derive(Default)]
struct Overheard {
    /// Connections whose greeting has passed.
    greeted: BTreeSet<u64>,
    newest: BTreeMap<HostId, Vec<u8>>,
}

impl Sniffer {
    /// The bytes of the newest greeting to a host.
    pub fn newest(&self, host: HostId) -> Option<Vec<u8>> {
        let overheard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        overheard.newest.get(&host).cloned()
    }
}

impl Tap for Sniffer {
    fn sent(&mut self, segment: &Segment<'_>, bytes: &[u8]) {
        let route = segment.route;
        let is_peer = matches!(&route.address, Address::Tcp(socket) if socket.port() == P2P_PORT);
        if segment.sender != Side::Client || !is_peer || route.client == stranger::HOST {
            return;
        }
        let mut overheard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if overheard.greeted.insert(segment.connection.0) {
            overheard.newest.insert(route.server, bytes.to_vec());
        }
    }
}
