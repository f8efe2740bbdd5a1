//! The executor as the node meets it: messages, framing, and what both ends of a socket must do alike.
//!
//! [`wire`] is the interface of contract §3, used by both sides; [`validators`] turns what
//! the executor says about validators into a committee's members; [`bind`] takes over the path of a dead process.

mod advice;
pub mod bind;
mod bug_switches;
mod client;
mod poll_interval;
pub mod validators;
pub mod wire;

pub use advice::socket_advice;
pub use client::{ExecutorClient, RpcError};
pub use poll_interval::next_wait_ms;
