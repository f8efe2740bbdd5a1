//! Faults on the wire: a rule looks at what is about to travel and returns a verdict.
//!
//! Rules never touch a connection themselves. They are asked in the order of their installation, once for each thing
//! that travels, while the kernel is locked: a rule must not call the kernel.

use super::link::HostId;
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

/// Who connects to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub client: HostId,
    pub server: HostId,
    /// As the client gave it.
    pub address: Address,
}

impl Route {
    /// Whether this is a TCP connection between two hosts, the only kind that a cable can break.
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

/// What travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// This many bytes.
    Data(usize),
    /// The writer will write no more (shutdown, or close with everything read).
    Fin,
    /// The connection is dead.
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

/// One thing on its way.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    pub connection: ConnectionId,
    pub route: &'a Route,
    /// Who sent it.
    pub sender: Side,
    /// Bytes that this side wrote before.
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

/// What becomes of a segment. The bytes of a stream are never lost in the middle: what does not arrive in time holds
/// up everything after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It travels as the link says.
    Deliver,
    /// It takes this much longer.
    Delay(Duration),
    /// It stays where it is until the rule is uninstalled.
    Hold,
    /// Both ends find the connection dead, and what is in flight is lost. The first `after_bytes` of this segment
    /// still arrive if nothing is in flight before it.
    Reset { after_bytes: usize },
}

/// What becomes of an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectVerdict {
    /// It goes on.
    Allow,
    /// It takes this much longer.
    Delay(Duration),
    /// It hangs until the rule is uninstalled; the caller has a timeout of its own.
    Hold,
    /// It fails with this error, such as `ConnectionRefused` or `PermissionDenied`.
    Fail(ErrorKind),
}

/// A fault that is applied while it is installed.
pub trait Rule: Send {
    /// How many of the `offered_bytes` one call of `write` takes; at least one is taken in any case.
    fn on_write(&mut self, route: &Route, sender: Side, offered_bytes: usize) -> usize {
        let _ = (route, sender);
        offered_bytes
    }

    /// What becomes of a segment.
    fn on_chunk(&mut self, segment: &Segment<'_>) -> Verdict {
        let _ = segment;
        Verdict::Deliver
    }

    /// What becomes of an attempt to connect.
    fn on_connect(&mut self, attempt: &Route) -> ConnectVerdict {
        let _ = attempt;
        ConnectVerdict::Allow
    }
}

/// What all rules together say of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    Deliver { delay: Duration },
    Hold(RuleId),
    Reset { after_bytes: usize },
}

/// What all rules together say of an attempt to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectJudgement {
    Allow { delay: Duration },
    Hold(RuleId),
    Fail(ErrorKind),
}

/// The installed rules. A rule that holds something stops the round of questions; it goes on with the rule after it
/// when the holder is uninstalled, so that no rule is asked twice about one thing.
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

    /// How much of a write is taken.
    pub fn limit_write(&mut self, route: &Route, sender: Side, offered_bytes: usize) -> usize {
        self.installed
            .values_mut()
            .fold(offered_bytes, |bytes, rule| {
                rule.on_write(route, sender, bytes).clamp(1, bytes)
            })
    }

    /// Asks the rules after `after`.
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

    /// Asks the rules after `after`.
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
