//! Events as log lines: one line of `tracing` each, under the targets of contract §11.

use super::line::{Line, Topic};
use crate::env::{Event, EventSink, NodeEvent};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};
use tokio::time::Instant;
use tracing::Level;

/// An exchange that lasts longer than this is logged at `info`.
const SLOW_RPC_MS: u64 = 1_000;

/// Writes every event to the log. Measures the duration of RPCs, because events must not carry anything that differs
/// between two runs of one seed.
#[derive(Default)]
pub struct Log {
    /// Start of the request in flight, by RPC connection; each has at most one.
    asked: Mutex<BTreeMap<u64, Instant>>,
}

impl Log {
    /// Duration of the exchange that this event ends.
    fn duration_ms(&self, event: &NodeEvent) -> Option<u64> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            NodeEvent::RpcSent { connection, .. } => {
                #[allow(clippy::disallowed_methods)]
                // This is tokio's clock; under madsim the lint mistakes it for that of std.
                asked.insert(*connection, Instant::now());
                None
            }
            NodeEvent::RpcAnswered { connection, .. } | NodeEvent::RpcFailed { connection, .. } => {
                let elapsed = asked.remove(connection)?.elapsed();
                Some(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
            }
            _ => None,
        }
    }
}

impl EventSink for Log {
    fn emit(&self, event: Event) {
        let Line {
            topic,
            mut level,
            gei,
        } = Line::of(&event);
        let gei = gei.map(|gei| gei.0);
        let duration_ms = match &event {
            Event::Node(event) => self.duration_ms(event),
            _ => None,
        };
        if duration_ms.is_some_and(|ms| ms > SLOW_RPC_MS) {
            level = level.min(Level::INFO);
        }
        // `tracing` requires target and level as constants.
        macro_rules! write {
            ($target:literal) => {
                match level {
                    Level::ERROR => write!($target, Level::ERROR),
                    Level::WARN => write!($target, Level::WARN),
                    Level::INFO => write!($target, Level::INFO),
                    Level::DEBUG => write!($target, Level::DEBUG),
                    Level::TRACE => write!($target, Level::TRACE),
                }
            };
            ($target:literal, $level:expr) => {
                tracing::event!(target: $target, $level, gei, duration_ms, "{event}")
            };
        }
        match topic {
            Topic::Startup => write!("[STARTUP]"),
            Topic::EpochTransition => write!("[EPOCH TRANSITION]"),
            Topic::ExecutorRequest => write!("[EXECUTOR-REQ]"),
            Topic::SequentialBuffer => write!("[SEQUENTIAL-BUFFER]"),
            Topic::Consensus => write!("consensus"),
            Topic::Execution => write!("execution"),
            Topic::Transactions => write!("transactions"),
        }
    }
}
