//! The epochs of the model: opened, changed step by step, and reopened after a backup of the executor was restored.

use super::{EXECUTOR, Model};
use crate::{
    plan::Plan,
    trace::{
        SimTime, WorldEvent,
        testing::{advanced, boundary_committed, drained, entered, gei, opened},
    },
};
use metanode_core::{
    env::NodeEvent,
    types::{CommitIndex, Epoch, Round},
};

/// One epoch on the disk of the node.
#[derive(Default)]
pub(super) struct Era {
    /// The GEI before it.
    pub(super) base: u64,
    recorded: Recorded,
    /// Known to peers, too.
    pub(super) round: u32,
}

#[derive(Clone, Copy, Default)]
enum Recorded {
    #[default]
    Running,
    BoundaryCommitted,
    Drained,
    Advanced,
}

impl Model {
    fn base(&self) -> u64 {
        self.eras[self.epoch].base
    }

    /// The boundary of the node's epoch, if it has ended.
    pub(super) fn end(&self) -> Option<u64> {
        self.eras.get(self.epoch + 1).map(|next| next.base)
    }

    /// The last block that the node may deliver in its epoch.
    pub(super) fn tip(&self) -> u64 {
        self.end().unwrap_or(self.stored)
    }

    /// Opens the executor's epoch.
    pub(super) fn open(&mut self) {
        self.exchange(false);
        let (epoch, watermark) = (self.entered as u64, gei(self.durable));
        self.node(NodeEvent::ExecutorQueried {
            epoch: Epoch(epoch),
            watermark,
        });
        (self.epoch, self.watermark) = (self.entered, self.durable);
        (self.loaded, self.paused) = (self.watermark, false);
        let oldest = epoch.saturating_sub(Plan::example().epochs.retained);
        for epoch in (0..oldest).map(Epoch) {
            self.node(NodeEvent::EpochRemoved { epoch });
        }
        self.node(opened(epoch, self.base()));
        self.node(NodeEvent::Recovered {
            last_commit: CommitIndex((self.tip() - self.base()) as u32),
            highest_round: Round(0),
            last_proposed_round: Round(0),
        });
        self.reconnect();
        self.node(NodeEvent::Ready);
    }

    pub(super) fn change(&mut self) {
        let epoch = self.epoch as u64;
        let is_behind = self.entered == self.epoch;
        let end = match self.end() {
            Some(end) => end,
            None if self.stored == self.base() => return,
            None => {
                let base = self.stored;
                self.eras.push(Era {
                    base,
                    ..Era::default()
                });
                base
            }
        };
        let recorded = match self.eras[self.epoch].recorded {
            Recorded::Running => Recorded::BoundaryCommitted,
            Recorded::BoundaryCommitted if self.watermark >= end => Recorded::Drained,
            Recorded::BoundaryCommitted => return self.ask(false),
            Recorded::Drained if !is_behind => Recorded::Advanced,
            Recorded::Drained if self.durable == end => {
                self.entered += 1;
                return self.executor(entered(epoch + 1, end));
            }
            Recorded::Advanced if !is_behind => return self.open(),
            Recorded::Drained | Recorded::Advanced => Recorded::BoundaryCommitted,
        };
        self.eras[self.epoch].recorded = recorded;
        self.node(match recorded {
            Recorded::BoundaryCommitted => boundary_committed(epoch, end),
            Recorded::Drained => drained(epoch, end),
            Recorded::Running | Recorded::Advanced => advanced(epoch, end),
        });
    }

    pub(super) fn restore(&mut self) {
        let Some((watermark, entered)) = self.backup else {
            return;
        };
        self.world(EXECUTOR, WorldEvent::Killed);
        let taken = SimTime::from_ms(0);
        self.world(
            EXECUTOR,
            WorldEvent::DiskRestored {
                taken,
                copied_from: None,
            },
        );
        (self.durable, self.entered) = (watermark, entered);
        self.start_executor();
        if self.entered < self.epoch {
            self.open();
        } else {
            self.reconnect();
        }
    }
}
