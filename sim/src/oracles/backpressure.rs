//! BACKP: *a stalled executor stops its node's proposals, and nothing is lost or reordered by it.*
//!
//! Judges the first half; loss and reordering violate GAP0 and WIRE.
//!
//! Input: own blocks on the disk of a node, frames that it sent, and the watermarks in the replies that it has read. The
//! window holds what is loaded and not known to be durable. What a process holds in memory cannot be seen from outside:
//! what is loaded and not sent yet is its own word (`WindowLoaded`). A window is full from the time at which it holds
//! its capacity, until a watermark leaves at most half of it, whatever is loaded then.
//!
//! Violation: an own block that is stored more than [`GRACE`] after the window filled, and before it drained.
//!
//! No violation: the time in which the process does not run; nodes that do not deliver, which have no window. Every epoch
//! begins with an empty window. A restarted node has an empty window.

use super::{Invariant, Oracle, Violation};
use crate::{
    plan::{Authorities, Plan, Topology},
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
    witness::{ChangeStep, Fact, SeenBlock},
};
use metanode_core::{
    env::{Event, NodeEvent},
    types::{Epoch, GlobalExecIndex},
};
use std::collections::BTreeMap;

/// Within this time a proposal that was decided before the window filled may still be stored.
const GRACE: SimTime = SimTime::from_ms(10);

pub(super) struct Backpressure {
    plan: Plan,
    authorities: Authorities,
    nodes: BTreeMap<u16, Pressure>,
}

/// The window of a node in its newest epoch.
struct Pressure {
    /// Of its window.
    capacity: u64,
    epoch: Epoch,
    /// The last watermark in a reply.
    watermark: Option<GlobalExecIndex>,
    /// The last block that was loaded or sent.
    loaded: GlobalExecIndex,
    full: Option<Since>,
}

/// When the window filled: the entry, and the time from which it counts.
struct Since {
    at: SimTime,
    entry: Entry,
}

impl Pressure {
    fn of(plan: &Plan, n: u16, start: u32) -> Self {
        Self {
            capacity: plan.node_of(n, start).delivery.window_blocks.into(),
            epoch: Epoch::default(),
            watermark: None,
            loaded: GlobalExecIndex(0),
            full: None,
        }
    }

    fn enter(&mut self, epoch: Epoch, base: GlobalExecIndex) {
        if epoch >= self.epoch {
            (self.epoch, self.loaded, self.full) = (epoch, base, None);
        }
    }

    fn learned(&mut self, watermark: GlobalExecIndex) {
        let left = self.loaded.0.saturating_sub(watermark.0);
        // A watermark that fell empties the window, too.
        let fell = self.watermark.is_some_and(|before| watermark < before);
        if fell {
            self.loaded = watermark;
        }
        if fell || left <= self.capacity / 2 {
            self.full = None;
        }
        self.watermark = Some(watermark);
    }

    fn loaded(&mut self, last: GlobalExecIndex, entry: &Entry) {
        self.loaded = self.loaded.max(last);
        let watermark = self.watermark.unwrap_or_default();
        let blocks = self.loaded.0.saturating_sub(watermark.0);
        if blocks >= self.capacity && self.full.is_none() {
            let (at, entry) = (entry.at, entry.clone());
            self.full = Some(Since { at, entry });
        }
    }

    /// A new incarnation knows no watermark.
    fn restart(&mut self, plan: &Plan, n: u16, start: u32) {
        *self = Self {
            epoch: self.epoch,
            ..Self::of(plan, n, start)
        };
    }

    fn proposed(&self, block: &SeenBlock, entry: &Entry) -> Result<(), Box<Violation>> {
        let Some(full) = &self.full else {
            return Ok(());
        };
        let for_ms = entry.at.since(full.at);
        if block.epoch != self.epoch || for_ms <= GRACE {
            return Ok(());
        }
        let watermark = self.watermark.unwrap_or_default();
        Err(Violation::by(
            entry,
            Invariant::Backp,
            "proposed-under-pressure",
            format!(
                "expected no proposal while blocks up to GEI {} are in the window and only {watermark} is durable, {} \
                 was proposed after {} ms",
                self.loaded,
                block.reference,
                for_ms.as_ms()
            ),
            [full.entry.clone()],
        ))
    }
}

