//! Where the [known bugs](metanode_core::bugs) of an executor are switched on. With no bug enabled, everything is passed
//! on as it is.

use crate::{flush::FlushStep, guard::Verdict};
use bytes::Bytes;
use metanode_core::{
    bugs::{self, KnownBug},
    executor::wire::CommittedEpochData,
    store::{Column, StoreError},
    types::GlobalExecIndex,
};
use prost::Message;
use tokio::sync::watch;

/// In which order a flush writes.
pub(crate) fn flush_order(order: [FlushStep; 3]) -> [FlushStep; 3] {
    use FlushStep::{Blocks, State, Watermark};
    if bugs::enabled(KnownBug::WatermarkBeforeState) {
        return [Watermark, State, Blocks];
    }
    if bugs::enabled(KnownBug::BlocksBeforeState) {
        return [Blocks, State, Watermark];
    }
    order
}

/// Blocks up to `height` are executed: nothing is reported as durable because of that.
pub(crate) fn executed(height: GlobalExecIndex, durable: &watch::Sender<GlobalExecIndex>) {
    if bugs::enabled(KnownBug::ReportsWhatIsInMemory) {
        durable.send_replace(height);
    }
}

/// The watermark that a start recovers. `last_block` reads the body of the last stored block.
pub(crate) fn recovered(
    watermark: GlobalExecIndex,
    last_block: impl FnOnce() -> Result<Option<Bytes>, StoreError>,
) -> Result<GlobalExecIndex, StoreError> {
    if !bugs::enabled(KnownBug::LastBlockReadsAsWatermark) {
        return Ok(watermark);
    }
    Ok(match last_block()?.map(CommittedEpochData::decode) {
        Some(Ok(last)) => GlobalExecIndex(last.global_exec_index),
        Some(Err(_)) | None => watermark,
    })
}

/// The columns of which a start drops what lies above the watermark.
pub(crate) fn rolled_back(columns: &[Column]) -> &[Column] {
    match columns {
        [_state, others @ ..] if bugs::enabled(KnownBug::StateWithoutWatermark) => others,
        columns => columns,
    }
}

/// The watermark at which an epoch is asked for that begins after `boundary`.
pub(crate) fn at_boundary(
    watermark: GlobalExecIndex,
    boundary: GlobalExecIndex,
) -> GlobalExecIndex {
    if bugs::enabled(KnownBug::ExecutorAdvancesEarly) {
        return watermark.max(boundary);
    }
    watermark
}

/// What a guard remembers that compares commit indexes whatever their epoch.
#[derive(Default)]
pub(crate) struct SeenCommits {
    /// The highest index of a commit that was let in.
    highest: u32,
}

impl SeenCommits {
    /// What happens to a block.
    pub(crate) fn judged(&mut self, verdict: Verdict, block: &CommittedEpochData) -> Verdict {
        let is_seen = block.epoch > 0 && block.commit_index <= self.highest;
        if is_seen && bugs::enabled(KnownBug::GuardWithoutEpoch) {
            return Verdict::Skip;
        }
        if verdict == Verdict::Execute {
            self.highest = self.highest.max(block.commit_index);
        }
        verdict
    }
}
