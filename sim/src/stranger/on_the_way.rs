//! A stranger on the way between two nodes: it changes what they send each other before it is encrypted.

use super::below;
use crate::{
    addresses::P2P_PORT,
    net::{HostId, Rule, Segment, Side},
};
use metanode_core::{
    peers::{Hello, PLAIN_FRAMING},
    types::{Address, Epoch},
};
use rand_chacha::ChaCha8Rng;

/// Changes the epoch in every second greeting to these hosts to the one before or after it.
pub(super) struct AlterGreetings {
    pub hosts: Vec<HostId>,
    pub random: ChaCha8Rng,
}

impl Rule for AlterGreetings {
    fn on_bytes(&mut self, segment: &Segment<'_>, bytes: &[u8]) -> Option<Vec<u8>> {
        let route = segment.route;
        let is_peer = matches!(&route.address, Address::Tcp(socket) if socket.port() == P2P_PORT);
        let is_greeting = is_peer && segment.sender == Side::Client && segment.offset == 0;
        if !is_greeting || !route.crosses_hosts() || !self.hosts.contains(&route.server) {
            return None;
        }
        // Half a greeting is left as it is.
        let mut hello: Hello = bcs::from_bytes(bytes.get(4..)?).ok()?;
        hello.epoch = match below(&mut self.random, 4) {
            0 => hello.epoch.next(),
            1 => Epoch(hello.epoch.0.checked_sub(1)?),
            _ => return None,
        };
        let frame = PLAIN_FRAMING.encode_body(&bcs::to_bytes(&hello).ok()?);
        frame.ok().map(|frame| frame.to_vec())
    }
}
