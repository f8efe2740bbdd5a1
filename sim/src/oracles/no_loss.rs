//! NOLOSS: *a transaction that was answered with `success` is executed.*
//!
//! A node accepts a transaction when the client submits it. Judged at the end of a run that lasted the plan's
//! `settle_ms` after faults ended, like LIVE.
//!
//! Violations: a transaction that a node accepted before faults ended, and that no executor executed, although a
//! transaction that the same node accepted later was executed in the first half of that time; or although the node
//! proposed blocks in that half and nothing of them was executed.
//!
//! No violation: a transaction that is still queued because clients submit faster than blocks are filled, because a
//! slow executor pauses its node's proposals, or because the executor still executes what was committed in the first
//! half; a transaction that was lost with the memory of a process, because accepting it makes nothing durable yet; a
//! transaction of a node that is not a member of the committee, because it cannot propose (it counts again when the
//! node is a member again); an execution that is undone when an executor loses its tail, because other oracles check
//! that it is repeated.

use super::{Invariant, Oracle, Violation};
use crate::{
    plan::Plan,
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
};
use metanode_core::{
    env::{Event, ExecutorEvent, NodeEvent},
    types::{GlobalExecIndex, SpentNonce},
};
use std::collections::{BTreeMap, BTreeSet};

/// Entries in the evidence of a violation.
const EXAMPLES: usize = 3;

pub(super) struct NoLoss {
    settle: SimTime,
    /// Accepted transactions that are not executed.
    outstanding: BTreeMap<SpentNonce, Accepted>,
    /// When each node accepted the newest of its transactions that were executed in the first half of the time.
    overtaken_by: BTreeMap<u16, SimTime>,
    /// The last block that was committed in the first half of the time, and the last one that any executor executed.
    committed: GlobalExecIndex,
    executed: GlobalExecIndex,
    /// Nodes that proposed in the first half of the time, and of which nothing was executed since.
    fruitless: BTreeSet<u16>,
    /// Nodes that are not members of the committee of the epoch that they opened last.
    followers: BTreeSet<u16>,
    /// The entry that ended faults.
    settling: Option<Entry>,
}

struct Accepted {
    by: u16,
    entry: Entry,
}

impl NoLoss {
    pub(super) const fn new(plan: &Plan) -> Self {
        Self {
            settle: SimTime::from_ms(plan.settle_ms),
            outstanding: BTreeMap::new(),
            overtaken_by: BTreeMap::new(),
            committed: GlobalExecIndex(0),
            executed: GlobalExecIndex(0),
            fruitless: BTreeSet::new(),
            followers: BTreeSet::new(),
            settling: None,
        }
    }

    /// Transactions that must be executed.
    fn owed(&self) -> impl Iterator<Item = &Accepted> {
        let ended = self.settling.as_ref().map(|ended| ended.at);
        let owed = self.outstanding.values();
        owed.filter(move |accepted| {
            let in_time = ended.is_none_or(|ended| accepted.entry.at <= ended);
            in_time && !self.followers.contains(&accepted.by)
        })
    }

    /// Those of them that are lost, not merely queued.
    fn lost(&self) -> impl Iterator<Item = &Accepted> {
        let busy = self.executed < self.committed;
        self.owed().filter(move |accepted| {
            if busy {
                return false;
            }
            let overtaken_by = self.overtaken_by.get(&accepted.by);
            overtaken_by.is_some_and(|later| *later > accepted.entry.at)
                || self.fruitless.contains(&accepted.by)
        })
    }

    fn executed(&mut self, spent: &SpentNonce, entry: &Entry) {
        let Some(accepted) = self.outstanding.remove(spent) else {
            return;
        };
        self.fruitless.remove(&accepted.by);
        if self.is_late(entry.at) {
            return;
        }
        let overtaken_by = self.overtaken_by.entry(accepted.by).or_default();
        *overtaken_by = accepted.entry.at.max(*overtaken_by);
    }

    /// Whether the first half of the time is over.
    fn is_late(&self, now: SimTime) -> bool {
        let settling = self.settling.as_ref();
        settling.is_some_and(|ended| now.since(ended.at).ns > self.settle.ns / 2)
    }

