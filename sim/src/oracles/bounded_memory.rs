//! BOUND: *window, channels and recovery in memory stay within their configured sizes*, and the stores of a node, too.
//!
//! Violations: a process that has more memory in use than [`in_use`] allows, if the run measures it; a window that holds
//! more than its capacity, has a larger capacity than the plan, or reaches further
//! above the watermark than its capacity, because loaded blocks that are not durable are in memory somewhere; a node
//! that records an epoch while it keeps more stores than the running one, the retained ones and one that is being closed.
//!
//! No violation: a window above a watermark that fell (the highest one that this incarnation of the node has read
//! counts).
//!
//! What the memory of a process holds cannot be seen from outside: the content of the window is its own word
//! (`WindowLoaded`). Channels and recovery emit no events; the number of blocks loaded above the watermark covers them,
//! and the memory in use.

mod behind;
mod in_use;

use super::{Invariant, Oracle, Violation};
use crate::{
    plan::Plan,
    trace::{Entry, ProcessId, What, WorldEvent},
    witness::Fact,
};
use in_use::WorkingSet;
use metanode_core::{
    env::{Event, NodeEvent},
    types::{Epoch, GlobalExecIndex},
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct BoundedMemory {
    plan: Plan,
    /// The capacity of each node's window, from its last start.
    limits: BTreeMap<u16, u32>,
    /// The epochs of the stores of each node.
    stores: BTreeMap<u16, BTreeSet<Epoch>>,
    /// The highest watermark that each node's incarnation learned, with its entry.
    learned: BTreeMap<u16, (GlobalExecIndex, Entry)>,
    /// If the memory of this run is measured.
    working_set: Option<WorkingSet>,
}

impl BoundedMemory {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            plan: plan.clone(),
            limits: BTreeMap::new(),
            stores: BTreeMap::new(),
            learned: BTreeMap::new(),
            working_set: plan.measures_memory().then(|| WorkingSet::new(plan)),
        }
    }

    fn in_use(&self, bytes: u64, entry: &Entry) -> Result<(), Box<Violation>> {
        let is_byzantine = matches!(entry.process, ProcessId::Node(n) if self.plan.is_byzantine(n));
        let budget_bytes = match &self.working_set {
            Some(working_set) if !is_byzantine => working_set.budget_bytes(entry.process),
            _ => return Ok(()),
        };
        if bytes <= budget_bytes {
            return Ok(());
        }
        let message = format!(
            "expected at most {} KiB of memory in use, found {} KiB",
            budget_bytes >> 10,
            bytes >> 10
        );
        let (invariant, clause) = (Invariant::Bound, "memory-in-use");
        Err(Violation::by(entry, invariant, clause, message, None))
    }

    fn loaded(
        &self,
        n: u16,
        blocks: u32,
        capacity: u32,
        last: GlobalExecIndex,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        let broken = |clause, message: String, earlier: Option<Entry>| {
            Err(Violation::by(
                entry,
                Invariant::Bound,
                clause,
                message,
                earlier,
            ))
        };
        let of_plan = || self.plan.node_of(n, 1).delivery.window_blocks;
        let limit = self.limits.get(&n).copied().unwrap_or_else(of_plan);
        if capacity > limit {
            return broken(
                "window-capacity",
                format!(
                    "expected a window of at most {} blocks, its capacity is {capacity}",
                    limit
                ),
                None,
            );
        }
        if blocks > capacity {
            return broken(
                "window-length",
                format!("expected at most {capacity} blocks in the window, it holds {blocks}"),
                None,
            );
        }
        let learned = self.learned.get(&n);
        let watermark = learned.map_or(GlobalExecIndex(0), |(watermark, _)| *watermark);
        let above = last.0.saturating_sub(watermark.0);
        if above > u64::from(capacity) {
            return broken(
                "blocks-above-watermark",
                format!(
                    "expected at most {capacity} blocks above watermark {watermark}, \
                     {above} are loaded up to GEI {last}"
                ),
                learned.map(|(_, entry)| entry.clone()),
            );
        }
        Ok(())
    }
}

