//! The DAG of one epoch: which blocks are here, which wait for others, and what may be proposed on top of them.
//!
//! An uncertified DAG as in Mysticeti (Babel et al., 2023): a block names blocks of lower rounds as its ancestors,
//! and that is all there is; votes and certificates are patterns that [`commit`](crate::commit) finds in it.
//!
//! Promises **causal completeness**: a block in the [`Dag`] has all its ancestors there, except those at or below the
//! garbage collection round. Must not know clocks, disks or the network: blocks go in, decisions come out.

mod admission;
mod ancestors;
mod block_manager;
#[cfg(test)]
mod block_manager_tests;
mod bug_switches;
mod graph;
#[cfg(test)]
pub(crate) mod test_dag;
mod threshold_clock;

pub use admission::{NotAdmitted, admission};
pub use ancestors::ancestors_for;
pub use block_manager::{Accepted, BlockManager};
pub use graph::Dag;
pub use threshold_clock::ThresholdClock;
