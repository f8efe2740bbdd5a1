//! LIVE on constructed traces: each violation, and the nearest legal trace.

use super::{
    Oracle, Violation,
    facts::{block_of, derived, seen, stores_own},
    liveness::Liveness,
    testing::judge_facts,
    truthful::{frame, seen_block, seen_commit},
};
use crate::{
    clock::ORIGIN_MS,
    faults::{ClockFault, Fault, PlannedFault, Trigger},
    model::Derived,
    plan::{ByzantinePlan, ByzantineStrategy, CommitteePlan, Member, Plan},
    trace::{
        Entry, ProcessId, SimTime, WorldEvent,
        testing::{gei, node, taken, world_event},
    },
    witness::{Fact, Frame, SeenBlock, StateRoot},
};
use bytes::Bytes;
use metanode_core::{
    env::NodeEvent,
    types::{CommitDigest, CommitIndex, CommitRef, Epoch, TimestampMs},
};
use std::sync::Arc;

/// The example gives 20 s from here.
const FAULTS_END_MS: u64 = 10_000;
const TIME_IS_UP_MS: u64 = 30_000;
const STEP_MS: u64 = 100;

/// A chain after faults ended, in steps of [`STEP_MS`]: a round of blocks, a commit, and durable in all executors.
#[derive(Clone)]
struct Chain {
    plan: Plan,
    members: Vec<u16>,
    /// Commits before faults ended.
    commits_before: u64,
    /// This validator proposes nothing.
    silent: Option<u16>,
    /// No other validator names the blocks of this one.
    ignored: Option<u16>,
    /// This executor makes nothing durable.
    stuck: Option<u16>,
    /// This executor is so many blocks behind.
    behind: Option<(u16, u64)>,
    /// The last time of a commit.
    commits_until_ms: u64,
    /// Whether clients submit transactions, and whether commits contain any.
    offered: bool,
    with_transactions: bool,
    epoch_began_ms: u64,
}

impl Chain {
    fn example() -> Self {
        Self {
            plan: Plan::example(),
            members: vec![0, 1, 2, 3],
            commits_before: 0,
            silent: None,
            ignored: None,
            stuck: None,
            behind: None,
            commits_until_ms: u64::MAX,
            offered: true,
            with_transactions: true,
            epoch_began_ms: ORIGIN_MS,
        }
    }

    fn block(&self, round: u32, author: u16) -> SeenBlock {
        let reference = block_of(&self.plan, 0, round, author);
        let mut block = SeenBlock::clone(&seen_block(Epoch(0), reference));
        let named = (self.members.iter()).filter(|n| **n == author || Some(**n) != self.ignored);
        block.ancestors = named
            .map(|n| block_of(&self.plan, 0, round - 1, *n))
            .collect();
        block
    }

    fn frame(&self, index: u64) -> Arc<Frame> {
        let mut frame = Frame::clone(&frame(gei(index), Epoch(0), CommitIndex(index as u32)));
        if self.with_transactions {
            frame.transactions = vec![Bytes::new()];
        }
        Arc::new(frame)
    }

    fn commit(&self, at_ms: u64, index: u64) -> Entry {
        let reference = CommitRef {
            index: CommitIndex(index as u32),
            digest: CommitDigest::default(),
        };
        let leader = block_of(&self.plan, 0, index as u32, 0);
        let mut commit = seen_commit(Epoch(0), reference, leader, 1);
        if let Some(commit) = Arc::get_mut(&mut commit) {
            commit.epoch_began_ms = TimestampMs(self.epoch_began_ms);
        }
        let result = Derived::Commit {
            commit,
            frame: self.frame(index),
            transactions: [].into(),
            state_root: StateRoot([0; 32]),
            applied: [].into(),
        };
        derived(at_ms, result)
    }

    fn durable(&self, at_ms: u64, index: u64) -> Vec<Entry> {
        let executors = (0..4).filter(|n| Some(*n) != self.stuck);
        let durable = executors.filter_map(|n| {
            let behind = self.behind.filter(|(slow, _)| *slow == n);
            let index = index.checked_sub(behind.map_or(0, |(_, blocks)| blocks))?;
            let fact = Fact::Durable {
                watermark: gei(index),
                state_root: StateRoot([0; 32]),
                blocks: vec![self.frame(index)],
            };
            Some(seen(at_ms, ProcessId::Executor(n), fact))
        });
        durable.collect()
    }

