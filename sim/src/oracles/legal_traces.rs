//! A toy of the delivery path that keeps the contract through random crashes: no oracle may fire on what it does.
//!
//! One node, one executor, random steps. Time moves one millisecond per entry. The toy is written from the contract,
//! not from the oracles; where the contract leaves a choice it draws both.

use super::{Invariant, all, testing::*};
use crate::{
    plan::Plan,
    trace::{Entry, ProcessId, What, WorldEvent},
};
use metanode_core::{
    env::{Event, ExecutorEvent, NodeEvent, RpcKind},
    types::Epoch,
};
use proptest::prelude::*;
use std::collections::{BTreeSet, VecDeque};

const NODE: ProcessId = ProcessId::Node(0);
const EXECUTOR: ProcessId = ProcessId::Executor(0);
const CAPACITY: u64 = 8;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A block is proposed, if the window lets it, and a commit stored.
    Commit,
    Load,
    Write,
    /// The executor reads a frame and executes it, if it is new.
    Execute,
    Flush,
    /// The node asks for the watermark; the answer may come a while after it was computed.
    Ask {
        late: bool,
    },
    Reconnect,
    KillNode,
    KillExecutor,
    CutPower,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => Just(Step::Commit),
        15 => Just(Step::Load),
        25 => Just(Step::Write),
        25 => Just(Step::Execute),
        8 => Just(Step::Flush),
        10 => any::<bool>().prop_map(|late| Step::Ask { late }),
        2 => Just(Step::Reconnect),
        1 => Just(Step::KillNode),
        1 => Just(Step::KillExecutor),
        1 => Just(Step::CutPower),
    ]
}

#[derive(Default)]
struct Toy {
    trace: Vec<Entry>,
    starts: u32,
    // What survives the node: its commits, and its round, which peers know.
    stored: u64,
    round: u32,
    // One life of the node.
    watermark: u64,
    loaded: u64,
    written: u64,
    paused: bool,
    connection: u64,
    request: u64,
    // The executor.
    socket: VecDeque<u64>,
    executed: u64,
    durable: u64,
}

impl Toy {
    fn now(&self) -> u64 {
        self.trace.len() as u64
    }

    fn node(&mut self, event: NodeEvent) {
        self.trace.push(node(self.now(), 0, event));
    }

    fn executor(&mut self, event: ExecutorEvent) {
        self.trace.push(executor(self.now(), 0, event));
    }

    fn befell(&mut self, process: ProcessId, event: WorldEvent) {
        self.trace.push(befell(self.now(), process, event));
    }

    fn start_executor(&mut self) {
        self.starts += 1;
        self.befell(EXECUTOR, WorldEvent::Started { start: self.starts });
        self.executed = self.durable;
        self.executor(found(self.durable));
    }

    fn start_node(&mut self) {
        self.starts += 1;
        self.befell(NODE, WorldEvent::Started { start: self.starts });
        (self.connection, self.request, self.paused) = (0, 0, false);
        self.exchange(false);
        self.node(NodeEvent::ExecutorQueried {
            epoch: Epoch(0),
            watermark: gei(self.durable),
        });
        self.watermark = self.durable;
        self.loaded = self.watermark;
        self.connect();
        self.node(NodeEvent::Ready);
    }

    /// Gives the watermark that was answered.
    fn exchange(&mut self, late: bool) -> u64 {
        let (connection, kind) = (1, RpcKind::GetLastBlockNumber);
        self.request += 1;
        let request = self.request;
        self.node(NodeEvent::RpcSent {
            connection,
            request,
            kind,
        });
        let answer = self.durable;
        if late {
            self.flush();
        }
        self.executor(reported(answer));
        self.node(NodeEvent::RpcAnswered {
            connection,
            request,
            reply: request,
            kind,
        });
        answer
    }

    fn learn(&mut self, watermark: u64) {
        self.watermark = watermark;
        self.loaded = self.loaded.max(watermark);
        self.written = self.written.max(watermark);
        self.node(learned(watermark));
        let blocks = self.loaded - watermark;
        if self.paused && blocks <= CAPACITY / 2 {
            self.paused = false;
            let blocks = blocks as u32;
            self.node(NodeEvent::ProposalsResumed { blocks });
        }
    }

    /// What the old connection still carried is lost.
    fn connect(&mut self) {
        self.socket.clear();
        self.connection += 1;
        self.written = self.watermark;
        self.node(NodeEvent::StreamConnected {
            connection: self.connection,
            start: gei(self.watermark + 1),
        });
    }

    fn flush(&mut self) {
        if self.executed > self.durable {
            self.durable = self.executed;
            self.executor(durable(self.durable));
        }
    }

