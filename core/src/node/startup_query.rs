//! The query of the executor before an epoch is entered (contract §6.1, §6.2).

use super::{Node, NodeError, bug_switches};
use crate::{
    backoff::Backoff,
    config::StartPolicy,
    delivery::{ExecutorView, StoreView, replay_plan},
    env::{CrashPoint, NodeEvent},
    executor::{RpcError, validators::committee, wire::EpochBoundaryData},
    types::{
        Chain, ChangeStep, CommitIndex, CommitteeError, Epoch, EpochBase, EpochStart,
        GenesisDigest, GlobalExecIndex, ReplayPlan, TimestampMs,
    },
};
use std::sync::Arc;

/// The state of the executor.
pub(super) struct ExecutorState {
    pub epoch: Epoch,
    pub watermark: GlobalExecIndex,
    /// The epoch in which delivery continues: the executor's, or an earlier one of which it lacks blocks.
    pub start: EpochStart,
}

impl Node<'_> {
    /// Queries epoch, W and committee until the executor has answered all of them. At a start, the start policy may say
    /// otherwise.
    pub(super) async fn ask_executor(&self, is_start: bool) -> Result<ExecutorState, NodeError> {
        let rpc = &self.config.rpc;
        let mut backoff = Backoff::new(rpc.start_retry_min_ms, rpc.start_retry_max_ms);
        let mut attempt = 0;
        let mut failure = None;
        self.env.emit(NodeEvent::QueryingExecutor);
        loop {
            attempt += 1;
            let error = match self.ask_executor_once(failure.as_ref()).await {
                Ok(answer) => {
                    let executor = answer?;
                    self.env.emit(NodeEvent::ExecutorQueried {
                        epoch: executor.epoch,
                        watermark: executor.watermark,
                    });
                    self.env.reach(CrashPoint::NodeWatermarkQueried).await;
                    return Ok(executor);
                }
                Err(e) => e,
            };
            let reason = error.to_string();
            let is_silent = !matches!(error, RpcError::Refused { .. });
            if is_start
                && is_silent
                && let Some(assumed) = self.assumed_genesis()?
            {
                self.env.emit(NodeEvent::GenesisAssumed {
                    epoch: assumed.epoch,
                    watermark: assumed.watermark,
                    reason,
                });
                return Ok(assumed);
            }
            failure = Some(error);
            self.env.emit(NodeEvent::Waiting { attempt, reason });
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// What the policy `assume-genesis` takes for the state of an executor that does not answer (contract §6.2): that of the
    /// moment at which the newest epoch in the store began. By §7 nothing before it is owed. `None` with another policy,
    /// without an epoch, or between two epochs. The chain is that of the configuration, as with an answer.
    fn assumed_genesis(&self) -> Result<Option<ExecutorState>, NodeError> {
        if self.config.start_policy != StartPolicy::AssumeGenesis {
            return Ok(None);
        }
        let records = self.records.all()?;
        let (Some(first), Some(newest)) = (records.first(), records.last()) else {
            return Ok(None);
        };
        // Nothing of it is owed, and the next epoch needs an answer.
        if let ChangeStep::Drained(_) | ChangeStep::Advanced(_) = newest.step {
            return Ok(None);
        }
        // A committee of this node alone is another chain than the whole one.
        let (own, _) = self.role(first.start.clone());
        let genesis = match first.start.base.epoch {
            Epoch(0) => GenesisDigest::of_start(own.timestamp_ms, &own.committee),
            _ => newest.start.chain.genesis,
        };
        let start = EpochStart {
            chain: *self.chain.get_or_init(|| self.chain_of(genesis)),
            ..newest.start.clone()
        };
        Ok(Some(ExecutorState {
            epoch: start.base.epoch,
            watermark: start.base.base,
            start,
        }))
    }

    /// The inner error is permanent, the outer one is retried. `failure` is the error of the previous attempt.
    async fn ask_executor_once(
        &self,
        failure: Option<&RpcError>,
    ) -> Result<Result<ExecutorState, NodeError>, RpcError> {
        let client = &self.client;
        let epoch = client.current_epoch().await?;
        let chain = self.chain().await?;
        let mut boundary = client.epoch_boundary_data(epoch).await?;
        let watermark = client.watermark().await;
        let watermark = bug_switches::answered(watermark, failure, &self.records)?;
        while bug_switches::is_unfinished(watermark.0 < boundary.boundary_block) {
            let previous = Epoch(boundary.epoch).prev();
            boundary = client.epoch_boundary_data(previous).await?;
        }
        let of = Epoch(boundary.epoch);
        let (committee, left_out) = match committee(of, &boundary.validators) {
            Ok(committee) => committee,
            Err(error) => return Ok(Err(error.into())),
        };
        let chain = match chain {
            Ok(chain) => chain,
            Err(error) => return Ok(Err(error)),
        };
        for validator in left_out {
            self.env.emit(NodeEvent::ValidatorLeftOut {
                epoch: of,
                reason: validator.to_string(),
            });
        }
        Ok(Ok(ExecutorState {
            epoch,
            watermark,
            start: EpochStart {
                base: EpochBase {
                    epoch: of,
                    base: GlobalExecIndex(boundary.boundary_block),
                },
                timestamp_ms: TimestampMs(boundary.epoch_start_timestamp_ms),
                committee: Arc::new(committee),
                chain,
            },
        }))
    }

    /// The identity of the executor's chain. Asked for once: it never changes. An executor that no longer has epoch 0 and
    /// refuses the question leaves the genesis that the store remembers. The inner error is permanent.
    async fn chain(&self) -> Result<Result<Chain, NodeError>, RpcError> {
        if let Some(chain) = self.chain.get() {
            return Ok(Ok(*chain));
        }
        let remembered = match self.records.all() {
            Ok(records) => records.last().map(|newest| newest.start.chain.genesis),
            Err(error) => return Ok(Err(error.into())),
        };
        let answer = self.client.epoch_boundary_data(Epoch(0)).await;
        let genesis = match (answer, remembered) {
            (Err(RpcError::Refused { .. }), Some(remembered)) => remembered,
            (answer, _) => match self.genesis(&answer?) {
                Ok(genesis) => genesis,
                Err(error) => return Ok(Err(error.into())),
            },
        };
        Ok(Ok(*self.chain.get_or_init(|| self.chain_of(genesis))))
    }

    /// The chain with this genesis and the configured parameters.
    const fn chain_of(&self, genesis: GenesisDigest) -> Chain {
        let parameters = &self.config.consensus;
        Chain {
            genesis,
            gc_depth_rounds: parameters.gc_depth_rounds,
            leaders_per_round: parameters.leaders_per_round,
            max_commit_bytes: parameters.max_commit_bytes,
            epoch_start_granularity_ms: parameters.epoch_start_granularity_ms,
        }
    }

    /// The digest of the start of epoch 0. A committee of this node alone is another chain than the whole one.
    fn genesis(&self, start: &EpochBoundaryData) -> Result<GenesisDigest, CommitteeError> {
        let timestamp_ms = TimestampMs(start.epoch_start_timestamp_ms);
        let (whole, _) = committee(Epoch(0), &start.validators)?;
        let (own, _) = self.role(EpochStart {
            base: EpochBase::GENESIS,
            timestamp_ms,
            committee: Arc::new(whole),
            chain: Chain::default(),
        });
        Ok(GenesisDigest::of_start(timestamp_ms, &own.committee))
    }

    /// Emits the replay plan if executor and node are in different epochs (contract §6.3).
    pub(super) fn announce(&self, executor: &ExecutorState) -> Result<(), NodeError> {
        let Some(newest) = self.records.all()?.pop() else {
            return Ok(());
        };
        let base = newest.start.base;
        let store = match newest.step {
            ChangeStep::Advanced(boundary) => StoreView {
                base: EpochBase {
                    epoch: base.epoch.next(),
                    base: boundary.gei,
                },
                last_commit: CommitIndex(0),
            },
            _ => StoreView {
                base,
                last_commit: (self.archive.get(base.epoch))
                    .map_or(CommitIndex(0), |retained| retained.log.last()),
            },
        };
        let view = ExecutorView {
            epoch: executor.epoch,
            watermark: executor.watermark,
        };
        match replay_plan(store, view)? {
            ReplayPlan::Replay { .. } | ReplayPlan::FetchOnly { .. } => {}
            plan => self.env.emit(NodeEvent::ReplayPlanned(plan)),
        }
        Ok(())
    }
}
