//! From the DAG to the commit sequence: leader schedule, commit rule and linearizer.
//!
//! Mysticeti (Babel et al., 2023): waves of three rounds, one starting at every round, several leaders per round,
//! direct and indirect decisions. Everything here is a function of the DAG and the committee alone, so nodes that have
//! different parts of one DAG never decide differently, only at different times.

mod boundary;
mod bug_switches;
mod linearizer;
#[cfg(test)]
mod linearizer_tests;
#[cfg(test)]
mod properties;
mod rule;
#[cfg(test)]
mod rule_tests;
mod schedule;

pub(crate) use boundary::is_boundary;
pub(crate) use linearizer::{AdoptError, Linearizer};
pub(crate) use rule::{CommitRule, Decision};
pub(crate) use schedule::{LeaderSchedule, LeaderSlot};
