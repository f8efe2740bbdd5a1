//! Scenarios and suites, the command line and the reports.
//!
//! In import order: a module uses only modules above it.
//!
//! | module | task |
//! |---|---|
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
//! | `live` | sockets of the operating system |
//! | `localnet` | a local network of real processes under faults, judged |
//! | `report` | from outcomes to text, JSON and JUnit |
//! | `cli` | the command line |
//!
//! Exists only in the simulated build (`--cfg madsim`).
#![cfg(madsim)]

pub mod batch;
pub mod catalog;
pub mod cli;
mod determinism;
pub mod failure;
mod live;
pub mod localnet;
pub mod museum;
pub mod report;
mod run_reference;
mod sampling;
pub mod scenario;
mod seed;
mod shrinking;
mod source;
pub mod suite;
