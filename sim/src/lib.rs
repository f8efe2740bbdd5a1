//! The simulated world: hosts, sockets, disks and clocks in which unchanged nodes and executors run, the faults that
//! befall them, and the oracles that watch.
//!
//! | room | is |
//! |---|---|
//! | [`plan`] | one run, fully drawn: topology, limits, workload, faults |
//! | [`trace`] | typed events and their hash chain |
//! | [`oracles`] | one file per invariant of contract §12 |
//!
//! Exists only in the simulated build (`--cfg madsim`).
#![cfg(madsim)]

pub mod oracles;
pub mod plan;
pub mod run;
pub mod trace;
