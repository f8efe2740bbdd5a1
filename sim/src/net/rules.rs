//! The rules of the faults.

use super::link::{HostId, below};
use super::rule::{ConnectVerdict, ConnectionId, Route, Rule, Segment, Side, Verdict};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

/// The direction in which a partition cuts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    #[default]
    Both,
    /// What the hosts send does not reach the others.
    Outgoing,
    /// What the others send does not reach the hosts.
    Incoming,
}

/// Cuts hosts off from some others, in one direction or both. Connections and attempts to connect are held until the
/// rule is uninstalled. Unix sockets and connections inside a host are not affected.
#[derive(Clone, Debug)]
pub struct Partition {
    pub hosts: BTreeSet<HostId>,
    pub others: BTreeSet<HostId>,
    pub cut: Cut,
}

impl Partition {
    fn cuts(&self, from: HostId, to: HostId) -> bool {
        let outgoing = self.hosts.contains(&from) && self.others.contains(&to);
        let incoming = self.others.contains(&from) && self.hosts.contains(&to);
        from != to
            && match self.cut {
                Cut::Both => outgoing || incoming,
                Cut::Outgoing => outgoing,
                Cut::Incoming => incoming,
            }
    }
}

impl Rule for Partition {
    fn on_chunk(&mut self, segment: &Segment<'_>) -> Verdict {
        if self.cuts(segment.from(), segment.to()) {
            Verdict::Hold
        } else {
            Verdict::Deliver
        }
    }

    /// A handshake needs both directions.
    fn on_connect(&mut self, attempt: &Route) -> ConnectVerdict {
        let Route { client, server, .. } = *attempt;
        if self.cuts(client, server) || self.cuts(server, client) {
            ConnectVerdict::Hold
        } else {
            ConnectVerdict::Allow
        }
    }
}

/// Delays all traffic from and to these hosts, except within a host.
#[derive(Clone, Debug)]
pub struct LatencySpike {
    pub hosts: BTreeSet<HostId>,
    pub extra: Duration,
}

impl Rule for LatencySpike {
    fn on_chunk(&mut self, segment: &Segment<'_>) -> Verdict {
        if touches(&self.hosts, segment.route) {
            Verdict::Delay(self.extra)
        } else {
            Verdict::Deliver
        }
    }

    fn on_connect(&mut self, attempt: &Route) -> ConnectVerdict {
        if touches(&self.hosts, attempt) {
            ConnectVerdict::Delay(self.extra)
        } else {
            ConnectVerdict::Allow
        }
    }
}

/// A firewall that rejects traffic from and to these hosts: connections are reset with the next segment, new ones are
/// refused. Connections inside a host are not affected.
#[derive(Clone, Debug)]
pub struct ResetAll {
    pub hosts: BTreeSet<HostId>,
}

impl Rule for ResetAll {
    fn on_chunk(&mut self, segment: &Segment<'_>) -> Verdict {
        if touches(&self.hosts, segment.route) {
            Verdict::Reset { after_bytes: 0 }
        } else {
            Verdict::Deliver
        }
    }

    fn on_connect(&mut self, attempt: &Route) -> ConnectVerdict {
        if touches(&self.hosts, attempt) {
            ConnectVerdict::Fail(ErrorKind::ConnectionRefused)
        } else {
            ConnectVerdict::Allow
        }
    }
}

/// Short writes cut what is offered into about this many parts, even if their bound asks for more: a frame of megabytes
/// that is written byte by byte takes minutes.
const MOST_PARTS: usize = 256;

/// Writes on all connections accept at most a number of bytes that is drawn for each write: from 1 to `max_bytes`, or to
/// a 256th of what is offered if that is more.
#[derive(Clone, Debug)]
pub struct ShortWrites {
    pub max_bytes: usize,
    pub stream: ChaCha8Rng,
}

impl Rule for ShortWrites {
    fn on_write(&mut self, _: &Route, _: Side, _: u64, offered_bytes: usize) -> usize {
        let bound = self.max_bytes.max(offered_bytes / MOST_PARTS).max(1);
        let drawn = 1 + below(&mut self.stream, bound as u64);
        usize::try_from(drawn)
            .unwrap_or(usize::MAX)
            .min(offered_bytes)
    }
}

fn touches(hosts: &BTreeSet<HostId>, route: &Route) -> bool {
    route.crosses_hosts() && (hosts.contains(&route.client) || hosts.contains(&route.server))
}

/// Applies a rule to the selected connections only.
pub(crate) struct On<R> {
    pub selected: Box<dyn Fn(&Route) -> bool + Send>,
    pub rule: R,
}

