//! The DAG of one epoch: accepted blocks, suspended blocks, and the ancestors of new blocks.
//!
//! An uncertified DAG as in Mysticeti (Babel et al., 2023): blocks only reference blocks of lower rounds as ancestors;
//! votes and certificates are patterns that [`commit`](crate::commit) finds in the DAG.
//!
//! Guarantees **causal completeness**: the [`Dag`] contains all ancestors of its blocks above the garbage collection
//! round. Must not know clocks, disks or the network.

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

pub(crate) use admission::admission;
pub(crate) use ancestors::ancestors_for;
pub(crate) use block_manager::{BlockManager, Source};
pub(crate) use graph::Dag;
pub(crate) use threshold_clock::ThresholdClock;
