//! The rules of the faults.

use super::link::{HostId, below};
use super::rule::{ConnectVerdict, Route, Rule, Segment, Side, Verdict};
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

/// Writes on all connections accept at most a number of bytes that is drawn from 1 to `max_bytes` for each write.
#[derive(Clone, Debug)]
pub struct ShortWrites {
    pub max_bytes: usize,
    pub stream: ChaCha8Rng,
}

impl Rule for ShortWrites {
    fn on_write(&mut self, _: &Route, _: Side, offered_bytes: usize) -> usize {
        let bound = self.max_bytes.max(1) as u64;
        let drawn = 1 + below(&mut self.stream, bound);
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
    fn on_write(&mut self, route: &Route, sender: Side, offered_bytes: usize) -> usize {
        match (self.selected)(route) {
            true => self.rule.on_write(route, sender, offered_bytes),
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
