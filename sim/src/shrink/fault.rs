//! Simpler faults of any kind.

use crate::{faults::PlannedFault, nearer::toward, trace::ProcessId};

/// The fault with its processes replaced by `to`. `None` if no target is left, or if it waits for a process without a
/// replacement.
pub(super) fn renumbered(
    planned: &PlannedFault,
    to: &impl Fn(ProcessId) -> Option<ProcessId>,
) -> Option<PlannedFault> {
    let trigger = planned.trigger.renumbered(to)?;
    let mut fault = planned.fault.clone();
    let mut targets = fault.parts().targets;
    targets.renumber(to);
    (targets.count() > 0).then_some(PlannedFault { trigger, fault })
}

/// Strictly simpler faults of the same kind: fewer conditions, fewer targets, then smaller and rounder numbers.
pub(super) fn simpler(planned: &PlannedFault) -> Vec<PlannedFault> {
    let PlannedFault { trigger, fault } = planned;
    let with_trigger = |trigger| PlannedFault {
        trigger,
        fault: fault.clone(),
    };
    let mut found: Vec<_> = trigger
        .with_fewer_conditions()
        .into_iter()
        .map(with_trigger)
        .collect();
    found.extend(fewer_targets(planned));
    found.extend(trigger.with_smaller_numbers().into_iter().map(with_trigger));
    found.extend(shorter(planned));
    found.extend(smaller_amount(planned));
    found
}

/// Without one of several targets.
fn fewer_targets(planned: &PlannedFault) -> Vec<PlannedFault> {
    let mut fault = planned.fault.clone();
    let targets = fault.parts().targets.count();
    let positions = if targets > 1 { 0..targets } else { 0..0 };
    let without = |position| {
        let mut simpler = planned.clone();
        simpler.fault.parts().targets.remove(position);
        simpler
    };
    positions.map(without).collect()
}

/// Until all faults end, or for a shorter time.
fn shorter(planned: &PlannedFault) -> Vec<PlannedFault> {
    let mut fault = planned.fault.clone();
    let Some(Some(lasting_ms)) = fault.parts().lasting_ms else {
        return vec![];
    };
    let shorter = toward(*lasting_ms, 0).into_iter().map(Some);
    let lasting = |ms| {
        let mut simpler = planned.clone();
        if let Some(lasting_ms) = simpler.fault.parts().lasting_ms {
            *lasting_ms = ms;
        }
        simpler
    };
    [None].into_iter().chain(shorter).map(lasting).collect()
}

fn smaller_amount(planned: &PlannedFault) -> Vec<PlannedFault> {
    let mut fault = planned.fault.clone();
    let Some(amount) = fault.parts().amount else {
        return vec![];
    };
    let with = |smaller| {
        let mut simpler = planned.clone();
        if let Some(amount) = simpler.fault.parts().amount {
            *amount = smaller;
        }
        simpler
    };
    toward(*amount, 0).into_iter().map(with).collect()
}
