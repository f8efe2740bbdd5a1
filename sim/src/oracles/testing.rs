//! The judgement of a constructed trace.

use super::{Oracle, Violation};
use crate::trace::{Entry, SimTime};

/// Judges a whole trace; the run ends with its last entry.
pub(crate) fn judge(mut oracle: impl Oracle, trace: &[Entry]) -> Option<Box<Violation>> {
    let end = trace.last().map_or(SimTime::default(), |entry| entry.at);
    trace
        .iter()
        .try_for_each(|entry| oracle.observe(entry))
        .and_then(|()| oracle.finish(end))
        .err()
}
