//! Hand-made traces: the shortest way to write an entry, and a judgement over a whole trace.
//!
//! What a frame and its execution say follows from the GEI, so that entries about one GEI agree unless a test changes
//! them: epoch 0, commit = GEI, and digest, content, root and the one transaction are the GEI repeated.

use super::{Oracle, Violation};
use crate::trace::{Entry, ProcessId, SimTime, What, WorldEvent};
use metanode_core::{
    env::{CommitOrigin, ExecutorEvent, NodeEvent},
    types::{
        AuthorityIndex, BlockDigest, BlockRef, CommitDigest, CommitIndex, CommitRef, Epoch,
        GlobalExecIndex, Round, SpentNonce,
    },
};

pub(super) fn node(at_ms: u64, n: u16, event: NodeEvent) -> Entry {
    Entry {
        at: SimTime::from_ms(at_ms),
        process: ProcessId::Node(n),
        what: What::Did(event.into()),
    }
}

pub(super) fn executor(at_ms: u64, n: u16, event: ExecutorEvent) -> Entry {
    Entry {
        at: SimTime::from_ms(at_ms),
        process: ProcessId::Executor(n),
        what: What::Did(event.into()),
    }
}

pub(super) fn befell(at_ms: u64, process: ProcessId, event: WorldEvent) -> Entry {
    Entry {
        at: SimTime::from_ms(at_ms),
        process,
        what: What::Befell(event),
    }
}

/// A power loss that tears nothing.
pub(super) const fn power_lost(lost_writes: u32) -> WorldEvent {
    WorldEvent::PowerLost {
        lost_writes,
        torn_writes: 0,
    }
}

/// Judges a whole trace; the run ends with its last entry.
pub(super) fn judge(mut oracle: impl Oracle, trace: &[Entry]) -> Option<Box<Violation>> {
    let end = trace.last().map_or(SimTime::default(), |entry| entry.at);
    trace
        .iter()
        .try_for_each(|entry| oracle.observe(entry))
        .and_then(|()| oracle.finish(end))
        .err()
}

pub(super) const fn gei(gei: u64) -> GlobalExecIndex {
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
pub(super) fn block(round: u32, author: u16) -> BlockRef {
    BlockRef {
        round: Round(round),
        author: AuthorityIndex(author),
        digest: BlockDigest(bytes(u64::from(round) << 16 | u64::from(author))),
    }
}

pub(super) fn proposed(block: BlockRef) -> NodeEvent {
    NodeEvent::Proposed {
        epoch: Epoch(0),
        block,
        transactions: 0,
        payload_bytes: 0,
    }
}

pub(super) fn stored(of: u64) -> NodeEvent {
    NodeEvent::CommitStored {
        epoch: Epoch(0),
        commit: commit(of),
        gei: gei(of),
        leader: block(of as u32, 0),
        blocks: 1,
        origin: CommitOrigin::Direct,
    }
}

pub(super) fn written(connection: u64, of: u64) -> NodeEvent {
    NodeEvent::FrameWritten {
        connection,
        gei: gei(of),
        epoch: Epoch(0),
        commit: commit(of),
    }
}

pub(super) fn loaded(blocks: u32, capacity: u32, last: u64) -> NodeEvent {
    NodeEvent::WindowLoaded {
        blocks,
        capacity,
        last: gei(last),
    }
}

pub(super) fn learned(watermark: u64) -> NodeEvent {
    NodeEvent::WatermarkLearned {
        watermark: gei(watermark),
    }
}

/// The executor's start; its root is that of its watermark.
pub(super) fn found(watermark: u64) -> ExecutorEvent {
    ExecutorEvent::Started {
        watermark: gei(watermark),
        state_root: bytes(watermark),
    }
}

pub(super) fn executed(of: u64) -> ExecutorEvent {
    ExecutorEvent::Executed {
        gei: gei(of),
        epoch: Epoch(0),
        commit: CommitIndex(of as u32),
        content: of.into(),
        state_root: bytes(of),
        applied: [SpentNonce {
            sender: [7; 20],
            nonce: of,
        }]
        .into(),
        skipped: 0,
    }
}

pub(super) fn durable(watermark: u64) -> ExecutorEvent {
    ExecutorEvent::Durable {
        watermark: gei(watermark),
    }
}

pub(super) fn reported(watermark: u64) -> ExecutorEvent {
    ExecutorEvent::Reported {
        watermark: gei(watermark),
    }
}
