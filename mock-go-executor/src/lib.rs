//! A mock of the Go Master: executes delivered blocks and owns state, epochs, committees and the durable watermark, with
//! real durability steps and no virtual machine.
//!
//! In import order: a module uses only modules above it.
//!
//! | module | content |
//! |---|---|
//! | `ledger` | accounts, transfers, state root (pure) |
//! | `guard` | whether a block is executed, skipped or refused (pure) |
//! | `flush` | the writes of a flush and their order |
//! | `manners` | how deployed executors differ from this one |
//! | `error_texts` | what deployed clients match |
//! | `bug_switches` | where known bugs are switched on |
//! | `epochs` | where each epoch began, and whether the next one may begin (pure) |
//! | [`config`] | the configuration of an executor |
//! | `controls` | what the world may change in a running executor |
//! | `lies` | what it tells peers instead of the truth, if the world wants it (pure) |
//! | `disk` | what is stored, and what a start recovers from it |
//! | `block_count` | the number of the last block where empty ones are not counted |
//! | `block_range` | replies with durable blocks, for followers |
//! | `chain` | executed and durable: the steps of a block and the crash points between them |
//! | `parked` | blocks above a gap (pure) |
//! | `serve` | accepts and drives connections |
//! | `rpc` | requests and their replies |
//! | `stream` | the block stream: connections in, blocks through the guard into the chain |
//! | `executor` | an executor from its start to its end |
//! | [`sub`] | a Go Sub, the front end that forwards client transactions to a metanode |

mod block_count;
mod block_range;
mod bug_switches;
mod chain;
pub mod config;
mod controls;
mod disk;
mod epochs;
mod error_texts;
mod executor;
mod flush;
mod guard;
mod ledger;
mod lies;
mod manners;
mod parked;
mod rpc;
mod serve;
mod stream;
pub mod sub;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use config::{ConfigError, ExecutorConfig, Genesis};
pub use controls::{Controls, Lie, Replies};
pub use executor::{ExecutorError, run};
pub use guard::Guard;
pub use ledger::Funding;
pub use manners::{BlockNumber, Manners, Reports};
