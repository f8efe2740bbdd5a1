//! Where the [known bugs](metanode_core::bugs) of an executor are switched on. With no bug enabled, every function
//! returns what it was given.

use crate::{flush::FlushStep, guard::Verdict, manners::Reports};
use metanode_core::{
    bugs::{self, KnownBug},
    executor::wire::CommittedEpochData,
    store::Column,
    types::GlobalExecIndex,
};

/// The order of the writes of a flush.
pub(crate) fn flush_order(order: [FlushStep; 3]) -> [FlushStep; 3] {
    use FlushStep::{Blocks, State, Watermark};
    if bugs::enabled(KnownBug::WatermarkBeforeState) {
        return [Watermark, State, Blocks];
    }
    if bugs::enabled(KnownBug::BlocksBeforeState) || stored_reads_as_executed() {
        return [Blocks, State, Watermark];
    }
    order
}

/// Which blocks are reported as durable.
pub(crate) fn reports(configured: Reports) -> Reports {
    match bugs::enabled(KnownBug::ReportsWhatIsInMemory) {
        true => Reports::Executed,
        false => configured,
    }
}

/// Whether the epoch that a peer wants to begin is refused.
pub(crate) fn refuses_peers() -> bool {
    !bugs::enabled(KnownBug::PeerMayAdvance)
}

/// Whether the watermark is stored with the blocks, in their write, and not by a last one of its own.
pub(crate) fn watermark_is_with_blocks() -> bool {
    bugs::enabled(KnownBug::WatermarkWithBlocks)
}

/// Whether a start takes the last stored block for the last one that is executed.
pub(crate) fn stored_reads_as_executed() -> bool {
    bugs::enabled(KnownBug::StoredReadsAsExecuted)
}

/// The bytes of a block that a Sub does not ask for again.
pub(crate) fn skipped(bytes: u64) -> u64 {
    let is_too_far = bytes > 0 && bugs::enabled(KnownBug::PartSkipsAByte);
    bytes + u64::from(is_too_far)
}

/// The columns that a start rolls back to the watermark.
pub(crate) fn rolled_back(columns: &[Column]) -> &[Column] {
    match columns {
        [_state, others @ ..] if bugs::enabled(KnownBug::StateWithoutWatermark) => others,
        columns => columns,
    }
}

/// The watermark that is compared with the boundary of a requested epoch.
pub(crate) fn at_boundary(
    watermark: GlobalExecIndex,
    boundary: GlobalExecIndex,
) -> GlobalExecIndex {
    if bugs::enabled(KnownBug::ExecutorAdvancesEarly) {
        return watermark.max(boundary);
    }
    watermark
}

/// Whether a Sub waits for the exchange before it hands a connection of the old transport back to its pool.
pub(crate) fn waits_for_exchange(configured: bool) -> bool {
    configured && !bugs::enabled(KnownBug::PooledConnectionReuse)
}

/// State of a guard that compares commit indexes and ignores their epochs.
#[derive(Default)]
pub(crate) struct SeenCommits {
    /// The highest commit index of an executed block.
    highest: u32,
}

impl SeenCommits {
    /// The verdict about a block.
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
