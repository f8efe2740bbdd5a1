//! Faults: what may go wrong in a run, and when. Pure: what a fault does to the world is in `world::faults`.
//!
//! | file | content |
//! |---|---|
//! | `process` | processes end, lose power, are paused, start late |
//! | `executor` | executors stall, stop reading, serve two streams, answer wrongly |
//! | `network` | links between hosts are cut or slow |
//! | `socket` | short writes, resets, half-closed connections, hijacked socket files |
//! | `disk` | disks fail, bits flip, an older backup is restored |
//! | `clock` | wall clocks jump |
//! | `trigger` | [`Trigger`], the moment at which a fault happens |
//! | `parts` | the parts of any fault that renumbering and shrinking change |
//! | `channel` | the connections that a fault applies to |
//! | `text` | phrases that the descriptions of faults share |
//!
//! The first six are the subjects. Each declares an enum of its kinds with their parameters and implements `Subject`
//! for it. Every `match` is exhaustive, so that a new kind cannot silently do nothing. `CONTRIBUTING.md` describes how
//! to add one.

mod channel;
mod clock;
mod disk;
mod executor;
mod network;
mod parts;
mod process;
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

pub(crate) use parts::Parts;
pub(crate) use process::LateStart;

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
}

/// How long a fault lasts, in ms, and what ends it. Without a duration, it lasts until all faults end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// It ends as soon as it has begun.
    Moment,
    /// Processes are down or paused for this long. Each is scheduled to come back when the fault begins.
    Down(Option<u64>),
    /// The world ends it after this long.
    Until(Option<u64>),
}

/// The properties of the kinds of a subject. No method has a default. The description names targets and amounts.
trait Subject: fmt::Display {
    /// The validators that are down while the fault lasts.
    fn takes_down(&self) -> BTreeSet<u16>;

    fn lasting(&self) -> Lasting;

    fn parts(&mut self) -> Parts<'_>;
}

impl Fault {
    /// The validators that are down while it lasts.
    #[must_use]
    pub fn takes_down(&self) -> BTreeSet<u16> {
        self.subject().takes_down()
    }

    pub(crate) fn lasting(&self) -> Lasting {
        self.subject().lasting()
    }

    /// How long it lasts: 0 if it ends at once, `None` if it lasts until all faults end.
    #[must_use]
    pub fn lasts_ms(&self) -> Option<u64> {
        match self.lasting() {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process_id::ProcessId;
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
