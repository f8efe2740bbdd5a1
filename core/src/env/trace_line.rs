//! Event logs: one line of JSON per event that a judge needs, `docs/trace-format.md`. `metasim judge` reads them, from these
//! binaries or from other nodes and executors.
//!
//! The names and fields are an interface: a line of version [`VERSION`] keeps its meaning. A digest or a root is hexadecimal.

use super::{Event, ExecutorEvent, NodeEvent};
use crate::types::{
    BlockRef, CommitIndex, CommitRef, Epoch, GlobalExecIndex, Round, SpentNonce, TimestampMs,
};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// The version of the format.
pub const VERSION: u32 = 1;

/// One line of an event log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceLine {
    /// [`VERSION`].
    pub v: u32,
    /// The name of the process, the same in all its incarnations.
    pub process: String,
    /// By the clock of the process, for people: no order follows from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<TimestampMs>,
    #[serde(flatten)]
    pub event: TraceEvent,
}

/// What happened. The lines of a process are in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TraceEvent {
    /// A node started.
    NodeStarted,
    /// A node knows that its executor is durable at this GEI.
    WatermarkLearned { watermark: GlobalExecIndex },
    /// A node begins or resumes an epoch.
    EpochOpened {
        epoch: Epoch,
        /// The GEI of the last commit before the epoch.
        base: GlobalExecIndex,
        start_ms: TimestampMs,
        /// Digest of the committee, in the order of its authority indexes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        committee: Option<String>,
    },
    /// A node signed a block.
    BlockProposed {
        epoch: Epoch,
        round: Round,
        /// Its authority index.
        author: u16,
        digest: String,
    },
    /// A commit is durable in a node.
    CommitStored {
        epoch: Epoch,
        commit: CommitIndex,
        gei: GlobalExecIndex,
        digest: String,
    },
    /// A node opened a connection to the block stream; it knows the watermark from which it starts.
    StreamOpened {
        /// Different for each connection of one incarnation.
        connection: u64,
    },
    /// A node wrote a block to the block stream.
    BlockSent {
        connection: u64,
        gei: GlobalExecIndex,
        epoch: Epoch,
        commit: CommitIndex,
    },
    /// An executor started and found this on its disk.
    ExecutorStarted {
        watermark: GlobalExecIndex,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state_root: Option<String>,
    },
    /// An executor executed a block. It counts once the block is durable.
    BlockExecuted {
        gei: GlobalExecIndex,
        epoch: Epoch,
        commit: CommitIndex,
        /// A hash of the block's content, the same in all executors.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<String>,
        /// After the block.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state_root: Option<String>,
        /// The transactions that changed the state, in any notation that names each of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transactions: Option<Vec<String>>,
    },
    /// The effects of all executed blocks up to this GEI are durable in an executor.
    WatermarkDurable { watermark: GlobalExecIndex },
    /// An executor answered this watermark.
    WatermarkReported { watermark: GlobalExecIndex },
    /// An executor entered an epoch.
    EpochEntered {
        epoch: Epoch,
        /// The GEI of the last block before the epoch.
        boundary: GlobalExecIndex,
        start_ms: TimestampMs,
    },
    /// Before this line an operator put an older disk of the process back.
    DiskRestored,
    /// An event that this version does not know.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// The kind of process that a line is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Node,
    Executor,
}

impl TraceEvent {
    /// Who says this; `None` if either can.
    #[must_use]
    pub const fn role(&self) -> Option<Role> {
        match self {
            Self::NodeStarted
            | Self::WatermarkLearned { .. }
            | Self::EpochOpened { .. }
            | Self::BlockProposed { .. }
            | Self::CommitStored { .. }
            | Self::StreamOpened { .. }
            | Self::BlockSent { .. } => Some(Role::Node),
            Self::ExecutorStarted { .. }
            | Self::BlockExecuted { .. }
            | Self::WatermarkDurable { .. }
            | Self::WatermarkReported { .. }
            | Self::EpochEntered { .. } => Some(Role::Executor),
            Self::DiskRestored | Self::Unknown => None,
        }
    }

    /// The largest of its indexes, epochs and times.
    #[must_use]
    pub fn largest_number(&self) -> u64 {
        let all = match self {
            Self::NodeStarted | Self::DiskRestored | Self::Unknown => [0; 3],
            Self::WatermarkLearned { watermark }
            | Self::ExecutorStarted { watermark, .. }
            | Self::WatermarkDurable { watermark }
            | Self::WatermarkReported { watermark } => [watermark.0, 0, 0],
            Self::EpochOpened {
                epoch,
                base,
                start_ms,
                ..
            } => [epoch.0, base.0, start_ms.0],
            Self::EpochEntered {
                epoch,
                boundary,
                start_ms,
            } => [epoch.0, boundary.0, start_ms.0],
            Self::BlockProposed { epoch, .. } => [epoch.0, 0, 0],
            Self::CommitStored { epoch, gei, .. } | Self::BlockExecuted { epoch, gei, .. } => {
                [epoch.0, gei.0, 0]
            }
            Self::StreamOpened { connection } => [*connection, 0, 0],
            Self::BlockSent {
                connection,
                gei,
                epoch,
                ..
            } => [*connection, gei.0, epoch.0],
        };
        all.into_iter().max().unwrap_or(0)
    }

