//! One life's door to the world: where its events and crash points come in.

use super::{World, lock};
use crate::trace::{ProcessId, What};
use async_trait::async_trait;
use metanode_core::env::{CrashPoint, CrashPoints, Event, EventSink};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether a life has not ended. Clones are the same life.
#[derive(Clone, Debug)]
pub(super) struct Life(Arc<AtomicBool>);

impl Life {
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

/// What one life says, and where it can be ended.
pub(super) struct Door {
    pub world: Arc<World>,
    pub process: ProcessId,
    pub life: Life,
}

impl EventSink for Door {
    fn emit(&self, event: Event) {
        if !self.life.is_over() {
            self.world.take_down(self.process, What::Did(event));
        }
    }
}

#[async_trait]
impl CrashPoints for Door {
    async fn reach(&self, point: CrashPoint) {
        if self.life.is_over() {
            return std::future::pending().await;
        }
        let due = lock(&self.world.schedule).reach(self.process, point, self.world.now());
        if due.is_empty() {
            return;
        }
        self.emit(Event::Crashed(point));
        for fault in due {
            self.world.strike(fault);
        }
        if self.life.is_over() {
            // The task is dropped at its next scheduling; until then it must not go on.
            std::future::pending().await
        }
    }
}
