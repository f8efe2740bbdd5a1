//! The metanode: a Mysticeti consensus node that delivers its commits to an execution engine, in order, starting above
//! what the engine has made durable.
//!
//! In import order: a module uses only modules above it.
//!
//! | module | contains |
//! |---|---|
//! | `sync` | locks and atomics, which tests of schedules replace |
//! | [`types`] | indexes, digests, blocks, commits, committees, transactions, addresses |
//! | [`bugs`] | switches of known bugs, compiled to `false` unless the feature `museum` is enabled |
//! | [`backoff`] | the pauses between attempts that fail (pure) |
//! | [`deadline`] | work that must be done within a time |
//! | `reminder` | when something that lasts is told to the operator (pure) |
//! | `excerpt` | what others have written, in own errors and log lines (pure) |
//! | [`framing`] | length-prefixed frames |
//! | [`config`] | the configuration of a node: every limit and time |
//! | [`store`] | durable storage, the commit log |
//! | [`env`] | the environment: network, clock, stores, randomness, events, crash points |
//! | [`tasks`] | groups of tasks that end together |
//! | `schedules` | what tests of schedules share |
//! | `dag` | the blocks of one epoch, suspended blocks, ancestors of new blocks (pure) |
//! | `commit` | leader schedule, commit rule, linearizer: from the DAG to the commit sequence (pure) |
//! | [`executor`] | wire messages between node and executor, the RPC client |
//! | [`check_config`] | a configuration against the machine that it is for, and against the committee |
//! | [`epoch`] | the change from one epoch to the next: steps (pure), records, the task |
//! | [`ingest`] | the transaction socket, its journal, the pool |
//! | [`peers`] | authenticated connections between nodes; what executors of peers say of epoch and block |
//! | [`consensus`] | the async shell around the pure modules: proposer, subscriptions, synchronizer, commit sync |
//! | [`delivery`] | replay plan, window, sender: commits to the executor |
//! | [`node`] | wires the modules |
//!
//! Decisions are pure functions over plain data; async code does the I/O and calls them.

pub mod backoff;
pub mod bugs;
pub mod check_config;
mod commit;
pub mod config;
pub mod consensus;
mod dag;
pub mod deadline;
pub mod delivery;
pub mod env;
pub mod epoch;
mod excerpt;
pub mod executor;
pub mod framing;
pub mod ingest;
pub mod node;
pub mod peers;
mod reminder;
#[cfg(shuttle)]
pub mod schedules;
pub mod store;
mod sync;
pub mod tasks;
pub mod types;
