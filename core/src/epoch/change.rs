//! What the change waits for and what it does next: a pure function of what is recorded and what is known.

use crate::types::{Boundary, ChangeStep, Epoch, GlobalExecIndex};

/// What is known of an epoch that may be ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeView {
    pub epoch: Epoch,
    /// What is recorded of it.
    pub step: ChangeStep,
    /// Its last commit, if it is stored.
    pub boundary: Option<Boundary>,
    /// 2f+1 stake has the boundary commit, and their votes for it are stored here: whoever comes later can be shown.
    pub certified: bool,
    /// Whether this node feeds the executor; else it only watches what another one does.
    pub delivers: bool,
    /// As the executor said last.
    pub watermark: GlobalExecIndex,
    pub executor_epoch: Epoch,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeAction {
    /// Nothing, until something that is known changes: the end of the epoch, or the watermark that delivery follows.
    Wait,
    /// Ask the executor, which another node feeds, for watermark and epoch again, after a while.
    AskExecutor,
    /// Write down that this step is done.
    Record(ChangeStep),
    /// Tell the executor that the next epoch begins there (contract §7.3), again and again until it agrees.
    AdvanceExecutor(Boundary),
    /// The epoch is over for this node: go on in the next one.
    Leave,
}

/// The next action of the change. Deterministic and without memory: after a crash the same record and the same world
/// lead to the same action.
#[must_use]
pub fn next_action(view: &ChangeView) -> ChangeAction {
    let advanced = view.executor_epoch > view.epoch;
    if !view.delivers && view.executor_epoch > view.epoch.next() {
        // The others are so far ahead that they may not keep this epoch any more, and nothing of it is owed.
        return ChangeAction::Leave;
    }
    match view.step {
        ChangeStep::Running => match view.boundary {
            Some(boundary) => ChangeAction::Record(ChangeStep::BoundaryCommitted(boundary)),
            None => ChangeAction::Wait,
        },
        ChangeStep::BoundaryCommitted(_) if !view.certified => ChangeAction::Wait,
        // It is fed by another node, and moves on without this one.
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
                // It lost its tail: that is delivered again.
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

    /// The world that obeys: everything asked for happens.
    fn obey(view: &mut ChangeView, action: ChangeAction) {
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
    fn the_steps_come_in_their_order() {
        let mut view = view(ChangeStep::Running);
        let mut log = vec![];
        while log.last() != Some(&ChangeAction::Leave) {
            let action = next_action(&view);
            log.push(action);
            obey(&mut view, action);
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
        fn the_executor_is_never_advanced_before_it_has_everything(
            step in steps(),
            certified: bool,
            delivers: bool,
            watermark in 90u64..120,
            executor_epoch in 3u64..6,
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

        /// Whatever was interrupted, and whatever the executor lost meanwhile, the change comes to its end.
        #[test]
        fn from_every_step_the_change_ends(
            step in steps(),
            certified: bool,
            delivers: bool,
            watermark in 90u64..=107,
            executor_epoch in 4u64..6,
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
                obey(&mut view, action);
            }
            prop_assert!(false, "{view:?}");
        }
    }
}
