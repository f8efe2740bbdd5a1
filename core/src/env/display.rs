//! Events in words: what each says about its process, without naming it. The log, reports and timelines share them.

use super::{Event, ExecutorEvent, NodeEvent};
use std::fmt;

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(event) => event.fmt(f),
            Self::Executor(event) => event.fmt(f),
            Self::Crashed(point) => write!(f, "crashes at {point}"),
        }
    }
}

impl fmt::Display for NodeEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use NodeEvent as E;
        match self {
            E::Starting => f.write_str("comes up"),
            E::Waiting { attempt, reason } => write!(f, "waits (attempt {attempt}): {reason}"),
            E::ExecutorQueried { epoch, watermark } => {
                write!(
                    f,
                    "hears from its executor: epoch {epoch}, durable at {watermark}"
                )
            }
            E::Recovered {
                last_commit,
                highest_round,
                last_proposed_round,
            } => write!(
                f,
                "finds commit {last_commit}, round {highest_round} and its own round {last_proposed_round} in its store"
            ),
            E::ReplayPlanned(plan) => write!(f, "plans: {plan}"),
            E::LastProposedRoundLearned { round } => {
                write!(f, "hears from peers that it proposed up to round {round}")
            }
            E::Ready => f.write_str("is ready"),
            E::EpochOpened {
                base,
                start_timestamp_ms,
                committee,
                own,
            } => {
                write!(
                    f,
                    "opens epoch {} after GEI {}, at {start_timestamp_ms} ms, with committee {committee}, ",
                    base.epoch, base.base
                )?;
                match own {
                    Some(own) => write!(f, "as authority {own}"),
                    None => f.write_str("as a follower"),
                }
            }
            E::ChangeRecorded { epoch, step } => write!(f, "records of epoch {epoch}: {step}"),
            E::Requeued {
                epoch,
                transactions,
            } => write!(
                f,
                "will propose {transactions} transactions again that epoch {epoch} did not commit"
            ),
            E::EpochRemoved { epoch } => write!(f, "removes the store of epoch {epoch}"),
            E::Stopped => f.write_str("stops"),
            E::Failed { reason } => write!(f, "fails: {reason}"),
            E::Proposed {
                block,
                transactions,
                payload_bytes,
                ..
            } => write!(
                f,
                "proposes {block}: {transactions} transactions, {payload_bytes} bytes"
            ),
            E::Rejected { from, reason } => write!(f, "rejects what node-{from} sent: {reason}"),
            E::Equivocation { slot } => write!(f, "sees two blocks for {slot}"),
            E::AncestorsMissing { count } => write!(f, "misses {count} ancestors"),
            E::LogCut { index } => {
                write!(f, "finds commit {index} damaged and ends its log before it")
            }
            E::CommitRepaired { index } => write!(f, "has fetched damaged commit {index} again"),
            E::BlocksRepaired { count } => write!(f, "has fetched {count} damaged blocks again"),
            E::AncestorsFetched { count } => write!(f, "has fetched {count} ancestors"),
            E::LeaderSkipped { slot } => write!(f, "decides against the leader {slot}"),
            E::CommitStored {
                epoch,
                commit,
                gei,
                leader,
                blocks,
                origin,
            } => write!(
                f,
                "stores {commit} of epoch {epoch} as GEI {gei}: leader {leader}, {blocks} blocks, {origin:?}"
            ),
            E::StreamConnected { connection, start } => {
                write!(f, "delivers from GEI {start} on (stream {connection})")
            }
            E::StreamLost { connection, reason } => {
                write!(f, "loses stream {connection}: {reason}")
            }
            E::WindowLoaded {
                blocks,
                capacity,
                last,
            } => write!(
                f,
                "loads its window up to GEI {last}: {blocks} of {capacity} blocks"
            ),
            E::FrameWritten {
                connection,
                gei,
                epoch,
                commit,
            } => {
                write!(
                    f,
                    "writes GEI {gei}, which is {commit} of epoch {epoch}, to stream {connection}"
                )
            }
            E::WatermarkLearned { watermark } => write!(f, "hears that GEI {watermark} is durable"),
            E::Rewound { from, to } => write!(f, "rewinds from GEI {from} to {to}"),
            E::ProposalsPaused { blocks } => {
                write!(f, "stops proposing: {blocks} blocks are not durable")
            }
            E::ProposalsResumed { blocks } => {
                write!(f, "proposes again: {blocks} blocks are not durable")
            }
            E::RpcSent {
                connection,
                request,
                kind,
            } => write!(
                f,
                "asks {kind:?} (connection {connection}, request {request})"
            ),
            E::RpcAnswered {
                connection,
                request,
                reply,
                kind,
            } => write!(
                f,
                "takes reply {reply} for its request {request}, {kind:?} (connection {connection})"
            ),
            E::RpcFailed {
                connection,
                kind,
                reason,
            } => write!(
                f,
                "gets no answer to {kind:?} (connection {connection}): {reason}"
            ),
        }
    }
}

impl fmt::Display for ExecutorEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ExecutorEvent as E;
        match self {
            E::Started {
                watermark,
                state_root,
            } => write!(
                f,
                "finds block {watermark} on its disk, root {}",
                FirstBytes(state_root)
            ),
            E::StreamAccepted { connection } => write!(f, "accepts stream {connection}"),
            E::StreamClosed { connection, reason } => {
                write!(f, "closes stream {connection}: {reason}")
            }
            E::Malformed { connection } => {
                write!(f, "cannot read what stream {connection} carries")
            }
            E::Received { connection, gei } => {
                write!(f, "reads GEI {gei} from stream {connection}")
            }
            E::Refused { gei, expected } => write!(f, "refuses GEI {gei}: expected {expected}"),
            E::Executed {
                gei,
                epoch,
                commit,
                content,
                state_root,
                applied,
                skipped,
            } => write!(
                f,
                "executes GEI {gei}, commit {commit} of epoch {epoch} with content {content:032x}: {} applied, {skipped} skipped, root {}",
                applied.len(),
                FirstBytes(state_root)
            ),
            E::Durable { watermark } => write!(f, "is durable at {watermark}"),
            E::EpochEntered {
                epoch,
                boundary,
                start_timestamp_ms,
            } => write!(
                f,
                "enters epoch {epoch} after GEI {boundary}, at {start_timestamp_ms} ms"
            ),
            E::Reported { watermark } => write!(f, "reports {watermark}"),
            E::Replied { kind } => write!(f, "answers {kind:?}"),
            E::Stopped => f.write_str("stops"),
            E::Failed { reason } => write!(f, "fails: {reason}"),
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
