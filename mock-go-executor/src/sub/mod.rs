//! A Go Sub: the front end that forwards client transactions to a metanode (contract §8), and follows the state of a Go
//! Master (contract §11.3).
//!
//! In import order: a module uses only modules above it.
//!
//! | module | content |
//! |---|---|
//! | [`config`] | the configuration of a Sub |
//! | `batch` | what is sent in one frame, and what a reply leaves of it (pure) |
//! | `queue` | what waits for a worker or a reply, bounded in batches and bytes |
//! | `counts` | how much was sent, for metrics |
//! | `pool` | forms batches of single transactions |
//! | `worker` | one connection to the metanode: frames out, replies in |
//! | `chain_link` | whether a block continues what the Sub has executed (pure) |
//! | `follower` | the reader: executes what becomes durable in the Master |
//! | `local` | the local way in: frames of clients on this machine |
//! | [`old_transport`] | the transport before: its configuration, its reply (pure), one connection |
//! | `connection_pool` | its bounded pool of connections |
//! | `old_client` | its client: correct, or as it was deployed |
//! | `senders` | the tasks that send, over either transport |
//! | `run` | a Sub from its start to its end |
//!
//! A batch is in the bounded channel, or with one worker, until the metanode has answered it. What was not answered when a
//! connection ended is sent again; its hashes make that harmless.

mod batch;
mod chain_link;
pub mod config;
mod connection_pool;
mod counts;
mod follower;
mod local;
mod old_client;
pub mod old_transport;
mod pool;
mod queue;
mod run;
mod senders;
mod worker;

pub use batch::Batch;
pub use config::SubConfig;
pub use old_client::OldClient;
pub use queue::{Batches, Ended};
pub use run::{SubError, run};
pub use senders::Senders;
