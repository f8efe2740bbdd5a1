//! Constructed traces: short functions for entries.
//!
//! The content of entries follows from the GEI, so that entries about one GEI agree unless a test changes them: epoch
//! 0, commit = GEI; digest, content, root and the only transaction contain the GEI. The base of an epoch is its start
//! timestamp, too.

use super::{Entry, ProcessId, SimTime, What, WorldEvent};
use crate::witness::{Fact, Taken, hash};
use bytes::Bytes;
use metanode_core::{
    env::{CommitOrigin, ExecutorEvent, NodeEvent},
    types::{
        AuthorityIndex, BlockDigest, BlockRef, Boundary, ChangeStep, CommitDigest, CommitIndex,
        CommitRef, CommitteeDigest, Epoch, EpochBase, GlobalExecIndex, Round, SpentNonce,
        TimestampMs,
    },
};

pub(crate) fn node(at_ms: u64, n: u16, event: NodeEvent) -> Entry {
    Entry {
        at: SimTime::from_ms(at_ms),
        process: ProcessId::Node(n),
        what: What::Process(event.into()),
    }
}

pub(crate) fn executor(at_ms: u64, n: u16, event: ExecutorEvent) -> Entry {
    Entry {
        at: SimTime::from_ms(at_ms),
        process: ProcessId::Executor(n),
        what: What::Process(event.into()),
    }
}

/// Events of node 0 at the same time.
pub(crate) fn node_events(events: impl IntoIterator<Item = NodeEvent>) -> Vec<Entry> {
    events.into_iter().map(|event| node(0, 0, event)).collect()
}

/// Events of executor 0 at the same time.
pub(crate) fn executor_events(events: impl IntoIterator<Item = ExecutorEvent>) -> Vec<Entry> {
    let entry = |event| executor(0, 0, event);
    events.into_iter().map(entry).collect()
}

pub(crate) fn world_event(at_ms: u64, process: ProcessId, event: WorldEvent) -> Entry {
    Entry {
        at: SimTime::from_ms(at_ms),
        process,
        what: What::World(event),
    }
}

/// A power loss without torn writes.
pub(crate) const fn power_lost(lost_writes: u32) -> WorldEvent {
    WorldEvent::PowerLost {
        lost_writes,
        torn_writes: 0,
    }
}

pub(crate) const fn gei(gei: u64) -> GlobalExecIndex {
    GlobalExecIndex(gei)
}

fn bytes(gei: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&gei.to_be_bytes());
    bytes
}

fn commit(gei: u64) -> CommitRef {
    CommitRef {
        index: CommitIndex(gei as u32),
        digest: CommitDigest(bytes(gei)),
    }
}

/// The only block of this round and author in a legal trace.
pub(crate) fn block(round: u32, author: u16) -> BlockRef {
    BlockRef {
        round: Round(round),
        author: AuthorityIndex(author),
        digest: BlockDigest(bytes(u64::from(round) << 16 | u64::from(author))),
    }
}

pub(crate) fn proposed(block: BlockRef) -> NodeEvent {
    NodeEvent::Proposed {
        epoch: Epoch(0),
        block,
        transactions: 0,
        payload_bytes: 0,
    }
}

pub(crate) fn stored(of: u64) -> NodeEvent {
    NodeEvent::CommitStored {
        epoch: Epoch(0),
        commit: commit(of),
        gei: gei(of),
        leader: block(of as u32, 0),
        blocks: 1,
        origin: CommitOrigin::Direct,
    }
}

pub(crate) fn written(connection: u64, of: u64) -> NodeEvent {
    NodeEvent::FrameWritten {
        connection,
        gei: gei(of),
        epoch: Epoch(0),
        commit: commit(of),
    }
}

pub(crate) fn loaded(blocks: u32, capacity: u32, last: u64) -> NodeEvent {
    NodeEvent::WindowLoaded {
        blocks,
        capacity,
        last: gei(last),
    }
}

