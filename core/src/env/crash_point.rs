//! Named places between two steps at which the simulation may end the process.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! crash_points {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A place in the node or the executor at which the simulator may end the process.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum CrashPoint {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl CrashPoint {
            /// All crash points, in the order of the data flow.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name used in scenario files and reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

crash_points! {
    /// W and epoch were queried; nothing was created from the answer yet.
    NodeWatermarkQueried = "node.watermark-queried",
    /// The replay plan was computed; delivery has not started.
    NodeReplayPlanned = "node.replay-planned",
    /// Blocks were accepted and leaders decided; nothing of it is stored.
    NodeBeforeStore = "node.before-store",
    /// Blocks, own block and commits are stored and synced; nothing of it is published.
    NodeAfterStore = "node.after-store",
    /// Batches of clients were received; nothing of them is in the journal.
    NodeBeforeJournal = "node.before-journal",
    /// What is new of some batches is synced in the journal; no reply is written.
    NodeAfterJournal = "node.after-journal",
    /// Stored commits were loaded into the window; they are not written yet.
    NodeWindowLoaded = "node.window-loaded",
    /// A frame was written to the block stream in full.
    NodeFrameWritten = "node.frame-written",
    /// The executor returned a new watermark; the window is not trimmed yet.
    NodeWatermarkLearned = "node.watermark-learned",

    /// A step of the epoch change was recorded; the next action has not started.
    NodeChangeRecorded = "node.change-recorded",
    /// The executor has answered `AdvanceEpoch`; the step is not recorded yet.
    NodeExecutorAdvanced = "node.executor-advanced",
    /// The next epoch's boundary data was received; nothing of that epoch is stored yet.
    NodeBoundaryDataLearned = "node.boundary-data-learned",
    /// The next epoch is recorded and its store open; nothing runs in it.
    NodeEpochOpened = "node.epoch-opened",
    /// The store of an expired epoch was removed; its record still exists.
    NodeEpochRemoved = "node.epoch-removed",

    /// A batch left the queue; nothing of it is written.
    SubBeforeFrame = "sub.before-frame",
    /// The frame of a batch was written in full; its reply is not read.
    SubFrameWritten = "sub.frame-written",
    /// The reply to a batch was read; nothing follows from it yet.
    SubReplyRead = "sub.reply-read",

    /// A whole frame was read from the block stream.
    ExecutorReceived = "executor.received",
    /// The block was executed in memory.
    ExecutorExecuted = "executor.executed",
    /// The new state was written.
    ExecutorStateSaved = "executor.state-saved",
    /// The block was written.
    ExecutorBlockSaved = "executor.block-saved",
    /// The watermark was written and synced.
    ExecutorWatermarkSaved = "executor.watermark-saved",
    /// The next epoch is durable in the executor; the request is not answered yet.
    ExecutorEpochSaved = "executor.epoch-saved",
    /// A request was read and its answer computed; the reply is not written.
    ExecutorBeforeReply = "executor.before-reply",
}

impl CrashPoint {
    /// Whether only an epoch change reaches it.
    #[must_use]
    pub const fn is_of_a_change(self) -> bool {
        matches!(
            self,
            Self::NodeChangeRecorded
                | Self::NodeExecutorAdvanced
                | Self::NodeEpochRemoved
                | Self::ExecutorEpochSaved
        )
    }
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The handler of crash points.
#[async_trait]
pub trait CrashPoints: Send + Sync {
    /// Returns at once in production. The simulator may end the process instead and never return.
    async fn reach(&self, point: CrashPoint);
}
