//! Durations of RPCs. They are measured here, because events must not carry anything that differs between two runs of one
//! seed.

use crate::env::{Event, NodeEvent};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Measures the exchanges that events tell of.
#[derive(Default)]
pub(super) struct RpcTimes {
    /// Start of the request in flight, by RPC connection; each has at most one.
    asked: Mutex<BTreeMap<u64, Instant>>,
}

impl RpcTimes {
    /// Duration of the exchange that this event ends.
    pub fn duration(&self, event: &Event) -> Option<Duration> {
        let Event::Node(event) = event else {
            return None;
        };
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            NodeEvent::RpcSent { connection, .. } => {
                #[allow(clippy::disallowed_methods)]
                // This is tokio's clock; under madsim the lint mistakes it for that of std.
                asked.insert(*connection, Instant::now());
                None
            }
            NodeEvent::RpcAnswered { connection, .. } | NodeEvent::RpcFailed { connection, .. } => {
                Some(asked.remove(connection)?.elapsed())
            }
            _ => None,
        }
    }
}
