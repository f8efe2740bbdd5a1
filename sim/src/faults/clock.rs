//! Faults of wall clocks: they jump.

use super::{Cluster, Lasting, Parts, Prepared, Subject, text::hosts};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum ClockFault {
    /// The wall clocks of these hosts jump forward or back, permanently.
    JumpClock { hosts: Vec<u16>, by_ms: i64 },
}

impl Subject for ClockFault {
    fn takes_down(&self) -> BTreeSet<u16> {
        match self {
            Self::JumpClock { .. } => BTreeSet::new(),
        }
    }

    fn lasting(&self) -> Lasting {
        match self {
            Self::JumpClock { .. } => Lasting::Moment,
        }
    }

    fn has_own_events(&self) -> bool {
        match self {
            Self::JumpClock { .. } => false,
        }
    }

    fn prepare(&self, _: usize, _: &dyn Cluster) -> Prepared<'_> {
        match self {
            Self::JumpClock { .. } => Prepared::BeginsWhenDue,
        }
    }

    fn begin(&self, _: usize, cluster: &dyn Cluster) {
        match self {
            Self::JumpClock { hosts, by_ms } => {
                for host in hosts {
                    cluster.clock(*host).jump(*by_ms);
                }
            }
        }
    }

    fn end(&self, _: &dyn Cluster) {
        match self {
            Self::JumpClock { .. } => {}
        }
    }

    fn parts(&mut self) -> Parts<'_> {
        match self {
            Self::JumpClock { hosts, by_ms: _ } => Parts::of_hosts(hosts),
        }
    }
}

impl fmt::Display for ClockFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::JumpClock {
                hosts: numbers,
                by_ms,
            } => write!(f, "move the clock of {} by {by_ms:+} ms", hosts(numbers)),
        }
    }
}
