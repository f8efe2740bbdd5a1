//! LIVE, of Subs: *once faults end, every live Sub that follows an executor reaches the committed tip.*
//!
//! Judged by the watermarks on disks, at the end of the run: a Sub that is below what was decided when faults ended and below
//! its executor, and that has not moved for [`Followers::stall_ms`] while it was below its executor.
//!
//! No violation: a Sub that still moves; one whose executor is not further (that is for the other rules of LIVE); a run that
//! ends before the time is up.

use super::{Invariant, Oracle, Violation};
use crate::{
    model::Derived,
    plan::{Plan, Topology},
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
    witness::Fact,
};
use metanode_core::types::GlobalExecIndex;
use std::collections::BTreeMap;

/// A reply that is computed, written and made durable.
const SLACK_MS: u64 = 1_000;
/// A Sub that cannot read its Master pauses for at most so many polls ([`Following::poll_ms`]).
///
/// [`Following::poll_ms`]: mock_go_executor::sub::config::Following
const LONGEST_PAUSE_POLLS: u64 = 32;

pub(super) struct Followers {
    settle_ms: u64,
    /// The time within which a Sub that is behind moves: two attempts of two requests, of which
    /// the first fails, if a block is in one reply.
    in_one_reply_ms: u64,
    /// Of a reply.
    reply_bytes: u64,
    /// The time in which one arrives.
    reply_ms: u64,
    /// The largest block that was decided.
    largest_bytes: u64,
    topology: Topology,
    /// What executors have durable.
    executors: BTreeMap<u16, GlobalExecIndex>,
    /// The Subs that must follow.
    subs: BTreeMap<u16, Sub>,
    /// The last commit that was decided.
    tip: GlobalExecIndex,
    /// The end of faults, and the tip at that time.
    ended: Option<(Entry, GlobalExecIndex)>,
}

#[derive(Default)]
struct Sub {
    durable: GlobalExecIndex,
    /// The last entry that moved it, or moved its executor away from it.
    since: Option<Entry>,
}

impl Followers {
    pub(super) fn new(plan: &Plan) -> Self {
        let followers = &plan.followers;
        let follow = |n: &u16| followers.range_blocks > 0 && plan.takes_part(*n);
        let subs = (0..plan.validators).filter(follow);
        let exchange_ms = plan.node.rpc.timeout_ms + 4 * plan.network.latency_ms.high;
        Self {
            settle_ms: plan.settle_ms,
            in_one_reply_ms: 4 * exchange_ms + LONGEST_PAUSE_POLLS * followers.poll_ms + SLACK_MS,
            reply_bytes: followers.range_reply_bytes,
            reply_ms: 4 * plan.network.latency_ms.high
                + 2_000 * followers.range_reply_bytes
                    / plan.network.carried_bytes_per_second().max(1),
            largest_bytes: 0,
            topology: plan.topology,
            executors: BTreeMap::new(),
            subs: subs.map(|n| (n, Sub::default())).collect(),
            tip: GlobalExecIndex(0),
            ended: None,
        }
    }

    /// The time within which a Sub that is behind moves, whatever block is next.
    const fn stall_ms(&self) -> u64 {
        let parts = self.largest_bytes.div_ceil(self.reply_bytes);
        self.in_one_reply_ms + parts * self.reply_ms
    }

    const fn master_of(&self, sub: u16) -> u16 {
        match self.topology {
            Topology::SingleMaster => 0,
            Topology::MasterPerNode => sub,
        }
    }

    fn is_ahead(&self, sub: u16, durable: GlobalExecIndex) -> bool {
        let master = self.executors.get(&self.master_of(sub));
        master.is_some_and(|master| *master > durable)
    }

    fn executor_moved(&mut self, n: u16, watermark: GlobalExecIndex, entry: &Entry) {
        let before = self.executors.insert(n, watermark).unwrap_or_default();
        for (sub, state) in &mut self.subs {
            let follows = match self.topology {
                Topology::SingleMaster => true,
                Topology::MasterPerNode => *sub == n,
            };
            // It was not behind until now.
            if follows && state.durable >= before && state.durable < watermark {
                state.since = Some(entry.clone());
            }
        }
    }

    fn sub_moved(&mut self, n: u16, watermark: GlobalExecIndex, entry: &Entry) {
        // A start, and the end of the run, find what was there before.
        if let Some(sub) = self.subs.get_mut(&n)
            && sub.durable != watermark
        {
            sub.durable = watermark;
            sub.since = Some(entry.clone());
        }
    }
}

