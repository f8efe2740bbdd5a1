//! Faults of single sockets: short writes, reset, half-close, truncation, a delayed reply, hijacked socket files.

use super::{
    Channel, Lasting, Parts, Subject,
    text::{executors, hosts, lasting},
};
use crate::{
    amounts::{bytes, ms},
    net::{Hijack, Side},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

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
            | Self::DelayReply { .. }
            | Self::HijackSocket { .. } => BTreeSet::new(),
        }
    }

    fn lasting(&self) -> Lasting {
        match self {
            Self::ShortWrites { for_ms, .. } | Self::HijackSocket { for_ms, .. } => {
                Lasting::Until(*for_ms)
            }
            Self::Reset { .. }
            | Self::HalfClose { .. }
            | Self::Truncate { .. }
            | Self::DelayReply { .. } => Lasting::Moment,
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
        Channel::Any | Channel::Peers => "sockets",
    };
    match how {
        Hijack::Removed => format!("remove the {sockets} of {executors}"),
        Hijack::Refuses => format!("replace the {sockets} of {executors} by a stale file"),
        Hijack::Silent => format!("replace the {sockets} of {executors} by a silent listener"),
    }
}
