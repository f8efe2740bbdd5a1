//! The hooks of one incarnation to the world: events, crash points, task monitor.

use super::World;
use crate::{
    allocator::{self, Uncharged},
    faults,
    log::{self, ProcessLog},
    trace::{ProcessId, What},
};
use async_trait::async_trait;
use metanode_core::env::{CrashPoint, CrashPoints, Event, EventSink, SessionKeys, TaskMonitor};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether an incarnation is running. Clones are the same incarnation.
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

/// The hooks of one incarnation.
pub(super) struct ProcessHooks {
    pub world: Arc<World>,
    pub process: ProcessId,
    pub incarnation: Incarnation,
    pub log: ProcessLog,
}

impl ProcessHooks {
    /// Whether what this incarnation does is ignored.
    fn is_over(&self) -> bool {
        self.incarnation.is_over() || self.world.status.is_abandoned()
    }
}

#[async_trait]
impl TaskMonitor for ProcessHooks {
    fn poll_begins(&self) {
        self.world.status.set_running(self.process);
        self.world.enable_bugs_of(self.process);
        log::set_running(Some(self.process));
        allocator::enter(self.process);
    }

    fn poll_ends(&self) {
        allocator::leave();
        log::set_running(None);
    }

    async fn panicked(&self, message: &str) {
        if !self.is_over() {
            self.world.panicked(self.process, message);
        }
        // The run is decided, or the process had already ended.
        std::future::pending().await
    }
}

impl EventSink for ProcessHooks {
    fn emit(&self, event: Event) {
        let uncharged = Uncharged::begin();
        let event = match uncharged.is_measured() {
            true => event.clone(),
            false => event,
        };
        if self.world.status.is_abandoned() {
            // Unwinding is the only way out of a task that never yields. It bypasses the panic hook because nothing
            // waits for the result.
            std::panic::resume_unwind(Box::new("the run was abandoned"));
        }
        if !self.incarnation.is_over() {
            self.log.write(&event);
            self.world.record(self.process, What::Process(event));
        }
    }

    fn on_session(&self, keys: &SessionKeys) {
        let _uncharged = Uncharged::begin();
        self.world.witnesses.on_session(self.process, keys);
    }
}

#[async_trait]
impl CrashPoints for ProcessHooks {
    async fn reach(&self, point: CrashPoint) {
        if self.is_over() {
            return std::future::pending().await;
        }
        let now = self.world.now();
        let due = {
            let _uncharged = Uncharged::begin();
            self.world.faults().schedule.reach(self.process, point, now)
        };
        if due.is_empty() {
            return;
        }
        self.emit(Event::Crashed(point));
        let uncharged = Uncharged::begin();
        for fault in due {
            faults::inject(fault, self.world.as_ref());
        }
        drop(uncharged);
        if self.incarnation.is_over() {
            // The task is dropped when it is scheduled next; until then it must not continue.
            std::future::pending().await
        }
    }
}