impl Oracle for BoundedMemory {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        if let Some(working_set) = &mut self.working_set {
            match &entry.what {
                What::World(WorldEvent::InUse { bytes }) => return self.in_use(*bytes, entry),
                What::Seen(fact) => working_set.observe(entry.process, fact),
                _ => {}
            }
        }
        let ProcessId::Node(n) = entry.process else {
            return Ok(());
        };
        match &entry.what {
            What::World(WorldEvent::Started { start }) => {
                let limit = self.plan.node_of(n, *start).delivery.window_blocks;
                self.limits.insert(n, limit);
                self.learned.remove(&n);
            }
            // What an older disk has is known from the disk itself: counted are those that are written from now on.
            What::World(WorldEvent::DiskRestored { .. }) => {
                self.stores.remove(&n);
                if let Some(working_set) = &mut self.working_set {
                    working_set.restored(n);
                }
            }
            // Whether it may, and this much, is for TRUTH.
            What::Process(Event::Node(NodeEvent::GenesisAssumed { watermark, .. })) => {
                self.learned.insert(n, (*watermark, entry.clone()));
            }
            What::Process(Event::Node(NodeEvent::WindowLoaded {
                blocks,
                capacity,
                last,
            })) => return self.loaded(n, *blocks, *capacity, *last, entry),
            What::Seen(Fact::EpochRecorded { record }) => {
                let stores = self.stores.entry(n).or_default();
                stores.insert(record.epoch);
                let most = self.plan.epochs.retained_by(n).saturating_add(2);
                if stores.len() as u64 > most {
                    let message = format!(
                        "expected at most {most} stores, there are {}: epochs {stores:?}",
                        stores.len()
                    );
                    return Err(Violation::by(
                        entry,
                        Invariant::Bound,
                        "retained-stores",
                        message,
                        None,
                    ));
                }
            }
            What::Seen(Fact::EpochRemoved { epoch }) => {
                self.stores.entry(n).or_default().remove(epoch);
            }
            What::Seen(Fact::ReplyRead { reply, .. }) => {
                if let Some(watermark) = reply.watermark() {
                    let known = self.learned.get(&n);
                    if known.is_none_or(|(highest, _)| watermark > *highest) {
                        self.learned.insert(n, (watermark, entry.clone()));
                    }
                }
            }
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
        plan::{ByzantinePlan, ByzantineStrategy},
        trace::testing::{learned, loaded, node, node_events, opened, world_event},
    };

    /// The example's window holds 8 blocks.
    fn verdict(events: Vec<NodeEvent>) -> Option<Box<Violation>> {
        judge(BoundedMemory::new(&Plan::example()), &node_events(events))
    }

    #[test]
    fn a_window_holds_its_capacity_and_no_more() {
        assert_eq!(verdict(vec![loaded(8, 8, 8)]), None);
        assert_eq!(
            verdict(vec![loaded(8, 7, 8)]).unwrap().message,
            "expected at most 7 blocks in the window, it holds 8"
        );
    }

    #[test]
    fn the_plan_limits_the_capacity() {
        assert!(verdict(vec![loaded(1, 9, 1)]).is_some());
        assert_eq!(verdict(vec![loaded(1, 4, 1)]), None);
    }

    #[test]
    fn blocks_above_the_watermark_count_wherever_they_are_kept() {
        let modest = |last| vec![learned(10), loaded(2, 8, last)];
        let violation = verdict(modest(19)).unwrap();
        assert!(
            violation.message.contains("9 are loaded"),
            "{}",
            violation.message
        );
        assert_eq!(violation.evidence.len(), 2);
        assert_eq!(verdict(modest(18)), None);
    }

    #[test]
    fn a_fallen_watermark_does_not_shrink_the_window_behind_it() {
        assert_eq!(
            verdict(vec![learned(10), learned(7), loaded(8, 8, 18)]),
            None
        );
    }

    #[test]
    fn a_new_incarnation_has_not_learned_a_watermark() {
        let trace = [
            node(0, 0, learned(10)),
            world_event(1, ProcessId::Node(0), WorldEvent::Started { start: 2 }),
            node(2, 0, loaded(2, 8, 12)),
        ];
        assert!(judge(BoundedMemory::new(&Plan::example()), &trace).is_some());
    }

    #[test]
    fn a_process_keeps_to_its_budget_if_it_is_measured_and_honest() {
        let mut plan = Plan {
            duration_ms: 600_000,
            ..Plan::example()
        };
        let uses = |plan: &Plan, bytes| {
            let in_use = world_event(1, ProcessId::Node(0), WorldEvent::InUse { bytes });
            judge(BoundedMemory::new(plan), &[in_use])
        };
        let budget_bytes = WorkingSet::new(&plan).budget_bytes(ProcessId::Node(0));
        assert_eq!(uses(&plan, budget_bytes), None);
        let violation = uses(&plan, budget_bytes + 1).unwrap();
        assert_eq!(violation.clause, "memory-in-use");
        plan.byzantine = vec![ByzantinePlan {
            validator: 0,
            strategy: ByzantineStrategy::Silent,
            program: vec![],
        }];
        assert_eq!(uses(&plan, u64::MAX), None);
        assert_eq!(uses(&Plan::example(), u64::MAX), None);
    }

    #[test]
    fn stores_of_old_epochs_are_removed() {
        let mut plan = Plan::example();
        plan.epochs.retained = 2;
        let open = |epochs: u64| (0..epochs).map(|epoch| node(epoch, 0, opened(epoch, epoch)));
        assert_eq!(
            judge(BoundedMemory::new(&plan), &open(4).collect::<Vec<_>>()),
            None
        );
        let five: Vec<_> = open(5).collect();
        assert!(judge(BoundedMemory::new(&plan), &five).is_some());
        let mut removed = five;
        let epoch = Epoch(0);
        removed.insert(4, node(3, 0, NodeEvent::EpochRemoved { epoch }));
        assert_eq!(judge(BoundedMemory::new(&plan), &removed), None);
    }
}
