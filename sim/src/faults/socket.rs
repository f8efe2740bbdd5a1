//! Faults of single sockets: short writes, reset, half-close, truncation, a delayed reply, hijacked socket files.

use super::{
    Channel, Cluster, Lasting, Parts, Prepared, Subject,
    network::ids,
    text::{executors, hosts, lasting},
};
use crate::{
    amounts::{bytes, ms},
    net::{Hijack, HostId, LateOnce, On, Route, Rule, ShortWrites, Side, StallOnce, TearOnce},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, time::Duration};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum SocketFault {
    /// Writes on all sockets of these hosts accept at most this many bytes at once.
    ShortWrites {
        hosts: Vec<u16>,
        max_bytes: u64,
        for_ms: Option<u64>,
    },
    /// Connections of these hosts are reset at both ends.
    Reset { hosts: Vec<u16>, channel: Channel },
    /// One direction of the connections of these hosts is closed after what was sent; the other stays open.
    HalfClose {
        hosts: Vec<u16>,
        channel: Channel,
        /// The side whose direction is closed.
        side: Side,
    },
    /// The next connection of these hosts that carries this many bytes in one direction is reset after them.
    Truncate {
        hosts: Vec<u16>,
        channel: Channel,
        after_bytes: u64,
    },
    /// The next connection of these hosts that carries this many bytes in one direction stays open, and carries nothing
    /// there after them.
    StallConnection {
        hosts: Vec<u16>,
        channel: Channel,
        after_bytes: u64,
        for_ms: Option<u64>,
    },
    /// The next data that a server sends on these connections is delayed by this much: one late reply.
    DelayReply {
        hosts: Vec<u16>,
        channel: Channel,
        extra_ms: u64,
    },
    /// The paths of these executors' Unix sockets are removed or replaced, while their listeners and connections stay
    /// open.
    HijackSocket {
        executors: Vec<u16>,
        channel: Channel,
        how: Hijack,
        for_ms: Option<u64>,
    },
}

impl Subject for SocketFault {
    fn takes_down(&self) -> BTreeSet<u16> {
        match self {
            Self::ShortWrites { .. }
            | Self::Reset { .. }
            | Self::HalfClose { .. }
            | Self::Truncate { .. }
            | Self::StallConnection { .. }
            | Self::DelayReply { .. }
            | Self::HijackSocket { .. } => BTreeSet::new(),
        }
    }

    fn lasting(&self) -> Lasting {
        match self {
            Self::ShortWrites { for_ms, .. }
            | Self::StallConnection { for_ms, .. }
            | Self::HijackSocket { for_ms, .. } => Lasting::Until(*for_ms),
            Self::Reset { .. }
            | Self::HalfClose { .. }
            | Self::Truncate { .. }
            | Self::DelayReply { .. } => Lasting::Moment,
        }
    }

    fn has_own_events(&self) -> bool {
        match self {
            Self::ShortWrites { .. }
            | Self::Reset { .. }
            | Self::HalfClose { .. }
            | Self::Truncate { .. }
            | Self::StallConnection { .. }
            | Self::DelayReply { .. }
            | Self::HijackSocket { .. } => false,
        }
    }

    fn prepare(&self, _: usize, _: &dyn Cluster) -> Prepared<'_> {
        match self {
            Self::ShortWrites { .. }
            | Self::Reset { .. }
            | Self::HalfClose { .. }
            | Self::Truncate { .. }
            | Self::StallConnection { .. }
            | Self::DelayReply { .. }
            | Self::HijackSocket { .. } => Prepared::BeginsWhenDue,
        }
    }

    fn begin(&self, number: usize, cluster: &dyn Cluster) {
        match self {
            Self::ShortWrites {
                hosts, max_bytes, ..
            } => {
                let rule = ShortWrites {
                    max_bytes: usize::try_from(*max_bytes).unwrap_or(usize::MAX),
                    stream: cluster.random(&format!("short writes/{number}")),
                };
                install(rule, hosts, Channel::Any, number, cluster);
            }
            Self::Reset { hosts, channel } => {
                cluster.kernel().reset_connections(on(hosts, *channel));
            }
            Self::HalfClose {
                hosts,
                channel,
                side,
            } => {
                cluster.kernel().half_close(*side, on(hosts, *channel));
            }
            Self::Truncate {
                hosts,
                channel,
                after_bytes,
            } => {
                let rule = TearOnce {
                    after_bytes: *after_bytes,
                    torn: false,
                };
                install(rule, hosts, *channel, number, cluster);
            }
            Self::StallConnection {
                hosts,
                channel,
                after_bytes,
                ..
            } => {
                let rule = StallOnce {
                    after_bytes: *after_bytes,
                    stalled: None,
                };
                install(rule, hosts, *channel, number, cluster);
            }
            Self::DelayReply {
                hosts,
                channel,
                extra_ms,
            } => {
                let rule = LateOnce {
                    extra: Duration::from_millis(*extra_ms),
                    done: false,
                };
                install(rule, hosts, *channel, number, cluster);
            }
            Self::HijackSocket {
                executors,
                channel,
                how,
                ..
            } => hijack(number, executors, *channel, *how, cluster),
        }
    }

    fn end(&self, _: &dyn Cluster) {
        match self {
            // What is held for them is removed already.
            Self::ShortWrites { .. } | Self::StallConnection { .. } | Self::HijackSocket { .. } => {
            }
            // They ended when they began.
            Self::Reset { .. }
            | Self::HalfClose { .. }
            | Self::Truncate { .. }
            | Self::DelayReply { .. } => {}
        }
    }

    fn parts(&mut self) -> Parts<'_> {
        match self {
            Self::ShortWrites {
                hosts,
                max_bytes: _,
                for_ms,
            } => Parts::of_hosts(hosts).lasting(for_ms),
            Self::Reset { hosts, channel: _ }
            | Self::HalfClose {
                hosts,
                channel: _,
                side: _,
            } => Parts::of_hosts(hosts),
            Self::Truncate {
                hosts,
                channel: _,
                after_bytes: amount,
            }
            | Self::DelayReply {
                hosts,
                channel: _,
                extra_ms: amount,
            } => Parts::of_hosts(hosts).amount(amount),
            Self::StallConnection {
                hosts,
                channel: _,
                after_bytes,
                for_ms,
            } => Parts::of_hosts(hosts).lasting(for_ms).amount(after_bytes),
            Self::HijackSocket {
                executors,
                channel: _,
                how: _,
                for_ms,
            } => Parts::of_executors(executors).lasting(for_ms),
        }
    }
}

