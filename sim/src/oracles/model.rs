//! A model of the delivery path that keeps the contract through random crashes.
//!
//! One node, one executor, random steps. Time advances by one millisecond per entry. The model follows the contract,
//! not the oracles; where the contract leaves a choice it draws one.

mod epochs;

use crate::trace::{Entry, ProcessId, WorldEvent, testing::*};
use epochs::Era;
use metanode_core::{
    env::{BlockRefusal, ExecutorEvent, NodeEvent, RpcKind},
    types::{CommitIndex, Epoch, GlobalExecIndex},
};
use proptest::prelude::*;
use std::collections::VecDeque;

const NODE: ProcessId = ProcessId::Node(0);
const EXECUTOR: ProcessId = ProcessId::Executor(0);
const CAPACITY: u64 = 8;

#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A client submits a transaction, a block is proposed unless the window is full, and a commit is stored.
    Commit,
    Load,
    Write,
    /// The executor reads a frame and executes it if it is new.
    Execute,
    Flush,
    /// The node asks for the watermark; the reply may be older than the newest watermark.
    Ask {
        late: bool,
    },
    Reconnect,
    /// The epoch ends, or its change proceeds by a step.
    Change,
    KillNode,
    KillExecutor,
    CutPower,
    Backup,
    /// The last backup of the executor is restored.
    Restore,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => Just(Step::Commit),
        15 => Just(Step::Load),
        25 => Just(Step::Write),
        25 => Just(Step::Execute),
        8 => Just(Step::Flush),
        10 => any::<bool>().prop_map(|late| Step::Ask { late }),
        2 => Just(Step::Reconnect),
        8 => Just(Step::Change),
        1 => Just(Step::KillNode),
        1 => Just(Step::KillExecutor),
        1 => Just(Step::CutPower),
        1 => Just(Step::Backup),
        1 => Just(Step::Restore),
    ]
}

#[derive(Default)]
struct Model {
    trace: Vec<Entry>,
    starts: u32,
    // What survives the node.
    eras: Vec<Era>,
    stored: u64,
    // One incarnation of the node.
    epoch: usize,
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
    entered: usize,
    /// Watermark and epoch.
    backup: Option<(u64, usize)>,
}

impl Model {
    fn now(&self) -> u64 {
        self.trace.len() as u64
    }

    /// Epoch and commit index of a block.
    fn place_of(&self, GlobalExecIndex(gei): GlobalExecIndex) -> (Epoch, CommitIndex) {
        let epoch = self.eras.partition_point(|era| era.base < gei) - 1;
        let commit = gei - self.eras[epoch].base;
        (Epoch(epoch as u64), CommitIndex(commit as u32))
    }

    fn node(&mut self, mut event: NodeEvent) {
        match &mut event {
            NodeEvent::CommitStored {
                epoch, commit, gei, ..
            }
            | NodeEvent::FrameWritten {
                epoch, commit, gei, ..
            } => (*epoch, commit.index) = self.place_of(*gei),
            NodeEvent::Proposed { epoch, .. } => *epoch = Epoch(self.epoch as u64),
            _ => {}
        }
        self.trace.push(node(self.now(), 0, event));
    }

    fn executor(&mut self, mut event: ExecutorEvent) {
        if let ExecutorEvent::Executed {
            gei, epoch, commit, ..
        } = &mut event
        {
            (*epoch, *commit) = self.place_of(*gei);
        }
        self.trace.push(executor(self.now(), 0, event));
    }

    fn world(&mut self, process: ProcessId, event: WorldEvent) {
        self.trace.push(world_event(self.now(), process, event));
    }

    fn start_executor(&mut self) {
        self.starts += 1;
        self.world(EXECUTOR, WorldEvent::Started { start: self.starts });
        self.executed = self.durable;
        self.executor(found(self.durable));
    }

    fn start_node(&mut self) {
        self.starts += 1;
        self.world(NODE, WorldEvent::Started { start: self.starts });
        (self.connection, self.request) = (0, 0);
        self.open();
    }

