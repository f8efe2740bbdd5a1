//! Faults: what may go wrong in a run, when, and what that does to the world.
//!
//! | file | is |
//! |---|---|
//! | `process` | processes end, lose power, are paused, start late |
//! | `executor` | executors stall, stop reading, serve two streams, answer wrongly |
//! | `network` | links between hosts are cut or slow |
//! | `socket` | sockets take few bytes at once, die, end in one direction, lead elsewhere |
//! | `disk` | disks fail, flip bits, become older backups of themselves |
//! | `clock` | wall clocks jump |
//! | `trigger` | [`Trigger`], the moment at which a fault happens |
//! | `schedule` | which faults are due (pure) |
//! | `active` | `ActiveFaults`, the state of the faults that are under way |
//! | `lifecycle` | from the start of a run to its healing: injected or skipped, ended |
//! | `parts` | the parts of any fault that renumbering and shrinking change |
//! | `channel` | the connections that a fault is about |
//! | `text` | what the descriptions of faults have in common |
//!
//! The first six are the subjects. Each holds an enum of its kinds, with their parameters, and answers `Subject` for
//! all of them; every `match` is exhaustive, so that a new kind cannot silently do nothing. `CONTRIBUTING.md` shows
//! how to add one.

mod active;
mod channel;
mod clock;
mod disk;
mod executor;
mod lifecycle;
mod network;
mod parts;
mod process;
mod schedule;
mod socket;
mod text;
mod trigger;

pub use channel::Channel;
pub use clock::ClockFault;
pub use disk::DiskFault;
pub use executor::ExecutorFault;
pub use mock_go_executor::Replies;
pub use network::NetworkFault;
pub use process::ProcessFault;
pub use socket::SocketFault;
pub use trigger::{DurableAt, Reached, StoredAt, Trigger};

pub(crate) use active::ActiveFaults;
pub(crate) use lifecycle::{FaultJob, end_all, inject, perform, prepare};
pub(crate) use parts::Parts;

use crate::world::World;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// A fault with the moment at which it happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedFault {
    #[serde(rename = "when")]
    pub trigger: Trigger,
    pub fault: Fault,
}

/// What happens. A duration that is absent lasts until all faults end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "subject", rename_all = "kebab-case")]
pub enum Fault {
    Process(ProcessFault),
    Executor(ExecutorFault),
    Network(NetworkFault),
    Socket(SocketFault),
    Disk(DiskFault),
    Clock(ClockFault),
}

/// How long a fault lasts, and what ends it. A time that is absent: the end of all faults does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasting {
    /// It is over as soon as it has happened.
    Moment,
    /// Processes are down or paused for this time, in ms. They come back one by one, which `begin` plans.
    Down(Option<u64>),
    /// It goes on for this time, in ms. Then `end` undoes it.
    Until(Option<u64>),
}

/// What each kind of a subject answers. Nothing has a default. The description names targets and amounts.
trait Subject: fmt::Display {
    /// The validators that are down while it lasts.
    fn takes_down(&self) -> BTreeSet<u16>;

    fn lasting(&self) -> Lasting;

    /// Whether `begin` and `end` emit events of their own. For all others the trace has `FaultBegan` and `FaultEnded`.
    fn has_own_events(&self) -> bool;

    /// Does it to the world, as fault `number` of the plan.
    fn begin(&self, number: usize, world: &World);

    /// Undoes what `begin` did, except what `ActiveFaults` holds for the fault: that is dropped before.
    fn end(&self, world: &World);

    fn parts(&mut self) -> Parts<'_>;
}

impl Fault {
    fn subject(&self) -> &dyn Subject {
        match self {
            Self::Process(fault) => fault,
            Self::Executor(fault) => fault,
            Self::Network(fault) => fault,
            Self::Socket(fault) => fault,
            Self::Disk(fault) => fault,
            Self::Clock(fault) => fault,
        }
    }

    fn subject_mut(&mut self) -> &mut dyn Subject {
        match self {
            Self::Process(fault) => fault,
            Self::Executor(fault) => fault,
            Self::Network(fault) => fault,
            Self::Socket(fault) => fault,
            Self::Disk(fault) => fault,
            Self::Clock(fault) => fault,
        }
    }

    /// The validators that are down while it lasts.
    #[must_use]
    pub fn takes_down(&self) -> BTreeSet<u16> {
        self.subject().takes_down()
    }

    /// How long it lasts; none if until all faults end, 0 if it is over at once.
    #[must_use]
    pub fn lasts_ms(&self) -> Option<u64> {
        match self.subject().lasting() {
            Lasting::Moment => Some(0),
            Lasting::Down(for_ms) | Lasting::Until(for_ms) => for_ms,
        }
    }

    /// What renumbering and shrinking may change in it.
    pub(crate) fn parts(&mut self) -> Parts<'_> {
        self.subject_mut().parts()
    }
}

/// `kill node-0, back after 800 ms`.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.subject().fmt(f)
    }
}

/// `once node-0 stored commit 10: kill node-0, back after 800 ms`.
impl fmt::Display for PlannedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.trigger, self.fault)
    }
}

macro_rules! faults_of {
    ($($subject:ident($kinds:ty),)*) => {
        $(impl From<$kinds> for Fault {
            fn from(fault: $kinds) -> Self {
                Self::$subject(fault)
            }
        })*
    };
}

faults_of! {
    Process(ProcessFault),
    Executor(ExecutorFault),
    Network(NetworkFault),
    Socket(SocketFault),
    Disk(DiskFault),
    Clock(ClockFault),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::ProcessId;
    use metanode_core::types::CommitIndex;

    #[test]
    fn a_planned_fault_reads_as_a_sentence() {
        let stored = Some(StoredAt {
            node: 3,
            commit: CommitIndex(10),
        });
        let kill = ProcessFault::Kill {
            processes: vec![
                ProcessId::Node(0),
                ProcessId::Node(1),
                ProcessId::Executor(0),
            ],
            down_ms: Some(800),
        };
        let planned = PlannedFault {
            trigger: Trigger {
                stored,
                ..Trigger::at_ms(2_500)
            },
            fault: kill.into(),
        };
        assert_eq!(
            planned.to_string(),
            "once node-3 stored commit 10, not before 2.5 s: \
             kill node-0, node-1 and executor-0, back after 800 ms"
        );
    }

    #[test]
    fn descriptions_agree_with_the_number_of_their_targets() {
        let stop_reading = |executors| {
            let fault = ExecutorFault::StopReading {
                executors,
                for_ms: None,
            };
            Fault::from(fault).to_string()
        };
        assert_eq!(
            stop_reading(vec![0]),
            "executor-0 stops reading its block stream until faults end"
        );
        assert_eq!(
            stop_reading(vec![0, 2]),
            "executor-0 and executor-2 stop reading their block streams until faults end"
        );
    }
}