    fn lost_by(&self, n: u16, faults_ended: &Entry, end: SimTime) -> Box<Violation> {
        let of_node = self.lost().filter(|accepted| accepted.by == n);
        let mut accepted: Vec<Entry> = of_node.map(|accepted| accepted.entry.clone()).collect();
        accepted.sort_by_key(|entry| entry.at);
        let count = accepted.len();
        accepted.truncate(EXAMPLES);
        let example = match accepted.first().map(|entry| (entry.at, &entry.what)) {
            Some((at, What::World(WorldEvent::Submitted { spends }))) => {
                format!("{spends}, accepted at {}", at.to_string().trim_start())
            }
            _ => "unknown".to_owned(),
        };
        accepted.push(faults_ended.clone());
        Box::new(Violation {
            invariant: Invariant::Noloss,
            clause: "not-executed",
            at: end,
            process: ProcessId::Node(n),
            message: format!(
                "expected all transactions accepted before faults ended to be executed within {} ms after; \
                 not executed of node-{n}: {count}, the first of them {example}",
                self.settle.as_ms()
            ),
            evidence: accepted,
        })
    }
}

impl Oracle for NoLoss {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match (entry.process, &entry.what) {
            (ProcessId::Node(by), What::World(WorldEvent::Submitted { spends })) => {
                let entry = entry.clone();
                self.outstanding.insert(*spends, Accepted { by, entry });
            }
            (
                ProcessId::Node(n),
                What::World(
                    WorldEvent::Killed | WorldEvent::PowerLost { .. } | WorldEvent::Panicked { .. },
                )
                | What::Process(Event::Node(NodeEvent::Failed { .. } | NodeEvent::Stopped)),
            ) => self.outstanding.retain(|_, accepted| accepted.by != n),
            (
                ProcessId::Node(n),
                What::Process(Event::Node(NodeEvent::EpochOpened { own, .. })),
            ) => {
                match own {
                    Some(_) => self.followers.remove(&n),
                    None => self.followers.insert(n),
                };
            }
            (ProcessId::Node(n), What::Process(Event::Node(NodeEvent::Proposed { .. })))
                if self.settling.is_some() && !self.is_late(entry.at) =>
            {
                self.fruitless.insert(n);
            }
            (_, What::Process(Event::Node(NodeEvent::CommitStored { gei, .. })))
                if !self.is_late(entry.at) =>
            {
                self.committed = self.committed.max(*gei);
            }
            (_, What::Process(Event::Executor(ExecutorEvent::Executed { gei, applied, .. }))) => {
                self.executed = self.executed.max(*gei);
                for spent in applied.iter() {
                    self.executed(spent, entry);
                }
            }
            (_, What::World(WorldEvent::FaultsEnded)) => self.settling = Some(entry.clone()),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, end: SimTime) -> Result<(), Box<Violation>> {
        match (&self.settling, self.lost().next()) {
            (Some(ended), Some(lost)) if end.since(ended.at) >= self.settle => {
                Err(self.lost_by(lost.by, ended, end))
            }
            _ => Ok(()),
        }
    }

    fn is_satisfied(&self) -> bool {
        self.owed().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::testing::judge,
        trace::testing::{
            executed, executor, follows, node, opened, power_lost, proposed, stored, submitted,
            world_event,
        },
    };
    use metanode_core::types::{BlockRef, Round};

    /// The example's faults end at 10 s, and 20 s are given.
    const FAULTS_END_MS: u64 = 10_000;

    /// Node 1 accepts the transaction of block 1 at 5 s, then `entries` follow, until `end_ms`. It keeps proposing.
    fn ends_at(end_ms: u64, entries: Vec<Entry>) -> (NoLoss, Option<Box<Violation>>) {
        let mut trace = vec![
            node(0, 1, opened(0, 0)),
            world_event(5_000, ProcessId::Node(1), submitted(1)),
        ];
        trace.extend(entries);
        let ended = world_event(FAULTS_END_MS, ProcessId::World, WorldEvent::FaultsEnded);
        let until_then = trace.partition_point(|entry| entry.at <= ended.at);
        trace.insert(until_then, ended);
        let block = BlockRef::first_of_round(Round(9));
        let proposes = node(11_000, 1, proposed(block));
        let until_then = trace.partition_point(|entry| entry.at <= proposes.at);
        trace.insert(until_then, proposes);
        trace.push(executor(end_ms, 0, executed(90)));
        let mut oracle = NoLoss::new(&Plan::example());
        for entry in &trace {
            oracle.observe(entry).unwrap();
        }
        (oracle, judge(NoLoss::new(&Plan::example()), &trace))
    }

    fn verdict(entries: Vec<Entry>) -> Option<Box<Violation>> {
        ends_at(30_000, entries).1
    }

