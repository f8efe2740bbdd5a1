//! The metanode: a Mysticeti consensus node that delivers what it commits to an execution engine, in order, exactly
//! as far as the engine has not made it durable yet.
//!
//! The rooms, in the order data takes:
//!
//! | room | is |
//! |---|---|
//! | [`types`] | indexes, digests, blocks, commits, committees, transactions |
//! | [`env`] | the one door to the world |
//! | [`dag`] | the blocks of one epoch, those that wait for others, what a new one is built on (pure) |
//! | [`commit`] | leaders, the commit rule, the linearizer: from the DAG to the commit log (pure) |
//! | [`store`] | durable storage, the commit log |
//! | [`executor`] | messages and framing between node and executor |
//! | [`delivery`] | replay plan, window, sender: commits to the executor |
//!
//! Decisions are plain functions over plain data; async code moves bytes and calls them.

pub mod commit;
pub mod dag;
pub mod delivery;
pub mod env;
pub mod executor;
pub mod store;
pub mod types;
