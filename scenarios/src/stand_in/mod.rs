//! `metasim stand-in`: a Go Master in memory for somebody else's node, whose frames and requests it judges.
//!
//! | module | content |
//! |---|---|
//! | `clause` | the clauses |
//! | `memory_chain` | blocks, epochs and answers (pure) |
//! | `judge` | verdicts on what the node does (pure) |
//! | `serve` | the two sockets |

pub mod clause;
mod judge;
mod memory_chain;
mod serve;

pub use crate::live::ListenError;
pub use memory_chain::{Genesis, MemoryChain, Taken};
pub use serve::{Config, Misbehaviour, StandIn};
