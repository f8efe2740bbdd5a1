//! Named places between two steps, where a crash leaves a state worth looking at.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! crash_points {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A named place in the node or the executor where the simulator may end the process.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum CrashPoint {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl CrashPoint {
            /// All of them, in the order data takes.
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
    /// The executor has been asked for W and epoch; nothing was created from the answer yet.
    NodeWatermarkQueried = "node.watermark-queried",
    /// The replay plan stands; delivery has not started.
    NodeReplayPlanned = "node.replay-planned",
    /// Blocks were accepted and decisions taken; nothing of them is stored.
    NodeBeforeStore = "node.before-store",
    /// Blocks, own block and commits are stored and synced; nobody has been told.
    NodeAfterStore = "node.after-store",
    /// A stored commit was loaded into the window; nothing of it is written.
    NodeWindowLoaded = "node.window-loaded",
    /// A frame was written to the block stream in full.
    NodeFrameWritten = "node.frame-written",
    /// A new watermark came back from the executor; the window is not trimmed yet.
    NodeWatermarkLearned = "node.watermark-learned",

    /// A step of the epoch change was recorded; nothing that it allows is done.
    NodeChangeRecorded = "node.change-recorded",
    /// The executor was told that the next epoch begins; that it has is not recorded.
    NodeExecutorAdvanced = "node.executor-advanced",
    /// The next epoch's boundary data is here; nothing of that epoch exists.
    NodeBoundaryDataLearned = "node.boundary-data-learned",
    /// The next epoch is recorded and its store open; nothing runs in it.
    NodeEpochOpened = "node.epoch-opened",
    /// The store of an epoch that nobody needs was removed; it is not forgotten yet.
    NodeEpochRemoved = "node.epoch-removed",

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
    /// The next epoch has begun, durably; whoever asked for it has not been told.
    ExecutorEpochSaved = "executor.epoch-saved",
    /// A request was read and its answer computed; the reply is not written.
    ExecutorBeforeReply = "executor.before-reply",
}

impl CrashPoint {
    /// Whether only a change from one epoch to the next comes to it.
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

/// Who is told when a crash point is reached.
#[async_trait]
pub trait CrashPoints: Send + Sync {
    /// Returns at once in production. The simulator may end the process instead and never return.
    async fn reach(&self, point: CrashPoint);
}
