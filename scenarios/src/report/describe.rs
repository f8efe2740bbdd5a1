//! Faults, moments and amounts in words.

use metanode_sim::{
    disk::DiskFailure,
    net::{Cut, Hijack, Side},
    plan::{
        Action, Backend, ByzantineStrategy, Channel, Member, PlannedFault, Replies, Span, Trigger,
    },
};
use std::fmt::Display;

/// `340 ms`, `2.5 s`.
#[must_use]
pub fn ms(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        _ => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
    }
}

/// `340 µs`, `2.5 ms`.
#[must_use]
pub fn us(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        _ => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
    }
}

/// `900 B`, `3.4 KiB`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        _ => format!("{}.{} KiB", bytes / 1_024, bytes % 1_024 * 10 / 1_024),
    }
}

/// `1 leader`, `2 leaders`.
#[must_use]
pub fn count(count: u64, thing: &str) -> String {
    match count {
        1 => format!("1 {thing}"),
        _ => format!("{count} {thing}s"),
    }
}

/// `5 ms to 31 ms`, or one number where both ends are equal.
#[must_use]
pub fn span(span: Span, unit: impl Fn(u64) -> String) -> String {
    if span.low == span.high {
        unit(span.low)
    } else {
        format!("{} to {}", unit(span.low), unit(span.high))
    }
}

fn list<T: Display>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(T::to_string).collect();
    items.join(", ")
}

fn numbered(kind: &str, numbers: &[u16]) -> String {
    let names: Vec<_> = numbers.iter().map(|n| format!("{kind}-{n}")).collect();
    names.join(", ")
}

/// `once node-0 stored commit 10: kill node-0, back after 800 ms`.
#[must_use]
pub fn fault(fault: &PlannedFault) -> String {
    if let Action::StartLate { processes, for_ms } = &fault.action {
        return format!("{} after the others: {}", ms(*for_ms), list(processes));
    }
    format!("{}: {}", when(&fault.when), action(&fault.action))
}

fn when(when: &Trigger) -> String {
    let mut conditions = vec![];
    if let Some(stored) = &when.stored {
        conditions.push(format!(
            "node-{} stored commit {}",
            stored.node, stored.commit
        ));
    }
    if let Some(durable) = &when.durable {
        conditions.push(format!(
            "executor-{} is durable at {}",
            durable.executor, durable.gei
        ));
    }
    if let Some(reached) = &when.reached {
        conditions.push(format!(
            "{} reached {} ({}×)",
            reached.process, reached.point, reached.times
        ));
    }
    if conditions.is_empty() {
        return format!("at {}", ms(when.at_ms));
    }
    let after = match when.at_ms {
        0 => String::new(),
        at_ms => format!(", not before {}", ms(at_ms)),
    };
    format!("once {}{after}", conditions.join(" and "))
}

