//! LIVE: *once faults end, every live executor reaches the committed tip within a bounded time.*
//!
//! Judged between `FaultsEnded` and `CaughtUp`; the bound is the plan's `settle_ms`. The world decides what the tip is
//! and which executors have reached it. A violation names what is pending: executors below the tip, nodes that are
//! down, wait, or have paused their proposals.
//!
//! No violation: missing progress while faults last; a run that ends before the time is up; the node and the executor
//! of a Byzantine validator.

use super::{Invariant, Oracle, Violation};
use crate::{
    plan::Plan,
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
};
use metanode_core::{
    env::{Event, ExecutorEvent, NodeEvent},
    types::{CommitIndex, Epoch, GlobalExecIndex},
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct Liveness {
    settle: SimTime,
    /// The highest GEI that any node had stored when faults ended.
    tip: GlobalExecIndex,
    byzantine: BTreeSet<u16>,
    executors: BTreeMap<u16, Executor>,
    nodes: BTreeMap<u16, Node>,
    phase: Phase,
}

enum Phase {
    Faults,
    Settling { began: Entry },
    Done,
}

#[derive(Default)]
struct Executor {
    durable: GlobalExecIndex,
    /// The entry that reported it.
    last: Option<Entry>,
    down: bool,
}

#[derive(Default)]
struct Node {
    commit: Option<(Epoch, CommitIndex, GlobalExecIndex)>,
    paused: Option<Entry>,
    waiting: Option<Entry>,
    down: bool,
}

impl Liveness {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            settle: SimTime::from_ms(plan.settle_ms),
            tip: GlobalExecIndex(0),
            byzantine: plan.byzantine.iter().map(|b| b.validator).collect(),
            executors: BTreeMap::new(),
            nodes: BTreeMap::new(),
            phase: Phase::Faults,
        }
    }

    fn executor_did(&mut self, n: u16, event: &ExecutorEvent, entry: &Entry) {
        if let ExecutorEvent::Started { watermark, .. } | ExecutorEvent::Durable { watermark } =
            event
        {
            let executor = self.executors.entry(n).or_default();
            executor.durable = *watermark;
            executor.last = Some(entry.clone());
        }
    }

    fn node_did(&mut self, n: u16, event: &NodeEvent, entry: &Entry) {
        match event {
            NodeEvent::CommitStored {
                epoch, commit, gei, ..
            } => {
                if matches!(self.phase, Phase::Faults) {
                    self.tip = self.tip.max(*gei);
                }
                self.nodes.entry(n).or_default().commit = Some((*epoch, commit.index, *gei));
            }
            NodeEvent::Waiting { .. } => {
                self.nodes.entry(n).or_default().waiting = Some(entry.clone());
            }
            NodeEvent::Ready => self.nodes.entry(n).or_default().waiting = None,
            NodeEvent::ProposalsPaused { .. } => {
                self.nodes.entry(n).or_default().paused = Some(entry.clone());
            }
            NodeEvent::ProposalsResumed { .. } => self.nodes.entry(n).or_default().paused = None,
            _ => {}
        }
    }

    fn world(&mut self, event: &WorldEvent, entry: &Entry) {
        let down = match event {
            WorldEvent::Started { .. } => false,
            WorldEvent::Killed | WorldEvent::PowerLost { .. } | WorldEvent::Panicked { .. } => true,
            WorldEvent::FaultsEnded => {
                self.phase = Phase::Settling {
                    began: entry.clone(),
                };
                return;
            }
            WorldEvent::CaughtUp { .. } => {
                self.phase = Phase::Done;
                return;
            }
            _ => return,
        };
        match entry.process {
            ProcessId::Node(n) => {
                let node = self.nodes.entry(n).or_default();
                (node.down, node.paused, node.waiting) = (down, None, None);
            }
            ProcessId::Executor(n) => self.executors.entry(n).or_default().down = down,
            ProcessId::World => {}
        }
    }

    /// The entry that ended faults, and the time since then, while progress is demanded.
    fn settling(&self, now: SimTime) -> Option<(&Entry, SimTime)> {
        match &self.phase {
            Phase::Settling { began } => Some((began, now.since(began.at))),
            Phase::Faults | Phase::Done => None,
        }
    }

    fn overdue(&self, began: &Entry, now: SimTime) -> Box<Violation> {
        let (pending, mut evidence) = self.pending();
        evidence.push(began.clone());
        evidence.sort_by_key(|entry| entry.at);
        Box::new(Violation {
            invariant: Invariant::Live,
            clause: "tip-not-reached",
            at: now,
            process: ProcessId::World,
            message: format!(
                "expected every executor at the tip, GEI {}, within {} ms after faults ended; pending: {}",
                self.tip,
                self.settle.as_ms(),
                pending.join("; ")
            ),
            evidence,
        })
    }

    /// The processes that are pending, with their last entries.
    fn pending(&self) -> (Vec<String>, Vec<Entry>) {
        let (mut pending, mut evidence) = (vec![], vec![]);
        for (n, executor) in &self.executors {
            let down = if executor.down { ", down" } else { "" };
            if executor.down || executor.durable < self.tip {
                pending.push(format!(
                    "executor-{n} durable at {}{down}",
                    executor.durable
                ));
                evidence.extend(executor.last.clone());
            }
        }
        for (n, node) in &self.nodes {
            let mut text = match node.commit {
                Some((epoch, commit, gei)) => {
                    format!("node-{n} stored commit {commit} of epoch {epoch} (GEI {gei}) last")
                }
                None => format!("node-{n} stored nothing"),
            };
            if node.down {
                text.push_str(", down");
            }
            if node.paused.is_some() {
                text.push_str(", proposals paused");
            }
            if let Some(What::Process(Event::Node(NodeEvent::Waiting { attempt, reason }))) =
                node.waiting.as_ref().map(|entry| &entry.what)
            {
                text.push_str(&format!(", waits (attempt {attempt}): {reason}"));
            }
            pending.push(text);
            evidence.extend(node.paused.iter().chain(&node.waiting).cloned());
        }
        (pending, evidence)
    }
}

