//! No oracle may fire on a trace that keeps the contract, such as those of the model with random crashes.

use super::{
    BY_CAUSE, Invariant,
    model::{Step, legal_trace, step},
    oracles_of,
    truthful::with_facts,
};
use crate::{
    plan::Plan,
    trace::{Entry, What},
};
use metanode_core::env::{Event, ExecutorEvent, NodeEvent};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The first violated invariant.
fn fired(trace: &[Entry]) -> Option<(Invariant, String)> {
    let end = trace.last()?.at;
    // Without blocks, the reference model has nothing to say.
    let judged = BY_CAUSE.iter().filter(|id| **id != Invariant::Quorum);
    let plan = Plan::example();
    let mut oracles: Vec<_> = judged.flat_map(|id| oracles_of(*id, &plan)).collect();
    let trace = with_facts(trace);
    for entry in &trace {
        for oracle in &mut oracles {
            if let Err(violation) = oracle.observe(entry) {
                return Some((violation.invariant, violation.message));
            }
        }
    }
    oracles
        .iter_mut()
        .find_map(|oracle| oracle.finish(end).err())
        .map(|violation| (violation.invariant, violation.message))
}

/// The steps of the model make progress.
#[test]
fn the_model_goes_from_epoch_to_epoch_and_back() {
    let mut steps = vec![];
    for _ in 0..3 {
        steps.extend([Step::Commit, Step::Backup]);
        steps.extend([Step::Change; 2]);
        steps.extend([Step::Load, Step::Write, Step::Execute, Step::Flush]);
        steps.extend([Step::Change; 5]);
    }
    steps.push(Step::Restore);
    let trace = legal_trace(steps);
    assert_eq!(fired(&trace), None);
    let opened = trace.iter().filter_map(|entry| match &entry.what {
        What::Process(Event::Node(NodeEvent::EpochOpened { base, .. })) => Some(base.epoch.0),
        _ => None,
    });
    assert_eq!(Vec::from_iter(opened), [0, 1, 2, 3, 2, 3]);
}

proptest! {
    #[test]
    fn no_oracle_fires_on_a_legal_trace(steps in proptest::collection::vec(step(), 0..400)) {
        prop_assert_eq!(fired(&legal_trace(steps)), None);
    }

    /// The opposite: removing the executions of any block is a violation.
    #[test]
    fn a_block_that_is_never_executed_is_found(
        steps in proptest::collection::vec(step(), 50..400),
        which in any::<prop::sample::Index>(),
    ) {
        let mut trace = legal_trace(steps);
        let executed = |entry: &Entry| match entry.what {
            What::Process(Event::Executor(ExecutorEvent::Executed { gei, .. })) => Some(gei),
            _ => None,
        };
        let blocks: BTreeSet<_> = trace.iter().filter_map(executed).collect();
        prop_assume!(!blocks.is_empty());
        let missing = *which.get(&Vec::from_iter(blocks));
        trace.retain(|entry| executed(entry) != Some(missing));
        prop_assert_eq!(fired(&trace).map(|(invariant, _)| invariant), Some(Invariant::Gap0));
    }
}
