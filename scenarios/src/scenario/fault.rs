//! `[[fault]]` of a scenario file: when, what, whom, and the planned faults that a seed makes of it.

use super::target::{Kind, Roster, Selector, Target};
use crate::sampling::{Sampled, Sampler};
use metanode_core::{
    env::CrashPoint,
    types::{CommitIndex, GlobalExecIndex},
};
use metanode_sim::{
    disk::DiskFailure,
    faults::{
        Channel, ClockFault, DiskFault, DurableAt, ExecutorFault, Fault, NetworkFault,
        PlannedFault, ProcessFault, Reached, Replies, SocketFault, StoredAt, Trigger,
    },
    net::{Cut, Hijack, Side},
    trace::ProcessId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// One `[[fault]]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSection {
    #[serde(default, skip_serializing_if = "TriggerSection::is_empty")]
    pub when: TriggerSection,
    #[serde(rename = "do")]
    pub kind: FaultKind,
    pub targets: Vec<Target>,
    /// How long a killed process or a dark host stays down; until the world heals if it is left out.
    pub down_ms: Option<Sampled<u64>>,
    /// How long the others last; until the world heals if it is left out.
    pub for_ms: Option<Sampled<u64>>,
    /// Which way a partition cuts; both if it is left out.
    pub cut: Option<Cut>,
    /// Which connections; any if it is left out.
    pub channel: Option<Channel>,
    /// What is at a hijacked path.
    pub how: Option<Hijack>,
    /// Whose direction of a connection ends.
    pub side: Option<Side>,
    /// Whether a power loss leaves a part of a write; not if it is left out.
    pub torn: Option<bool>,
    pub extra_ms: Option<Sampled<u64>>,
    pub max_bytes: Option<Sampled<u64>>,
    pub after_bytes: Option<Sampled<u64>>,
    pub blocks: Option<Sampled<u32>>,
    pub commits: Option<Sampled<u32>>,
    pub by_ms: Option<Sampled<i64>>,
    pub taken_ms: Option<Sampled<u64>>,
    /// The same again: crash loops.
    pub repeat: Option<Repeat>,
}

/// `do`, see [`metanode_sim::faults`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    Kill,
    PowerLoss,
    Pause,
    StartLate,
    Stall,
    StopReading,
    ServeBoth,
    HijackSocket,
    SlowReplies,
    SilentReplies,
    ErrorReplies,
    Restore,
    Partition,
    SlowLinks,
    ShortWrites,
    Reset,
    HalfClose,
    Truncate,
    DelayReply,
    FailSync,
    DiskFull,
    FlipBits,
    JumpClock,
}

