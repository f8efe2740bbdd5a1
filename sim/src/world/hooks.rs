//! One incarnation's hooks to the world: where its events and crash points come in.

use super::{World, faults};
use crate::trace::{ProcessId, What};
use async_trait::async_trait;
use metanode_core::env::{CrashPoint, CrashPoints, Event, EventSink, TaskMonitor};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether an incarnation has not ended. Clones are the same incarnation.
#[derive(Clone, Debug)]
pub(super) struct Incarnation(Arc<AtomicBool>);

impl Incarnation {
    pub fn new() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub fn is_over(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

/// What one incarnation says, and where it can be ended.
pub(super) struct ProcessHooks {
    pub world: Arc<World>,
    pub process: ProcessId,
    pub incarnation: Incarnation,
}

impl ProcessHooks {
    /// Nothing that this incarnation does counts any more.
    fn is_over(&self) -> bool {
        self.incarnation.is_over() || self.world.status.is_abandoned()
    }
}

#[async_trait]
impl TaskMonitor for ProcessHooks {
    fn polled(&self) {
        self.world.status.set_running(self.process);
    }

    async fn panicked(&self, message: &str) {
        if !self.is_over() {
            self.world.panicked(self.process, message);
        }
        // The run is over, or the process was before.
        std::future::pending().await
    }
}

impl EventSink for ProcessHooks {
    fn emit(&self, event: Event) {
        if self.world.status.is_abandoned() {
            // The only way out of a task that never yields. The panic hook is for those that somebody waits for.
            std::panic::resume_unwind(Box::new("the run was abandoned"));
        }
        if !self.incarnation.is_over() {
            self.world.record(self.process, What::Process(event));
        }
    }
}

#[async_trait]
impl CrashPoints for ProcessHooks {
    async fn reach(&self, point: CrashPoint) {
        if self.is_over() {
            return std::future::pending().await;
        }
        let now = self.world.now();
        let due = self.world.faults().schedule.reach(self.process, point, now);
        if due.is_empty() {
            return;
        }
        self.emit(Event::Crashed(point));
        for fault in due {
            faults::inject(fault, &self.world);
        }
        if self.incarnation.is_over() {
            // The task is dropped at its next scheduling; until then it must not go on.
            std::future::pending().await
        }
    }
}
