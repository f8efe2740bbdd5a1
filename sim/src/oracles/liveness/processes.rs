//! What LIVE knows of each process.

use crate::{
    plan::Plan,
    trace::{Entry, SimTime},
};
use metanode_core::types::{Epoch, GlobalExecIndex, Round};

#[derive(Default)]
pub(super) struct Executor {
    pub durable: GlobalExecIndex,
    /// The entry that shows it.
    pub last: Option<Entry>,
    pub down: bool,
}

#[derive(Default)]
pub(super) struct Node {
    pub down: bool,
    /// Its newest own block.
    pub newest: (Epoch, Round),
    /// Its last start or end.
    pub restarted: SimTime,
    /// Whether it has made a block since then.
    pub has_proposed: bool,
    /// Half of its window since its last start, at which a paused node goes on.
    pub half_window: u64,
    /// The newest epoch that it has recorded.
    pub epoch: Epoch,
    /// For how long it was free to propose since measuring began.
    pub free_for: SimTime,
    /// Its own words, for the report.
    pub paused: Option<Entry>,
    pub waiting: Option<Entry>,
}

impl Node {
    pub fn of(plan: &Plan, n: u16, start: u32) -> Self {
        Self {
            half_window: u64::from(plan.node_of(n, start).delivery.window_blocks) / 2,
            ..Self::default()
        }
    }

    /// Its process has ended or started.
    pub fn restart(&mut self, down: bool, at: SimTime) {
        (self.down, self.restarted, self.has_proposed) = (down, at, false);
        (self.paused, self.waiting) = (None, None);
    }
}
