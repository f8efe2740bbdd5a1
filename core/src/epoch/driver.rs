//! The one task that owns the change out of an epoch: does what [`next_action`] says, and writes down what it did
//! before it goes on.

use super::{ChangeAction, ChangeView, EpochRecord, EpochStore, bug_switches, next_action};
use crate::{
    env::{CrashPoint, Env, NodeEvent},
    executor::{ExecutorClient, RpcError, next_wait_ms},
    store::StoreError,
    types::{Epoch, EpochEnding, GlobalExecIndex},
};
use std::time::Duration;
use tokio::sync::watch;
use tracing::warn;

/// So often a node that does not feed the executor looks whether the others have gone on without it.
const IDLE: Duration = Duration::from_secs(5);

/// The change out of the running epoch.
pub struct EpochChange<'a> {
    pub env: &'a Env,
    pub records: &'a EpochStore,
    pub client: &'a ExecutorClient,
    /// What is recorded of this epoch.
    pub record: EpochRecord,
    /// Whether this node feeds the executor.
    pub delivers: bool,
    pub watermark: GlobalExecIndex,
    /// Between two questions to the executor, at most.
    pub poll_ms: u64,
    pub ending: watch::Receiver<EpochEnding>,
}

impl EpochChange<'_> {
    /// Returns when this node may leave the epoch.
    ///
    /// # Errors
    /// If a step cannot be recorded.
    pub async fn run(mut self) -> Result<(), StoreError> {
        let epoch = self.record.start.base.epoch;
        let mut executor_epoch = epoch;
        // The first question is asked at once, the others at the pace of the answers: epochs that are long over are gone
        // through quickly.
        let mut pause_ms = 0;
        loop {
            let (boundary, certified) = match *self.ending.borrow_and_update() {
                EpochEnding::No => (None, false),
                EpochEnding::Boundary(boundary) => (Some(boundary), false),
                EpochEnding::Certified(boundary) => (Some(boundary), true),
            };
            let view = ChangeView {
                epoch,
                step: self.record.step,
                boundary,
                certified,
                delivers: self.delivers,
                watermark: self.watermark,
                executor_epoch,
            };
            match bug_switches::decided(next_action(&view), &view, &self).await {
                ChangeAction::Wait => {
                    // Whoever feeds the executor knows where it is.
                    let idle = async {
                        if self.delivers {
                            std::future::pending().await
                        }
                        tokio::time::sleep(IDLE).await;
                    };
                    tokio::select! {
                        biased;
                        changed = self.ending.changed() => if changed.is_err() {
                            // Consensus has ended, and whoever waits for it knows why.
                            return std::future::pending().await;
                        },
                        () = idle => if let Ok(answer) = self.ask_executor().await {
                            (executor_epoch, self.watermark) = answer;
                        }
                    }
                }
                ChangeAction::AskExecutor => {
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                    let before = (executor_epoch, self.watermark);
                    match self.ask_executor().await {
                        Ok(answer) => (executor_epoch, self.watermark) = answer,
                        Err(e) => warn!(target: "[EPOCH TRANSITION]", error = %e, "asking again"),
                    }
                    let moved = (executor_epoch, self.watermark) != before;
                    pause_ms = next_wait_ms(pause_ms.max(1), moved, self.poll_ms);
                }
                ChangeAction::Record(step) => {
                    self.record.step = step;
                    self.records.write(&self.record)?;
                    self.env.emit(NodeEvent::ChangeRecorded { epoch, step });
                    self.env.reach(CrashPoint::NodeChangeRecorded).await;
                }
                ChangeAction::AdvanceExecutor(boundary) => {
                    let next = epoch.next();
                    match bug_switches::advance_executor(&self, next, &boundary).await {
                        Ok(entered) => {
                            executor_epoch = entered;
                            self.env.reach(CrashPoint::NodeExecutorAdvanced).await;
                        }
                        Err(e) => {
                            warn!(target: "[EPOCH TRANSITION]", error = %e, "the executor did not advance");
                            tokio::time::sleep(Duration::from_millis(self.poll_ms)).await;
                            // It may have, or it may have lost what it had.
                            if let Ok(answer) = self.ask_executor().await {
                                (executor_epoch, self.watermark) = answer;
                            }
                        }
                    }
                }
                ChangeAction::Leave => return Ok(()),
            }
        }
    }

    async fn ask_executor(&self) -> Result<(Epoch, GlobalExecIndex), RpcError> {
        let watermark = self.client.last_block_number().await?;
        Ok((self.client.current_epoch().await?, watermark))
    }
}
