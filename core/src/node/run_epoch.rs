//! One epoch from recovery to its end: runs consensus, delivery and the epoch change.

use super::{
    Node, NodeError, bug_switches, epochs::Entered, joined, journal_watermark,
    startup_query::ExecutorState,
};
use crate::{
    config::StartPolicy,
    consensus::{Consensus, ConsensusSetup, Pace, RetainedEpoch, hand_over, recover_log},
    delivery::{Delivery, DeliverySetup, ExecutorView, StoreView, replay_plan},
    env::{CrashPoint, NodeEvent},
    epoch::EpochChange,
    ingest::{Phase, Pool},
    peers::discovery::Watermark,
    tasks::Tasks,
    types::{Commit, CommitIndex, Epoch, EpochBase, EpochEnding, GlobalExecIndex},
};
use std::{convert::Infallible, sync::Arc};
use tokio::sync::{oneshot, watch};

impl Node<'_> {
    /// Runs an epoch until this node leaves it, or until the executor turns out to be in an earlier one. Returns the
    /// pool for the next epoch.
    pub(super) async fn run_epoch(
        &self,
        entered: Entered,
        executor: &ExecutorState,
        pool: Pool,
    ) -> Result<Pool, NodeError> {
        let Self { env, config, .. } = *self;
        let watermark = executor.watermark;
        let Entered {
            retained,
            record,
            is_new,
        } = entered;
        let commits = self.recover_log(&retained)?;
        let last_commit = last_of(&commits);
        let base = bug_switches::base(retained.start.base, last_commit, watermark);
        let epoch = base.epoch;
        let plan = replay_plan(
            StoreView { base, last_commit },
            ExecutorView { epoch, watermark },
        )?;
        env.emit(NodeEvent::ReplayPlanned(plan));
        env.reach(CrashPoint::NodeReplayPlanned).await;

        // The consumer is created before recovery can produce commits (contract §6.4).
        let delivery = config
            .delivers()
            .then(|| self.delivery(&retained, base, watermark));
        let pressure = match &delivery {
            Some(delivery) => delivery.pressure(),
            None => watch::channel(false).1,
        };
        self.tell_progress(executor.epoch, &retained, delivery.as_deref());
        let has_seat = retained.own.is_some();
        let handing_over = retained.clone();
        let consensus = Consensus::recover(ConsensusSetup {
            env: env.clone(),
            signer: self.signer(&retained),
            retained,
            commits,
            parameters: bug_switches::consensus(config.consensus.clone(), base.epoch),
            pool,
            pressure: bug_switches::pressure(pressure),
            is_new: bug_switches::is_new(is_new),
            asked: self.asked.clone(),
        })?;
        let change = EpochChange {
            env,
            records: &self.records,
            client: &self.client,
            record,
            delivered: delivery.as_ref().map(|delivery| delivery.watermark()),
            watermark,
            poll_ms: config.delivery.watermark_poll_ms,
            ending: consensus.ending(),
        };
        let has_backlog = delivery.is_some() && watermark < base.gei(last_commit);
        bug_switches::recovered(has_backlog, env).await;
        self.journal.enter(match *change.ending.borrow() {
            _ if !has_seat => Phase::NoSeat(base.epoch),
            EpochEnding::No => Phase::Proposing,
            EpochEnding::Boundary(_) | EpochEnding::Certified(_) => Phase::Queueing,
        });
        env.emit(NodeEvent::Ready);
        let handing_over = async {
            match !has_seat && bug_switches::hands_over() {
                true => self.hand_over(handing_over).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            left = self.run_tasks(consensus, delivery, change) => left,
            failed = handing_over => match failed? {},
        }
    }

    /// Tells discovery where its own executor and commits are read from now on.
    fn tell_progress(&self, epoch: Epoch, retained: &RetainedEpoch, delivery: Option<&Delivery>) {
        let watermark = match delivery {
            Some(delivery) => Watermark::Followed(delivery.watermark()),
            None => Watermark::Asked(self.client.clone()),
        };
        let base = retained.start.base;
        (self.progress).enter(epoch, watermark, base, retained.log.clone());
    }

    /// Gives members what the journal holds and no commit contains.
    async fn hand_over(&self, retained: Arc<RetainedEpoch>) -> Result<Infallible, NodeError> {
        let parameters = &self.config.consensus;
        let pace = Pace {
            retry_min_ms: parameters.peer_retry_min_ms,
            retry_max_ms: parameters.peer_retry_max_ms,
            timeout_ms: self.config.ingest.frame_timeout_ms,
        };
        Ok(hand_over(self.env.clone(), self.journal.clone(), retained, pace).await?)
    }

    /// Recovers the commit log of an epoch, which ends before the first damaged commit. Returns its last commits.
    fn recover_log(&self, retained: &RetainedEpoch) -> Result<Vec<Commit>, NodeError> {
        let recovered = recover_log(&retained.store, self.config.consensus.gc_depth_rounds)?;
        if let Some(index) = recovered.damaged {
            self.env.emit(NodeEvent::LogCut { index });
            retained.log.end_at(last_of(&recovered.intact));
        }
        Ok(recovered.intact)
    }

    /// Creates the delivery of an epoch from W+1 on.
    fn delivery(
        &self,
        retained: &RetainedEpoch,
        base: EpochBase,
        watermark: GlobalExecIndex,
    ) -> Arc<Delivery> {
        let delivery = Arc::new(Delivery::new(DeliverySetup {
            env: self.env.clone(),
            parameters: self.config.delivery.clone(),
            stream_address: self.config.block_stream_address(),
            client: self.client.clone(),
            streams: self.streams.clone(),
            log: retained.log.clone(),
            base,
            committee: retained.start.committee.clone(),
            watermark: bug_switches::delivered(watermark, base, &retained.log, &self.records),
            assumes_watermark: self.config.start_policy == StartPolicy::AssumeGenesis,
            journal: self.journal.clone(),
        }));
        delivery.measure();
        self.env.emit(NodeEvent::ConsumerCreated {
            epoch: base.epoch,
            start: watermark.next(),
        });
        delivery
    }

    /// Runs consensus, delivery and the epoch change until the first of them ends.
    async fn run_tasks(
        &self,
        consensus: Consensus,
        delivery: Option<Arc<Delivery>>,
        change: EpochChange<'_>,
    ) -> Result<Pool, NodeError> {
        let tasks = Tasks::new(self.env.monitor.clone());
        let mut delivering = tasks.spawn(async move {
            match delivery {
                Some(delivery) => delivery.run().await,
                None => std::future::pending().await,
            }
        });
        if !self.config.delivers() {
            tasks.spawn(journal_watermark::follow(
                self.client.clone(),
                self.journal.clone(),
                self.config.delivery.watermark_poll_ms,
            ));
        }
        let (leave, left) = oneshot::channel();
        let mut consensus = tasks.spawn(async move { consensus.run(left).await });
        tokio::select! {
            biased;
            ended = &mut delivering => joined(ended)?,
            ended = &mut consensus => return Ok(joined(ended)?),
            ended = change.run() => ended?,
        }
        self.journal.epoch_is_ending();
        drop(leave);
        Ok(joined(consensus.await)?)
    }
}

fn last_of(commits: &[Commit]) -> CommitIndex {
    commits.last().map_or(CommitIndex(0), |commit| commit.index)
}
