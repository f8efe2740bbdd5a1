//! The metanode: a Mysticeti consensus node that delivers its commits to an execution engine, in order, starting above
//! what the engine has made durable.
//!
//! The modules, in the order of the data flow:
//!
//! | module | contains |
//! |---|---|
//! | [`types`] | indexes, digests, blocks, commits, committees, transactions |
//! | [`config`] | the configuration of a node: every limit and time |
//! | [`env`] | the environment: network, clock, stores, randomness, events, crash points |
//! | [`ingest`] | the transaction pool |
//! | [`dag`] | the blocks of one epoch, suspended blocks, ancestors of new blocks (pure) |
//! | [`commit`] | leader schedule, commit rule, linearizer: from the DAG to the commit sequence (pure) |
//! | [`store`] | durable storage, the commit log |
//! | [`consensus`] | the async shell around the pure modules: proposer, subscriptions, synchronizer, commit sync |
//! | [`delivery`] | replay plan, window, sender: commits to the executor |
//! | [`framing`] | length-prefixed frames |
//! | [`executor`] | wire messages between node and executor, the RPC client |
//! | [`epoch`] | the change from one epoch to the next: steps (pure), records, the task |
//! | [`node`] | wires the modules |
//! | [`tasks`] | groups of tasks that end together |
//! | [`bugs`] | switches of known bugs, compiled to `false` unless the feature `museum` is enabled |
//!
//! Decisions are pure functions over plain data; async code does the I/O and calls them.

pub mod bugs;
pub(crate) mod commit;
pub mod config;
pub mod consensus;
pub(crate) mod dag;
pub mod delivery;
pub mod env;
pub mod epoch;
pub mod executor;
pub mod framing;
pub mod ingest;
pub mod node;
pub mod store;
pub mod tasks;
pub mod types;
