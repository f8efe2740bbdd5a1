//! The next action of the epoch change: a pure function of the recorded step and the known state.

use crate::types::{Boundary, ChangeStep, Epoch, GlobalExecIndex};

/// The state on which the next action depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChangeView {
    pub epoch: Epoch,
    /// The recorded step.
    pub step: ChangeStep,
    /// The boundary of the epoch, if it is stored.
    pub boundary: Option<Boundary>,
    /// Commit votes of 2f+1 stake for the boundary are stored, so this node can prove it to nodes that are behind.
    pub certified: bool,
    /// Whether this node delivers to the executor. Otherwise another node does, and advances it.
    pub delivers: bool,
    /// The last W that the executor returned.
    pub watermark: GlobalExecIndex,
    pub executor_epoch: Epoch,
}

/// An action of the epoch change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeAction {
    /// Wait until [`ChangeView::boundary`], [`ChangeView::certified`] or the watermark changes.
    Wait,
    /// Query watermark and epoch of the executor, to which another node delivers, after a pause.
    AskExecutor,
    /// Record that this step is completed.
    Record(ChangeStep),
    /// Send `AdvanceEpoch` to the executor (contract §7.3).
    AdvanceExecutor(Boundary),
    /// Leave the epoch and continue in the next one.
    Leave,
}

