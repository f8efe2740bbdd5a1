//! Scenarios and suites, the command line and the reports.
//!
//! | room | is |
//! |---|---|
//! | [`source`] | a TOML file whose errors name file, line and key |
//! | [`sampling`] | labelled random streams of one seed |
//! | [`scenario`] | scenario files, and the plan that a seed draws from one |
//! | [`suite`] | lists of scenarios with seed counts |
//! | [`catalog`] | the scenarios and suites that are built in |
//! | [`seed`] | seeds and ranges of seeds as people type them |
//! | [`batch`] | many runs on a few threads, reported in order |
//! | [`failure`] | a failing run in a file of its own |
//! | [`subject`] | one run as people name it |
//! | [`shrinking`] | the smallest run that fails in the same way |
//! | [`determinism`] | one run twice: after other runs, and in a process of its own |
//! | [`museum`] | known bugs, switched on until a declared finder notices |
//! | [`cli`] | the command line |
//! | [`report`] | what a person reads; [`report::json`] is what a program reads |
//!
//! Exists only in the simulated build (`--cfg madsim`).
#![cfg(madsim)]

pub mod batch;
pub mod catalog;
pub mod cli;
pub mod determinism;
pub mod failure;
pub mod museum;
pub mod report;
pub mod run_reference;
pub mod sampling;
pub mod scenario;
pub mod seed;
pub mod shrinking;
pub mod source;
pub mod suite;
