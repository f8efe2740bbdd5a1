//! BACKP: *a stalled executor stops its node's proposals, and nothing is lost or reordered by it.*
//!
//! Judges the first half; loss and reordering violate GAP0 and WIRE. A window is full from the load that fills it until
//! the learned watermark leaves at most half its capacity.
//!
//! Violations, after [`GRACE`]: a block proposed while proposals are paused or the window is full; a ready node that
//! emits any event before it pauses. Also: proposals that resume above half.
//!
//! No violation: a full window before the node is ready, as long as it proposes nothing; the time in which the process
//! does not run; nodes that do not deliver, which have no window. Every epoch begins with an empty window.

use super::{Invariant, Oracle, Violation};
use crate::{
    plan::Plan,
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
};
use metanode_core::{
    env::{Event, NodeEvent},
    types::{BlockRef, GlobalExecIndex},
};
use std::collections::BTreeMap;

/// Within this time a proposal that was decided before the window filled may still be emitted.
const GRACE: SimTime = SimTime::from_ms(10);

pub(super) struct Backpressure {
    default_capacity: u32,
    nodes: BTreeMap<u16, Pressure>,
}

/// The pressure on a node in one epoch of one incarnation.
struct Pressure {
    ready: bool,
    capacity: u32,
    /// The highest GEI in the window.
    last: GlobalExecIndex,
    full: Option<Since>,
    paused: Option<Since>,
}

/// The beginning of a state: its entry, and the time from which it counts.
struct Since {
    at: SimTime,
    entry: Entry,
}

impl Since {
    fn now(entry: &Entry) -> Option<Self> {
        Some(Self {
            at: entry.at,
            entry: entry.clone(),
        })
    }

    fn is_expired(&self, now: SimTime) -> bool {
        now.since(self.at) > GRACE
    }
}

impl Pressure {
    const fn new(capacity: u32) -> Self {
        Self {
            ready: false,
            capacity,
            last: GlobalExecIndex(0),
            full: None,
            paused: None,
        }
    }

    /// Pressure counts from now on: before, the node could not react to it.
    fn count_from(&mut self, now: SimTime) {
        for since in [&mut self.full, &mut self.paused].into_iter().flatten() {
            since.at = now;
        }
    }

    fn observe(&mut self, event: &NodeEvent, entry: &Entry) -> Result<(), Box<Violation>> {
        if let NodeEvent::Proposed { block, .. } = event {
            self.check_proposal(*block, entry)?;
        }
        self.check_pause(entry)?;
        match event {
            NodeEvent::Ready => {
                self.ready = true;
                self.count_from(entry.at);
            }
            NodeEvent::WindowLoaded {
                blocks,
                capacity,
                last,
            } => {
                (self.capacity, self.last) = (*capacity, *last);
                if blocks >= capacity && self.full.is_none() {
                    self.full = Since::now(entry);
                }
            }
            NodeEvent::WatermarkLearned { watermark }
                if self.last.0.saturating_sub(watermark.0) <= u64::from(self.capacity / 2) =>
            {
                self.full = None;
            }
            NodeEvent::Rewound { .. } => self.full = None,
            NodeEvent::ProposalsPaused { .. } => self.paused = Since::now(entry),
            NodeEvent::ProposalsResumed { blocks } => self.resume(*blocks, entry)?,
            _ => {}
        }
        Ok(())
    }

    fn check_proposal(&self, block: BlockRef, entry: &Entry) -> Result<(), Box<Violation>> {
        let pressure = self.paused.as_ref().or(self.full.as_ref());
        let Some(since) = pressure.filter(|since| since.is_expired(entry.at)) else {
            return Ok(());
        };
        let state = if self.paused.is_some() {
            "proposals are paused"
        } else {
            "the window is full"
        };
        Err(broken(
            entry,
            "proposed-under-pressure",
            format!(
                "expected no proposal while {state}, {block} was proposed after {} ms",
                entry.at.since(since.at).as_ms()
            ),
            Some(since),
        ))
    }

    fn check_pause(&self, entry: &Entry) -> Result<(), Box<Violation>> {
        let full = self.full.as_ref();
        let Some(full) = full.filter(|full| full.is_expired(entry.at)) else {
            return Ok(());
        };
        if !self.ready || self.paused.is_some() {
            return Ok(());
        }
        Err(broken(
            entry,
            "did-not-pause",
            format!(
                "expected proposals to pause with {} of {} blocks in the window, they did not for {} ms",
                self.capacity,
                self.capacity,
                entry.at.since(full.at).as_ms()
            ),
            Some(full),
        ))
    }

    fn resume(&mut self, blocks: u32, entry: &Entry) -> Result<(), Box<Violation>> {
        if blocks > self.capacity / 2 {
            return Err(broken(
                entry,
                "resumed-too-early",
                format!(
                    "expected at most {} of {} blocks when proposals resume, the window holds {blocks}",
                    self.capacity / 2,
                    self.capacity
                ),
                self.paused.as_ref(),
            ));
        }
        (self.full, self.paused) = (None, None);
        Ok(())
    }
}

fn broken(
    entry: &Entry,
    clause: &'static str,
    message: String,
    since: Option<&Since>,
) -> Box<Violation> {
    let earlier = since.map(|since| since.entry.clone());
    Violation::by(entry, Invariant::Backp, clause, message, earlier)
}

