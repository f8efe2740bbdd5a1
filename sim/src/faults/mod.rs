//! Faults: what may go wrong in a run, when, and what that does to the simulated cluster.
//!
//! | file | content |
//! |---|---|
//! | `process` | processes end, lose power, are paused, start late |
//! | `executor` | executors stall, stop reading, serve two streams, answer wrongly |
//! | `network` | links between hosts are cut or slow |
//! | `socket` | short writes, resets, half-closed connections, hijacked socket files |
//! | `disk` | disks fail, bits flip, an older backup or another disk takes their place |
//! | `clock` | wall clocks jump |
//! | `stranger` | somebody outside of the system connects to its ports |
//! | `trigger` | [`Trigger`], the moment at which a fault happens |
//! | `schedule` | which faults are due (pure) |
//! | `active` | `ActiveFaults`, the state of the faults that have begun |
//! | `cluster` | `Cluster`, what faults may do to the simulated cluster; the world implements it |
//! | `lifecycle` | from the start of a run to its healing: injected or skipped, ended |
//! | `parts` | the parts of any fault that renumbering and shrinking change |
//! | `channel` | the connections that a fault applies to |
//! | `text` | phrases that the descriptions of faults share |
//!
//! The first seven are the subjects. Each declares an enum of its kinds with their parameters and implements `Subject`
//! for it: begin, end, description and shrinking. Every `match` is exhaustive, so that a new kind cannot silently do
//! nothing. `CONTRIBUTING.md` describes how to add one.

mod active;
mod channel;
mod clock;
mod cluster;
mod disk;
mod executor;
mod lifecycle;
mod network;
mod parts;
mod process;
mod schedule;
mod socket;
mod stranger;
mod text;
mod trigger;

pub use crate::stranger::Act;
pub use channel::Channel;
pub use clock::ClockFault;
pub use disk::DiskFault;
pub use executor::ExecutorFault;
pub use mock_go_executor::{Lie, Replies};
pub use network::NetworkFault;
pub use process::ProcessFault;
pub use schedule::Occurrences;
pub use socket::SocketFault;
pub use stranger::StrangerFault;
pub use trigger::{DurableAt, Reached, StoredAt, Trigger};

pub(crate) use active::ActiveFaults;
pub(crate) use cluster::{Cluster, End, FaultJob};
pub(crate) use lifecycle::{end_all, inject, perform, prepare};
pub(crate) use parts::Parts;

use crate::process_id::ProcessId;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// A fault with the moment at which it happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedFault {
    #[serde(rename = "when")]
    pub trigger: Trigger,
    pub fault: Fault,
}

/// What happens. Without a duration, a fault lasts until all faults end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "subject", rename_all = "kebab-case")]
pub enum Fault {
    Process(ProcessFault),
    Executor(ExecutorFault),
    Network(NetworkFault),
    Socket(SocketFault),
    Disk(DiskFault),
    Clock(ClockFault),
    Stranger(StrangerFault),
}

/// How long a fault lasts, in ms, and what ends it. Without a duration, it lasts until all faults end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasting {
    /// It ends as soon as it has begun.
    Moment,
    /// Processes are down or paused for this long. Each is scheduled to come back when the fault begins.
    Down(Option<u64>),
    /// The world ends it after this long.
    Until(Option<u64>),
}

/// When a fault begins, known at the start of the run.
enum Prepared<'a> {
    /// When its trigger is due.
    BeginsWhenDue,
    /// With the run, whatever its trigger: these processes start only after this time.
    StartsLate {
        processes: &'a [ProcessId],
        for_ms: u64,
    },
}

/// The kinds of a subject: their properties, and what they do. No method has a default. The description names targets
/// and amounts.
trait Subject: fmt::Display {
    /// The validators that are down while the fault lasts.
    fn takes_down(&self) -> BTreeSet<u16>;

    fn lasting(&self) -> Lasting;

    /// Whether `begin` and `end` emit events of their own. For all others the trace has `FaultBegan` and `FaultEnded`.
    fn has_own_events(&self) -> bool;

    /// Schedules, at the start of the run, what has to happen before the fault begins. `number` is its position in the
    /// plan, here and below.
    fn prepare(&self, number: usize, cluster: &dyn Cluster) -> Prepared<'_>;

    /// Applies the fault.
    fn begin(&self, number: usize, cluster: &dyn Cluster);

    /// Undoes what `begin` did, except what `ActiveFaults` holds for the fault: that is dropped before.
    fn end(&self, cluster: &dyn Cluster);

    fn parts(&mut self) -> Parts<'_>;
}

impl Fault {
    /// The validators that are down while it lasts.
    #[must_use]
    pub fn takes_down(&self) -> BTreeSet<u16> {
        self.subject().takes_down()
    }

    /// How long it lasts: 0 if it ends at once, `None` if it lasts until all faults end.
    #[must_use]
    pub fn lasts_ms(&self) -> Option<u64> {
        match self.subject().lasting() {
            Lasting::Moment => Some(0),
            Lasting::Down(for_ms) | Lasting::Until(for_ms) => for_ms,
        }
    }

    /// The parts that renumbering and shrinking change.
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
        impl Fault {
            fn subject(&self) -> &dyn Subject {
                match self {
                    $(Self::$subject(fault) => fault,)*
                }
            }

            fn subject_mut(&mut self) -> &mut dyn Subject {
                match self {
                    $(Self::$subject(fault) => fault,)*
                }
            }
        }

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
    Stranger(StrangerFault),
}

#[cfg(test)]
mod tests {
    use super::*;
    use metanode_core::types::CommitIndex;

    #[test]
    fn a_planned_fault_is_described_in_one_line() {
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
}
