//! A recorded trace, judged again.

use crate::{
    model::Model,
    oracles::Violation,
    plan::Plan,
    recorder::Recorder,
    trace::{Entry, SimTime, TraceHash, What},
    world,
};
use std::collections::BTreeMap;

/// The judgement of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub violation: Option<Violation>,
    /// Of the trace with the results of the reference model, up to a violation.
    pub trace_hash: TraceHash,
}

/// Judges the whole trace of a run without panics by all oracles. The reference model derives its results anew from the facts; those in the trace
/// are ignored.
#[must_use]
pub fn judge(plan: &Plan, trace: impl IntoIterator<Item = Entry>, end: SimTime) -> Judgement {
    let mut recorder = Recorder::new(plan, Model::new(world::genesis(plan)), 0);
    for Entry { at, process, what } in trace {
        match what {
            What::Derived(_) => {}
            What::Seen(fact) => recorder.see(at, process, fact),
            what => recorder.record(Entry { at, process, what }),
        }
    }
    recorder.finish(end, BTreeMap::new());
    Judgement {
        violation: recorder.violation().cloned(),
        trace_hash: recorder.hash(),
    }
}
