//! The judgement of a constructed trace.

use super::{Oracle, Violation, truthful::with_facts};
use crate::trace::{Entry, SimTime};

/// Judges a whole trace, with the facts that its events report; the run ends with its last entry.
pub(crate) fn judge(oracle: impl Oracle, trace: &[Entry]) -> Option<Box<Violation>> {
    judge_facts(oracle, &with_facts(trace))
}

/// Judges a whole trace as it is.
pub(crate) fn judge_facts(mut oracle: impl Oracle, trace: &[Entry]) -> Option<Box<Violation>> {
    let end = trace.last().map_or(SimTime::default(), |entry| entry.at);
    trace
        .iter()
        .try_for_each(|entry| oracle.observe(entry))
        .and_then(|()| oracle.finish(end))
        .err()
}
