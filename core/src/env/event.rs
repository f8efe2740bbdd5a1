//! Typed domain events. Production writes them as structured log lines under the targets of contract §11; the simulator
//! appends them to the trace and passes them to the oracles.
//!
//! Numbers that no event carries are [quantities](Quantity).
//!
//! `Display` describes an event without naming the process; logs, reports and timelines share it. An event must not
//! carry anything that differs between two runs of one seed (addresses in memory, ids of libraries).

use super::{CrashPoint, ExecutorEvent, PeerEvent, Quantity, Reading, SessionKeys, SubEvent};
use crate::types::{
    AuthorityIndex, BlockRef, ChangeStep, CommitIndex, CommitRef, CommitteeDigest, Epoch,
    EpochBase, GlobalExecIndex, ReplayPlan, Round, Slot, TimestampMs,
};
use derive_more::Display;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// The receiver of events.
pub trait EventSink: Send + Sync {
    /// Takes an event. It may be told with locks of the process held: a receiver must not need them.
    fn emit(&self, event: Event);

    /// Reads a quantity from now on with this function, whenever metrics are asked for. Ignored where there are none. The
    /// function takes locks of the process: a receiver must not hold one meanwhile that [`Self::emit`] needs.
    fn measure(&self, _quantity: Quantity, _read: Reading) {}

    /// A session between nodes has these keys. Ignored in production: a witness of a simulation reads it with them.
    fn on_session(&self, _keys: &SessionKeys) {}
}

/// Serializes explanatory text of an event: present in human-readable formats, left out of the binary format that the
/// simulator hashes, so that a changed wording does not change trace hashes.
///
/// # Errors
/// Those of the serializer.
pub fn for_people<T: Serialize, S: Serializer>(text: &T, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        text.serialize(serializer)
    } else {
        serializer.serialize_unit()
    }
}

/// An event of a process.
#[derive(Clone, Debug, Display, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    Node(NodeEvent),
    Executor(ExecutorEvent),
    Sub(SubEvent),
    /// A crash point ended the process (emitted by the simulator only).
    #[display("crashes at {_0}")]
    Crashed(CrashPoint),
}

impl From<PeerEvent> for Event {
    fn from(event: PeerEvent) -> Self {
        NodeEvent::Peers(event).into()
    }
}

impl From<NodeEvent> for Event {
    fn from(event: NodeEvent) -> Self {
        Self::Node(event)
    }
}

impl From<SubEvent> for Event {
    fn from(event: SubEvent) -> Self {
        Self::Sub(event)
    }
}

impl From<ExecutorEvent> for Event {
    fn from(event: ExecutorEvent) -> Self {
        Self::Executor(event)
    }
}

