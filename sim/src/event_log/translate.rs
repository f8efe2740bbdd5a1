//! From the lines of one process to entries of a trace.

use crate::{
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
    witness::{ContentHash, Durability, Fact, Frame, Reply, Request, SeenCommit, StateRoot},
};
use metanode_core::{
    env::{
        Event, NodeEvent,
        trace_line::{Role, TraceEvent},
    },
    types::{
        AuthorityIndex, BlockDigest, BlockRef, CommitDigest, CommitIndex, CommitteeDigest, Epoch,
        EpochBase, GlobalExecIndex, Round, TimestampMs,
    },
};
use std::{collections::BTreeMap, sync::Arc};

/// RPC connections do not appear in event logs: each process has one.
const RPC_CONNECTION: u64 = 0;

/// What a line says.
pub(super) enum Said {
    /// What the simulator's witnesses or processes say, too. The content of blocks is left out.
    Entry(Entry),
    /// A node has this block at this place of the chain.
    Place(Entry),
    /// A durable block, with the hash of its content.
    Content(Entry),
    /// The state root at this GEI.
    Root(GlobalExecIndex, StateRoot, Entry),
    /// The transactions that changed the state in a durable block.
    Applied(GlobalExecIndex, Vec<String>, Entry),
}

/// One process.
pub(super) struct Process {
    id: ProcessId,
    /// Which log a connection of the process belongs to: numbers of connections begin anew with each incarnation.
    incarnation: u64,
    /// Exchanges that asked for W.
    queries: u64,
    known: GlobalExecIndex,
    /// What comes next on each connection to the block stream of this incarnation.
    next: BTreeMap<u64, GlobalExecIndex>,
    /// Executed, not known to be durable.
    executed: Vec<Executed>,
    pub last_gei: GlobalExecIndex,
}

struct Executed {
    frame: Arc<Frame>,
    content: Option<ContentHash>,
    state_root: Option<String>,
    transactions: Option<Vec<String>>,
}

impl Process {
    pub fn new(id: ProcessId) -> Self {
        Self {
            id,
            incarnation: 0,
            queries: 0,
            known: GlobalExecIndex(0),
            next: BTreeMap::new(),
            executed: vec![],
            last_gei: GlobalExecIndex(0),
        }
    }

    /// What the line says, in order. `at` orders all lines.
    pub fn says(&mut self, event: &TraceEvent, at: SimTime) -> Vec<Said> {
        match event.role() {
            Some(Role::Node) => self.node_says(event, at),
            Some(Role::Executor) => self.executor_says(event, at),
            None if *event == TraceEvent::DiskRestored => {
                let restored = WorldEvent::DiskRestored {
                    taken: SimTime::default(),
                    copied_from: None,
                };
                self.executed.clear();
                vec![self.entry(at, What::World(restored))]
            }
            None => vec![],
        }
    }

    fn node_says(&mut self, event: &TraceEvent, at: SimTime) -> Vec<Said> {
        match event {
            TraceEvent::NodeStarted => {
                self.incarnation += 1;
                self.next.clear();
                let start = u32::try_from(self.incarnation).unwrap_or(u32::MAX);
                vec![self.entry(at, What::World(WorldEvent::Started { start }))]
            }
            TraceEvent::WatermarkLearned { watermark } => {
                self.known = *watermark;
                vec![]
            }
            TraceEvent::EpochOpened {
                epoch,
                base,
                start_ms,
                committee,
            } => vec![self.epoch_opened((*epoch, *base), *start_ms, committee.as_deref(), at)],
            TraceEvent::BlockProposed {
                epoch,
                round,
                author,
                digest,
            } => {
                let block = BlockRef {
                    round: *round,
                    author: AuthorityIndex(*author),
                    digest: BlockDigest(digest_of(digest)),
                };
                let proposed = NodeEvent::Proposed {
                    epoch: *epoch,
                    block,
                    transactions: 0,
                    payload_bytes: 0,
                };
                vec![self.entry(at, What::Process(Event::Node(proposed)))]
            }
            TraceEvent::CommitStored {
                epoch,
                commit,
                gei,
                digest,
            } => {
                self.last_gei = *gei;
                let place = durable_at(*gei, vec![frame(*gei, *epoch, *commit)]);
                vec![
                    self.seen(at, commit_stored(*epoch, *commit, digest)),
                    Said::Place(self.of(at, What::Seen(place))),
                ]
            }
            TraceEvent::StreamOpened { connection } => self.stream_opened(*connection, at),
            TraceEvent::BlockSent {
                connection,
                gei,
                epoch,
                commit,
            } => {
                let next = self.next.insert(*connection, gei.next());
                let mut said = vec![];
                // It may skip what has become durable meanwhile.
                if next.is_some_and(|next| next < *gei && *gei <= self.known.next()) {
                    said.extend(self.learned(gei.prev(), at));
                }
                let frame = frame(*gei, *epoch, *commit);
                let connection = self.connection(*connection);
                said.push(self.seen(at, Fact::FrameSent { connection, frame }));
                said
            }
            _ => vec![],
        }
    }

