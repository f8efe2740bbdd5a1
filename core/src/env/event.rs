//! Typed domain events: what happened, in the words of the contract. Production turns them into structured log
//! lines under the targets of contract §11; the simulator chains them into the trace and shows them to the oracles.
//!
//! `Display` says what an event says about its process, without naming the process: logs, reports and timelines share it.
//! An event never carries anything that differs between two runs of one seed (addresses in memory, ids of libraries).

use super::CrashPoint;
use crate::types::{
    AuthorityIndex, BlockRef, ChangeStep, CommitIndex, CommitRef, CommitteeDigest, Epoch,
    EpochBase, GlobalExecIndex, ReplayPlan, Round, Slot, SpentNonce, TimestampMs, fixed_bytes,
};
use derive_more::Display;
use serde::{Deserialize, Serialize, Serializer};
use std::{fmt, sync::Arc};

/// Who is told what happens.
pub trait EventSink: Send + Sync {
    fn emit(&self, event: Event);
}

/// Text that explains an event and decides nothing: written where people read the event, left out of the binary form
/// that the simulator hashes, so that a better wording is not another trace.
///
/// # Errors
/// The serializer's.
pub fn for_people<T: Serialize, S: Serializer>(text: &T, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        text.serialize(serializer)
    } else {
        serializer.serialize_unit()
    }
}

/// Something that happened in a node or in an executor.
#[derive(Clone, Debug, Display, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    Node(NodeEvent),
    Executor(ExecutorEvent),
    /// A crash point was reached (only the simulator writes these, and only when one ends a process).
    #[display("crashes at {_0}")]
    Crashed(CrashPoint),
}

impl From<NodeEvent> for Event {
    fn from(event: NodeEvent) -> Self {
        Self::Node(event)
    }
}

impl From<ExecutorEvent> for Event {
    fn from(event: ExecutorEvent) -> Self {
        Self::Executor(event)
    }
}

