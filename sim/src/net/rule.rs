//! Faults on the wire: a rule gets a segment that is about to travel and returns a verdict.
//!
//! Rules do not access connections. They are called in the order of their installation, once per segment, while the
//! kernel is locked: a rule must not call the kernel.

use super::link::HostId;
use crate::process_id::ProcessId;
use metanode_core::types::Address;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

/// Numbers the connections of one kernel in the order in which they were made, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Numbers the rules of one kernel in the order of their installation, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RuleId(pub u64);

/// Client, server and address of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub client: HostId,
    pub server: HostId,
    /// As the client gave it.
    pub address: Address,
    /// The process that connected; `None` for one without a name.
    pub process: Option<ProcessId>,
}

impl Route {
    /// Whether this is a connection between two hosts, which faults of links affect.
    #[must_use]
    pub fn crosses_hosts(&self) -> bool {
        self.client != self.server
    }

    /// Whether this is a Unix connection.
    #[must_use]
    pub const fn is_unix(&self) -> bool {
        matches!(self.address, Address::Unix(_))
    }
}

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The one that connected.
    Client,
    /// The one that listened.
    Server,
}

impl Side {
    /// The other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// The content of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// This many bytes.
    Data(usize),
    /// The end of the stream (shutdown, or close with everything read).
    Fin,
    /// The connection is reset.
    Reset,
}

impl Payload {
    /// Bytes in it.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // a Fin is not an empty chunk
    pub const fn len(self) -> usize {
        match self {
            Self::Data(length) => length,
            Self::Fin | Self::Reset => 0,
        }
    }
}

/// What travels over a connection.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    pub connection: ConnectionId,
    pub route: &'a Route,
    /// The side that sent it.
    pub sender: Side,
    /// Bytes that this side had written before.
    pub offset: u64,
    pub payload: Payload,
}

impl Segment<'_> {
    /// The host it comes from.
    #[must_use]
    pub const fn from(&self) -> HostId {
        match self.sender {
            Side::Client => self.route.client,
            Side::Server => self.route.server,
        }
    }

    /// The host it goes to.
    #[must_use]
    pub const fn to(&self) -> HostId {
        match self.sender {
            Side::Client => self.route.server,
            Side::Server => self.route.client,
        }
    }
}

/// The verdict of a rule about a segment. A stream never loses bytes in the middle: a held segment holds everything
/// after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It travels with the latency of the link.
    Deliver,
    /// It is delayed by this much.
    Delay(Duration),
    /// It is held until the rule is uninstalled.
    Hold,
    /// The connection is reset at both ends, and what is in flight is lost. The first `after_bytes` of this segment
    /// still arrive if nothing is in flight before it.
    Reset { after_bytes: usize },
}

/// The verdict of a rule about an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectVerdict {
    /// It continues.
    Allow,
    /// It is delayed by this much.
    Delay(Duration),
    /// It is held until the rule is uninstalled; timeouts are up to the caller.
    Hold,
    /// It fails with this error, such as `ConnectionRefused` or `PermissionDenied`.
    Fail(ErrorKind),
}

/// A fault that is applied while it is installed.
pub trait Rule: Send {
    /// How many of the `offered_bytes` a call of `write` accepts; 0 counts as 1. `offset`: bytes that this side had written
    /// before.
    fn on_write(
        &mut self,
        route: &Route,
        sender: Side,
        offset: u64,
        offered_bytes: usize,
    ) -> usize {
        let _ = (route, sender, offset);
        offered_bytes
    }

    /// What arrives instead of the `bytes` of a segment: as many others; `None` if they are not altered. Who observes
    /// connections sees what was sent.
    fn on_bytes(&mut self, segment: &Segment<'_>, bytes: &[u8]) -> Option<Vec<u8>> {
        let _ = (segment, bytes);
        None
    }

    /// The verdict about a segment.
    fn on_chunk(&mut self, segment: &Segment<'_>) -> Verdict {
        let _ = segment;
        Verdict::Deliver
    }

    /// The verdict about an attempt to connect.
    fn on_connect(&mut self, attempt: &Route) -> ConnectVerdict {
        let _ = attempt;
        ConnectVerdict::Allow
    }
}

/// The verdict of all rules about a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Deliver { delay: Duration },
    Hold(RuleId),
    Reset { after_bytes: usize },
}

/// The verdict of all rules about an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectJudgement {
    Allow { delay: Duration },
    Hold(RuleId),
    Fail(ErrorKind),
}

/// The installed rules. A rule that holds a segment is the last one to be called; when it is uninstalled, the rules
/// after it are called, so that no rule is called twice for one segment.
#[derive(Default)]
pub(super) struct Rules {
    installed: BTreeMap<RuleId, Box<dyn Rule>>,
    last: u64,
}

impl Rules {
    /// Comes before the first rule.
    pub const START: RuleId = RuleId(0);

    pub fn install(&mut self, rule: Box<dyn Rule>) -> RuleId {
        self.last += 1;
        let id = RuleId(self.last);
        self.installed.insert(id, rule);
        id
    }

    pub fn uninstall(&mut self, id: RuleId) -> Option<Box<dyn Rule>> {
        self.installed.remove(&id)
    }

    pub fn is_installed(&self, id: RuleId) -> bool {
        self.installed.contains_key(&id)
    }

    /// How many bytes of a write are accepted.
    pub fn limit_write(
        &mut self,
        route: &Route,
        sender: Side,
        offset: u64,
        offered_bytes: usize,
    ) -> usize {
        self.installed
            .values_mut()
            .fold(offered_bytes, |bytes, rule| {
                rule.on_write(route, sender, offset, bytes).clamp(1, bytes)
            })
    }

    /// What arrives instead of the `bytes` of a segment; `None` if no rule alters them. Only the first that does is called.
    pub fn alter(&mut self, segment: &Segment<'_>, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut rules = self.installed.values_mut();
        let altered = rules.find_map(|rule| rule.on_bytes(segment, bytes))?;
        assert_eq!(altered.len(), bytes.len(), "a rule changed a length");
        Some(altered)
    }

    /// Calls the rules after `after`.
    pub fn judge(&mut self, segment: &Segment<'_>, after: RuleId) -> Judgement {
        let mut delay = Duration::ZERO;
        for (&id, rule) in self.installed.range_mut(RuleId(after.0 + 1)..) {
            match rule.on_chunk(segment) {
                Verdict::Deliver => {}
                Verdict::Delay(more) => delay += more,
                Verdict::Hold => return Judgement::Hold(id),
                Verdict::Reset { after_bytes } => return Judgement::Reset { after_bytes },
            }
        }
        Judgement::Deliver { delay }
    }

    /// Calls the rules after `after`.
    pub fn judge_connect(&mut self, attempt: &Route, after: RuleId) -> ConnectJudgement {
        let mut delay = Duration::ZERO;
        for (&id, rule) in self.installed.range_mut(RuleId(after.0 + 1)..) {
            match rule.on_connect(attempt) {
                ConnectVerdict::Allow => {}
                ConnectVerdict::Delay(more) => delay += more,
                ConnectVerdict::Hold => return ConnectJudgement::Hold(id),
                ConnectVerdict::Fail(kind) => return ConnectJudgement::Fail(kind),
            }
        }
        ConnectJudgement::Allow { delay }
    }
}