/// Events of a node. `connection` counts the block-stream connections of one incarnation, from 1.
#[derive(Clone, Debug, Display, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeEvent {
    /// The process started.
    #[display("starts")]
    Starting,
    /// The start cannot continue yet. `attempt` counts from 1.
    #[display("waits (attempt {attempt}): {reason}")]
    Waiting {
        attempt: u32,
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
    /// The executor is asked for W and its epoch (contract §6.1), until it answers.
    #[display("asks its executor for W and its epoch")]
    QueryingExecutor,
    /// The executor returned W and its epoch, before anything that replays is created (contract §6.1).
    #[display("learns from its executor: epoch {epoch}, durable at {watermark}")]
    ExecutorQueried {
        epoch: Epoch,
        watermark: GlobalExecIndex,
    },
    /// The executor did not answer, and the policy is to deliver everything again (contract §6.2): from the beginning of the
    /// newest epoch in the store.
    #[display("takes W as {watermark} in epoch {epoch}, as its start policy says: {reason}")]
    GenesisAssumed {
        epoch: Epoch,
        watermark: GlobalExecIndex,
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
    /// A validator of the executor cannot be a member of the committee of this epoch.
    #[display("leaves a validator out of epoch {epoch}: {reason}")]
    ValidatorLeftOut {
        epoch: Epoch,
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
    /// State recovered from the store: the last commit, the highest round of any block and of an own one.
    #[display(
        "finds commit {last_commit}, round {highest_round} and its own round {last_proposed_round} in its store"
    )]
    Recovered {
        last_commit: CommitIndex,
        highest_round: Round,
        last_proposed_round: Round,
    },
    /// The replay plan was computed (contract §6.3).
    #[display("plans: {_0}")]
    ReplayPlanned(ReplayPlan),
    /// The delivery of an epoch was created, before recovery can produce commits (contract §6.4).
    #[display("creates the consumer of epoch {epoch}, from GEI {start} on")]
    ConsumerCreated {
        epoch: Epoch,
        start: GlobalExecIndex,
    },
    /// Peers answered which own blocks they have; the node proposes only above this round (contract §6.5).
    #[display("learns from peers that it proposed up to round {round}")]
    LastProposedRoundLearned { round: Round },
    /// All tasks of the node run.
    #[display("is ready")]
    Ready,
    /// The node enters an epoch, whose record and store exist.
    #[display("opens epoch {} after GEI {}, at {start_timestamp_ms} ms, with committee {committee}, {}", base.epoch, base.base, Role(*own))]
    EpochOpened {
        base: EpochBase,
        start_timestamp_ms: TimestampMs,
        committee: CommitteeDigest,
        /// The node's index in the committee; `None` if it is a follower.
        own: Option<AuthorityIndex>,
    },
    /// A step of the change out of an epoch was recorded (contract §7).
    #[display("records of epoch {epoch}: {step}")]
    ChangeRecorded { epoch: Epoch, step: ChangeStep },
    /// Transactions of own blocks that no commit of the epoch contains were put back into the pool.
    #[display("will propose {transactions} transactions again that epoch {epoch} did not commit")]
    Requeued { epoch: Epoch, transactions: u32 },
    /// The store of an expired epoch was removed.
    #[display("removes the store of epoch {epoch}")]
    EpochRemoved { epoch: Epoch },
    /// The process shut down cleanly.
    #[display("stops")]
    Stopped,
    /// The process ends because of an error from which it cannot recover.
    #[display("fails: {reason}")]
    Failed {
        #[serde(serialize_with = "for_people")]
        reason: String,
    },

    /// An own block was stored and published to peers.
    #[display("proposes {block}: {transactions} transactions, {payload_bytes} bytes")]
    Proposed {
        /// Needed because rounds restart in every epoch: an authority may sign one block per (epoch, round).
        epoch: Epoch,
        block: BlockRef,
        transactions: u32,
        payload_bytes: u32,
    },
    /// A message of a peer was invalid.
    #[display("rejects what authority {from} sent: {reason}")]
    Rejected {
        from: u16,
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
    /// A peer is of another chain: nothing is exchanged with it.
    #[display("refuses authority {peer}, which is of another chain: {difference}")]
    PeerOfOtherChain {
        peer: u16,
        #[serde(serialize_with = "for_people")]
        difference: String,
    },
    /// Who listens at the address of a peer has not proven to be it: nothing is exchanged with it.
    #[display("does not trust who listens for authority {peer}: {reason}")]
    PeerNotAuthenticated {
        peer: u16,
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
    /// A peer has sent no blocks for this time, although it was asked for them, for the last reason.
    #[display("has had no blocks of authority {peer} for {for_ms} ms: {reason}")]
    PeerSilent {
        peer: u16,
        for_ms: u64,
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
    /// A peer sends blocks again, after it was told that it sends none.
    #[display("gets blocks of authority {peer} again")]
    PeerHeardAgain { peer: u16 },
    /// A member has more connections to this node than it may: the oldest of them is closed.
    #[display(
        "closes the oldest connection of authority {peer} of epoch {epoch}, which has more than it may"
    )]
    PeerDisplaced { epoch: Epoch, peer: u16 },
    /// Two blocks for one slot were received.
    #[display("sees two blocks for {slot} of epoch {epoch}")]
    Equivocation { epoch: Epoch, slot: Slot },
    /// Suspended blocks wait for this many ancestors that no peer has sent.
    #[display("misses {count} ancestors")]
    AncestorsMissing { count: u32 },
    /// Missing ancestors were fetched from a peer.
    #[display("has fetched {count} ancestors")]
    AncestorsFetched { count: u32 },
    /// A node that is behind needs commits that peers have removed with their epoch, and nobody else has sent them (contract
    /// §10.4). `from` is the first of them, `peers` of `of` say that they have removed it, and `oldest` is the oldest epoch
    /// that one of them keeps.
    #[display(
        "has waited {for_ms} ms for commits of epoch {epoch} from {from} on: {peers} of {of} peers have removed that epoch, \
         and nobody else has sent them. Restore the executor of this node from a snapshot of epoch {oldest} or later, or \
         start a peer that still has epoch {epoch} (retained_epochs)"
    )]
    HistoryMissing {
        epoch: Epoch,
        from: CommitIndex,
        peers: u16,
        of: u16,
        oldest: Epoch,
        for_ms: u64,
    },
    /// Damaged blocks of stored commits were fetched from a peer and stored again.
    #[display("has fetched {count} damaged blocks again")]
    BlocksRepaired { count: u32 },
    /// A stored commit that recovery needs is damaged: the commit log was cut before it.
    #[display("finds commit {index} damaged and ends its log before it")]
    LogCut { index: CommitIndex },
    /// A damaged commit was fetched from a peer and stored again.
    #[display("has fetched damaged commit {index} again")]
    CommitRepaired { index: CommitIndex },
    /// The commit rule skipped a leader slot.
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
        /// How the commit was decided.
        origin: CommitOrigin,
    },

    /// A connection to the executor's block stream was established and starts at this GEI.
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
    /// A frame was written to the socket in full.
    #[display("writes GEI {gei}, which is {commit} of epoch {epoch}, to stream {connection}")]
    FrameWritten {
        connection: u64,
        gei: GlobalExecIndex,
        epoch: Epoch,
        commit: CommitRef,
    },
    /// The executor reported a new watermark, and the window was updated.
    #[display("learns that GEI {watermark} is durable")]
    WatermarkLearned { watermark: GlobalExecIndex },
    /// The executor has been sent everything up to `written`, and has reported the same watermark for this long.
    #[display(
        "has waited {for_ms} ms: its executor has been sent all up to GEI {written} and reports {watermark}: {advice}"
    )]
    WatermarkStands {
        watermark: GlobalExecIndex,
        written: GlobalExecIndex,
        for_ms: u64,
        #[serde(serialize_with = "for_people")]
        advice: String,
    },
    /// The watermark fell: delivery continues above the lower one.
    #[display("rewinds from GEI {from} to {to}")]
    Rewound {
        from: GlobalExecIndex,
        to: GlobalExecIndex,
    },
    /// The window is full: the node stops proposing (contract §5).
    #[display(
        "stops proposing: {blocks} blocks are not durable; a faster executor helps, or a larger min_round_delay_ms"
    )]
    ProposalsPaused { blocks: u32 },
    /// The window has drained to half.
    #[display("proposes again: {blocks} blocks are not durable")]
    ProposalsResumed { blocks: u32 },

    /// About the executors of peers.
    #[display("{_0}")]
    Peers(PeerEvent),

    /// A request was sent: the `request`-th of this RPC connection, both counted from 1.
    #[display("asks {kind:?} (connection {connection}, request {request})")]
    RpcSent {
        connection: u64,
        request: u64,
        kind: RpcKind,
    },
    /// The `reply`-th reply read from this connection was taken as the answer to that request. The numbers must be
    /// equal (invariant RPC).
    #[display("takes reply {reply} for its request {request}, {kind:?} (connection {connection})")]
    RpcAnswered {
        connection: u64,
        request: u64,
        reply: u64,
        kind: RpcKind,
    },
    /// An exchange failed and its connection was dropped.
    #[display("gets no answer to {kind:?} (connection {connection}): {reason}")]
    RpcFailed {
        connection: u64,
        kind: RpcKind,
        #[serde(serialize_with = "for_people")]
        reason: String,
    },
}

/// How a commit was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CommitOrigin {
    /// By certificates from 2f+1 stake for the leader.
    Direct,
    /// By the anchor of the leader slot.
    Indirect,
    /// Adopted as a certified commit from a peer.
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
    /// A request that this version does not serve.
    Unknown,
}

/// A node's role in an epoch.
struct Role(Option<AuthorityIndex>);

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(own) => write!(f, "as authority {own}"),
            None => f.write_str("as a follower"),
        }
    }
}