/// What a node reports. `connection` numbers the block-stream connections of one node start, from 1.
#[derive(Clone, Debug, Display, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeEvent {
    /// The process began.
    #[display("starts")]
    Starting,
    /// The start cannot go on yet and says why. `attempt` counts from 1.
    #[display("waits (attempt {attempt}): {reason}")]
    Waiting {
        attempt: u32,
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
    /// W and the epoch came from the executor, before anything that replays exists (contract §6.1).
    #[display("learns from its executor: epoch {epoch}, durable at {watermark}")]
    ExecutorQueried {
        epoch: Epoch,
        watermark: GlobalExecIndex,
    },
    /// What the store held: the last commit and the highest round of any block.
    #[display(
        "finds commit {last_commit}, round {highest_round} and its own round {last_proposed_round} in its store"
    )]
    Recovered {
        last_commit: CommitIndex,
        highest_round: Round,
        last_proposed_round: Round,
    },
    /// What will be replayed, from which situation (contract §6.3).
    #[display("plans: {_0}")]
    ReplayPlanned(ReplayPlan),
    /// Own blocks known to peers were counted in; proposing may begin above this round (contract §6.5).
    #[display("learns from peers that it proposed up to round {round}")]
    LastProposedRoundLearned { round: Round },
    /// Everything runs.
    #[display("is ready")]
    Ready,
    /// This node takes part in an epoch from here on, recorded and with a store.
    #[display("opens epoch {} after GEI {}, at {start_timestamp_ms} ms, with committee {committee}, {}", base.epoch, base.base, Role(*own))]
    EpochOpened {
        base: EpochBase,
        start_timestamp_ms: TimestampMs,
        committee: CommitteeDigest,
        /// Its place in the committee; none if it only follows.
        own: Option<AuthorityIndex>,
    },
    /// A step of the change out of an epoch was recorded (contract §7).
    #[display("records of epoch {epoch}: {step}")]
    ChangeRecorded { epoch: Epoch, step: ChangeStep },
    /// Transactions of own blocks that no commit of the epoch contains are to be proposed again.
    #[display("will propose {transactions} transactions again that epoch {epoch} did not commit")]
    Requeued { epoch: Epoch, transactions: u32 },
    /// The store of an epoch was removed: nobody needs it any more.
    #[display("removes the store of epoch {epoch}")]
    EpochRemoved { epoch: Epoch },
    /// The process ends by itself, in good order.
    #[display("stops")]
    Stopped,
    /// The process ends because it must not go on.
    #[display("fails: {reason}")]
    Failed {
        #[serde(serialize_with = "for_people")]
        reason: String,
    },

    /// A new own block was stored and is offered to peers.
    #[display("proposes {block}: {transactions} transactions, {payload_bytes} bytes")]
    Proposed {
        /// Rounds begin anew in every epoch: only together do they name what may be signed once.
        epoch: Epoch,
        block: BlockRef,
        transactions: u32,
        payload_bytes: u32,
    },
    /// Something received was not believed.
    #[display("rejects what node-{from} sent: {reason}")]
    Rejected {
        from: u16,
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
    /// Two blocks of one author for one round were seen.
    #[display("sees two blocks for {slot}")]
    Equivocation { slot: Slot },
    /// Blocks wait for this many ancestors that nobody sent yet.
    #[display("misses {count} ancestors")]
    AncestorsMissing { count: u32 },
    /// Missing ancestors came from a peer that was asked.
    #[display("has fetched {count} ancestors")]
    AncestorsFetched { count: u32 },
    /// Blocks of stored commits that the disk had damaged came from a peer and were stored again.
    #[display("has fetched {count} damaged blocks again")]
    BlocksRepaired { count: u32 },
    /// A stored commit that a start needs is damaged: the log ends before it.
    #[display("finds commit {index} damaged and ends its log before it")]
    LogCut { index: CommitIndex },
    /// A stored commit that the disk had damaged came from a peer and was stored again.
    #[display("has fetched damaged commit {index} again")]
    CommitRepaired { index: CommitIndex },
    /// The commit rule decided a leader slot against a block.
    #[display("skips the leader {slot}")]
    LeaderSkipped { slot: Slot },
    /// A commit was stored and synced.
    #[display(
        "stores {commit} of epoch {epoch} as GEI {gei}: leader {leader}, {blocks} blocks, {origin:?}"
    )]
    CommitStored {
        epoch: Epoch,
        commit: CommitRef,
        gei: GlobalExecIndex,
        leader: BlockRef,
        blocks: u32,
        /// How it came to be.
        origin: CommitOrigin,
    },

    /// A connection to the executor's block stream stands and starts at this GEI.
    #[display("delivers from GEI {start} on (stream {connection})")]
    StreamConnected {
        connection: u64,
        start: GlobalExecIndex,
    },
    /// The block stream broke.
    #[display("loses stream {connection}: {reason}")]
    StreamLost {
        connection: u64,
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
    /// Commits were loaded into the window.
    #[display("loads its window up to GEI {last}: {blocks} of {capacity} blocks")]
    WindowLoaded {
        blocks: u32,
        capacity: u32,
        last: GlobalExecIndex,
    },
    /// A frame went to the socket in full.
    #[display("writes GEI {gei}, which is {commit} of epoch {epoch}, to stream {connection}")]
    FrameWritten {
        connection: u64,
        gei: GlobalExecIndex,
        epoch: Epoch,
        commit: CommitRef,
    },
    /// The executor said what is durable, and the sender took it in.
    #[display("learns that GEI {watermark} is durable")]
    WatermarkLearned { watermark: GlobalExecIndex },
    /// The watermark fell below what was trimmed: delivery starts again above it.
    #[display("rewinds from GEI {from} to {to}")]
    Rewound {
        from: GlobalExecIndex,
        to: GlobalExecIndex,
    },
    /// The window is full: the node stops proposing (contract §5).
    #[display("stops proposing: {blocks} blocks are not durable")]
    ProposalsPaused { blocks: u32 },
    /// The window has drained to half.
    #[display("proposes again: {blocks} blocks are not durable")]
    ProposalsResumed { blocks: u32 },

    /// A request went out: the `request`-th of this RPC connection, both counted from 1.
    #[display("asks {kind:?} (connection {connection}, request {request})")]
    RpcSent {
        connection: u64,
        request: u64,
        kind: RpcKind,
    },
    /// A reply was used for that request: the `reply`-th read from this connection. A reply answers the request of
    /// the same number or none (invariant RPC).
    #[display("takes reply {reply} for its request {request}, {kind:?} (connection {connection})")]
    RpcAnswered {
        connection: u64,
        request: u64,
        reply: u64,
        kind: RpcKind,
    },
    /// An exchange failed; its connection is gone.
    #[display("gets no answer to {kind:?} (connection {connection}): {reason}")]
    RpcFailed {
        connection: u64,
        kind: RpcKind,
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
}

/// How a node came by a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CommitOrigin {
    /// 2f+1 certificates for the leader were seen.
    Direct,
    /// A later leader decided for it.
    Indirect,
    /// Fetched with 2f+1 votes from peers that were ahead.
    Certified,
}

