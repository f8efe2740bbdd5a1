//! The metanode: a Mysticeti consensus node that delivers what it commits to an execution engine, in order, exactly
//! as far as the engine has not made it durable yet.
//!
//! The rooms, in the order data takes:
//!
//! | room | is |
//! |---|---|
//! | [`types`] | indexes, digests, blocks, commits, committees, transactions |
//! | [`config`] | the configuration of a node, every limit and time |
//! | [`env`] | the one door to the world |
//! | [`ingest`] | transactions on their way into blocks |
//! | [`dag`] | the blocks of one epoch, those that wait for others, what a new one is built on (pure) |
//! | [`commit`] | leaders, the commit rule, the linearizer: from the DAG to the commit log (pure) |
//! | [`store`] | durable storage, the commit log |
//! | [`consensus`] | the async shell around the pure rooms: proposing, subscriptions, scheduler, catching up |
//! | [`delivery`] | replay plan, window, sender: commits to the executor |
//! | [`executor`] | messages and framing between node and executor, the RPC client |
//! | [`epoch`] | the change from one epoch to the next: boundary, steps (pure), what is recorded |
//! | [`node`] | wires the rooms |
//! | [`tasks`] | tasks that end together |
//! | [`bugs`] | switches for bugs that really happened, off unless the simulator opens them |
//!
//! Decisions are plain functions over plain data; async code moves bytes and calls them.

pub mod bugs;
pub mod commit;
pub mod config;
pub mod consensus;
pub mod dag;
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
