//! Event logs of real processes, judged by the oracles: `docs/trace-format.md`.
//!
//! | file | content |
//! |---|---|
//! | `read` | files to lines, merged by GEI |
//! | `translate` | from the lines of one process to entries of a trace (pure) |
//! | `rules` | rules that compare what processes say, where no witness has seen more |
//! | `judge` | which invariants the lines can test, and the verdict on each (pure) |
//!
//! A log says what its process believes; nobody else has seen its bytes. Still most bugs show, because processes contradict
//! each other or themselves.

mod judge;
mod read;
mod rules;
#[cfg(test)]
mod tests;
mod translate;

pub use judge::{Finding, Judge, Place, Report, Verdict};
pub use read::{LogError, judge_files};