impl<R: Rule> Rule for On<R> {
    fn on_write(
        &mut self,
        route: &Route,
        sender: Side,
        offset: u64,
        offered_bytes: usize,
    ) -> usize {
        match (self.selected)(route) {
            true => self.rule.on_write(route, sender, offset, offered_bytes),
            false => offered_bytes,
        }
    }

    fn on_chunk(&mut self, segment: &Segment<'_>) -> Verdict {
        match (self.selected)(segment.route) {
            true => self.rule.on_chunk(segment),
            false => Verdict::Deliver,
        }
    }

    fn on_connect(&mut self, attempt: &Route) -> ConnectVerdict {
        match (self.selected)(attempt) {
            true => self.rule.on_connect(attempt),
            false => ConnectVerdict::Allow,
        }
    }
}

/// Resets the first connection that carries this many bytes in one direction, right after them.
#[derive(Clone, Debug)]
pub(crate) struct TearOnce {
    pub after_bytes: u64,
    pub torn: bool,
}

impl Rule for TearOnce {
    fn on_chunk(&mut self, segment: &Segment<'_>) -> Verdict {
        let Some(within) = self.after_bytes.checked_sub(segment.offset) else {
            return Verdict::Deliver;
        };
        if self.torn || within >= segment.payload.len() as u64 {
            return Verdict::Deliver;
        }
        self.torn = true;
        Verdict::Reset {
            after_bytes: usize::try_from(within).unwrap_or(usize::MAX),
        }
    }
}

/// Holds what the first connection that carries this many bytes in one direction carries there after them.
#[derive(Clone, Debug)]
pub(crate) struct StallOnce {
    pub after_bytes: u64,
    pub stalled: Option<(ConnectionId, Side)>,
}

impl StallOnce {
    /// How many of these bytes are before the stall, if it is among them.
    fn split(&self, offset: u64, bytes: usize) -> Option<usize> {
        let before = usize::try_from(self.after_bytes.checked_sub(offset)?).ok()?;
        (before < bytes).then_some(before)
    }
}

impl Rule for StallOnce {
    fn on_write(&mut self, _: &Route, _: Side, offset: u64, offered_bytes: usize) -> usize {
        match (self.stalled, self.split(offset, offered_bytes)) {
            (None, Some(before)) if before > 0 => before,
            _ => offered_bytes,
        }
    }

    fn on_chunk(&mut self, segment: &Segment<'_>) -> Verdict {
        let of = (segment.connection, segment.sender);
        let begins =
            self.stalled.is_none() && self.split(segment.offset, segment.payload.len()) == Some(0);
        if begins {
            self.stalled = Some(of);
        }
        match self.stalled == Some(of) {
            true => Verdict::Hold,
            false => Verdict::Deliver,
        }
    }
}

/// Delays the first data that a server sends: a late reply.
#[derive(Clone, Debug)]
pub(crate) struct LateOnce {
    pub extra: Duration,
    pub done: bool,
}

impl Rule for LateOnce {
    fn on_chunk(&mut self, segment: &Segment<'_>) -> Verdict {
        if self.done || segment.sender == Side::Client || segment.payload.len() == 0 {
            return Verdict::Deliver;
        }
        self.done = true;
        Verdict::Delay(self.extra)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::rule::Payload;
    use metanode_core::types::Address;

    #[test]
    fn a_connection_stalls_at_one_byte_of_one_direction() {
        let route = Route {
            address: Address::Unix("/rpc".into()),
            client: HostId(0),
            server: HostId(1),
            process: None,
        };
        let mut rule = StallOnce {
            after_bytes: 150,
            stalled: None,
        };
        let mut sent = |connection, sender, offset, bytes| {
            let taken = rule.on_write(&route, sender, offset, bytes);
            let verdict = rule.on_chunk(&Segment {
                connection: ConnectionId(connection),
                route: &route,
                sender,
                offset,
                payload: Payload::Data(taken),
            });
            (taken, verdict == Verdict::Hold)
        };
        assert_eq!(sent(1, Side::Server, 0, 100), (100, false));
        assert_eq!(sent(1, Side::Server, 100, 100), (50, false));
        assert_eq!(sent(1, Side::Server, 150, 50), (50, true));
        assert_eq!(sent(1, Side::Server, 200, 9), (9, true));
        assert_eq!(sent(1, Side::Client, 140, 20), (20, false));
        assert_eq!(sent(2, Side::Server, 140, 20), (20, false));
    }
}
