//! The simulated world: hosts, sockets, disks and clocks for unmodified nodes and executors, with faults and oracles.
//!
//! In import order: a module uses only modules above it.
//!
//! | module | content |
//! |---|---|
//! | `process_id` | names of processes |
//! | `invariant` | names of invariants |
//! | `allocator` | the allocator of programs that simulate, and the memory of each process |
//! | [`amounts`] | numbers with units, for people |
//! | `nearer` | candidates for shrinking a number |
//! | `entropy` | random streams, named by labels |
//! | `hashes` | hashes of transactions, computed once for all nodes |
//! | `addresses` | where simulated processes listen |
//! | `clock` | simulated time, wall clocks with skew, drift and jumps |
//! | [`witness`] | facts: what the bytes on wires and disks say, decoded without the node's code |
//! | [`model`] | the reference model: what the specification derives from the blocks that were seen |
//! | [`disk`] | what is durable and what is not; failing disks |
//! | [`net`] | a socket kernel: Unix paths, TCP links, faults as rules |
//! | `stranger` | somebody outside of the system who connects to its ports |
//! | [`byzantine`] | validators that deviate from the protocol, one file per strategy |
//! | [`trace`] | typed events and their hash |
//! | [`log`] | logs of simulated processes |
//! | [`faults`] | what may go wrong and what it does to the cluster, one file per subject |
//! | [`plan`] | one run, fully drawn: topology, limits, workload, faults |
//! | [`panics`] | panics of simulated threads, captured for the report |
//! | `probes` | states that must be reached sometimes |
//! | [`oracles`] | one file per invariant of contract §12 |
//! | [`event_log`] | event logs of real processes, judged |
//! | [`data_dirs`] | data directories of real processes, judged |
//! | `recorder` | receives every entry: trace, oracles, probes, figures of the report |
//! | `world` | hosts and processes, the cluster that faults act on, the workload |
//! | [`run`] | seed in, outcome out |
//! | [`shrink`] | from a failing plan to the smallest that fails in the same way (pure) |
//! | [`sweep`] | a crash at every crash point that a run reaches (pure) |
//!
//! Exists only in the simulated build (`--cfg madsim`).
#![cfg(madsim)]

mod addresses;
mod allocator;
pub mod amounts;
pub mod byzantine;
mod clock;
pub mod data_dirs;
pub mod disk;
mod entropy;
pub mod event_log;
pub mod faults;
mod hashes;
mod invariant;
pub mod log;
pub mod model;
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
mod stranger;
pub mod sweep;
pub mod trace;
pub mod witness;
mod world;