    /// Returns the watermark of the reply.
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
        let before = std::mem::replace(&mut self.watermark, watermark);
        self.node(learned(watermark));
        if watermark < before {
            (self.loaded, self.written) = (watermark, watermark);
            self.node(NodeEvent::Rewound {
                from: gei(before),
                to: gei(watermark),
            });
        }
        self.loaded = self.loaded.max(watermark);
        self.written = self.written.max(watermark);
        let blocks = self.loaded - watermark;
        if self.paused && blocks <= CAPACITY / 2 {
            self.paused = false;
            let blocks = blocks as u32;
            self.node(NodeEvent::ProposalsResumed { blocks });
        }
    }

    /// The frames in flight on the old connection are lost.
    fn connect(&mut self) {
        self.socket.clear();
        self.connection += 1;
        self.written = self.watermark;
        self.node(NodeEvent::StreamConnected {
            connection: self.connection,
            start: gei(self.watermark + 1),
        });
    }

    fn commit(&mut self) {
        if self.end().is_some() {
            return;
        }
        self.trace.push(taken(self.now(), 0, self.stored + 1));
        if !self.paused {
            let round = &mut self.eras[self.epoch].round;
            *round += 1;
            let round = *round;
            self.node(proposed(block(round, 0)));
        }
        self.stored += 1;
        self.node(stored(self.stored));
    }

    fn flush(&mut self) {
        if self.executed > self.durable {
            self.durable = self.executed;
            self.executor(durable(self.durable));
        }
    }

    fn load(&mut self) {
        let last = self.tip().min(self.watermark + CAPACITY);
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
            assert!(next < expected, "the model must not skip blocks");
            let expected = gei(expected);
            self.executor(ExecutorEvent::Refused {
                gei: gei(next),
                reason: BlockRefusal::Duplicate { expected },
            });
        }
    }

    fn ask(&mut self, late: bool) {
        let watermark = self.exchange(late);
        self.learn(watermark);
    }

    fn reconnect(&mut self) {
        self.connect();
        self.ask(false);
        self.written = self.watermark;
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Commit => self.commit(),
            Step::Load => self.load(),
            Step::Write => self.write(),
            Step::Execute => self.execute(),
            Step::Flush => self.flush(),
            Step::Ask { late } => self.ask(late),
            Step::Reconnect => self.reconnect(),
            Step::Change => self.change(),
            Step::KillNode => {
                self.world(NODE, WorldEvent::Killed);
                self.start_node();
            }
            Step::KillExecutor => {
                self.world(EXECUTOR, WorldEvent::Killed);
                self.start_executor();
                self.reconnect();
            }
            Step::CutPower => {
                let lost_writes = (self.executed - self.durable) as u32;
                self.world(NODE, power_lost(0));
                self.world(EXECUTOR, power_lost(lost_writes));
                self.start_executor();
                self.start_node();
            }
            Step::Backup => self.backup = Some((self.durable, self.entered)),
            Step::Restore => self.restore(),
        }
    }

    /// Faults end, changes in progress are completed, and all stored commits become durable.
    fn settle(&mut self) {
        self.world(ProcessId::World, WorldEvent::FaultsEnded);
        while self.durable < self.stored || self.end().is_some() {
            self.load();
            while self.written < self.loaded {
                self.write();
            }
            while !self.socket.is_empty() {
                self.execute();
            }
            self.flush();
            self.ask(false);
            if self.end().is_some() {
                self.change();
            }
        }
    }
}

/// The trace of a model that takes these steps and then settles.
pub(super) fn legal_trace(steps: Vec<Step>) -> Vec<Entry> {
    let mut model = Model {
        eras: vec![Era::default()],
        ..Model::default()
    };
    model.start_executor();
    model.start_node();
    for step in steps {
        model.take(step);
    }
    model.settle();
    model.trace
}
