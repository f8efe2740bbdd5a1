//! Events as log lines: one line of `tracing` each, under the targets of contract §11.

use super::line::{Fields, Line, Phase, Topic};
use crate::env::Event;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tracing::Level;

/// An exchange that lasts longer than this is logged at `info`.
const SLOW_RPC: Duration = Duration::from_secs(1);

/// Writes events to the log.
#[derive(Default)]
pub(super) struct Log {
    phase: Mutex<Phase>,
}

impl Log {
    /// Writes the line of an event. `duration`: of the exchange that it ends.
    pub fn write(&self, event: &Event, duration: Option<Duration>) {
        let Line {
            topic,
            mut level,
            fields,
        } = {
            let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
            let line = Line::of(event, *phase);
            *phase = phase.after(event);
            line
        };
        if duration.is_some_and(|duration| duration > SLOW_RPC) {
            level = level.min(Level::INFO);
        }
        let duration_ms =
            duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        let Fields {
            epoch,
            last_global_exec_index,
            replay_after_commit_index,
            skipped,
            replayed,
            gei,
        } = fields;
        let epoch = epoch.map(|epoch| epoch.0);
        let last_global_exec_index = last_global_exec_index.map(|gei| gei.0);
        let replay_after_commit_index = replay_after_commit_index.map(|index| index.0);
        let gei = gei.map(|gei| gei.0);
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
                tracing::event!(
                    target: $target,
                    $level,
                    epoch,
                    last_global_exec_index,
                    replay_after_commit_index,
                    skipped,
                    replayed,
                    duration_ms,
                    gei,
                    "{event}"
                )
            };
        }
        match topic {
            Topic::Startup => write!("[STARTUP]"),
            Topic::EpochTransition => write!("[EPOCH TRANSITION]"),
            Topic::ExecutorRequest => write!("[EXECUTOR-REQ]"),
            Topic::SequentialBuffer => write!("[SEQUENTIAL-BUFFER]"),
            Topic::PeerEpoch => write!("[PEER EPOCH]"),
            Topic::Consensus => write!("consensus"),
            Topic::Execution => write!("execution"),
            Topic::Transactions => write!("transactions"),
        }
    }
}