    fn until(&self, end_ms: u64) -> Vec<Entry> {
        let mut trace = vec![];
        let mut index = self.commits_before;
        for index in 1..=self.commits_before {
            trace.push(self.commit(FAULTS_END_MS, index));
            trace.extend(self.durable(FAULTS_END_MS, index));
        }
        trace.push(faults_ended());
        let times = (FAULTS_END_MS..=end_ms).step_by(STEP_MS as usize).skip(1);
        for (at_ms, round) in times.zip(1..) {
            if self.offered {
                trace.push(taken(at_ms, 1, at_ms));
                trace.push(taken(at_ms, 1, at_ms));
            }
            for author in (self.members.iter()).filter(|n| Some(**n) != self.silent) {
                let block = Arc::new(self.block(round, *author));
                trace.push(seen(
                    at_ms,
                    ProcessId::Node(*author),
                    Fact::BlockSent { block },
                ));
            }
            if at_ms <= self.commits_until_ms {
                index += 1;
                trace.push(self.commit(at_ms, index));
                trace.extend(self.durable(at_ms, index));
            }
        }
        trace
    }

    fn judged(&self, trace: &[Entry]) -> Option<Box<Violation>> {
        judge_facts(Liveness::new(&self.plan), trace)
    }

    fn verdict(&self) -> Option<Box<Violation>> {
        self.judged(&self.until(TIME_IS_UP_MS))
    }

    fn fires(&self, clause: &str, about: &str) {
        let violation = self.verdict().expect(clause);
        assert_eq!(violation.clause, clause);
        assert!(violation.message.contains(about), "{}", violation.message);
        assert!(violation.evidence.contains(&faults_ended()));
    }

    fn passes(&self) {
        assert_eq!(self.verdict(), None);
        assert!(self.is_satisfied(&self.until(TIME_IS_UP_MS)));
    }

    fn is_satisfied(&self, trace: &[Entry]) -> bool {
        let mut oracle = Liveness::new(&self.plan);
        for entry in trace {
            oracle.observe(entry).unwrap();
        }
        oracle.is_satisfied()
    }

    /// Progress is demanded without this validator.
    fn without(&self, n: u16) -> [Self; 2] {
        let (mut down, mut byzantine) = (self.clone(), self.clone());
        down.plan.stays_down.push(n);
        byzantine.plan.byzantine.push(ByzantinePlan {
            validator: n,
            strategy: ByzantineStrategy::Lying,
            program: vec![],
        });
        [down, byzantine]
    }
}

/// Something happens when the time is up.
fn at_the_end() -> Entry {
    node(TIME_IS_UP_MS, 0, NodeEvent::Ready)
}

fn faults_ended() -> Entry {
    world_event(FAULTS_END_MS, ProcessId::World, WorldEvent::FaultsEnded)
}

#[test]
fn progress_of_all_for_a_second_suffices() {
    let chain = Chain::example();
    assert!(!chain.is_satisfied(&chain.until(FAULTS_END_MS + 900)));
    assert!(chain.is_satisfied(&chain.until(FAULTS_END_MS + 1_100)));
    chain.passes();
}

#[test]
fn every_executor_reaches_the_tip_of_the_end_of_faults() {
    let chain = Chain {
        commits_before: 5,
        ..Chain::example()
    };
    chain.passes();
    let stuck = Chain {
        stuck: Some(3),
        ..chain
    };
    stuck.fires("tip-not-reached", "the tip, GEI 5");
    stuck.fires("tip-not-reached", "executor-3 durable at 0");
    for chain in stuck.without(3) {
        chain.passes();
    }
    let down = world_event(FAULTS_END_MS, ProcessId::Executor(3), WorldEvent::Killed);
    let mut trace = stuck.until(TIME_IS_UP_MS);
    trace.insert(0, down);
    let violation = stuck.judged(&trace).unwrap();
    assert!(violation.message.contains("executor-3 durable at 0, down"));
    // It counts what it finds at a start, too; then everything is measured.
    let caught_up = Fact::ExecutorFound {
        watermark: gei(5),
        state_root: StateRoot([0; 32]),
    };
    let caught_up = seen(28_000, ProcessId::Executor(3), caught_up);
    let late = [stuck.until(28_000), vec![caught_up, at_the_end()]].concat();
    assert_eq!(stuck.judged(&late).unwrap().clause, "too-slow");
}