/// `kill node-0, back after 800 ms`.
#[must_use]
pub fn action(action: &Action) -> String {
    let back = |down_ms: &Option<u64>| match down_ms {
        Some(down_ms) => format!("back after {}", ms(*down_ms)),
        None => "back when faults end".into(),
    };
    let lasting = |for_ms: &Option<u64>| match for_ms {
        Some(for_ms) => format!("for {}", ms(*for_ms)),
        None => "until faults end".into(),
    };
    match action {
        Action::Kill { processes, down_ms } => {
            format!("kill {}, {}", list(processes), back(down_ms))
        }
        Action::PowerLoss {
            hosts,
            torn,
            down_ms,
        } => {
            format!(
                "cut the power of {}{}, {}",
                numbered("host", hosts),
                if *torn {
                    " in the middle of a write"
                } else {
                    ""
                },
                back(down_ms)
            )
        }
        Action::Pause { processes, for_ms } => {
            format!("pause {} {}", list(processes), lasting(for_ms))
        }
        Action::StartLate { processes, for_ms } => {
            format!("start {} {} late", list(processes), ms(*for_ms))
        }
        Action::Stall { executors, for_ms } => {
            format!(
                "stall {} {}",
                numbered("executor", executors),
                lasting(for_ms)
            )
        }
        Action::StopReading { executors, for_ms } => format!(
            "{} accept and read nothing {}",
            numbered("executor", executors),
            lasting(for_ms)
        ),
        Action::ServeBoth { executors, for_ms } => format!(
            "{} go on reading the block stream before the newest {}",
            numbered("executor", executors),
            lasting(for_ms)
        ),
        Action::HijackSocket {
            executors,
            channel,
            how,
            for_ms,
        } => format!(
            "{} of {} {} {}",
            match channel {
                Channel::BlockStream => "the block stream's path",
                Channel::Rpc => "the RPC's path",
                Channel::Any | Channel::Peers => "the paths",
            },
            numbered("executor", executors),
            match how {
                Hijack::Removed => "lead nowhere",
                Hijack::Refuses => "lead to a dead process",
                Hijack::Silent => "lead to somebody who says nothing",
            },
            lasting(for_ms)
        ),
        Action::HalfClose {
            hosts,
            channel,
            side,
        } => format!(
            "{} of {} end in the direction of the {}",
            connections(*channel),
            numbered("host", hosts),
            match side {
                Side::Client => "listener",
                Side::Server => "caller",
            }
        ),
        Action::Replies {
            executors,
            how,
            for_ms,
        } => format!(
            "{} answer {} {}",
            numbered("executor", executors),
            match how {
                Replies::Late { ms: late } => format!("{} late", ms(*late)),
                Replies::Silent => "nothing".into(),
                Replies::Refused => "with errors".into(),
            },
            lasting(for_ms)
        ),
        Action::Restore {
            executors,
            taken_ms,
            down_ms,
        } => format!(
            "put {} back to the backup of {}, {}",
            numbered("executor", executors),
            ms(*taken_ms),
            back(down_ms)
        ),
        Action::Partition { hosts, cut, for_ms } => format!(
            "cut off {}{} {}",
            match cut {
                Cut::Both => "",
                Cut::Outgoing => "what is sent by ",
                Cut::Incoming => "what is sent to ",
            },
            numbered("host", hosts),
            lasting(for_ms)
        ),
        Action::SlowLinks {
            hosts,
            extra_ms,
            for_ms,
        } => format!(
            "links of {} take {} more {}",
            numbered("host", hosts),
            ms(*extra_ms),
            lasting(for_ms)
        ),
        Action::ShortWrites {
            hosts,
            max_bytes,
            for_ms,
        } => format!(
            "sockets of {} take {} at once {}",
            numbered("host", hosts),
            bytes(*max_bytes),
            lasting(for_ms)
        ),
        Action::Reset { hosts, channel } => format!(
            "reset {} of {}",
            connections(*channel),
            numbered("host", hosts)
        ),
        Action::Truncate {
            hosts,
            channel,
            after_bytes,
        } => format!(
            "tear one of the {} of {} behind its byte {after_bytes}",
            connections(*channel),
            numbered("host", hosts)
        ),
        Action::DelayReply {
            hosts,
            channel,
            extra_ms,
        } => format!(
            "the next reply over the {} of {} comes {} late",
            connections(*channel),
            numbered("host", hosts),
            ms(*extra_ms)
        ),
        Action::DiskFails {
            processes,
            how,
            for_ms,
        } => format!(
            "the disk of {} {} {}",
            list(processes),
            match how {
                DiskFailure::Sync => "fails its next sync",
                DiskFailure::Full => "is full",
            },
            lasting(for_ms)
        ),
        Action::FlipBits {
            nodes,
            blocks,
            commits,
        } => format!(
            "a bit flips in {} and {} stored by {}",
            count(u64::from(*blocks), "block"),
            count(u64::from(*commits), "commit"),
            numbered("node", nodes)
        ),
        Action::JumpClock { hosts, by_ms } => {
            format!(
                "the clock of {} jumps by {by_ms:+} ms",
                numbered("host", hosts)
            )
        }
    }
}

const fn connections(channel: Channel) -> &'static str {
    match channel {
        Channel::Any => "connections",
        Channel::BlockStream => "block streams",
        Channel::Rpc => "RPC connections",
        Channel::Peers => "connections to peers",
    }
}

/// A member of a committee.
pub fn member(member: &Member) -> String {
    let Member {
        validator,
        stake,
        key,
    } = *member;
    let stake = (stake != 1).then(|| format!(" with stake {stake}"));
    let key = (key != 0).then(|| format!(" under key {key}"));
    format!(
        "node-{validator}{}{}",
        stake.unwrap_or_default(),
        key.unwrap_or_default()
    )
}

/// What a Byzantine validator does.
#[must_use]
pub const fn strategy(strategy: ByzantineStrategy) -> &'static str {
    match strategy {
        ByzantineStrategy::Equivocating => "gives different blocks to different peers",
        ByzantineStrategy::Withholding => "gives its blocks to some peers only",
        ByzantineStrategy::Invalid => "sends invalid blocks",
        ByzantineStrategy::Forging => "sends blocks that their authors did not sign",
        ByzantineStrategy::Lying => "builds on blocks that do not exist",
        ByzantineStrategy::Flooding => "floods its peers with blocks",
        ByzantineStrategy::Silent => "says nothing",
    }
}

/// As `--store` takes it.
#[must_use]
pub const fn store(store: Backend) -> &'static str {
    match store {
        Backend::Memory => "memory",
        Backend::Rocksdb => "rocksdb",
    }
}
