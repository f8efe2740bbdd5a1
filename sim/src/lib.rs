//! The simulated world: hosts, sockets, disks and clocks in which unchanged nodes and executors run, faults, and the
//! oracles that watch.
//!
//! | module | is |
//! |---|---|
//! | [`plan`] | one run, fully drawn: topology, limits, workload, faults |
//! | [`run`] | seed in, outcome out |
//! | [`world`] | hosts, processes and the record of what happens |
//! | [`faults`] | what may go wrong, one file per subject |
//! | [`byzantine`] | validators that do what they want, one file per strategy |
//! | [`net`] | a socket kernel: Unix paths, TCP links, faults as rules |
//! | [`disk`] | what is durable and what is not yet |
//! | [`clock`], [`entropy`] | wall clocks with their skew, labelled randomness |
//! | [`trace`] | typed events and their hash chain |
//! | [`hashes`] | hashes of transactions, computed once for all nodes |
//! | [`recorder`] | takes down what happens |
//! | [`panics`] | panics of simulated threads, kept for the report |
//! | [`probes`] | states that must be reached sometimes |
//! | [`oracles`] | one file per invariant of contract §12 |
//! | [`amounts`] | numbers with units, for people |
//! | [`shrink`] | from a failing plan to the smallest that fails in the same way |
//! | [`sweep`] | a crash at every crash point that a run reaches |
//!
//! Exists only in the simulated build (`--cfg madsim`).
#![cfg(madsim)]

mod allocator;
pub mod amounts;
pub mod byzantine;
mod clock;
pub mod disk;
mod entropy;
pub mod faults;
mod hashes;
mod nearer;
pub mod net;
pub mod oracles;
pub mod panics;
pub mod plan;
mod probes;
mod process_id;
mod recorder;
pub mod run;
pub mod shrink;
pub mod sweep;
pub mod trace;
mod world;