impl Backpressure {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            default_capacity: plan.node.delivery.window_blocks,
            nodes: BTreeMap::new(),
        }
    }
}

impl Oracle for Backpressure {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        let ProcessId::Node(n) = entry.process else {
            return Ok(());
        };
        let fresh = || Pressure::new(self.default_capacity);
        match &entry.what {
            What::World(WorldEvent::Started { .. })
            | What::Process(Event::Node(NodeEvent::EpochOpened { .. })) => {
                self.nodes.insert(n, fresh());
            }
            What::World(WorldEvent::Resumed) => {
                self.nodes
                    .entry(n)
                    .or_insert_with(fresh)
                    .count_from(entry.at);
            }
            What::Process(Event::Node(event)) => {
                self.nodes
                    .entry(n)
                    .or_insert_with(fresh)
                    .observe(event, entry)?;
            }
            What::World(_) | What::Process(_) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::testing::judge,
        trace::testing::{block, learned, loaded, node, opened, proposed, stored, world_event},
    };

    const PAUSED: NodeEvent = NodeEvent::ProposalsPaused { blocks: 8 };

    /// A ready node whose window of 8 is filled at 100 ms, then this.
    fn full_then(entries: Vec<Entry>) -> Option<Box<Violation>> {
        let mut trace = vec![node(0, 0, NodeEvent::Ready), node(100, 0, loaded(8, 8, 8))];
        trace.extend(entries);
        judge(Backpressure::new(&Plan::example()), &trace)
    }

    #[test]
    fn a_paused_node_does_not_propose_after_the_grace_period() {
        let proposes_at = |at_ms| {
            full_then(vec![
                node(100, 0, PAUSED),
                node(at_ms, 0, proposed(block(1, 0))),
            ])
        };
        assert_eq!(proposes_at(110), None);
        let violation = proposes_at(111).unwrap();
        assert_eq!(violation.evidence[0], node(100, 0, PAUSED));
        assert!(
            violation.message.ends_with("after 11 ms"),
            "{}",
            violation.message
        );
    }

    #[test]
    fn a_full_window_is_followed_by_a_pause() {
        assert!(full_then(vec![node(111, 0, stored(9))]).is_some());
        assert!(full_then(vec![node(111, 0, proposed(block(1, 0)))]).is_some());
        assert_eq!(
            full_then(vec![node(105, 0, PAUSED), node(150, 0, stored(9))]),
            None
        );
    }

    #[test]
    fn a_window_that_drains_to_half_in_time_demands_nothing() {
        let drained_to = |watermark| {
            full_then(vec![
                node(105, 0, learned(watermark)),
                node(150, 0, proposed(block(1, 0))),
            ])
        };
        assert_eq!(drained_to(4), None);
        assert!(drained_to(3).is_some());
    }

    #[test]
    fn proposals_resume_at_half_of_the_capacity() {
        let resumed_at = |blocks| {
            full_then(vec![
                node(100, 0, PAUSED),
                node(200, 0, learned(8 - u64::from(blocks))),
                node(200, 0, NodeEvent::ProposalsResumed { blocks }),
                node(300, 0, proposed(block(1, 0))),
            ])
        };
        assert_eq!(resumed_at(4), None);
        assert!(resumed_at(5).unwrap().message.contains("at most 4 of 8"));
    }

    #[test]
    fn a_process_that_does_not_run_cannot_pause_its_proposals() {
        let process = ProcessId::Node(0);
        let frozen = vec![
            world_event(101, process, WorldEvent::Paused),
            world_event(500, process, WorldEvent::Resumed),
            node(505, 0, PAUSED),
        ];
        assert_eq!(full_then(frozen), None);
    }

    #[test]
    fn a_window_filled_by_recovery_counts_from_ready() {
        let recovering = |proposes: bool| {
            let mut trace = vec![node(0, 0, loaded(8, 8, 8)), node(400, 0, stored(9))];
            if proposes {
                trace.push(node(401, 0, proposed(block(1, 0))));
            }
            trace.extend([node(500, 0, NodeEvent::Ready), node(501, 0, PAUSED)]);
            judge(Backpressure::new(&Plan::example()), &trace)
        };
        assert_eq!(recovering(false), None);
        assert!(recovering(true).is_some());
    }

    #[test]
    fn a_new_incarnation_is_under_no_pressure() {
        let restarted = world_event(120, ProcessId::Node(0), WorldEvent::Started { start: 2 });
        let trace = vec![
            node(100, 0, PAUSED),
            restarted,
            node(150, 0, proposed(block(1, 0))),
        ];
        assert_eq!(full_then(trace), None);
    }

    #[test]
    fn a_new_epoch_is_under_no_pressure() {
        let proposes = |first: NodeEvent| {
            full_then(vec![
                node(100, 0, PAUSED),
                node(120, 0, first),
                node(121, 0, NodeEvent::Ready),
                node(151, 0, proposed(block(1, 0))),
            ])
        };
        assert_eq!(proposes(opened(1, 9)), None);
        assert!(proposes(stored(9)).is_some());
        let filled_anew = vec![
            node(120, 0, opened(1, 9)),
            node(121, 0, NodeEvent::Ready),
            node(130, 0, loaded(8, 8, 17)),
            node(150, 0, stored(18)),
        ];
        assert!(full_then(filled_anew).is_some());
    }
}