    fn load(&mut self) {
        let last = self.stored.min(self.watermark + CAPACITY);
        if last <= self.loaded {
            return;
        }
        self.loaded = last;
        let blocks = (last - self.watermark) as u32;
        self.node(loaded(blocks, CAPACITY as u32, last));
        if u64::from(blocks) == CAPACITY && !self.paused {
            self.paused = true;
            self.node(NodeEvent::ProposalsPaused { blocks });
        }
    }

    fn write(&mut self) {
        if self.written < self.loaded {
            self.written += 1;
            self.socket.push_back(self.written);
            self.node(written(self.connection, self.written));
        }
    }

    fn execute(&mut self) {
        let Some(next) = self.socket.pop_front() else {
            return;
        };
        let expected = self.executed + 1;
        if next == expected {
            self.executed = next;
            self.executor(executed(next));
        } else {
            assert!(next < expected, "the toy itself must not make holes");
            self.executor(ExecutorEvent::Refused {
                gei: gei(next),
                expected: gei(expected),
            });
        }
    }

    fn reconnect(&mut self) {
        let watermark = self.exchange(false);
        self.learn(watermark);
        self.connect();
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Commit => {
                if !self.paused {
                    self.round += 1;
                    self.node(proposed(block(self.round, 0)));
                }
                self.stored += 1;
                self.node(stored(self.stored));
            }
            Step::Load => self.load(),
            Step::Write => self.write(),
            Step::Execute => self.execute(),
            Step::Flush => self.flush(),
            Step::Ask { late } => {
                let watermark = self.exchange(late);
                self.learn(watermark);
            }
            Step::Reconnect => self.reconnect(),
            Step::KillNode => {
                self.befell(NODE, WorldEvent::Killed);
                self.start_node();
            }
            Step::KillExecutor => {
                self.befell(EXECUTOR, WorldEvent::Killed);
                self.start_executor();
                self.reconnect();
            }
            Step::CutPower => {
                let lost_writes = (self.executed - self.durable) as u32;
                self.befell(NODE, power_lost(0));
                self.befell(EXECUTOR, power_lost(lost_writes));
                self.start_executor();
                self.start_node();
            }
        }
    }

    /// Faults end and everything that is stored becomes durable.
    fn settle(&mut self) {
        self.befell(ProcessId::World, WorldEvent::FaultsEnded);
        while self.durable < self.stored {
            self.load();
            while self.written < self.loaded {
                self.write();
            }
            while !self.socket.is_empty() {
                self.execute();
            }
            self.flush();
            let watermark = self.exchange(false);
            self.learn(watermark);
        }
        let tip = gei(self.stored);
        self.befell(ProcessId::World, WorldEvent::CaughtUp { tip });
    }
}

fn legal_trace(steps: Vec<Step>) -> Vec<Entry> {
    let mut toy = Toy::default();
    toy.start_executor();
    toy.start_node();
    for step in steps {
        toy.take(step);
    }
    toy.settle();
    toy.trace
}

/// The first invariant that fires.
fn fired(trace: &[Entry]) -> Option<(Invariant, String)> {
    let end = trace.last()?.at;
    let mut oracles = all(&Plan::example());
    for entry in trace {
        for oracle in &mut oracles {
            if let Err(violation) = oracle.observe(entry) {
                return Some((violation.invariant, violation.message));
            }
        }
    }
    oracles
        .iter_mut()
        .find_map(|oracle| oracle.finish(end).err())
        .map(|violation| (violation.invariant, violation.message))
}

proptest! {
    #[test]
    fn no_oracle_fires_on_a_legal_trace(steps in proptest::collection::vec(step(), 0..400)) {
        prop_assert_eq!(fired(&legal_trace(steps)), None);
    }

    /// The other direction: a block that is never executed is missed, whichever it is.
    #[test]
    fn a_block_that_is_never_executed_is_found(
        steps in proptest::collection::vec(step(), 50..400),
        which in any::<prop::sample::Index>(),
    ) {
        let mut trace = legal_trace(steps);
        let executed = |entry: &Entry| match entry.what {
            What::Did(Event::Executor(ExecutorEvent::Executed { gei, .. })) => Some(gei),
            _ => None,
        };
        let blocks: BTreeSet<_> = trace.iter().filter_map(executed).collect();
        prop_assume!(!blocks.is_empty());
        let missing = *which.get(&Vec::from_iter(blocks));
        trace.retain(|entry| executed(entry) != Some(missing));
        prop_assert_eq!(fired(&trace).map(|(invariant, _)| invariant), Some(Invariant::Gap0));
    }
}

#[test]
fn every_invariant_has_one_oracle_under_its_own_name() {
    let names: BTreeSet<Invariant> = all(&Plan::example())
        .iter()
        .map(|oracle| oracle.invariant())
        .collect();
    assert_eq!(names.len(), 13, "{names:?}");
}