/// `when`, see [`Trigger`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TriggerSection {
    pub at_ms: Option<Sampled<u64>>,
    pub stored: Option<StoredTrigger>,
    pub durable: Option<DurableTrigger>,
    pub reached: Option<ReachedTrigger>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredTrigger {
    pub node: Target,
    pub commit: Sampled<u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DurableTrigger {
    pub executor: Target,
    pub gei: Sampled<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReachedTrigger {
    pub process: Target,
    /// The name of a crash point, or `any`: one of the process, drawn.
    pub point: String,
    /// For the how-manieth time, from 1.
    pub times: Sampled<u32>,
}

/// The fault happens `times` times. Repetitions of a fault with a time follow `every_ms` after each other; those of
/// a fault at a crash point count on from the one before.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    pub times: Sampled<u32>,
    #[serde(default = "no_pause")]
    pub every_ms: Sampled<u64>,
}

const fn no_pause() -> Sampled<u64> {
    Sampled::fixed(0)
}

/// Crash points of nodes begin with `node.`, those of executors with `executor.`. Without a second epoch some are never
/// reached.
pub(super) fn points_of(kind: Kind, changes: bool) -> Vec<CrashPoint> {
    let prefix = format!("{kind}.");
    let points = CrashPoint::ALL.iter().copied();
    let points = points.filter(|p| changes || !p.is_of_a_change());
    points.filter(|p| p.name().starts_with(&prefix)).collect()
}

impl ReachedTrigger {
    /// The points that may be meant: one if it is named, all of the process that it comes to if it is `any`.
    pub(super) fn points(&self, changes: bool) -> Vec<CrashPoint> {
        if self.point == "any" {
            return points_of(self.process.kind, changes);
        }
        let mut points = points_of(self.process.kind, true);
        points.retain(|point| point.name() == self.point);
        points
    }
}

impl FaultSection {
    /// One that has nothing but these.
    pub(super) const fn new(when: TriggerSection, kind: FaultKind, targets: Vec<Target>) -> Self {
        Self {
            when,
            kind,
            targets,
            down_ms: None,
            for_ms: None,
            cut: None,
            channel: None,
            how: None,
            side: None,
            torn: None,
            extra_ms: None,
            max_bytes: None,
            after_bytes: None,
            blocks: None,
            commits: None,
            by_ms: None,
            taken_ms: None,
            repeat: None,
        }
    }

    /// What a seed makes of it; `label` names its streams.
    #[must_use]
    pub fn plan(&self, sampler: &Sampler, label: &str, roster: Roster) -> Vec<PlannedFault> {
        let any = self.any(sampler, label, roster);
        let repetitions = self.repeat.as_ref().map_or(1, |repeat| {
            sampler.draw(&format!("{label}.repeat.times"), repeat.times)
        });
        let (mut later_ms, mut times_before) = (0, 0);
        (0..repetitions)
            .map(|repetition| {
                let label = format!("{label}.{repetition}");
                if let (1.., Some(repeat)) = (repetition, &self.repeat) {
                    later_ms += sampler.draw(&format!("{label}.every_ms"), repeat.every_ms);
                }
                let mut trigger = self.when.plan(sampler, &label, any, roster.changes);
                trigger.at_ms += later_ms;
                if let Some(reached) = &mut trigger.reached {
                    reached.times = reached.times.saturating_add(times_before);
                    times_before = reached.times;
                }
                let fault = self.fault(sampler, &label, roster, any);
                PlannedFault { trigger, fault }
            })
            .collect()
    }

    /// Whom `any-…` means in this fault: an executor's validator where executors are spoken of.
    fn any(&self, sampler: &Sampler, label: &str, roster: Roster) -> u16 {
        let TriggerSection {
            durable, reached, ..
        } = &self.when;
        let spoken_of = self.targets.iter().copied();
        let spoken_of = spoken_of.chain(durable.iter().map(|d| d.executor));
        let mut spoken_of = spoken_of.chain(reached.iter().map(|r| r.process));
        let executors = spoken_of.any(|t| t.kind == Kind::Executor && t.which == Selector::Any);
        let count = if executors {
            roster.executors
        } else {
            roster.validators
        };
        let range = Sampled {
            low: 0,
            high: count - 1,
        };
        sampler.draw(&format!("{label}.any"), range)
    }

    fn fault(&self, sampler: &Sampler, label: &str, roster: Roster, any: u16) -> Fault {
        let mut numbers = BTreeSet::new();
        let mut processes = BTreeSet::new();
        for (position, target) in self.targets.iter().enumerate() {
            let label = format!("{label}.targets.{position}");
            for number in roster.numbers(*target, any, sampler, &label) {
                numbers.insert(number);
                if target.kind != Kind::Executor {
                    processes.insert(ProcessId::Node(number));
                }
                if target.kind != Kind::Node && number < roster.executors {
                    processes.insert(ProcessId::Executor(number));
                }
            }
        }
        let numbers: Vec<u16> = numbers.into_iter().collect();
        let processes: Vec<ProcessId> = processes.into_iter().collect();
        let drawn = |key: &str, range: Option<Sampled<u64>>| {
            range.map(|range| sampler.draw(&format!("{label}.{key}"), range))
        };
        let needed = |key: &str, range| drawn(key, range).unwrap_or_default();
        let down_ms = drawn("down_ms", self.down_ms);
        let for_ms = drawn("for_ms", self.for_ms);
        let extra_ms = || needed("extra_ms", self.extra_ms);
        let channel = self.channel.unwrap_or_default();
        let replies = |executors, how| {
            Fault::Executor(ExecutorFault::Replies {
                executors,
                how,
                for_ms,
            })
        };
        let disk = |how| {
            Fault::Disk(DiskFault::DiskFails {
                processes: processes.clone(),
                how,
                for_ms,
            })
        };
        let hosts: Vec<u16> = numbers;
        match self.kind {
            FaultKind::Kill => Fault::Process(ProcessFault::Kill { processes, down_ms }),
            FaultKind::PowerLoss => Fault::Process(ProcessFault::PowerLoss {
                hosts,
                torn: self.torn.unwrap_or_default(),
                down_ms,
            }),
            FaultKind::Pause => Fault::Process(ProcessFault::Pause { processes, for_ms }),
            FaultKind::StartLate => Fault::Process(ProcessFault::StartLate {
                processes,
                for_ms: for_ms.unwrap_or_default(),
            }),
            FaultKind::Stall => Fault::Executor(ExecutorFault::Stall {
                executors: hosts,
                for_ms,
            }),
            FaultKind::StopReading => Fault::Executor(ExecutorFault::StopReading {
                executors: hosts,
                for_ms,
            }),
            FaultKind::ServeBoth => Fault::Executor(ExecutorFault::ServeBoth {
                executors: hosts,
                for_ms,
            }),
            FaultKind::HijackSocket => Fault::Socket(SocketFault::HijackSocket {
                executors: hosts,
                channel,
                how: self.how.unwrap_or(Hijack::Silent),
                for_ms,
            }),
            FaultKind::SlowReplies => replies(hosts, Replies::Late { ms: extra_ms() }),
            FaultKind::SilentReplies => replies(hosts, Replies::Silent),
            FaultKind::ErrorReplies => replies(hosts, Replies::Refused),
            FaultKind::Restore => Fault::Disk(DiskFault::Restore {
                executors: hosts,
                taken_ms: needed("taken_ms", self.taken_ms),
                down_ms,
            }),
            FaultKind::Partition => Fault::Network(NetworkFault::Partition {
                hosts,
                cut: self.cut.unwrap_or_default(),
                for_ms,
            }),
            FaultKind::SlowLinks => Fault::Network(NetworkFault::SlowLinks {
                hosts,
                extra_ms: extra_ms(),
                for_ms,
            }),
            FaultKind::ShortWrites => Fault::Socket(SocketFault::ShortWrites {
                hosts,
                max_bytes: needed("max_bytes", self.max_bytes),
                for_ms,
            }),
            FaultKind::Reset => Fault::Socket(SocketFault::Reset { hosts, channel }),
            FaultKind::HalfClose => Fault::Socket(SocketFault::HalfClose {
                hosts,
                channel,
                side: self.side.unwrap_or(Side::Server),
            }),
            FaultKind::Truncate => Fault::Socket(SocketFault::Truncate {
                hosts,
                channel,
                after_bytes: needed("after_bytes", self.after_bytes),
            }),
            FaultKind::DelayReply => Fault::Socket(SocketFault::DelayReply {
                hosts,
                channel,
                extra_ms: extra_ms(),
            }),
            FaultKind::FailSync => disk(DiskFailure::Sync),
            FaultKind::DiskFull => disk(DiskFailure::Full),
            FaultKind::FlipBits => Fault::Disk(DiskFault::FlipBits {
                nodes: hosts,
                blocks: (self.blocks)
                    .map_or(0, |range| sampler.draw(&format!("{label}.blocks"), range)),
                commits: (self.commits)
                    .map_or(0, |range| sampler.draw(&format!("{label}.commits"), range)),
            }),
            FaultKind::JumpClock => Fault::Clock(ClockFault::JumpClock {
                hosts,
                by_ms: (self.by_ms)
                    .map_or(0, |range| sampler.draw(&format!("{label}.by_ms"), range)),
            }),
        }
    }
}

impl TriggerSection {
    pub(super) const fn is_empty(&self) -> bool {
        self.at_ms.is_none()
            && self.stored.is_none()
            && self.durable.is_none()
            && self.reached.is_none()
    }

    fn plan(&self, sampler: &Sampler, label: &str, any: u16, changes: bool) -> Trigger {
        let label = |key: &str| format!("{label}.when.{key}");
        let who = |target: Target| match target.which {
            Selector::Number(number) => number,
            _ => any,
        };
        Trigger {
            at_ms: self
                .at_ms
                .map_or(0, |range| sampler.draw(&label("at_ms"), range)),
            stored: self.stored.as_ref().map(|stored| StoredAt {
                node: who(stored.node),
                commit: CommitIndex(sampler.draw(&label("stored.commit"), stored.commit)),
            }),
            durable: self.durable.as_ref().map(|durable| DurableAt {
                executor: who(durable.executor),
                gei: GlobalExecIndex(sampler.draw(&label("durable.gei"), durable.gei)),
            }),
            reached: self.reached.as_ref().and_then(|reached| {
                let number = who(reached.process);
                let process = match reached.process.kind {
                    Kind::Executor => ProcessId::Executor(number),
                    Kind::Node | Kind::Host => ProcessId::Node(number),
                };
                let points = reached.points(changes);
                let last = u32::try_from(points.len()).ok()?.checked_sub(1)?;
                let chosen = sampler.draw(&label("reached.point"), Sampled { low: 0, high: last });
                Some(Reached {
                    process,
                    point: points[chosen as usize],
                    times: sampler.draw(&label("reached.times"), reached.times),
                })
            }),
        }
    }
}