impl Oracle for Liveness {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        if let Some((began, waited)) = self.settling(entry.at)
            && waited > self.settle
        {
            return Err(self.overdue(began, entry.at));
        }
        match (entry.process, &entry.what) {
            (ProcessId::Executor(n) | ProcessId::Node(n), _) if self.byzantine.contains(&n) => {}
            (ProcessId::Executor(n), What::Process(Event::Executor(event))) => {
                self.executor_did(n, event, entry);
            }
            (ProcessId::Node(n), What::Process(Event::Node(event))) => {
                self.node_did(n, event, entry)
            }
            (_, What::World(event)) => self.world(event, entry),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, end: SimTime) -> Result<(), Box<Violation>> {
        match self.settling(end) {
            Some((began, waited)) if waited >= self.settle => Err(self.overdue(began, end)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::testing::judge,
        plan::{ByzantinePlan, ByzantineStrategy},
        trace::testing::{durable, executor, gei, node, stored, world_event},
    };

    /// Commit 3 is stored and executor 0 durable at 2 when faults end at 10 s; 20 s are given.
    fn settling(entries: Vec<Entry>) -> Option<Box<Violation>> {
        let mut trace = vec![
            node(0, 0, stored(3)),
            executor(1, 0, durable(2)),
            world_event(10_000, ProcessId::World, WorldEvent::FaultsEnded),
        ];
        trace.extend(entries);
        judge(Liveness::new(&Plan::example()), &trace)
    }

    fn caught_up(at_ms: u64) -> Entry {
        world_event(
            at_ms,
            ProcessId::World,
            WorldEvent::CaughtUp { tip: gei(3) },
        )
    }

    #[test]
    fn a_tip_that_is_not_reached_in_time_names_what_is_pending() {
        let reason = "the executor does not answer".to_owned();
        let violation = settling(vec![
            node(12_000, 0, NodeEvent::Waiting { attempt: 7, reason }),
            node(12_001, 1, NodeEvent::ProposalsPaused { blocks: 8 }),
            node(30_001, 0, stored(4)),
        ])
        .unwrap();
        for part in [
            "executor-0 durable at 2",
            "waits (attempt 7): the executor does not answer",
            "node-1 stored nothing, proposals paused",
        ] {
            assert!(violation.message.contains(part), "{}", violation.message);
        }
        assert_eq!(violation.evidence.len(), 4);
    }

    #[test]
    fn processes_of_a_byzantine_validator_are_not_pending() {
        let plan = Plan {
            byzantine: vec![ByzantinePlan {
                validator: 1,
                strategy: ByzantineStrategy::Silent,
            }],
            ..Plan::example()
        };
        let trace = [
            node(0, 0, stored(3)),
            executor(1, 0, durable(2)),
            executor(1, 1, durable(0)),
            world_event(1, ProcessId::Node(1), WorldEvent::Started { start: 1 }),
            world_event(10_000, ProcessId::World, WorldEvent::FaultsEnded),
            node(30_001, 0, stored(4)),
        ];
        let message = judge(Liveness::new(&plan), &trace).unwrap().message;
        assert!(message.contains("executor-0"), "{message}");
        assert!(!message.contains("executor-1"), "{message}");
        assert!(!message.contains("node-1"), "{message}");
        let message = judge(Liveness::new(&Plan::example()), &trace)
            .unwrap()
            .message;
        assert!(message.contains("executor-1 durable at 0"), "{message}");
    }

    #[test]
    fn the_bound_is_judged_at_the_end_of_the_run() {
        let silent_until = |at_ms| settling(vec![executor(at_ms, 0, durable(2))]);
        assert!(silent_until(30_000).is_some());
        assert_eq!(silent_until(29_999), None);
    }

    #[test]
    fn nothing_is_demanded_after_the_tip_is_reached() {
        assert_eq!(
            settling(vec![caught_up(29_999), node(90_000, 0, stored(4))]),
            None
        );
        assert!(settling(vec![caught_up(30_001)]).is_some());
    }

    #[test]
    fn nothing_is_demanded_while_faults_last() {
        let trace = [executor(1, 0, durable(2)), node(90_000, 0, stored(3))];
        assert_eq!(judge(Liveness::new(&Plan::example()), &trace), None);
    }
}