/// The next action of the epoch change. It depends on nothing but `view`, so after a crash the change resumes at the
/// recorded step.
#[must_use]
pub(super) fn next_action(view: &ChangeView) -> ChangeAction {
    let advanced = view.executor_epoch > view.epoch;
    // Peers may have removed this epoch already, and there is nothing of it to deliver.
    let is_left_behind = view.delivers && advanced && !view.certified;
    if view.executor_epoch > view.epoch.next() || is_left_behind {
        return ChangeAction::Leave;
    }
    match view.step {
        ChangeStep::Running => match view.boundary {
            Some(boundary) => ChangeAction::Record(ChangeStep::BoundaryCommitted(boundary)),
            None => ChangeAction::Wait,
        },
        ChangeStep::BoundaryCommitted(_) if !view.certified => ChangeAction::Wait,
        // Another node delivers to the executor and advances it.
        ChangeStep::BoundaryCommitted(boundary) if !view.delivers => {
            if advanced {
                ChangeAction::Record(ChangeStep::Advanced(boundary))
            } else {
                ChangeAction::AskExecutor
            }
        }
        ChangeStep::BoundaryCommitted(boundary) => {
            if view.watermark >= boundary.gei {
                ChangeAction::Record(ChangeStep::Drained(boundary))
            } else {
                ChangeAction::Wait
            }
        }
        ChangeStep::Drained(boundary) => {
            if advanced {
                ChangeAction::Record(ChangeStep::Advanced(boundary))
            } else if view.watermark >= boundary.gei {
                ChangeAction::AdvanceExecutor(boundary)
            } else {
                // The executor lost its tail, which must be delivered again first.
                ChangeAction::Record(ChangeStep::BoundaryCommitted(boundary))
            }
        }
        ChangeStep::Advanced(boundary) => {
            if advanced {
                ChangeAction::Leave
            } else {
                ChangeAction::Record(ChangeStep::BoundaryCommitted(boundary))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CommitDigest, CommitIndex, CommitRef, TimestampMs};
    use proptest::prelude::*;

    const BOUNDARY: Boundary = Boundary {
        commit: CommitRef {
            index: CommitIndex(7),
            digest: CommitDigest([3; 32]),
        },
        gei: GlobalExecIndex(107),
        timestamp_ms: TimestampMs(9),
    };

    const fn view(step: ChangeStep) -> ChangeView {
        ChangeView {
            epoch: Epoch(4),
            step,
            boundary: None,
            certified: false,
            delivers: true,
            watermark: GlobalExecIndex(100),
            executor_epoch: Epoch(4),
        }
    }

    /// Applies the effects of an action that succeeds.
    fn apply(view: &mut ChangeView, action: ChangeAction) {
        match action {
            ChangeAction::Wait if view.step == ChangeStep::Running => {
                view.boundary = Some(BOUNDARY);
            }
            ChangeAction::Wait if !view.certified => view.certified = true,
            ChangeAction::Wait => view.watermark = BOUNDARY.gei,
            ChangeAction::AskExecutor => view.executor_epoch = view.epoch.next(),
            ChangeAction::Record(step) => view.step = step,
            ChangeAction::AdvanceExecutor(_) => view.executor_epoch = view.epoch.next(),
            ChangeAction::Leave => {}
        }
    }

    #[test]
    fn the_steps_are_in_order() {
        let mut view = view(ChangeStep::Running);
        let mut log = vec![];
        while log.last() != Some(&ChangeAction::Leave) {
            let action = next_action(&view);
            log.push(action);
            apply(&mut view, action);
        }
        assert_eq!(
            log,
            [
                ChangeAction::Wait,
                ChangeAction::Record(ChangeStep::BoundaryCommitted(BOUNDARY)),
                ChangeAction::Wait,
                ChangeAction::Wait,
                ChangeAction::Record(ChangeStep::Drained(BOUNDARY)),
                ChangeAction::AdvanceExecutor(BOUNDARY),
                ChangeAction::Record(ChangeStep::Advanced(BOUNDARY)),
                ChangeAction::Leave,
            ]
        );
    }

    /// Its disk is the copy of another one. Peers may no longer have what is missing here.
    #[test]
    fn an_executor_that_has_left_the_epoch_is_followed_before_the_boundary_is_certified() {
        for step in [ChangeStep::Running, ChangeStep::BoundaryCommitted(BOUNDARY)] {
            let action = |executor_epoch, certified| {
                next_action(&ChangeView {
                    executor_epoch: Epoch(executor_epoch),
                    certified,
                    ..view(step)
                })
            };
            assert_ne!(action(4, false), ChangeAction::Leave);
            assert_eq!(action(5, false), ChangeAction::Leave);
            assert_ne!(action(5, true), ChangeAction::Leave, "peers need the proof");
            assert_eq!(action(6, true), ChangeAction::Leave);
        }
    }

    fn steps() -> impl Strategy<Value = ChangeStep> {
        prop::sample::select(vec![
            ChangeStep::Running,
            ChangeStep::BoundaryCommitted(BOUNDARY),
            ChangeStep::Drained(BOUNDARY),
            ChangeStep::Advanced(BOUNDARY),
        ])
    }

    proptest! {
        #[test]
        fn the_executor_is_never_advanced_before_it_is_drained(
            step in steps(),
            certified: bool,
            delivers: bool,
            watermark in 90u64..120,
            executor_epoch in 3u64..8,
        ) {
            let view = ChangeView {
                step,
                certified,
                delivers,
                watermark: GlobalExecIndex(watermark),
                executor_epoch: Epoch(executor_epoch),
                ..view(step)
            };
            match next_action(&view) {
                ChangeAction::AdvanceExecutor(boundary) => {
                    prop_assert_eq!(view.step, ChangeStep::Drained(boundary));
                    prop_assert!(executor_epoch <= 4 && watermark >= boundary.gei.0);
                }
                ChangeAction::Record(ChangeStep::Drained(_)) => {
                    prop_assert!(certified && delivers);
                    prop_assert!(watermark >= BOUNDARY.gei.0);
                }
                ChangeAction::Leave => prop_assert!(executor_epoch > 4),
                _ => {}
            }
        }

        /// From every step and every state of the executor, the change completes.
        #[test]
        fn the_change_completes_from_every_step(
            step in steps(),
            certified: bool,
            delivers: bool,
            watermark in 90u64..=107,
            executor_epoch in 4u64..8,
        ) {
            let mut view = ChangeView {
                certified,
                delivers,
                boundary: (step != ChangeStep::Running).then_some(BOUNDARY),
                watermark: GlobalExecIndex(watermark),
                executor_epoch: Epoch(executor_epoch),
                ..view(step)
            };
            for _ in 0..12 {
                let action = next_action(&view);
                if action == ChangeAction::Leave {
                    return Ok(());
                }
                apply(&mut view, action);
            }
            prop_assert!(false, "{view:?}");
        }
    }
}
