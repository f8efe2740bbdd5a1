//! Kinds of socket faults.

use super::{EXECUTORS, FaultKind, FaultSection, HOSTS, InSwarm, Keys, Schema, Time};
use crate::{sampling::Sampled, scenario::target::Target};
use metanode_sim::{
    faults::{Channel, SocketFault},
    net::{Hijack, Side},
};

pub(super) const SHORT_WRITES: Schema = Schema {
    targets: HOSTS,
    time: Time::For,
    keys: Keys {
        needs: &["max_bytes"],
        ..Keys::NONE
    },
    of_section: |drawn| {
        SocketFault::ShortWrites {
            hosts: drawn.validators(),
            max_bytes: drawn.number("max_bytes", drawn.section.max_bytes),
            for_ms: drawn.for_ms(),
        }
        .into()
    },
    in_swarm: InSwarm::plain(|swarm| {
        SocketFault::ShortWrites {
            hosts: swarm.hosts(),
            max_bytes: 1 + swarm.stream.low(200),
            for_ms: Some(swarm.lasts_ms),
        }
        .into()
    }),
};

pub(super) const RESET: Schema = Schema {
    targets: HOSTS,
    time: Time::Moment,
    keys: Keys {
        takes: &["channel"],
        ..Keys::NONE
    },
    of_section: |drawn| {
        SocketFault::Reset {
            hosts: drawn.validators(),
            channel: drawn.channel(),
        }
        .into()
    },
    in_swarm: InSwarm::plain(|swarm| {
        SocketFault::Reset {
            hosts: swarm.hosts(),
            channel: swarm.channel(),
        }
        .into()
    }),
};

pub(super) const HALF_CLOSE: Schema = Schema {
    targets: HOSTS,
    time: Time::Moment,
    keys: Keys {
        needs: &["side"],
        takes: &["channel"],
        ..Keys::NONE
    },
    of_section: |drawn| {
        SocketFault::HalfClose {
            hosts: drawn.validators(),
            channel: drawn.channel(),
            side: drawn.section.side.unwrap_or(Side::Server),
        }
        .into()
    },
    in_swarm: InSwarm::plain(|swarm| {
        SocketFault::HalfClose {
            hosts: swarm.hosts(),
            channel: swarm.channel(),
            side: match swarm.stream.below(2) {
                0 => Side::Client,
                _ => Side::Server,
            },
        }
        .into()
    }),
};

pub(super) const TRUNCATE: Schema = Schema {
    targets: HOSTS,
    time: Time::Moment,
    keys: Keys {
        needs: &["after_bytes"],
        takes: &["channel"],
        ..Keys::NONE
    },
    of_section: |drawn| {
        SocketFault::Truncate {
            hosts: drawn.validators(),
            channel: drawn.channel(),
            after_bytes: drawn.number("after_bytes", drawn.section.after_bytes),
        }
        .into()
    },
    in_swarm: InSwarm::plain(|swarm| {
        SocketFault::Truncate {
            hosts: swarm.hosts(),
            channel: swarm.channel(),
            after_bytes: swarm.stream.low(100_000),
        }
        .into()
    }),
};

pub(super) const STALL_CONNECTION: Schema = Schema {
    targets: HOSTS,
    time: Time::For,
    keys: Keys {
        needs: &["after_bytes"],
        takes: &["channel"],
        ..Keys::NONE
    },
    of_section: |drawn| {
        SocketFault::StallConnection {
            hosts: drawn.validators(),
            channel: drawn.channel(),
            after_bytes: drawn.number("after_bytes", drawn.section.after_bytes),
            for_ms: drawn.for_ms(),
        }
        .into()
    },
    in_swarm: InSwarm::plain(|swarm| {
        SocketFault::StallConnection {
            hosts: swarm.hosts(),
            channel: swarm.channel(),
            after_bytes: swarm.stream.low(100_000),
            for_ms: Some(swarm.lasts_ms),
        }
        .into()
    }),
};

