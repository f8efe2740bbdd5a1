//! Switches of the known bugs of a start.

use crate::{
    bugs::{self, KnownBug},
    env::{Env, NodeEvent},
    epoch::EpochStore,
    executor::RpcError,
    store::CommitLog,
    types::{CommitIndex, Epoch, EpochBase, GlobalExecIndex, SubDag},
};
use std::sync::Arc;

/// The executor's answer to the query for W. `failure` is the error of the previous attempt.
pub(in crate::node) fn answered(
    answer: Result<GlobalExecIndex, RpcError>,
    failure: Option<&RpcError>,
    records: &EpochStore,
) -> Result<GlobalExecIndex, RpcError> {
    let is_refused = matches!(failure, Some(RpcError::Connect { .. }));
    let is_genesis = failure.is_some() && bugs::enabled(KnownBug::QueryFailureReadsAsGenesis)
        || is_refused && bugs::enabled(KnownBug::StaleSocketReadsAsGenesis);
    if is_genesis {
        return Ok(GlobalExecIndex(0));
    }
    if failure.is_some() && bugs::enabled(KnownBug::QueryFailureReadsAsRecord) {
        let newest = records.all().unwrap_or_default().pop();
        return newest.map_or(answer, |newest| Ok(newest.start.base.base));
    }
    answer
}

/// Whether the executor lacks blocks of an epoch before its current one.
pub(in crate::node) fn is_unfinished(is_unfinished: bool) -> bool {
    is_unfinished && !bugs::enabled(KnownBug::UnfinishedEpochForgotten)
}

/// Returns when the tasks may start. `has_backlog`: whether stored commits must be delivered.
pub(in crate::node) async fn recovered(has_backlog: bool, env: &Env) {
    while bugs::enabled(KnownBug::SpinsWithoutYielding) {
        (0..1_000_000).for_each(|_| std::hint::spin_loop());
        env.emit(NodeEvent::Ready);
    }
    if has_backlog && bugs::enabled(KnownBug::RecoveryAwaitsItsConsumer) {
        std::future::pending().await
    }
}

/// The base of the epoch for delivery.
pub(in crate::node) fn base(
    mut base: EpochBase,
    last_commit: CommitIndex,
    watermark: GlobalExecIndex,
) -> EpochBase {
    if bugs::enabled(KnownBug::BaseTakenFromTip) {
        base.base = watermark;
    }
    let is_later = base.epoch > Epoch(0) && last_commit > CommitIndex(0);
    if bugs::enabled(KnownBug::BaseTakenAsZero) && is_later {
        base.base = GlobalExecIndex(0);
    }
    if bugs::enabled(KnownBug::GeiAssertedAsCommitIndex) {
        let known = u64::from(last_commit.0);
        assert!(
            !is_later || watermark.0 <= known,
            "the watermark {watermark} is above the last stored commit, {known}"
        );
    }
    base
}

/// The GEI above which delivery starts.
pub(in crate::node) fn delivered(
    watermark: GlobalExecIndex,
    base: EpochBase,
    log: &CommitLog,
    records: &EpochStore,
) -> GlobalExecIndex {
    let last_commit = log.last();
    let stored = base.gei(last_commit);
    let is_later = base.epoch > Epoch(0);
    let from_zero = bugs::enabled(KnownBug::BaseTakenAsZero) && is_later;
    if bugs::enabled(KnownBug::ReplayAfterZero) || from_zero {
        base.base
    } else if bugs::enabled(KnownBug::StartsAtStoreTip) {
        stored
    } else if bugs::enabled(KnownBug::HigherOfTwoCursors) {
        watermark.max(stored)
    } else if bugs::enabled(KnownBug::GeiUsedAsCommitIndex) && is_later {
        GlobalExecIndex(base.base.0 + watermark.0)
    } else if bugs::enabled(KnownBug::WatermarkWithoutEpoch) && is_later {
        let before = records.read(base.epoch.prev()).ok().flatten();
        let handled = before.map_or(0, |before| base.base.0 - before.start.base.base.0);
        GlobalExecIndex(watermark.0.max(base.base.0 + handled))
    } else if bugs::enabled(KnownBug::UnitsMixed) {
        let handled = usize::try_from(watermark.0 - base.base.0).unwrap_or(0);
        let commits = log.read(CommitIndex(1), last_commit.0 as usize);
        let commits = commits.unwrap_or_default();
        let counts = |s: &&Arc<SubDag>| s.blocks.iter().any(|b| !b.transactions.is_empty());
        let mut counted = commits.iter().filter(counts);
        let last = counted.nth(handled.saturating_sub(1));
        last.map_or(watermark, |last| base.gei(last.commit.index))
    } else if bugs::enabled(KnownBug::UnfinishedEpochForgotten) {
        watermark.max(base.base)
    } else {
        watermark
    }
}