    #[test]
    fn a_transaction_that_is_never_executed_is_lost() {
        let also = vec![
            world_event(6_000, ProcessId::Node(1), submitted(2)),
            world_event(7_000, ProcessId::Node(2), submitted(3)),
        ];
        let violation = verdict(also).unwrap();
        assert_eq!(violation.process, ProcessId::Node(1));
        let expected = "not executed of node-1: 2, the first of them 0707070707070707#1, \
                    accepted at 5.000s";
        assert!(
            violation.message.ends_with(expected),
            "{}",
            violation.message
        );
        let evidence = [
            world_event(5_000, ProcessId::Node(1), submitted(1)),
            world_event(6_000, ProcessId::Node(1), submitted(2)),
            world_event(FAULTS_END_MS, ProcessId::World, WorldEvent::FaultsEnded),
        ];
        assert_eq!(violation.evidence, evidence);
    }

    #[test]
    fn a_queued_transaction_is_not_lost() {
        let of_node = |n| vec![world_event(6_000, ProcessId::Node(n), submitted(2))];
        let with = |n, executed_ms| {
            let executed = executor(executed_ms, 0, executed(2));
            verdict([of_node(n), vec![executed]].concat())
        };
        assert!(with(1, 12_000).is_some(), "a later one was executed");
        assert_eq!(with(1, 29_000), None, "at the last moment: it may be next");
        assert!(with(2, 29_000).is_some(), "its own node does nothing");
    }

    #[test]
    fn an_executor_that_lags_behind_may_still_execute_it() {
        let committed = |of| verdict(vec![node(12_000, 2, stored(of))]);
        assert!(committed(90).is_some(), "the executor is at 90");
        assert_eq!(committed(91), None);
    }

    #[test]
    fn a_node_that_does_not_propose_loses_nothing() {
        let pressed = [
            world_event(5_000, ProcessId::Node(2), submitted(2)),
            executor(6_000, 0, executed(1)),
        ];
        assert_eq!(verdict(pressed.to_vec()), None);
    }

    #[test]
    fn any_executor_may_execute_it_until_the_end() {
        assert_eq!(verdict(vec![executor(6_000, 0, executed(1))]), None);
        assert_eq!(verdict(vec![executor(29_999, 3, executed(1))]), None);
        assert!(verdict(vec![executor(29_999, 3, executed(2))]).is_some());
    }

    #[test]
    fn a_run_that_ends_before_the_time_is_up_proves_nothing() {
        let (oracle, early) = ends_at(29_999, vec![]);
        assert_eq!(early, None);
        assert!(!oracle.is_satisfied());
        let executed = vec![executor(6_000, 0, executed(1))];
        assert!(ends_at(29_999, executed).0.is_satisfied());
    }

    #[test]
    fn transactions_accepted_after_faults_ended_are_not_judged() {
        let later = vec![
            executor(6_000, 0, executed(1)),
            world_event(10_001, ProcessId::Node(1), submitted(2)),
        ];
        assert_eq!(verdict(later), None);
    }

    #[test]
    fn transactions_in_memory_are_lost_with_their_process() {
        let ends = [
            WorldEvent::Killed,
            power_lost(0),
            WorldEvent::Panicked {
                message: String::new(),
            },
        ];
        for end in ends {
            let of = |n| verdict(vec![world_event(6_000, ProcessId::Node(n), end.clone())]);
            assert_eq!(of(1), None);
            assert!(of(2).is_some());
        }
        let reason = "no space left".to_owned();
        let failed = node(6_000, 1, NodeEvent::Failed { reason });
        assert_eq!(verdict(vec![failed]), None);
        let next_incarnation = vec![
            world_event(6_000, ProcessId::Node(1), WorldEvent::Killed),
            world_event(6_500, ProcessId::Node(1), WorldEvent::Started { start: 2 }),
            world_event(7_000, ProcessId::Node(1), submitted(2)),
        ];
        assert!(verdict(next_incarnation).is_some());
    }

    #[test]
    fn a_node_that_is_not_a_member_is_not_judged() {
        let follows = vec![node(12_000, 1, follows(1, 10))];
        let (oracle, verdict) = ends_at(30_000, follows.clone());
        assert_eq!(verdict, None);
        assert!(oracle.is_satisfied());
        let again = [follows, vec![node(14_000, 1, opened(2, 20))]].concat();
        let (oracle, verdict) = ends_at(30_000, again);
        assert!(verdict.is_some());
        assert!(!oracle.is_satisfied());
    }
}