    /// Connections are numbered from 1 in every incarnation.
    const fn connection(&self, number: u64) -> u64 {
        (self.incarnation << 32) | number
    }

    /// The node starts from the watermark that it has learned last: at or below later ones it may still write, because what
    /// they cover can be under way.
    fn stream_opened(&mut self, connection: u64, at: SimTime) -> Vec<Said> {
        self.next.insert(connection, self.known.next());
        let opened = Fact::StreamOpened {
            connection: self.connection(connection),
        };
        let mut said = vec![self.seen(at, opened)];
        said.extend(self.learned(self.known, at));
        said
    }

    /// The exchange by which the node has learned a watermark.
    fn learned(&mut self, watermark: GlobalExecIndex, at: SimTime) -> [Said; 2] {
        self.queries += 1;
        let number = self.queries;
        let asked = Fact::RequestSent {
            connection: RPC_CONNECTION,
            number,
            request: Request::GetLastBlockNumber,
        };
        let answered = Fact::ReplyRead {
            connection: RPC_CONNECTION,
            number,
            reply: Arc::new(Reply::LastBlockNumber(watermark)),
        };
        [asked, answered].map(|fact| self.seen(at, fact))
    }

    fn epoch_opened(
        &self,
        (epoch, base): (Epoch, GlobalExecIndex),
        start_timestamp_ms: TimestampMs,
        committee: Option<&str>,
        at: SimTime,
    ) -> Said {
        let opened = NodeEvent::EpochOpened {
            base: EpochBase { epoch, base },
            start_timestamp_ms,
            committee: CommitteeDigest(committee.map_or([0; 32], digest_of)),
            own: None,
        };
        self.entry(at, What::Process(Event::Node(opened)))
    }

    fn executor_says(&mut self, event: &TraceEvent, at: SimTime) -> Vec<Said> {
        match event {
            TraceEvent::ExecutorStarted {
                watermark,
                state_root,
            } => self.executor_started(*watermark, state_root.as_ref(), at),
            TraceEvent::BlockExecuted {
                gei,
                epoch,
                commit,
                content,
                state_root,
                transactions,
            } => {
                self.last_gei = *gei;
                self.executed.push(Executed {
                    frame: frame(*gei, *epoch, *commit),
                    content: content.as_deref().map(content_of),
                    state_root: state_root.clone(),
                    transactions: transactions.clone(),
                });
                vec![]
            }
            TraceEvent::WatermarkDurable { watermark } => self.durable(*watermark, at),
            TraceEvent::WatermarkReported { watermark } => {
                let reported = Fact::ReplySent {
                    connection: RPC_CONNECTION,
                    number: 0,
                    reply: Arc::new(Reply::LastBlockNumber(*watermark)),
                };
                vec![self.seen(at, reported)]
            }
            TraceEvent::EpochEntered {
                epoch,
                boundary,
                start_ms,
            } => {
                let entered = Fact::EpochEntered {
                    epoch: *epoch,
                    boundary: *boundary,
                    start_ms: *start_ms,
                };
                vec![self.seen(at, entered)]
            }
            _ => vec![],
        }
    }

    /// What was executed and is found became durable, even if the process was killed before it could say so. The rest is
    /// undone.
    fn executor_started(
        &mut self,
        watermark: GlobalExecIndex,
        state_root: Option<&String>,
        at: SimTime,
    ) -> Vec<Said> {
        self.last_gei = watermark;
        let (found, undone): (Vec<_>, Vec<_>) =
            (self.executed.drain(..)).partition(|executed| executed.frame.gei <= watermark);
        drop(undone);
        self.executed = found;
        let mut said = match self.executed.last().map(|last| last.frame.gei) {
            None => vec![],
            Some(last) => self.durable(last, at),
        };
        let started = Fact::ExecutorFound {
            watermark,
            state_root: StateRoot([0; 32]),
        };
        said.push(self.seen(at, started));
        said.extend(state_root.map(|root| self.root(watermark, root, at)));
        said
    }

