//! Facts: what bytes on wires and disks say. No process is asked.
//!
//! A fact has the source of its [`Entry`](crate::trace::Entry): the process that wrote or read the bytes. The types do
//! not depend on the simulation: logs, data directories and proxies of real processes can give the same facts.

use super::{Reply, Request, batches::Taken, block::SeenBlock};
use derive_more::Display;
use metanode_core::{
    store,
    types::{
        self, AuthorityIndex, BlockRef, CommitDigest, CommitIndex, Epoch, GlobalExecIndex,
        TimestampMs, TransactionHash,
    },
};
use serde::{Serialize, Serializer};
use std::{collections::BTreeSet, fmt, sync::Arc};
use xxhash_rust::xxh3::Xxh3;

/// One fact. `connection` numbers the connections of the whole world, from 1.
#[derive(Clone, Debug, Display, PartialEq, Eq, Serialize)]
pub enum Fact {
    /// The node connected to the block stream of its executor.
    #[display("connection {connection} to the block stream is open")]
    StreamOpened { connection: u64 },
    /// The node connected to the node of a validator, to talk to it as to a peer.
    #[display("connection {connection} to validator {listener} is open")]
    PeerConnected { connection: u64, listener: u16 },
    /// Both ends of a connection between nodes are closed.
    #[display("connection {connection} between nodes is over")]
    PeerClosed { connection: u64 },
    /// The process has established a session for this epoch that the other end has established for another one.
    #[display("a session of epoch {epoch} is one of epoch {other} for the other end")]
    SessionDiffers { epoch: Epoch, other: Epoch },
    /// The node sent bytes to a stranger that talks to it as to a peer.
    #[display("a stranger gets {bytes} bytes (connection {connection})")]
    StrangerGets { connection: u64, bytes: u64 },
    /// The node wrote a complete frame to a block stream.
    #[display("the wire has {frame} (connection {connection})")]
    FrameSent { connection: u64, frame: Arc<Frame> },
    /// The executor has read the complete frame with this GEI.
    #[display("{gei} was read (connection {connection})")]
    FrameRead {
        connection: u64,
        gei: GlobalExecIndex,
    },
    /// The process wrote bytes that are no message of this channel: once for a connection. Nothing after them is
    /// decoded, except the blocks after a block that does not decode.
    #[display("connection {connection} carries something else than the protocol: {reason}")]
    Malformed {
        connection: u64,
        #[serde(skip)]
        reason: String,
    },
    /// The node wrote the `number`-th request of an RPC connection, from 1.
    #[display("the wire has request {number}: {request} (connection {connection})")]
    RequestSent {
        connection: u64,
        number: u64,
        request: Request,
    },
    /// The executor wrote the `number`-th reply of an RPC connection, from 1.
    #[display("the wire has reply {number}: {reply} (connection {connection})")]
    ReplySent {
        connection: u64,
        number: u64,
        reply: Arc<Reply>,
    },
    /// The node has read the complete `number`-th reply.
    #[display("reply {number} was read: {reply} (connection {connection})")]
    ReplyRead {
        connection: u64,
        number: u64,
        reply: Arc<Reply>,
    },
    /// The node wrote the `number`-th request of an RPC connection to the executor of a peer, from 1.
    #[display("the wire has request {number} to peer {peer}: {request} (connection {connection})")]
    PeerRequestSent {
        connection: u64,
        number: u64,
        /// The validator.
        peer: u16,
        request: Request,
    },
    /// The node has read the complete `number`-th reply of a peer, which may be a lie.
    #[display("reply {number} of peer {peer} was read: {reply} (connection {connection})")]
    PeerReplyRead {
        connection: u64,
        number: u64,
        peer: u16,
        reply: Arc<Reply>,
    },
    /// The Sub wrote the `number`-th frame of a transaction socket, from 1, or a node without a seat one of a connection
    /// between nodes. A frame that is no batch has no transactions.
    #[display("the wire has batch {number}: {transactions} transactions (connection {connection})")]
    BatchSent {
        connection: u64,
        number: u64,
        transactions: usize,
        bytes: u64,
    },
    /// The node wrote the reply to the `number`-th frame. It promises the first transactions of it.
    #[display("the wire has the reply to batch {number}: {} transactions taken (connection {connection})", taken.len())]
    BatchAnswered {
        connection: u64,
        number: u64,
        success: bool,
        /// The transaction after the taken ones is refused for good, although a block can carry it.
        for_good: bool,
        taken: Arc<[Taken]>,
        /// Of all transactions of the batch.
        bytes: u64,
    },
    /// A client has announced a large frame to the node and not sent all of it; 0 bytes once it has, or is gone.
    #[display("a frame of {bytes} bytes is announced (connection {connection})")]
    FrameAnnounced { connection: u64, bytes: u64 },
    /// A connection of a client is over, with batches that are not answered.
    #[display("connection {connection} ends with batches that are not answered")]
    BatchesAbandoned {
        connection: u64,
        /// Of all their transactions.
        bytes: u64,
    },
    /// A block on a connection between nodes, the first time that this process sends it.
    #[display("the wire has {}", block.reference)]
    BlockSent { block: Arc<SeenBlock> },

