//! The facts of constructed traces: what is seen of processes that tell the truth about themselves. So a trace of events
//! is enough to test oracles that judge by facts.

use super::facts::block_of;
use crate::{
    model::Derived,
    plan::Plan,
    trace::{Entry, ProcessId, What, WorldEvent, testing::transaction},
    witness::{
        ChangeStep, ContentHash, Durability, EpochRecord, Fact, Frame, Reply, Request, SeenBlock,
        SeenBoundary, SeenCommit, StateRoot,
    },
};
use bytes::Bytes;
use metanode_core::{
    env::{Event, ExecutorEvent, NodeEvent},
    types::{
        self, AuthorityIndex, BlockRef, CommitDigest, CommitIndex, CommitRef, Epoch,
        GlobalExecIndex, SpentNonce, TimestampMs,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The trace with the facts before the events that report them, and what the model derives before its first fact.
pub(crate) fn with_facts(trace: &[Entry]) -> Vec<Entry> {
    let mut seen = Truthful::default();
    let mut all = vec![];
    for entry in trace {
        all.extend(seen.before(entry));
        all.push(entry.clone());
    }
    all
}

#[derive(Default)]
struct Truthful {
    /// Connections of the world by process, its start and its own number.
    connections: BTreeMap<(ProcessId, u32, u64), u64>,
    starts: BTreeMap<ProcessId, u32>,
    epochs: BTreeMap<u16, Epoch>,
    records: BTreeMap<(u16, Epoch), EpochRecord>,
    /// Executed and not durable.
    executed: BTreeMap<u16, Vec<Arc<Frame>>>,
    roots: BTreeMap<GlobalExecIndex, [u8; 32]>,
    derived: BTreeSet<GlobalExecIndex>,
    requests: u64,
}

impl Truthful {
    /// The entries before this one.
    fn before(&mut self, entry: &Entry) -> Vec<Entry> {
        let whats = match (&entry.what, entry.process) {
            (What::World(WorldEvent::Started { .. }), process) => {
                *self.starts.entry(process).or_default() += 1;
                if let ProcessId::Executor(n) = process {
                    self.executed.remove(&n);
                }
                vec![]
            }
            (What::Process(Event::Node(event)), ProcessId::Node(n)) => self.node(n, event),
            (What::Process(Event::Executor(event)), ProcessId::Executor(n)) => {
                self.executor(n, event)
            }
            (What::Seen(Fact::BatchAnswered { taken, .. }), _) => {
                let transactions = taken.iter().map(|it| it.hash).collect();
                let durability = Durability::Synced;
                vec![What::Seen(Fact::JournalWritten {
                    transactions,
                    durability,
                })]
            }
            _ => vec![],
        };
        let entry_of = |what: What| Entry {
            at: entry.at,
            process: match what {
                What::Derived(_) => ProcessId::World,
                _ => entry.process,
            },
            what,
        };
        whats.into_iter().map(entry_of).collect()
    }

    fn node(&mut self, n: u16, event: &NodeEvent) -> Vec<What> {
        let process = ProcessId::Node(n);
        let facts = match event {
            NodeEvent::Proposed { epoch, block, .. } => vec![Fact::BlockStored {
                block: seen_block(*epoch, *block),
                durability: Durability::Synced,
            }],
            NodeEvent::CommitStored {
                epoch,
                commit,
                gei,
                leader,
                blocks,
                ..
            } => {
                let commit = seen_commit(*epoch, *commit, *leader, *blocks);
                let durability = Durability::Synced;
                let mut whats = self.derive(*gei, &commit);
                whats.push(What::Seen(Fact::CommitStored { commit, durability }));
                return whats;
            }
            NodeEvent::StreamConnected { connection, .. } => vec![Fact::StreamOpened {
                connection: self.connection(process, *connection),
            }],
            NodeEvent::FrameWritten {
                connection,
                gei,
                epoch,
                commit,
            } => vec![Fact::FrameSent {
                connection: self.connection(process, *connection),
                frame: frame(*gei, *epoch, commit.index),
            }],
            NodeEvent::WatermarkLearned { watermark }
            | NodeEvent::ExecutorQueried { watermark, .. } => self.exchange(*watermark),
            NodeEvent::Recovered { last_commit, .. } => vec![Fact::NodeFound {
                epoch: self.epochs.get(&n).copied().unwrap_or_default(),
                last_commit: *last_commit,
            }],
            NodeEvent::EpochOpened { .. }
            | NodeEvent::ChangeRecorded { .. }
            | NodeEvent::EpochRemoved { .. } => self.epochs_of(n, event),
            _ => vec![],
        };
        facts.into_iter().map(What::Seen).collect()
    }

    /// The records of a node's epochs.
    fn epochs_of(&mut self, n: u16, event: &NodeEvent) -> Vec<Fact> {
        match event {
            NodeEvent::EpochOpened {
                base,
                start_timestamp_ms,
                committee,
                ..
            } => {
                self.epochs.insert(n, base.epoch);
                let digest = committee.0.to_vec();
                let record = self
                    .records
                    .entry((n, base.epoch))
                    .or_insert_with(|| EpochRecord {
                        epoch: base.epoch,
                        base: base.base,
                        start_ms: *start_timestamp_ms,
                        committee: vec![crate::witness::Member {
                            authority_key: digest,
                            protocol_key: [0; 32],
                            stake: 1,
                            address: vec![],
                        }],
                        step: ChangeStep::Running,
                    });
                let record = Arc::new(record.clone());
                vec![Fact::EpochRecorded { record }]
            }
            NodeEvent::ChangeRecorded { epoch, step } => {
                let Some(record) = self.records.get_mut(&(n, *epoch)) else {
                    return vec![];
                };
                record.step = change_step(step);
                let record = Arc::new(record.clone());
                vec![Fact::EpochRecorded { record }]
            }
            NodeEvent::EpochRemoved { epoch } => {
                self.records.remove(&(n, *epoch));
                vec![Fact::EpochRemoved { epoch: *epoch }]
            }
            _ => vec![],
        }
    }

    /// A request for the watermark, and its answer.
    fn exchange(&mut self, watermark: GlobalExecIndex) -> Vec<Fact> {
        self.requests += 1;
        let connection = 1_000_000 + self.requests;
        let reply = Arc::new(Reply::LastBlockNumber(watermark));
        vec![
            Fact::RequestSent {
                connection,
                number: 1,
                request: Request::GetLastBlockNumber,
            },
            Fact::ReplyRead {
                connection,
                number: 1,
                reply,
            },
        ]
    }

    fn executor(&mut self, n: u16, event: &ExecutorEvent) -> Vec<What> {
        let process = ProcessId::Executor(n);
        let fact = match event {
            ExecutorEvent::Started {
                watermark,
                state_root,
            } => {
                self.executed.remove(&n);
                Fact::ExecutorFound {
                    watermark: *watermark,
                    state_root: StateRoot(*state_root),
                }
            }
            ExecutorEvent::Received { connection, gei } => Fact::FrameRead {
                connection: self.connection(process, *connection),
                gei: *gei,
            },
            ExecutorEvent::Executed {
                gei,
                epoch,
                commit,
                content,
                state_root,
                ..
            } => {
                let mut executed = Frame::clone(&frame(*gei, *epoch, *commit));
                executed.content = ContentHash(*content);
                let unsaved = self.executed.entry(n).or_default();
                unsaved.push(Arc::new(executed));
                self.roots.insert(*gei, *state_root);
                return vec![];
            }
            ExecutorEvent::Durable { watermark } => Fact::Durable {
                watermark: *watermark,
                state_root: StateRoot(self.roots.get(watermark).copied().unwrap_or_default()),
                blocks: self.executed.remove(&n).unwrap_or_default(),
            },
            ExecutorEvent::EpochEntered {
                epoch,
                boundary,
                start_timestamp_ms,
            } => Fact::EpochEntered {
                epoch: *epoch,
                boundary: *boundary,
                start_ms: *start_timestamp_ms,
            },
            ExecutorEvent::Reported { watermark } => {
                self.requests += 1;
                Fact::ReplySent {
                    connection: 1_000_000 + self.requests,
                    number: 1,
                    reply: Arc::new(Reply::LastBlockNumber(*watermark)),
                }
            }
            _ => return vec![],
        };
        vec![What::Seen(fact)]
    }

    fn connection(&mut self, process: ProcessId, number: u64) -> u64 {
        let start = self.starts.get(&process).copied().unwrap_or_default();
        let next = self.connections.len() as u64 + 1;
        *self
            .connections
            .entry((process, start, number))
            .or_insert(next)
    }

    /// The model derives each commit once.
    fn derive(&mut self, gei: GlobalExecIndex, commit: &Arc<SeenCommit>) -> Vec<What> {
        if !self.derived.insert(gei) {
            return vec![];
        }
        let mut root = [0; 32];
        root[..8].copy_from_slice(&gei.0.to_be_bytes());
        let spent = SpentNonce {
            sender: [7; 20],
            nonce: gei.0,
        };
        // Validator 1 has proposed it.
        let author = block_of(&Plan::example(), 0, 1, 1).author;
        vec![What::Derived(Derived::Commit {
            commit: commit.clone(),
            frame: frame(gei, commit.epoch, commit.index),
            transactions: [(crate::witness::hash(&transaction(gei.0)), author)].into(),
            state_root: StateRoot(root),
            applied: [spent].into(),
        })]
    }
}

/// The block with this GEI. Its content is the GEI.
pub(crate) fn frame(gei: GlobalExecIndex, epoch: Epoch, commit: CommitIndex) -> Arc<Frame> {
    Arc::new(Frame {
        gei,
        epoch,
        commit,
        timestamp_ms: TimestampMs(gei.0),
        leader: AuthorityIndex(0),
        leader_address: vec![],
        content: ContentHash(gei.0.into()),
        transactions: vec![],
    })
}

/// A commit with this reference and leader.
pub(crate) fn seen_commit(
    epoch: Epoch,
    commit: CommitRef,
    leader: BlockRef,
    blocks: u32,
) -> Arc<SeenCommit> {
    Arc::new(SeenCommit {
        epoch,
        index: commit.index,
        digest: commit.digest,
        previous: CommitDigest::default(),
        leader,
        timestamp_ms: TimestampMs(0),
        epoch_began_ms: TimestampMs(0),
        ending: vec![],
        blocks: vec![leader; blocks as usize],
    })
}

/// A block with this reference and without content.
pub(crate) fn seen_block(epoch: Epoch, reference: BlockRef) -> Arc<SeenBlock> {
    Arc::new(SeenBlock {
        epoch,
        reference,
        timestamp_ms: TimestampMs(0),
        ancestors: vec![],
        transactions: vec![],
        commit_votes: vec![],
        end_of_epoch: false,
        content_digest: [0; 32],
        signature: Bytes::new(),
    })
}

fn change_step(step: &types::ChangeStep) -> ChangeStep {
    let of = |boundary: &types::Boundary| SeenBoundary {
        commit: boundary.commit.index,
        digest: boundary.commit.digest,
        gei: boundary.gei,
        timestamp_ms: boundary.timestamp_ms,
    };
    match step {
        types::ChangeStep::Running => ChangeStep::Running,
        types::ChangeStep::BoundaryCommitted(boundary) => {
            ChangeStep::BoundaryCommitted(of(boundary))
        }
        types::ChangeStep::Drained(boundary) => ChangeStep::Drained(of(boundary)),
        types::ChangeStep::Advanced(boundary) => ChangeStep::Advanced(of(boundary)),
    }
}