    /// Its name in the format.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NodeStarted => "node_started",
            Self::WatermarkLearned { .. } => "watermark_learned",
            Self::EpochOpened { .. } => "epoch_opened",
            Self::BlockProposed { .. } => "block_proposed",
            Self::CommitStored { .. } => "commit_stored",
            Self::StreamOpened { .. } => "stream_opened",
            Self::BlockSent { .. } => "block_sent",
            Self::ExecutorStarted { .. } => "executor_started",
            Self::BlockExecuted { .. } => "block_executed",
            Self::WatermarkDurable { .. } => "watermark_durable",
            Self::WatermarkReported { .. } => "watermark_reported",
            Self::EpochEntered { .. } => "epoch_entered",
            Self::DiskRestored => "disk_restored",
            Self::Unknown => "unknown",
        }
    }

    /// The line of an event, if the format has one.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Node(event) => of_node(event),
            Event::Executor(event) => of_executor(event),
            Event::Sub(_) | Event::Crashed(_) => None,
        }
    }
}

fn of_node(event: &NodeEvent) -> Option<TraceEvent> {
    use NodeEvent as E;
    use TraceEvent as T;
    Some(match event {
        E::Starting => T::NodeStarted,
        E::ExecutorQueried { watermark, .. }
        | E::GenesisAssumed { watermark, .. }
        | E::WatermarkLearned { watermark }
        | E::Rewound { to: watermark, .. } => T::WatermarkLearned {
            watermark: *watermark,
        },
        E::EpochOpened {
            base,
            start_timestamp_ms,
            committee,
            ..
        } => T::EpochOpened {
            epoch: base.epoch,
            base: base.base,
            start_ms: *start_timestamp_ms,
            committee: Some(hex(&committee.0)),
        },
        E::Proposed { epoch, block, .. } => {
            let BlockRef {
                round,
                author,
                digest,
            } = *block;
            T::BlockProposed {
                epoch: *epoch,
                round,
                author: author.0,
                digest: hex(&digest.0),
            }
        }
        E::CommitStored {
            epoch, commit, gei, ..
        } => T::CommitStored {
            epoch: *epoch,
            commit: commit.index,
            gei: *gei,
            digest: hex(&commit.digest.0),
        },
        E::StreamConnected { connection, .. } => T::StreamOpened {
            connection: *connection,
        },
        E::FrameWritten {
            connection,
            gei,
            epoch,
            commit: CommitRef { index, .. },
        } => T::BlockSent {
            connection: *connection,
            gei: *gei,
            epoch: *epoch,
            commit: *index,
        },
        _ => return None,
    })
}

fn of_executor(event: &ExecutorEvent) -> Option<TraceEvent> {
    use ExecutorEvent as E;
    use TraceEvent as T;
    Some(match event {
        E::Started {
            watermark,
            state_root,
        } => T::ExecutorStarted {
            watermark: *watermark,
            state_root: Some(hex(state_root)),
        },
        E::Executed {
            gei,
            epoch,
            commit,
            content,
            state_root,
            applied,
            ..
        } => T::BlockExecuted {
            gei: *gei,
            epoch: *epoch,
            commit: *commit,
            content: Some(format!("{content:032x}")),
            state_root: Some(hex(state_root)),
            transactions: Some(applied.iter().map(name).collect()),
        },
        E::Durable { watermark } => T::WatermarkDurable {
            watermark: *watermark,
        },
        E::Reported { watermark } => T::WatermarkReported {
            watermark: *watermark,
        },
        E::EpochEntered {
            epoch,
            boundary,
            start_timestamp_ms,
        } => T::EpochEntered {
            epoch: *epoch,
            boundary: *boundary,
            start_ms: *start_timestamp_ms,
        },
        _ => return None,
    })
}

/// Names a transaction that changed the state: a nonce is spent once.
fn name(spent: &SpentNonce) -> String {
    format!("{}:{}", hex(&spent.sender), spent.nonce)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}"); // a String does not fail
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CommitDigest, CommitRef};

    #[test]
    fn a_line_is_flat_json_and_reads_back() {
        let event = Event::from(NodeEvent::FrameWritten {
            connection: 2,
            gei: GlobalExecIndex(17),
            epoch: Epoch(1),
            commit: CommitRef {
                index: CommitIndex(5),
                digest: CommitDigest::of(b"commit"),
            },
        });
        let line = TraceLine {
            v: VERSION,
            process: "node-0".to_owned(),
            at_ms: Some(TimestampMs(1_700)),
            event: TraceEvent::of(&event).expect("a line of the format"),
        };
        let text = serde_json::to_string(&line).expect("plain data");
        assert_eq!(
            text,
            r#"{"v":1,"process":"node-0","at_ms":1700,"event":"block_sent","connection":2,"gei":17,"epoch":1,"commit":5}"#
        );
        assert_eq!(serde_json::from_str::<TraceLine>(&text).ok(), Some(line));
    }

    #[test]
    fn optional_fields_may_be_missing_and_others_are_ignored() {
        let text = r#"{"v":1,"process":"go","event":"block_executed","gei":1,"epoch":0,"commit":1,"shard":3}"#;
        let line: TraceLine = serde_json::from_str(text).expect("a line");
        let TraceEvent::BlockExecuted { state_root, .. } = line.event else {
            panic!("another event: {line:?}");
        };
        assert_eq!(state_root, None);
        let newer = r#"{"v":1,"process":"go","event":"snapshot_taken","gei":1}"#;
        let line: TraceLine = serde_json::from_str(newer).expect("a line");
        assert_eq!(line.event, TraceEvent::Unknown);
    }
}
