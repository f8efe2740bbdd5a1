//! The interface between node and executor.
//!
//! [`wire`] contains the messages of contract §3, used by both sides; [`validators`] converts between validators on the
//! wire and committees; [`bind`] binds sockets, replacing stale files.

mod advice;
pub mod bind;
mod bug_switches;
mod client;
mod poll_interval;
pub mod validators;
pub mod wire;

pub use advice::socket_advice;
pub use client::{ExecutorClient, RpcError};
pub(crate) use poll_interval::next_wait_ms;