impl Backpressure {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            authorities: Authorities::new(plan),
            nodes: (0..plan.validators)
                .map(|n| (n, Pressure::of(plan, n, 1)))
                .collect(),
        }
    }

    fn seen(&mut self, n: u16, fact: &Fact, entry: &Entry) -> Result<(), Box<Violation>> {
        let Some(node) = self.nodes.get_mut(&n) else {
            return Ok(());
        };
        match fact {
            Fact::EpochRecorded { record } if record.step == ChangeStep::Running => {
                node.enter(record.epoch, record.base);
            }
            Fact::FrameSent { frame, .. } => node.loaded(frame.gei, entry),
            Fact::ReplyRead { reply, .. } => {
                if let Some(watermark) = reply.watermark() {
                    node.learned(watermark);
                }
            }
            Fact::BlockStored { block, .. } => {
                let author = (self.authorities).validator(block.epoch, block.reference.author);
                return match author == Some(n) {
                    true => node.proposed(block, entry),
                    false => Ok(()),
                };
            }
            _ => {}
        }
        Ok(())
    }
}

impl Oracle for Backpressure {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        let ProcessId::Node(n) = entry.process else {
            return Ok(());
        };
        if self.plan.topology == Topology::SingleMaster && n > 0 {
            return Ok(());
        }
        let Some(node) = self.nodes.get_mut(&n) else {
            return Ok(());
        };
        match &entry.what {
            What::World(WorldEvent::Started { start }) => node.restart(&self.plan, n, *start),
            What::World(WorldEvent::Resumed) => {
                if let Some(full) = &mut node.full {
                    full.at = entry.at;
                }
            }
            What::Process(Event::Node(NodeEvent::WindowLoaded { last, .. })) => {
                node.loaded(*last, entry);
            }
            // Whether it may, and this much, is for TRUTH.
            What::Process(Event::Node(NodeEvent::GenesisAssumed { watermark, .. })) => {
                node.learned(*watermark);
            }
            What::Seen(fact) => return self.seen(n, fact, entry),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::testing::judge,
        trace::testing::{block, learned, loaded, node, opened, proposed, world_event},
    };

    /// A node with a window of 8 that is filled at 100 ms, then this.
    fn full_then(entries: Vec<Entry>) -> Option<Box<Violation>> {
        let mut trace = vec![node(0, 0, opened(0, 0)), node(0, 0, learned(0))];
        trace.push(node(100, 0, loaded(8, 8, 8)));
        trace.extend(entries);
        judge(Backpressure::new(&Plan::example()), &trace)
    }

    /// The block of node 0 in this round.
    fn own_block(round: u32) -> metanode_core::env::NodeEvent {
        let mut authorities = Authorities::new(&Plan::example());
        let own = (0..4).find(|index| {
            let index = metanode_core::types::AuthorityIndex(*index);
            authorities.validator(Epoch(0), index) == Some(0)
        });
        proposed(block(round, own.unwrap()))
    }

    #[test]
    fn a_node_does_not_propose_while_its_window_is_full() {
        let proposes_at = |at_ms| full_then(vec![node(at_ms, 0, own_block(1))]);
        assert_eq!(proposes_at(110), None);
        let violation = proposes_at(111).unwrap();
        assert!(
            violation.message.ends_with("after 11 ms"),
            "{}",
            violation.message
        );
    }

    #[test]
    fn a_window_that_drains_to_half_demands_nothing() {
        let drained_to = |watermark| {
            full_then(vec![
                node(200, 0, learned(watermark)),
                node(250, 0, own_block(1)),
            ])
        };
        assert_eq!(drained_to(4), None);
        assert!(drained_to(3).is_some());
    }

    #[test]
    fn a_process_that_does_not_run_cannot_notice() {
        let process = ProcessId::Node(0);
        let frozen = vec![
            world_event(101, process, WorldEvent::Paused),
            world_event(500, process, WorldEvent::Resumed),
            node(505, 0, own_block(1)),
        ];
        assert_eq!(full_then(frozen), None);
    }

    #[test]
    fn a_new_incarnation_is_under_pressure_once_it_knows_the_watermark() {
        let restarted = || world_event(120, ProcessId::Node(0), WorldEvent::Started { start: 2 });
        let unknown = vec![restarted(), node(150, 0, own_block(1))];
        assert_eq!(full_then(unknown), None);
        let known = vec![
            restarted(),
            node(130, 0, learned(0)),
            node(131, 0, loaded(8, 8, 8)),
            node(150, 0, own_block(1)),
        ];
        assert!(full_then(known).is_some());
    }

    #[test]
    fn a_new_epoch_and_a_node_that_does_not_deliver_are_under_no_pressure() {
        let in_epoch_one = vec![node(120, 0, opened(1, 8)), node(150, 0, own_block(1))];
        assert_eq!(full_then(in_epoch_one), None);
        let follower = Plan {
            topology: Topology::SingleMaster,
            ..Plan::example()
        };
        let mut trace = vec![node(0, 1, opened(0, 0)), node(0, 1, learned(0))];
        trace.push(node(100, 1, loaded(8, 8, 8)));
        trace.push(node(200, 1, own_block(1)));
        assert_eq!(judge(Backpressure::new(&follower), &trace), None);
    }
}