pub(super) const DELAY_REPLY: Schema = Schema {
    targets: HOSTS,
    time: Time::Moment,
    keys: Keys {
        needs: &["extra_ms"],
        takes: &["channel"],
        ..Keys::NONE
    },
    of_section: |drawn| {
        SocketFault::DelayReply {
            hosts: drawn.validators(),
            channel: drawn.channel(),
            extra_ms: drawn.number("extra_ms", drawn.section.extra_ms),
        }
        .into()
    },
    in_swarm: InSwarm::plain(|swarm| {
        SocketFault::DelayReply {
            hosts: swarm.hosts(),
            channel: Channel::Rpc,
            extra_ms: 1 + swarm.stream.low(5_000),
        }
        .into()
    }),
};

pub(super) const HIJACK_SOCKET: Schema = Schema {
    targets: EXECUTORS,
    time: Time::For,
    keys: Keys {
        needs: &["how"],
        takes: &["channel"],
        ..Keys::NONE
    },
    of_section: |drawn| {
        SocketFault::HijackSocket {
            executors: drawn.validators(),
            channel: drawn.channel(),
            how: drawn.section.how.unwrap_or(Hijack::Silent),
            for_ms: drawn.for_ms(),
        }
        .into()
    },
    in_swarm: InSwarm::plain(|swarm| {
        SocketFault::HijackSocket {
            executors: swarm.executors(),
            channel: match swarm.stream.below(3) {
                0 => Channel::Any,
                1 => Channel::BlockStream,
                _ => Channel::Rpc,
            },
            how: match swarm.stream.below(3) {
                0 => Hijack::Removed,
                1 => Hijack::Refuses,
                _ => Hijack::Silent,
            },
            for_ms: Some(swarm.lasts_ms),
        }
        .into()
    }),
};

/// The section of this fault.
pub(super) fn section(fault: &SocketFault) -> FaultSection {
    match fault {
        SocketFault::ShortWrites {
            hosts,
            max_bytes,
            for_ms,
        } => FaultSection {
            max_bytes: Some(Sampled::fixed(*max_bytes)),
            for_ms: for_ms.map(Sampled::fixed),
            ..FaultSection::new(FaultKind::ShortWrites, Target::hosts(hosts))
        },
        SocketFault::Reset { hosts, channel } => FaultSection {
            channel: Some(*channel),
            ..FaultSection::new(FaultKind::Reset, Target::hosts(hosts))
        },
        SocketFault::HalfClose {
            hosts,
            channel,
            side,
        } => FaultSection {
            channel: Some(*channel),
            side: Some(*side),
            ..FaultSection::new(FaultKind::HalfClose, Target::hosts(hosts))
        },
        SocketFault::Truncate {
            hosts,
            channel,
            after_bytes,
        } => FaultSection {
            channel: Some(*channel),
            after_bytes: Some(Sampled::fixed(*after_bytes)),
            ..FaultSection::new(FaultKind::Truncate, Target::hosts(hosts))
        },
        SocketFault::StallConnection {
            hosts,
            channel,
            after_bytes,
            for_ms,
        } => FaultSection {
            channel: Some(*channel),
            after_bytes: Some(Sampled::fixed(*after_bytes)),
            for_ms: for_ms.map(Sampled::fixed),
            ..FaultSection::new(FaultKind::StallConnection, Target::hosts(hosts))
        },
        SocketFault::DelayReply {
            hosts,
            channel,
            extra_ms,
        } => FaultSection {
            channel: Some(*channel),
            extra_ms: Some(Sampled::fixed(*extra_ms)),
            ..FaultSection::new(FaultKind::DelayReply, Target::hosts(hosts))
        },
        SocketFault::HijackSocket {
            executors,
            channel,
            how,
            for_ms,
        } => FaultSection {
            channel: Some(*channel),
            how: Some(*how),
            for_ms: for_ms.map(Sampled::fixed),
            ..FaultSection::new(FaultKind::HijackSocket, Target::executors(executors))
        },
    }
}