pub(crate) fn learned(watermark: u64) -> NodeEvent {
    NodeEvent::WatermarkLearned {
        watermark: gei(watermark),
    }
}

/// The start of an executor; its root is that of its watermark.
pub(crate) fn found(watermark: u64) -> ExecutorEvent {
    ExecutorEvent::Started {
        watermark: gei(watermark),
        state_root: bytes(watermark),
    }
}

pub(crate) fn executed(of: u64) -> ExecutorEvent {
    ExecutorEvent::Executed {
        gei: gei(of),
        epoch: Epoch(0),
        commit: CommitIndex(of as u32),
        content: of.into(),
        state_root: bytes(of),
        applied: [spent(of)].into(),
        skipped: 0,
    }
}

const fn spent(nonce: u64) -> SpentNonce {
    SpentNonce {
        sender: [7; 20],
        nonce,
    }
}

/// The transaction of this block.
pub(crate) fn transaction(of: u64) -> Bytes {
    of.to_be_bytes().to_vec().into()
}

/// Node `n` tells a client that it has taken the transaction of this block.
pub(crate) fn taken(at_ms: u64, n: u16, of: u64) -> Entry {
    let transaction = Taken {
        hash: hash(&transaction(of)),
        bytes: 8,
    };
    Entry {
        at: SimTime::from_ms(at_ms),
        process: ProcessId::Node(n),
        what: What::Seen(Fact::BatchAnswered {
            connection: 1,
            number: 1,
            success: true,
            for_good: false,
            taken: [transaction].into(),
            bytes: 8,
        }),
    }
}

pub(crate) fn durable(watermark: u64) -> ExecutorEvent {
    ExecutorEvent::Durable {
        watermark: gei(watermark),
    }
}

pub(crate) fn reported(watermark: u64) -> ExecutorEvent {
    ExecutorEvent::Reported {
        watermark: gei(watermark),
    }
}

/// By a member of the committee.
pub(crate) const fn opened(epoch: u64, base: u64) -> NodeEvent {
    epoch_opened(epoch, base, Some(AuthorityIndex(0)))
}

/// By a node that is not a member.
pub(crate) const fn follows(epoch: u64, base: u64) -> NodeEvent {
    epoch_opened(epoch, base, None)
}

const fn epoch_opened(epoch: u64, base: u64, own: Option<AuthorityIndex>) -> NodeEvent {
    NodeEvent::EpochOpened {
        base: EpochBase {
            epoch: Epoch(epoch),
            base: gei(base),
        },
        start_timestamp_ms: TimestampMs(base),
        committee: CommitteeDigest([epoch as u8; 32]),
        own,
    }
}

/// The epoch ends with this GEI.
pub(crate) fn boundary_committed(epoch: u64, last: u64) -> NodeEvent {
    recorded(epoch, ChangeStep::BoundaryCommitted(boundary(last)))
}

pub(crate) fn drained(epoch: u64, last: u64) -> NodeEvent {
    recorded(epoch, ChangeStep::Drained(boundary(last)))
}

pub(crate) fn advanced(epoch: u64, last: u64) -> NodeEvent {
    recorded(epoch, ChangeStep::Advanced(boundary(last)))
}

fn boundary(last: u64) -> Boundary {
    Boundary {
        commit: commit(last),
        gei: gei(last),
        timestamp_ms: TimestampMs(last),
    }
}

const fn recorded(epoch: u64, step: ChangeStep) -> NodeEvent {
    NodeEvent::ChangeRecorded {
        epoch: Epoch(epoch),
        step,
    }
}

pub(crate) const fn entered(epoch: u64, boundary: u64) -> ExecutorEvent {
    ExecutorEvent::EpochEntered {
        epoch: Epoch(epoch),
        boundary: gei(boundary),
        start_timestamp_ms: TimestampMs(boundary),
    }
}
