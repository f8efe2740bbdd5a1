//! How fast transactions come in: a Sub in one process, the node's ingest server with its journal on RocksDB in another,
//! over the sockets of this machine. Compares the transaction socket with the transport before it.
//!
//! The node's process runs the listener, the intake and the journal, and nothing else: consensus and executor would
//! compete for the same cores. Nothing is executed, so the journal grows for as long as a case lasts.

mod case;
mod client;
mod measured;
mod server;
mod stamped;
mod table;
mod transaction;

pub use client::run as client;
pub use server::run as server;
pub use table::print_all as compare;