impl fmt::Display for SocketFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShortWrites {
                hosts: numbers,
                max_bytes,
                for_ms,
            } => {
                let (hosts, max, lasting) = (hosts(numbers), bytes(*max_bytes), lasting(*for_ms));
                write!(
                    f,
                    "limit each write on sockets of {hosts} to {max} {lasting}"
                )
            }
            Self::Reset {
                hosts: numbers,
                channel,
            } => write!(f, "reset {channel} of {}", hosts(numbers)),
            Self::HalfClose {
                hosts: numbers,
                channel,
                side,
            } => {
                let side = match side {
                    Side::Client => "client",
                    Side::Server => "server",
                };
                let hosts = hosts(numbers);
                write!(f, "close the {side}'s direction of {channel} of {hosts}")
            }
            Self::Truncate {
                hosts: numbers,
                channel,
                after_bytes,
            } => {
                let hosts = hosts(numbers);
                write!(
                    f,
                    "reset one of the {channel} of {hosts} after {after_bytes} bytes in one direction"
                )
            }
            Self::StallConnection {
                hosts: numbers,
                channel,
                after_bytes,
                for_ms,
            } => {
                let (hosts, lasting) = (hosts(numbers), lasting(*for_ms));
                write!(
                    f,
                    "stall one of the {channel} of {hosts} after {after_bytes} bytes in one direction {lasting}"
                )
            }
            Self::DelayReply {
                hosts: numbers,
                channel,
                extra_ms,
            } => {
                let (hosts, extra) = (hosts(numbers), ms(*extra_ms));
                write!(f, "delay the next reply on {channel} of {hosts} by {extra}")
            }
            Self::HijackSocket {
                executors: numbers,
                channel,
                how,
                for_ms,
            } => {
                let (target, lasting) = (executors(numbers), lasting(*for_ms));
                let text = describe_hijack(*channel, *how, &target);
                write!(f, "{text} {lasting}")
            }
        }
    }
}

fn describe_hijack(channel: Channel, how: Hijack, executors: &str) -> String {
    let sockets = match channel {
        Channel::BlockStream => "block stream socket",
        Channel::Rpc => "RPC socket",
        Channel::Any | Channel::Peers | Channel::Transactions => "sockets",
    };
    match how {
        Hijack::Removed => format!("remove the {sockets} of {executors}"),
        Hijack::Refuses => format!("replace the {sockets} of {executors} by a stale file"),
        Hijack::Silent => format!("replace the {sockets} of {executors} by a silent listener"),
    }
}

/// Installs a rule for these connections, held for the fault.
fn install(
    rule: impl Rule + 'static,
    hosts: &[u16],
    channel: Channel,
    number: usize,
    cluster: &dyn Cluster,
) {
    let selected = on(hosts, channel);
    let rule = cluster.kernel().install(On { selected, rule });
    cluster.faults().hold_rule(number, rule);
}

fn hijack(number: usize, executors: &[u16], channel: Channel, how: Hijack, cluster: &dyn Cluster) {
    let paths = channel.unix_paths();
    let hijack = |executor: &u16| {
        let host = HostId(*executor);
        let hijacked = paths.iter();
        let hijacked = hijacked.map(move |path| cluster.kernel().hijack(host, path, how));
        hijacked.flatten().collect::<Vec<_>>()
    };
    let hijacked = executors.iter().flat_map(hijack).collect();
    cluster.faults().hold_hijacks(number, hijacked);
}

/// The connections of these hosts on this channel.
fn on(hosts: &[u16], channel: Channel) -> Box<dyn Fn(&Route) -> bool + Send> {
    let hosts = ids(hosts);
    Box::new(move |route| {
        let on_channel = channel == Channel::Any || channel == Channel::of(&route.address);
        on_channel && (hosts.contains(&route.client) || hosts.contains(&route.server))
    })
}