    /// A block in the store of a node, for the first two nodes that store it: its author, and the first other one.
    #[display("the disk has {} ({durability:?})", block.reference)]
    BlockStored {
        block: Arc<SeenBlock>,
        durability: Durability,
    },
    /// A commit in the store of a node.
    #[display("the disk has {commit} ({durability:?})")]
    CommitStored {
        commit: Arc<SeenCommit>,
        durability: Durability,
    },
    /// A stored value that is not what its key says.
    #[display("the disk has something that does not decode: {reason}")]
    DamagedValue {
        #[serde(skip)]
        reason: String,
    },
    /// The record of an epoch in the store of a node.
    #[display("the disk has the record of {record}")]
    EpochRecorded { record: Arc<EpochRecord> },
    /// Whose votes for the last commit of an epoch are synced, when a node records that its executor has the epoch.
    #[display("synced votes for commit {commit}, the last of epoch {epoch}: of {} authorities", authors.len())]
    BoundaryVotes {
        epoch: Epoch,
        commit: CommitIndex,
        authors: BTreeSet<AuthorityIndex>,
    },
    /// A node removed the commits from this one on.
    #[display("commits of epoch {epoch} from {from} on are deleted")]
    CommitsCut { epoch: Epoch, from: CommitIndex },
    /// A node removed the store of an epoch.
    #[display("the store of epoch {epoch} is removed")]
    EpochRemoved { epoch: Epoch },
    /// What a start of a node finds in its journal, in any order.
    #[display("the disk holds {} transactions in the journal", transactions.len())]
    JournalFound {
        #[serde(skip)]
        transactions: Vec<TransactionHash>,
    },
    /// Transactions in the journal of a node.
    #[display("the disk has {} transactions more in the journal ({durability:?})", transactions.len())]
    JournalWritten {
        #[serde(skip)]
        transactions: Vec<TransactionHash>,
        durability: Durability,
    },
    /// Transactions that a node removed from its journal.
    #[display("{} transactions are deleted from the journal", transactions.len())]
    JournalRemoved {
        #[serde(skip)]
        transactions: Vec<TransactionHash>,
    },
    /// What a start of a node finds in the store of an epoch, or its entry into the epoch, with an empty store.
    #[display("the disk holds commits up to {} of epoch {}", last_commit, epoch)]
    NodeFound {
        epoch: Epoch,
        /// 0 if there is none.
        last_commit: CommitIndex,
    },

    /// An executor made blocks durable: the state up to the watermark, the blocks since the last one, the watermark.
    #[display("the disk has watermark {watermark}")]
    Durable {
        watermark: GlobalExecIndex,
        /// The root of the state rows on the disk.
        state_root: StateRoot,
        /// The stored blocks above the previous watermark, in order.
        blocks: Vec<Arc<Frame>>,
    },
    /// An executor stored a block at or below its watermark.
    #[display("the disk has {block}, at or below the watermark")]
    BlockRewritten { block: Arc<Frame> },
    /// What a start of an executor finds on its disk up to the watermark. It drops what is above.
    #[display("the disk holds blocks up to {watermark}")]
    ExecutorFound {
        watermark: GlobalExecIndex,
        state_root: StateRoot,
    },
    /// The start of an epoch in the store of an executor.
    #[display("the disk has the start of epoch {epoch}: after {boundary}, at {start_ms} ms")]
    EpochEntered {
        epoch: Epoch,
        boundary: GlobalExecIndex,
        start_ms: TimestampMs,
    },

    /// The Sub wrote the `number`-th frame of a connection of the old transport, from 1: only one is ever answered.
    #[display("the old transport has request {number}: {} transactions (connection {connection})", transactions.len())]
    OldRequestSent {
        connection: u64,
        number: u64,
        #[serde(skip)]
        transactions: Vec<TransactionHash>,
        bytes: u64,
    },
    /// The Sub has read the complete `number`-th reply of a connection of the old transport, from 1.
    #[display("reply {number} of the old transport was read (connection {connection})")]
    OldReplyRead { connection: u64, number: u64 },
}

/// Whether a write survives a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Durability {
    Buffered,
    Synced,
}

impl From<store::Durability> for Durability {
    fn from(durability: store::Durability) -> Self {
        match durability {
            store::Durability::Buffered => Self::Buffered,
            store::Durability::Synced => Self::Synced,
        }
    }
}