#[test]
fn every_executor_follows_afterwards() {
    let stuck = Chain {
        stuck: Some(3),
        ..Chain::example()
    };
    stuck.fires("too-slow", "with all executors following");
    for chain in stuck.without(3) {
        chain.passes();
    }
}

#[test]
fn commits_and_transactions_proceed_at_a_quarter_of_the_worst_rate() {
    let stopped = Chain {
        commits_until_ms: FAULTS_END_MS,
        ..Chain::example()
    };
    stopped.fires("too-slow", "found 0 commits and 0 transactions");
    // 1100 ms demand one commit; later ones demand more.
    let one = Chain {
        commits_until_ms: FAULTS_END_MS + STEP_MS,
        ..Chain::example()
    };
    one.passes();
    let empty = Chain {
        with_transactions: false,
        ..Chain::example()
    };
    empty.fires("too-slow", "and 0 transactions");
    let nothing_offered = Chain {
        offered: false,
        ..empty
    };
    nothing_offered.passes();
}

#[test]
fn a_measurement_that_fails_is_repeated() {
    let chain = Chain::example();
    let mut trace = vec![faults_ended()];
    let shift = |entry: &Entry| {
        let mut entry = entry.clone();
        entry.at = SimTime::from_ms(entry.at.as_ms() + 13_000);
        entry
    };
    let later = chain.until(FAULTS_END_MS + 3_000);
    trace.extend(later[1..].iter().map(shift));
    assert!(chain.is_satisfied(&trace));
}

#[test]
fn every_live_validator_proposes_and_is_named() {
    let silent = Chain {
        silent: Some(2),
        ..Chain::example()
    };
    let ignored = Chain {
        ignored: Some(2),
        ..Chain::example()
    };
    for chain in [silent, ignored] {
        chain.fires("node-is-silent", "named by others; missing: node-2,");
        for chain in chain.without(2) {
            chain.passes();
        }
        // It is not a member of the committee.
        let mut follower = chain.clone();
        follower.members = vec![0, 1, 3];
        follower.plan.epochs.committees = vec![CommitteePlan {
            from_epoch: Epoch(0),
            members: follower
                .members
                .iter()
                .copied()
                .map(Member::plain)
                .collect(),
        }];
        follower.passes();
    }
}

#[test]
fn a_node_whose_executor_is_more_than_half_a_window_behind_need_not_propose() {
    let half = u64::from(Plan::example().node.delivery.window_blocks) / 2;
    let slow = |blocks| Chain {
        silent: Some(2),
        behind: Some((2, blocks)),
        ..Chain::example()
    };
    assert_eq!(slow(half + 1).verdict(), None);
    assert!(!slow(half + 1).is_satisfied(&slow(half + 1).until(29_000)));
    slow(half).fires("node-is-silent", "missing: node-2,");
    let of_another = Chain {
        behind: Some((3, half + 1)),
        ..slow(half + 1)
    };
    of_another.fires("node-is-silent", "missing: node-2,");
}

#[test]
fn a_block_counts_where_its_author_sends_or_stores_it() {
    let chain = Chain {
        silent: Some(2),
        ..Chain::example()
    };
    let with = |entry: Entry| {
        let mut trace = chain.until(TIME_IS_UP_MS);
        let place = trace.partition_point(|earlier| earlier.at < entry.at);
        trace.insert(place, entry);
        chain.judged(&trace)
    };
    let block = chain.block(3, 2);
    let relayed = Fact::BlockSent {
        block: Arc::new(block.clone()),
    };
    let clause = |verdict: Option<Box<Violation>>| verdict.map(|violation| violation.clause);
    let by = |n| seen(11_000, ProcessId::Node(n), relayed.clone());
    assert_eq!(clause(with(by(1))), Some("node-is-silent"));
    assert_eq!(clause(with(by(2))), None);
    assert_eq!(clause(with(stores_own(11_000, block.clone(), 2))), None);
    // Before faults ended.
    let too_early = stores_own(9_000, block, 2);
    assert_eq!(clause(with(too_early)), Some("node-is-silent"));
}

#[test]
fn what_a_silent_node_says_is_reported() {
    let chain = Chain {
        silent: Some(2),
        ..Chain::example()
    };
    let mut trace = chain.until(TIME_IS_UP_MS);
    let paused = node(11_000, 2, NodeEvent::ProposalsPaused { blocks: 8 });
    let place = trace.partition_point(|entry| entry.at < paused.at);
    trace.insert(place, paused.clone());
    let violation = chain.judged(&trace).unwrap();
    let expected = "pending: node-2 has paused its proposals";
    assert!(
        violation.message.contains(expected),
        "{}",
        violation.message
    );
    assert!(violation.evidence.contains(&paused));
}

