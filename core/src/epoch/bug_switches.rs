//! Switches of the [known bugs](crate::bugs) of the epoch change: its decisions, and how it advances the executor. With
//! no bug enabled, arguments are returned unchanged.

use super::{ChangeAction, ChangeView, EpochChange};
use crate::{
    bugs::{self, KnownBug},
    executor::RpcError,
    types::{Boundary, ChangeStep, Epoch},
};
use std::time::Duration;

/// The next action.
pub(super) async fn decided(
    action: ChangeAction,
    view: &ChangeView,
    change: &EpochChange<'_>,
) -> ChangeAction {
    match (action, view.step) {
        (ChangeAction::Wait, ChangeStep::BoundaryCommitted(boundary))
            if bugs::enabled(KnownBug::AdvancedBeforeDrained) && view.certified =>
        {
            ChangeAction::Record(ChangeStep::Drained(boundary))
        }
        (ChangeAction::Record(ChangeStep::BoundaryCommitted(boundary)), ChangeStep::Drained(_))
            if bugs::enabled(KnownBug::AdvancedBeforeDrained) =>
        {
            ChangeAction::AdvanceExecutor(boundary)
        }
        (ChangeAction::Record(ChangeStep::BoundaryCommitted(boundary)), _) => {
            let boundary = committed(boundary, change).await;
            ChangeAction::Record(ChangeStep::BoundaryCommitted(boundary))
        }
        (ChangeAction::Record(ChangeStep::Drained(mut boundary)), _)
            if bugs::enabled(KnownBug::BoundaryReadBeforeStop) =>
        {
            boundary.gei = view.watermark;
            ChangeAction::Record(ChangeStep::Drained(boundary))
        }
        (decided, _) => decided,
    }
}

/// The boundary to record as committed.
async fn committed(mut boundary: Boundary, change: &EpochChange<'_>) -> Boundary {
    if bugs::enabled(KnownBug::BoundaryFromLaggingExecutor)
        && let Ok(watermark) = change.client.watermark().await
    {
        boundary.gei = watermark;
    }
    if bugs::enabled(KnownBug::BoundaryOneShort) {
        boundary.gei = boundary.gei.prev();
    }
    if bugs::enabled(KnownBug::ClockInTheChain) {
        boundary.timestamp_ms = change.env.clock.now();
    }
    boundary
}

/// Sends `AdvanceEpoch`. Returns the executor's epoch.
pub(super) async fn advance_executor(
    change: &EpochChange<'_>,
    next: Epoch,
    boundary: &Boundary,
) -> Result<Epoch, RpcError> {
    if bugs::enabled(KnownBug::CommitteeBeforeAdvance) {
        await_committee(change, next).await;
    }
    let advanced = change.client.advance_epoch(next, boundary).await;
    if advanced.is_err() && bugs::enabled(KnownBug::AdvanceFailureIgnored) {
        await_committee(change, next).await;
    }
    advanced
}

/// Queries the committee of `epoch` until the executor has it.
async fn await_committee(change: &EpochChange<'_>, epoch: Epoch) {
    while change.client.epoch_boundary_data(epoch).await.is_err() {
        tokio::time::sleep(Duration::from_millis(change.poll_ms)).await;
    }
}
