//! Events of the trace in words: what each says about its process, without naming it.

use super::{verdict::hex, words};
use metanode_core::env::{Event, ExecutorEvent, NodeEvent};
use metanode_sim::trace::{Entry, What, WorldEvent};

/// One entry of the trace on one line: time, process and what happened.
#[must_use]
pub fn line(entry: &Entry) -> String {
    let Entry { at, process, what } = entry;
    format!("{at}  {process} {}", text(what))
}

/// What happened.
#[must_use]
pub fn text(what: &What) -> String {
    match what {
        What::Did(Event::Node(event)) => node(event),
        What::Did(Event::Executor(event)) => executor(event),
        What::Did(Event::Crashed(point)) => format!("crashes at {point}"),
        What::Befell(event) => world(event),
    }
}

fn node(event: &NodeEvent) -> String {
    use NodeEvent as E;
    match event {
        E::Starting => "comes up".into(),
        E::Waiting { attempt, reason } => format!("waits (attempt {attempt}): {reason}"),
        E::ExecutorQueried { epoch, watermark } => {
            format!("hears from its executor: epoch {epoch}, durable at {watermark}")
        }
        E::Recovered {
            last_commit,
            highest_round,
            own_round,
        } => format!(
            "finds commit {last_commit}, round {highest_round} and its own round {own_round} in its store"
        ),
        E::ReplayPlanned(plan) => format!("plans: {plan}"),
        E::OwnRoundLearned { round } => {
            format!("hears from peers that it proposed up to round {round}")
        }
        E::Ready => "is ready".into(),
        E::Stopped => "stops".into(),
        E::Failed { reason } => format!("fails: {reason}"),
        E::Proposed {
            block,
            transactions,
            payload_bytes,
            ..
        } => format!("proposes {block}: {transactions} transactions, {payload_bytes} bytes"),
        E::Rejected { from, reason } => format!("rejects what node-{from} sent: {reason}"),
        E::Equivocation { slot } => format!("sees two blocks for {slot}"),
        E::AncestorsMissing { count } => format!("misses {count} ancestors"),
        E::AncestorsFetched { count } => format!("has fetched {count} ancestors"),
        E::LeaderSkipped { slot } => format!("decides against the leader {slot}"),
        E::CommitStored {
            epoch,
            commit,
            gei,
            leader,
            blocks,
            origin,
        } => format!(
            "stores {commit} of epoch {epoch} as GEI {gei}: leader {leader}, {blocks} blocks, {origin:?}"
        ),
        E::StreamConnected { connection, start } => {
            format!("delivers from GEI {start} on (stream {connection})")
        }
        E::StreamLost { connection, reason } => format!("loses stream {connection}: {reason}"),
        E::WindowLoaded {
            blocks,
            capacity,
            last,
        } => format!("loads its window up to GEI {last}: {blocks} of {capacity} blocks"),
        E::FrameWritten {
            connection,
            gei,
            epoch,
            commit,
        } => {
            format!("writes GEI {gei}, which is {commit} of epoch {epoch}, to stream {connection}")
        }
        E::WatermarkLearned { watermark } => format!("hears that GEI {watermark} is durable"),
        E::Rewound { from, to } => format!("rewinds from GEI {from} to {to}"),
        E::ProposalsPaused { blocks } => {
            format!("stops proposing: {blocks} blocks are not durable")
        }
        E::ProposalsResumed { blocks } => {
            format!("proposes again: {blocks} blocks are not durable")
        }
        E::RpcSent {
            connection,
            request,
            kind,
        } => format!("asks {kind:?} (connection {connection}, request {request})"),
        E::RpcAnswered {
            connection,
            request,
            reply,
            kind,
        } => format!(
            "takes reply {reply} for its request {request}, {kind:?} (connection {connection})"
        ),
        E::RpcFailed {
            connection,
            kind,
            reason,
        } => format!("gets no answer to {kind:?} (connection {connection}): {reason}"),
    }
}

fn executor(event: &ExecutorEvent) -> String {
    use ExecutorEvent as E;
    match event {
        E::Started {
            watermark,
            state_root,
        } => format!(
            "finds block {watermark} on its disk, root {}",
            hex(&state_root[..4])
        ),
        E::StreamAccepted { connection } => format!("accepts stream {connection}"),
        E::StreamClosed { connection, reason } => format!("closes stream {connection}: {reason}"),
        E::Received { connection, gei } => format!("reads GEI {gei} from stream {connection}"),
        E::Refused { gei, expected } => format!("refuses GEI {gei}: expected {expected}"),
        E::Executed {
            gei,
            epoch,
            commit,
            content,
            state_root,
            applied,
            skipped,
        } => format!(
            "executes GEI {gei}, commit {commit} of epoch {epoch} with content {}: {} applied, {skipped} skipped, root {}",
            hex(&content[..4]),
            applied.len(),
            hex(&state_root[..4])
        ),
        E::Durable { watermark } => format!("is durable at {watermark}"),
        E::Reported { watermark } => format!("reports {watermark}"),
        E::Replied { kind } => format!("answers {kind:?}"),
        E::Stopped => "stops".into(),
        E::Failed { reason } => format!("fails: {reason}"),
    }
}

fn world(event: &WorldEvent) -> String {
    use WorldEvent as E;
    match event {
        E::Started { start: 1 } => "starts".into(),
        E::Started { start } => format!("starts again (start {start})"),
        E::Killed => "is killed".into(),
        E::PowerLost { lost_writes } => {
            format!("loses power and {lost_writes} writes that were not synced")
        }
        E::Panicked { message } => format!("panics: {message}"),
        E::Paused => "is paused".into(),
        E::Resumed => "goes on".into(),
        E::Stalled => "stalls: reads and answers, executes nothing".into(),
        E::Unstalled => "executes again".into(),
        E::Partitioned { hosts } => format!("cuts off hosts {hosts:?}"),
        E::PartitionHealed { hosts } => format!("connects hosts {hosts:?} again"),
        E::FaultBegan { action } => format!("begins: {}", words::action(action)),
        E::FaultEnded { action } => format!("ends: {}", words::action(action)),
        E::FaultSkipped { action } => {
            format!("leaves out, because too many are down: {}", words::action(action))
        }
        E::DiskRestored { taken } => format!("has its disk of {taken} again"),
        E::FaultsEnded => "ends all faults: progress is demanded".into(),
        E::CaughtUp { tip } => format!("sees every live executor at GEI {tip}"),
        E::Submitted { transaction } => format!("is handed transaction {transaction}"),
    }
}
