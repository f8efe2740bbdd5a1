//! Scenarios and suites, the command line and the reports.
//!
//! In import order: a module uses only modules above it.
//!
//! | module | task |
//! |---|---|
//! | `clauses` | promises that are judged from outside of a process, and verdicts on them |
//! | `live` | sockets of the operating system |
//! | `conformance` | drives a live executor through the contract |
//! | `stand_in` | a Go Master for a live node, whose frames it judges |
//! | `source` | reads a TOML file; errors name file, line and key |
//! | `sampling` | ranges, and the labelled random streams of a seed that draw from them |
//! | `seed` | parses seeds and ranges of seeds |
//! | `scenario` | scenario files, and the plan that a seed draws from one |
//! | `catalog` | the scenarios and suites that are built in |
//! | `batch` | runs jobs on several threads and returns their results in order |
//! | `suite` | lists of scenarios with seed counts |
//! | `failure` | failure files: one failing run each |
//! | `run_reference` | the names of a run: a failure file, or a scenario and a seed |
//! | `determinism` | compares the trace of a run with that of the same run in another process |
//! | `shrinking` | searches for the smallest run that fails in the same way |
//! | `museum` | searches for known bugs: switches one on until a declared finder reports it |
//! | `localnet` | a local network of real processes under faults, judged |
//! | `report` | from outcomes to text, JSON and JUnit |
//! | `cli` | the command line |
//!
//! Everything that simulates exists only in the simulated build (`--cfg madsim`). The first modules talk to real
//! processes and exist in both, so that tests of the other build can use them.

pub mod clauses;
pub mod conformance;
mod live;
pub mod stand_in;

#[cfg(madsim)]
pub mod batch;
#[cfg(madsim)]
pub mod catalog;
#[cfg(madsim)]
pub mod cli;
#[cfg(madsim)]
mod determinism;
#[cfg(madsim)]
pub mod failure;
#[cfg(madsim)]
pub mod localnet;
#[cfg(madsim)]
pub mod museum;
#[cfg(madsim)]
pub mod report;
#[cfg(madsim)]
mod run_reference;
#[cfg(madsim)]
mod sampling;
#[cfg(madsim)]
pub mod scenario;
#[cfg(madsim)]
mod seed;
#[cfg(madsim)]
mod shrinking;
#[cfg(madsim)]
mod source;
#[cfg(madsim)]
pub mod suite;
