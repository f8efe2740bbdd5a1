//! One fault of a swarm, in full: whom it strikes, how and how long.

use super::{super::fault::FaultKind, Drawing};
use metanode_sim::{
    disk::DiskFailure,
    faults::{
        Channel, ClockFault, DiskFault, ExecutorFault, Fault, NetworkFault, ProcessFault, Replies,
        SocketFault,
    },
    net::{Cut, Hijack, Side},
    trace::ProcessId,
};
use std::collections::BTreeSet;

impl Drawing<'_> {
    /// One validator mostly, sometimes several; never more than `most`.
    fn some(&mut self, count: u16, most: u16) -> Vec<u16> {
        let size = match self.stream.below(4) {
            0 => 1 + self.stream.below(u64::from(most.clamp(1, count))) as u16,
            _ => 1,
        };
        let mut chosen = BTreeSet::new();
        while chosen.len() < usize::from(size) {
            chosen.insert(self.stream.below(count.into()) as u16);
        }
        chosen.into_iter().collect()
    }

    /// Validators that may be down.
    fn few(&mut self) -> Vec<u16> {
        let count = self.roster.validators;
        self.some(count, self.max_faulty.unwrap_or(count))
    }

    fn hosts(&mut self) -> Vec<u16> {
        let count = self.roster.validators;
        self.some(count, count - 1)
    }

    fn executors(&mut self) -> Vec<u16> {
        let count = self.roster.executors;
        self.some(count, count)
    }

    /// Node, executor or both of these validators.
    fn processes(&mut self) -> Vec<ProcessId> {
        let (numbers, parts) = (self.few(), 1 + self.stream.below(3));
        let executors = self.roster.executors;
        let mut processes = vec![];
        for n in numbers {
            let has_executor = n < executors;
            if parts != 2 || !has_executor {
                processes.push(ProcessId::Node(n));
            }
            if parts != 1 && has_executor {
                processes.push(ProcessId::Executor(n));
            }
        }
        processes.sort_unstable();
        processes
    }

    fn channel(&mut self) -> Channel {
        match self.stream.below(4) {
            0 => Channel::Any,
            1 => Channel::BlockStream,
            2 => Channel::Rpc,
            _ => Channel::Peers,
        }
    }

    pub(super) fn fault(&mut self, kind: FaultKind, at_ms: u64) -> Fault {
        let lasts = match self.stream.below(2) {
            0 => 10 + self.stream.low(6_000),
            _ => 10 + self.stream.below(6_000),
        };
        let (for_ms, down_ms) = (Some(lasts), Some(lasts));
        let replies = |executors, how| {
            Fault::Executor(ExecutorFault::Replies {
                executors,
                how,
                for_ms,
            })
        };
        match kind {
            FaultKind::Kill => Fault::Process(ProcessFault::Kill {
                processes: self.processes(),
                down_ms,
            }),
            FaultKind::PowerLoss => Fault::Process(ProcessFault::PowerLoss {
                hosts: self.few(),
                torn: self.stream.below(2) == 0,
                down_ms,
            }),
            FaultKind::Pause => Fault::Process(ProcessFault::Pause {
                processes: self.processes(),
                for_ms,
            }),
            FaultKind::StartLate => Fault::Process(ProcessFault::StartLate {
                processes: self.processes(),
                for_ms: lasts,
            }),
            FaultKind::Stall => Fault::Executor(ExecutorFault::Stall {
                executors: self.executors(),
                for_ms,
            }),
            FaultKind::StopReading => Fault::Executor(ExecutorFault::StopReading {
                executors: self.executors(),
                for_ms,
            }),
            FaultKind::ServeBoth => Fault::Executor(ExecutorFault::ServeBoth {
                executors: self.executors(),
                for_ms,
            }),
            FaultKind::HijackSocket => Fault::Socket(SocketFault::HijackSocket {
                executors: self.executors(),
                channel: match self.stream.below(3) {
                    0 => Channel::Any,
                    1 => Channel::BlockStream,
                    _ => Channel::Rpc,
                },
                how: match self.stream.below(3) {
                    0 => Hijack::Removed,
                    1 => Hijack::Refuses,
                    _ => Hijack::Silent,
                },
                for_ms,
            }),
            FaultKind::SlowReplies => {
                let ms = 1 + self.stream.low(4_000);
                replies(self.executors(), Replies::Late { ms })
            }
            FaultKind::SilentReplies => replies(self.executors(), Replies::Silent),
            FaultKind::ErrorReplies => replies(self.executors(), Replies::Refused),
            FaultKind::Restore => Fault::Disk(DiskFault::Restore {
                executors: vec![self.stream.below(self.roster.executors.into()) as u16],
                taken_ms: self.stream.below(at_ms.max(1)),
                down_ms,
            }),
            FaultKind::Partition => Fault::Network(NetworkFault::Partition {
                hosts: self.hosts(),
                cut: match self.stream.below(4) {
                    0 => Cut::Outgoing,
                    1 => Cut::Incoming,
                    _ => Cut::Both,
                },
                for_ms,
            }),
            FaultKind::SlowLinks => Fault::Network(NetworkFault::SlowLinks {
                hosts: self.hosts(),
                extra_ms: 1 + self.stream.low(2_000),
                for_ms,
            }),
            FaultKind::ShortWrites => Fault::Socket(SocketFault::ShortWrites {
                hosts: self.hosts(),
                max_bytes: 1 + self.stream.low(200),
                for_ms,
            }),
            FaultKind::Reset => Fault::Socket(SocketFault::Reset {
                hosts: self.hosts(),
                channel: self.channel(),
            }),
            FaultKind::HalfClose => Fault::Socket(SocketFault::HalfClose {
                hosts: self.hosts(),
                channel: self.channel(),
                side: match self.stream.below(2) {
                    0 => Side::Client,
                    _ => Side::Server,
                },
            }),
            FaultKind::Truncate => Fault::Socket(SocketFault::Truncate {
                hosts: self.hosts(),
                channel: self.channel(),
                after_bytes: self.stream.low(100_000),
            }),
            FaultKind::DelayReply => Fault::Socket(SocketFault::DelayReply {
                hosts: self.hosts(),
                channel: Channel::Rpc,
                extra_ms: 1 + self.stream.low(5_000),
            }),
            FaultKind::FailSync | FaultKind::DiskFull => Fault::Disk(DiskFault::DiskFails {
                processes: self.processes(),
                how: match kind {
                    FaultKind::FailSync => DiskFailure::Sync,
                    _ => DiskFailure::Full,
                },
                for_ms,
            }),
            FaultKind::FlipBits => Fault::Disk(DiskFault::FlipBits {
                nodes: self.hosts(),
                blocks: self.stream.low(20) as u32,
                commits: self.stream.low(8) as u32,
            }),
            FaultKind::JumpClock => {
                let by_ms = self.stream.low(300_000).cast_signed();
                Fault::Clock(ClockFault::JumpClock {
                    hosts: self.hosts(),
                    by_ms: if self.stream.below(2) == 0 {
                        by_ms
                    } else {
                        -by_ms
                    },
                })
            }
        }
    }
}
