//! Reports, for people and for programs: pure functions from outcomes to text.
//!
//! | module | content |
//! |---|---|
//! | `colour` | terminal colours |
//! | `plan` | the values that a seed drew |
//! | `timeline` | the course of a run: one line per event, one column per process |
//! | `events` | the text of a trace entry |
//! | `describe` | the text of ranges, committee members and Byzantine strategies |
//! | `verdict` | the result of a run with its evidence and the command that reproduces it |
//! | `failure` | failure files, results of replaying and shrinking |
//! | `determinism` | runs that are not deterministic |
//! | `diff` | the first difference between two traces |
//! | `summary` | a table of many runs |
//! | `sweep` | the matrices of a sweep |
//! | `museum` | which known bugs were found |
//! | `event_logs` | which invariants event logs of real processes hold |
//! | `clauses` | clauses of the contract: held, broken or not testable |
//! | `json` | one object per run |
//! | `junit` | test cases for continuous integration |

pub mod clauses;
pub mod colour;
pub(crate) mod describe;
pub(crate) mod determinism;
pub(crate) mod diff;
pub mod event_logs;
pub mod events;
pub(crate) mod failure;
pub mod json;
pub mod junit;
pub(crate) mod localnet;
pub(crate) mod museum;
pub(crate) mod plan;
pub mod summary;
pub(crate) mod sweep;
pub(crate) mod timeline;
pub mod verdict;
