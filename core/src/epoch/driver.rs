//! The task that runs the change out of an epoch: executes the actions of [`next_action`] and records each completed
//! step before the next one.

use super::{ChangeAction, ChangeView, EpochRecord, EpochStore, bug_switches, next_action};
use crate::{
    env::{CrashPoint, Env, NodeEvent},
    executor::{ExecutorClient, RpcError, next_wait_ms},
    store::StoreError,
    types::{Boundary, ChangeStep, Epoch, EpochEnding, GlobalExecIndex},
};
use std::time::Duration;
use tokio::sync::watch;
use tracing::warn;

/// Time without a change after which a node checks whether the executor has already entered a later epoch: another node
/// delivers to it, or its disk is a copy of a newer one.
const IDLE: Duration = Duration::from_secs(5);

/// The change out of the current epoch.
pub(crate) struct EpochChange<'a> {
    pub env: &'a Env,
    pub records: &'a EpochStore,
    pub client: &'a ExecutorClient,
    /// The record of this epoch.
    pub record: EpochRecord,
    /// The watermark from delivery. `None` if this node does not deliver; then this task queries the executor.
    pub delivered: Option<watch::Receiver<GlobalExecIndex>>,
    pub watermark: GlobalExecIndex,
    /// Maximum time between two queries to the executor.
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
        // The first query is sent at once, further ones at an adaptive interval.
        let mut pause_ms = 0;
        loop {
            let view = self.view(executor_epoch);
            match bug_switches::decided(next_action(&view), &view, &self).await {
                ChangeAction::Wait => {
                    if let Some(asked) = self.wait().await {
                        executor_epoch = asked;
                    }
                }
                ChangeAction::AskExecutor => {
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                    let before = (executor_epoch, self.watermark);
                    match self.ask_executor().await {
                        Ok(entered) => executor_epoch = entered,
                        Err(e) => {
                            warn!(target: "[EPOCH TRANSITION]", error = %e, "the executor did not answer, retrying")
                        }
                    }
                    let moved = (executor_epoch, self.watermark) != before;
                    pause_ms = next_wait_ms(pause_ms.max(1), moved, self.poll_ms);
                }
                ChangeAction::Record(step) => self.record_step(step).await?,
                ChangeAction::AdvanceExecutor(boundary) => {
                    if let Some(entered) = self.advance_executor(epoch.next(), &boundary).await {
                        executor_epoch = entered;
                    }
                }
                ChangeAction::Leave => return Ok(()),
            }
        }
    }

    fn view(&mut self, executor_epoch: Epoch) -> ChangeView {
        if let Some(delivered) = &mut self.delivered {
            self.watermark = *delivered.borrow_and_update();
        }
        let (boundary, certified) = match *self.ending.borrow_and_update() {
            EpochEnding::No => (None, false),
            EpochEnding::Boundary(boundary) => (Some(boundary), false),
            EpochEnding::Certified(boundary) => (Some(boundary), true),
        };
        ChangeView {
            epoch: self.record.start.base.epoch,
            step: self.record.step,
            boundary,
            certified,
            delivers: self.delivered.is_some(),
            watermark: self.watermark,
            executor_epoch,
        }
    }

    /// Returns when the view may have changed, with the executor's epoch if it was queried.
    async fn wait(&mut self) -> Option<Epoch> {
        let Self {
            ending,
            delivered,
            client,
            ..
        } = self;
        let delivers = delivered.is_some();
        let moved = async {
            match delivered {
                Some(delivered) => delivered.changed().await,
                None => std::future::pending().await,
            }
        };
        let asked = async {
            tokio::time::sleep(IDLE).await;
            // Where this node delivers, only delivery queries W.
            let watermark = match delivers {
                true => None,
                false => client.watermark().await.ok(),
            };
            (watermark, client.current_epoch().await.ok())
        };
        let changed = tokio::select! {
            biased;
            changed = ending.changed() => changed,
            changed = moved => changed,
            (watermark, epoch) = asked => {
                self.watermark = watermark.unwrap_or(self.watermark);
                return epoch;
            }
        };
        if changed.is_err() {
            // Consensus or delivery has ended; the caller of this task gets the reason from them.
            return std::future::pending().await;
        }
        None
    }

    async fn record_step(&mut self, step: ChangeStep) -> Result<(), StoreError> {
        let epoch = self.record.start.base.epoch;
        self.record.step = step;
        self.records.write(&self.record)?;
        self.env.emit(NodeEvent::ChangeRecorded { epoch, step });
        self.env.reach(CrashPoint::NodeChangeRecorded).await;
        Ok(())
    }

    /// Returns the executor's epoch. After an error it is asked for, because it may be later than the next one. If it is
    /// unknown, the next call is idempotent, and the watermark tells whether the executor lost its tail.
    async fn advance_executor(&mut self, next: Epoch, boundary: &Boundary) -> Option<Epoch> {
        match bug_switches::advance_executor(self, next, boundary).await {
            Ok(entered) => {
                self.env.reach(CrashPoint::NodeExecutorAdvanced).await;
                Some(entered)
            }
            Err(e) => {
                warn!(target: "[EPOCH TRANSITION]", error = %e, "AdvanceEpoch failed, retrying");
                tokio::time::sleep(Duration::from_millis(self.poll_ms)).await;
                self.client.current_epoch().await.ok()
            }
        }
    }

    /// Queries the executor: updates the watermark and returns its epoch.
    async fn ask_executor(&mut self) -> Result<Epoch, RpcError> {
        self.watermark = self.client.watermark().await?;
        self.client.current_epoch().await
    }
}