/// The requests of the executor RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RpcKind {
    GetActiveValidators,
    GetValidatorsAtBlock,
    GetLastBlockNumber,
    GetCurrentEpoch,
    GetEpochStartTimestamp,
    AdvanceEpoch,
    GetEpochBoundaryData,
    GetBlocksRange,
    /// A request this build does not serve.
    Unknown,
}

/// What an executor reports. `connection` numbers the accepted block streams of one executor start, from 1.
#[derive(Clone, Debug, Display, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecutorEvent {
    /// The process began and found this watermark and root on its disk.
    #[display("finds block {watermark} on its disk, root {}", FirstBytes(state_root))]
    Started {
        watermark: GlobalExecIndex,
        #[serde(with = "fixed_bytes")]
        state_root: [u8; 32],
    },
    /// A metanode connected to the block stream; an older stream is served no more.
    #[display("accepts stream {connection}")]
    StreamAccepted { connection: u64 },
    /// A block stream ended, or was ended because of what came over it.
    #[display("closes stream {connection}: {reason}")]
    StreamClosed {
        connection: u64,
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
    /// What came over a block stream is no block; the stream is closed.
    #[display("cannot read what stream {connection} carries")]
    Malformed { connection: u64 },
    /// A whole frame was read.
    #[display("reads GEI {gei} from stream {connection}")]
    Received {
        connection: u64,
        gei: GlobalExecIndex,
    },
    /// The guard did not let a block in. `below` tells a repetition from a hole.
    #[display("refuses GEI {gei}: expected {expected}")]
    Refused {
        gei: GlobalExecIndex,
        expected: GlobalExecIndex,
    },
    /// A block changed the state in memory.
    #[display("executes GEI {gei}, commit {commit} of epoch {epoch} with content {content:032x}: {} applied, {skipped} skipped, root {}", applied.len(), FirstBytes(state_root))]
    Executed {
        gei: GlobalExecIndex,
        epoch: Epoch,
        commit: CommitIndex,
        /// xxh3 over the frame's bytes: tells two contents apart, and needs to stand up to nobody.
        #[serde(with = "hex_u128")]
        content: u128,
        /// Root after the block.
        #[serde(with = "fixed_bytes")]
        state_root: [u8; 32],
        /// What the transactions that changed state spent, in order.
        applied: Arc<[SpentNonce]>,
        /// Transactions that did not (used nonce, no funds, undecodable).
        skipped: u32,
    },
    /// The watermark and everything it stands for would survive a crash.
    #[display("is durable at {watermark}")]
    Durable { watermark: GlobalExecIndex },
    /// An epoch began, durably.
    #[display("enters epoch {epoch} after GEI {boundary}, at {start_timestamp_ms} ms")]
    EpochEntered {
        epoch: Epoch,
        boundary: GlobalExecIndex,
        start_timestamp_ms: TimestampMs,
    },
    /// A requester was told this watermark.
    #[display("reports {watermark}")]
    Reported { watermark: GlobalExecIndex },
    /// A request was answered.
    #[display("answers {kind:?}")]
    Replied { kind: RpcKind },
    /// The process ends by itself, in good order.
    #[display("stops")]
    Stopped,
    /// The process ends because it must not go on.
    #[display("fails: {reason}")]
    Failed {
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
}

/// As whom a node takes part in an epoch.
struct Role(Option<AuthorityIndex>);

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(own) => write!(f, "as authority {own}"),
            None => f.write_str("as a follower"),
        }
    }
}

/// The first bytes of a digest, enough to tell two apart.
struct FirstBytes<'a>(&'a [u8; 32]);

impl fmt::Display for FirstBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A 128-bit number as 32 hexadecimal digits where people read it: JSON has no numbers of that size.
mod hex_u128 {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub fn serialize<S: Serializer>(number: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&format_args!("{number:032x}"))
        } else {
            number.serialize(serializer)
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        if !deserializer.is_human_readable() {
            return u128::deserialize(deserializer);
        }
        let digits = String::deserialize(deserializer)?;
        u128::from_str_radix(&digits, 16).map_err(|_| {
            D::Error::custom(format_args!(
                "`{digits}`: expected up to 32 hexadecimal digits"
            ))
        })
    }
}
