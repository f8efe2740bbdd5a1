//! Logs of simulated processes: the lines of production, each with simulated time and its process.

use crate::trace::{ProcessId, SimTime};
use metanode_core::env::{Event, EventSink, real::Events};
use std::cell::Cell;
use tracing::level_filters::LevelFilter;

thread_local! {
    /// The process whose task runs on this thread.
    static RUNNING: Cell<Option<ProcessId>> = const { Cell::new(None) };
}

/// When a line is logged, and by which process; no process for the simulated world itself. `None` outside of simulations.
#[must_use]
pub fn origin() -> Option<(SimTime, Option<ProcessId>)> {
    let now = madsim::time::TimeHandle::try_current()?.elapsed();
    let ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    Some((SimTime { ns }, RUNNING.get()))
}

/// Notes whose task runs.
pub(crate) fn set_running(process: Option<ProcessId>) {
    RUNNING.set(process);
}

/// The log of one incarnation.
#[derive(Default)]
pub(crate) struct ProcessLog(Events);

impl ProcessLog {
    /// Writes the line of an event, if anything is logged.
    pub fn write(&self, event: &Event) {
        if LevelFilter::current() != LevelFilter::OFF {
            self.0.emit(event.clone());
        }
    }
}