/// A state root as an executor defines it: blake3 over the height and the hash chain of all account writes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateRoot(pub [u8; 32]);

impl fmt::Display for StateRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StateRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for StateRoot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

/// A hash of contents, to compare them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash(pub u128);

impl ContentHash {
    /// Of transactions with their workers, in order.
    pub fn of<'a>(transactions: impl Iterator<Item = (u32, &'a [u8])>) -> Self {
        let mut hasher = Xxh3::new();
        for (worker, raw) in transactions {
            hasher.update(&worker.to_le_bytes());
            hasher.update(&(raw.len() as u64).to_le_bytes());
            hasher.update(raw);
        }
        Self(hasher.digest128())
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ContentHash {
    /// JSON has no numbers of this size.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u128(self.0)
        }
    }
}

/// One delivered block (contract §3 `CommittedEpochData`).
#[derive(Clone, Debug, Display, PartialEq, Eq, Serialize)]
#[display("block {gei}: commit {commit} of epoch {epoch}, {} transactions", transactions.len())]
pub struct Frame {
    pub gei: GlobalExecIndex,
    pub epoch: Epoch,
    pub commit: CommitIndex,
    pub timestamp_ms: TimestampMs,
    pub leader: AuthorityIndex,
    pub leader_address: Vec<u8>,
    /// Of the transactions and their workers.
    pub content: ContentHash,
    /// The raw transactions.
    #[serde(skip)]
    pub transactions: Vec<bytes::Bytes>,
}

/// A commit as a node stores it. Its digest covers everything in it.
#[derive(Clone, Debug, Display, PartialEq, Eq, Serialize)]
#[display("commit {index}:{digest} of epoch {epoch}, leader {leader}")]
pub struct SeenCommit {
    pub epoch: Epoch,
    pub index: CommitIndex,
    pub digest: CommitDigest,
    #[serde(skip)]
    pub previous: CommitDigest,
    #[serde(skip)]
    pub leader: BlockRef,
    #[serde(skip)]
    pub timestamp_ms: TimestampMs,
    #[serde(skip)]
    pub epoch_began_ms: TimestampMs,
    /// Authorities whose end-of-epoch marks are committed, ascending.
    #[serde(skip)]
    pub ending: Vec<AuthorityIndex>,
    /// The sub-DAG in delivery order.
    #[serde(skip)]
    pub blocks: Vec<BlockRef>,
}

/// A committee member.
#[derive(Clone, Display, PartialEq, Eq, Serialize)]
#[display("{:02x?}… with stake {stake}", &authority_key[..authority_key.len().min(3)])]
pub struct Member {
    pub authority_key: Vec<u8>,
    pub protocol_key: [u8; 32],
    pub stake: u64,
    pub address: Vec<u8>,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The record of an epoch.
#[derive(Clone, Debug, Display, PartialEq, Eq, Serialize)]
#[display("epoch {epoch}: after {base}, at {start_ms} ms, step {step}")]
pub struct EpochRecord {
    pub epoch: Epoch,
    pub base: GlobalExecIndex,
    pub start_ms: TimestampMs,
    /// In the order of authority indexes.
    pub committee: Vec<Member>,
    pub step: ChangeStep,
}

/// The last completed step of an epoch change (contract §7).
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum ChangeStep {
    #[display("running")]
    Running,
    #[display("boundary committed, {_0}")]
    BoundaryCommitted(SeenBoundary),
    #[display("executor drained, {_0}")]
    Drained(SeenBoundary),
    #[display("executor advanced, {_0}")]
    Advanced(SeenBoundary),
}

impl ChangeStep {
    /// Whether this is the step that a node reports.
    #[must_use]
    pub fn is(&self, reported: &types::ChangeStep) -> bool {
        let of = |boundary: &types::Boundary| SeenBoundary {
            commit: boundary.commit.index,
            digest: boundary.commit.digest,
            gei: boundary.gei,
            timestamp_ms: boundary.timestamp_ms,
        };
        *self
            == match reported {
                types::ChangeStep::Running => Self::Running,
                types::ChangeStep::BoundaryCommitted(b) => Self::BoundaryCommitted(of(b)),
                types::ChangeStep::Drained(b) => Self::Drained(of(b)),
                types::ChangeStep::Advanced(b) => Self::Advanced(of(b)),
            }
    }
}

/// The last commit of an epoch.
#[derive(Clone, Copy, Debug, Display, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[display("boundary {commit}:{digest} at GEI {gei} and {timestamp_ms} ms")]
pub struct SeenBoundary {
    pub commit: CommitIndex,
    pub digest: CommitDigest,
    pub gei: GlobalExecIndex,
    pub timestamp_ms: TimestampMs,
}