#[test]
fn nothing_is_demanded_while_faults_last_or_before_the_time_is_up() {
    let stopped = Chain {
        commits_until_ms: FAULTS_END_MS,
        ..Chain::example()
    };
    let early = stopped.until(TIME_IS_UP_MS - STEP_MS);
    assert_eq!(stopped.judged(&early), None);
    assert!(!stopped.is_satisfied(&early));
    let mut faults_last = stopped.until(TIME_IS_UP_MS + 10_000);
    faults_last.retain(|entry| *entry != faults_ended());
    assert_eq!(stopped.judged(&faults_last), None);
}

/// The epoch began so that it is due at this time.
fn due_at(at_ms: u64) -> Chain {
    let mut chain = Chain::example();
    chain.plan.epochs.duration_ms = Some(at_ms);
    chain
}

#[test]
fn an_epoch_that_is_due_ends() {
    // 20 rounds take less than 6 s.
    let chain = due_at(FAULTS_END_MS + 500);
    let violation = chain.verdict().unwrap();
    assert_eq!(violation.clause, "epoch-does-not-end");
    assert!((16_000..17_000).contains(&violation.at.as_ms()));
    assert!(!chain.is_satisfied(&chain.until(FAULTS_END_MS + 2_000)));
    let began = derived(
        12_000,
        Derived::EpochBegan {
            epoch: Epoch(1),
            base: gei(20),
            start_ms: TimestampMs(ORIGIN_MS + 12_000),
            committee: [].into(),
        },
    );
    let mut ends = chain.until(12_000);
    ends.push(began);
    assert_eq!(chain.judged(&ends), None);
    assert!(chain.is_satisfied(&ends));
    due_at(TIME_IS_UP_MS).passes();
}

#[test]
fn an_epoch_may_be_due_when_the_time_is_up() {
    let mut chain = due_at(FAULTS_END_MS + 500);
    chain.plan.settle_ms = 3_000;
    assert_eq!(chain.judged(&chain.until(FAULTS_END_MS + 3_000)), None);
    let violation = chain.judged(&chain.until(FAULTS_END_MS + 10_000)).unwrap();
    assert_eq!(violation.clause, "epoch-does-not-end");
}

#[test]
fn an_epoch_is_due_by_the_clocks_of_a_quorum_that_must_end_it() {
    let mut chain = due_at(FAULTS_END_MS + 500);
    chain.plan.clock_skew_ms = vec![0, 0, 0, -20_000];
    assert!(chain.verdict().is_some());
    chain.plan.clock_skew_ms = vec![0, 0, -20_000, -20_000];
    chain.passes();
    chain.plan.clock_skew_ms = vec![0, 0, -20_000, 0];
    assert!(chain.verdict().is_some());
    for chain in chain.without(3) {
        chain.passes();
    }
    let window = u64::from(chain.plan.node.delivery.window_blocks);
    let behind = Chain {
        behind: Some((3, window)),
        commits_before: window,
        ..chain
    };
    behind.passes();
    let mut jumps = due_at(FAULTS_END_MS + 500);
    let fault = Fault::Clock(ClockFault::JumpClock {
        hosts: vec![1],
        by_ms: 5,
    });
    let trigger = Trigger::default();
    jumps.plan.faults.push(PlannedFault { trigger, fault });
    jumps.passes();
}

/// It may be between two of its attempts when faults end.
#[test]
fn the_clock_of_a_start_counts_once_it_proposes_or_had_the_time_to() {
    let mut chain = due_at(FAULTS_END_MS + 500);
    chain.plan.clock_skew_ms = vec![0, 0, -20_000, 0];
    let ends_at = |chain: &Chain| {
        let violation = chain.verdict().unwrap();
        assert_eq!(violation.clause, "epoch-does-not-end");
        violation.at.as_ms()
    };
    let proposing = ends_at(&chain);
    chain.silent = Some(3);
    let retry_ms = chain.plan.node.rpc.start_retry_max_ms;
    assert!(ends_at(&chain) > proposing + retry_ms);
}

#[test]
fn the_age_of_an_epoch_counts_from_its_first_commit() {
    let mut chain = due_at(FAULTS_END_MS + 500);
    chain.epoch_began_ms = ORIGIN_MS + 20_000;
    chain.passes();
}