    /// One fact per block, then the watermark if it is none of them.
    fn durable(&mut self, watermark: GlobalExecIndex, at: SimTime) -> Vec<Said> {
        let mut said = vec![];
        let mut last = None;
        let blocks = self.executed.drain(..).collect::<Vec<_>>();
        let (durable, later): (Vec<_>, Vec<_>) =
            (blocks.into_iter()).partition(|executed| executed.frame.gei <= watermark);
        self.executed = later;
        for Executed {
            frame,
            content,
            state_root,
            transactions,
        } in durable
        {
            let gei = frame.gei;
            last = Some(gei);
            let fact = durable_at(gei, vec![frame.clone()]);
            let entry = self.of(at, What::Seen(fact));
            said.push(Said::Entry(entry.clone()));
            said.extend(content.map(|content| {
                let block = Frame {
                    content,
                    ..Frame::clone(&frame)
                };
                let fact = durable_at(gei, vec![Arc::new(block)]);
                Said::Content(self.of(at, What::Seen(fact)))
            }));
            said.extend(state_root.map(|root| self.root(gei, &root, at)));
            said.extend(transactions.map(|it| Said::Applied(gei, it, entry)));
        }
        if last.is_none_or(|last| last < watermark) {
            said.push(self.seen(at, durable_at(watermark, vec![])));
        }
        said
    }

    const fn of(&self, at: SimTime, what: What) -> Entry {
        Entry {
            at,
            process: self.id,
            what,
        }
    }

    const fn entry(&self, at: SimTime, what: What) -> Said {
        Said::Entry(self.of(at, what))
    }

    const fn seen(&self, at: SimTime, fact: Fact) -> Said {
        self.entry(at, What::Seen(fact))
    }

    fn root(&self, gei: GlobalExecIndex, root: &str, at: SimTime) -> Said {
        let state_root = StateRoot(digest_of(root));
        let found = Fact::ExecutorFound {
            watermark: gei,
            state_root,
        };
        Said::Root(gei, state_root, self.of(at, What::Seen(found)))
    }
}

const fn durable_at(watermark: GlobalExecIndex, blocks: Vec<Arc<Frame>>) -> Fact {
    Fact::Durable {
        watermark,
        state_root: StateRoot([0; 32]),
        blocks,
    }
}

/// A block of which only its place in the chain is known.
fn frame(gei: GlobalExecIndex, epoch: Epoch, commit: CommitIndex) -> Arc<Frame> {
    Arc::new(Frame {
        gei,
        epoch,
        commit,
        timestamp_ms: TimestampMs(0),
        leader: AuthorityIndex(0),
        leader_address: vec![],
        content: ContentHash(0),
        transactions: vec![],
    })
}

fn commit_stored(epoch: Epoch, index: CommitIndex, digest: &str) -> Fact {
    let commit = SeenCommit {
        epoch,
        index,
        digest: CommitDigest(digest_of(digest)),
        previous: CommitDigest::default(),
        leader: BlockRef {
            round: Round(0),
            author: AuthorityIndex(0),
            digest: BlockDigest::default(),
        },
        timestamp_ms: TimestampMs(0),
        epoch_began_ms: TimestampMs(0),
        ending: vec![],
        blocks: vec![],
    };
    Fact::CommitStored {
        commit: Arc::new(commit),
        durability: Durability::Synced,
    }
}

/// 32 bytes that are equal exactly if the texts are: the bytes themselves if the text is hexadecimal, otherwise its hash.
fn digest_of(text: &str) -> [u8; 32] {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    let bytes = bytes.filter(|_| digits.iter().all(u8::is_ascii_hexdigit));
    (bytes.and_then(|bytes| bytes.try_into().ok()))
        .unwrap_or_else(|| *blake3::hash(digits).as_bytes())
}

fn content_of(text: &str) -> ContentHash {
    let digest = digest_of(text);
    let mut low = [0; 16];
    low.copy_from_slice(&digest[..16]);
    ContentHash(u128::from_be_bytes(low))
}
