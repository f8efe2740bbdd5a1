//! What the bugs of the [known bugs](crate::bugs) make of a start. Without one, everything is passed on as it is.

use crate::{
    bugs::{self, KnownBug},
    epoch::EpochStore,
    store::CommitLog,
    types::{CommitIndex, Epoch, EpochBase, GlobalExecIndex, SubDag},
};
use std::sync::Arc;

/// Where the epoch begins that is run, and whose last commit this is.
pub(super) fn base(
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
            "{watermark} of {known} commits"
        );
    }
    base
}

/// What counts as delivered: what is durable.
pub(super) fn delivered(
    watermark: GlobalExecIndex,
    base: EpochBase,
    log: &CommitLog,
    records: &EpochStore,
) -> GlobalExecIndex {
    let last_commit = *log.tip().borrow();
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
    } else if bugs::enabled(KnownBug::AdvancedBeforeDrained) {
        watermark.max(base.base)
    } else {
        watermark
    }
}
