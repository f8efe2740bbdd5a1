//! What a person reads, and what a program reads. Reports are plain functions from outcomes to text: nothing here
//! runs, decides or prints.
//!
//! | file | is |
//! |---|---|
//! | [`colour`] | colours, if there is a terminal that shows them |
//! | [`plan`] | what a seed drew |
//! | [`timeline`] | what happened, one line per event, one column per process |
//! | [`events`] | events of the trace in words |
//! | [`describe`] | faults, triggers and amounts as text |
//! | [`verdict`] | how one run ended, what proves it, how to see it again |
//! | [`failure`] | where failures are kept, what replaying and shrinking came to |
//! | [`diff`] | where two runs part |
//! | [`summary`] | many runs |
//! | [`sweep`] | a crash at every crash point |
//! | [`museum`] | which historical bugs were found |
//! | [`json`] | one object per run |
//! | [`junit`] | test cases, for continuous integration |

pub mod colour;
pub(crate) mod describe;
pub(crate) mod diff;
pub mod events;
pub(crate) mod failure;
pub mod json;
pub mod junit;
pub(crate) mod museum;
pub(crate) mod plan;
pub mod summary;
pub(crate) mod sweep;
pub(crate) mod timeline;
pub mod verdict;
