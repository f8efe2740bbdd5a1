//! Faults of strangers: somebody outside of the system connects to its ports.

use super::{
    Cluster, Lasting, Parts, Prepared, Subject,
    text::{hosts, lasting},
};
use crate::stranger::Act;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum StrangerFault {
    /// Somebody connects to the TCP ports of these hosts again and again: asks, orders, sends noise, stays silent.
    Stranger {
        hosts: Vec<u16>,
        /// What it does at the ports of nodes, and nothing else; everything, if there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        act: Option<Act>,
        for_ms: Option<u64>,
    },
}

impl Subject for StrangerFault {
    fn takes_down(&self) -> BTreeSet<u16> {
        match self {
            Self::Stranger { .. } => BTreeSet::new(),
        }
    }

    fn lasting(&self) -> Lasting {
        match self {
            Self::Stranger { for_ms, .. } => Lasting::Until(*for_ms),
        }
    }

    fn has_own_events(&self) -> bool {
        match self {
            Self::Stranger { .. } => false,
        }
    }

    fn prepare(&self, _: usize, _: &dyn Cluster) -> Prepared<'_> {
        match self {
            Self::Stranger { .. } => Prepared::BeginsWhenDue,
        }
    }

    fn begin(&self, number: usize, cluster: &dyn Cluster) {
        match self {
            Self::Stranger { hosts, act, .. } => {
                let stranger = cluster.stranger(number, hosts, *act);
                cluster.faults().hold_stranger(number, stranger);
            }
        }
    }

    fn end(&self, _: &dyn Cluster) {
        match self {
            // Its process has ended already.
            Self::Stranger { .. } => {}
        }
    }

    fn parts(&mut self) -> Parts<'_> {
        match self {
            Self::Stranger { hosts, for_ms, .. } => Parts::of_hosts(hosts).lasting(for_ms),
        }
    }
}

impl fmt::Display for StrangerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stranger {
                hosts: numbers,
                act,
                for_ms,
            } => {
                let (hosts, lasting) = (hosts(numbers), lasting(*for_ms));
                let does = match act {
                    None => "connect to",
                    Some(Act::Flood) => "take all it gets from the nodes of",
                    Some(Act::ClaimSeat) => "greet as a member the nodes of",
                    Some(Act::RepeatGreeting) => "repeat greetings of members to the nodes of",
                    Some(Act::AlterGreeting) => "change the epoch in greetings to the nodes of",
                };
                write!(f, "let a stranger {does} {hosts} {lasting}")
            }
        }
    }
}