impl Oracle for Followers {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match (entry.process, &entry.what) {
            (
                process,
                What::Seen(Fact::Durable { watermark, .. } | Fact::ExecutorFound { watermark, .. }),
            ) => match process {
                ProcessId::Executor(n) => self.executor_moved(n, *watermark, entry),
                ProcessId::Sub(n) => self.sub_moved(n, *watermark, entry),
                ProcessId::Node(_) | ProcessId::World => {}
            },
            (_, What::Derived(Derived::Commit { frame, .. })) => {
                self.tip = frame.gei;
                let bytes = frame.transactions.iter().map(|it| it.len() as u64);
                self.largest_bytes = bytes.sum::<u64>().max(self.largest_bytes);
            }
            (_, What::World(WorldEvent::FaultsEnded)) => {
                self.ended = Some((entry.clone(), self.tip));
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, end: SimTime) -> Result<(), Box<Violation>> {
        let Some((ended, tip)) = &self.ended else {
            return Ok(());
        };
        if end.since(ended.at).as_ms() < self.settle_ms {
            return Ok(());
        }
        for (n, sub) in &self.subs {
            let since = sub
                .since
                .as_ref()
                .map_or(ended.at, |entry| entry.at.max(ended.at));
            let stands_still = end.since(since).as_ms() > self.stall_ms();
            if sub.durable < *tip && self.is_ahead(*n, sub.durable) && stands_still {
                let mut evidence = vec![ended.clone()];
                evidence.extend(sub.since.clone());
                evidence.sort_by_key(|entry| entry.at);
                return Err(Box::new(Violation {
                    invariant: Invariant::Live,
                    clause: "sub-behind",
                    at: end,
                    process: ProcessId::Sub(*n),
                    message: format!(
                        "expected sub-{n} to follow executor-{} to GEI {tip}, it is at {} and has not moved for {} ms",
                        self.master_of(*n),
                        sub.durable,
                        self.stall_ms()
                    ),
                    evidence,
                }));
            }
        }
        Ok(())
    }

    fn is_satisfied(&self) -> bool {
        let tip = self.ended.as_ref().map(|(_, tip)| *tip);
        tip.is_some_and(|tip| self.subs.values().all(|sub| sub.durable >= tip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oracles::testing::judge_facts, trace::testing::world_event, witness::StateRoot};

    fn plan() -> Plan {
        let mut plan = Plan::example();
        plan.followers.range_blocks = 4;
        plan
    }

    fn durable(at_ms: u64, process: ProcessId, watermark: u64) -> Entry {
        let fact = Fact::ExecutorFound {
            watermark: GlobalExecIndex(watermark),
            state_root: StateRoot([0; 32]),
        };
        Entry {
            at: SimTime::from_ms(at_ms),
            process,
            what: What::Seen(fact),
        }
    }

    /// The tip is 5 when faults end at 1 s. Then executor 0 and its Sub get so far, at these times.
    fn verdict(executor: u64, sub: &[(u64, u64)]) -> Option<Box<Violation>> {
        let plan = plan();
        let mut oracle = Followers::new(&plan);
        oracle.tip = GlobalExecIndex(5);
        let world = |at_ms, event| world_event(at_ms, ProcessId::World, event);
        let mut trace = vec![world(1_000, WorldEvent::FaultsEnded)];
        trace.push(durable(1_100, ProcessId::Executor(0), executor));
        let moves = sub
            .iter()
            .map(|(at_ms, gei)| durable(*at_ms, ProcessId::Sub(0), *gei));
        trace.extend(moves);
        trace.push(world(1_000 + plan.settle_ms, WorldEvent::Resumed));
        judge_facts(oracle, &trace)
    }

    #[test]
    fn a_sub_that_stands_still_behind_its_executor_is_found() {
        let violation = verdict(7, &[(1_200, 3)]).unwrap();
        assert_eq!(violation.clause, "sub-behind");
        assert_eq!(violation.evidence.len(), 2);
        assert!(verdict(7, &[]).is_some(), "it never said anything");
        assert!(
            verdict(7, &[(1_200, 3), (20_900, 3)]).is_some(),
            "found again"
        );
    }

    #[test]
    fn a_sub_that_moves_or_waits_for_its_executor_passes() {
        assert_eq!(verdict(7, &[(1_200, 5)]), None);
        assert_eq!(verdict(3, &[(1_200, 3)]), None);
        let still_moves = [(1_200, 3), (20_500, 4)];
        assert_eq!(verdict(7, &still_moves), None);
    }
}
