//! Witnesses: what the bytes on wires and disks say, decoded by code that shares nothing with the node's own encoders
//! but the field numbers of the protocol. Oracles judge by these facts, not by what a process says about itself.
//!
//! | file | content |
//! |---|---|
//! | `fact`, `exchange` | [`Fact`]: the types |
//! | `block` | [`SeenBlock`]: a block of the DAG as its bytes say |
//! | `blocks` | [`Blocks`]: each distinct block, commit and delivered block is decoded once per run |
//! | `once` | values that are decoded once |
//! | `bcs`, `protobuf` | readers of the two encodings |
//! | `delivered` | a delivered block |
//! | `frames` | from the bytes of one direction of a connection to the bodies of its frames |
//! | `rpc` | requests and replies of the executor RPC |
//! | `peers` | messages between nodes |
//! | `transaction` | how transactions are read and hashed |
//! | `batches` | batches of clients and their replies |
//! | `sockets` | [`Connections`]: block streams, executor RPC, transaction sockets, the old transport, connections between nodes |
//! | `state_rows` | the account entries on the disk of an executor, and their root |
//! | `stored_commit`, `epoch_record` | a commit and the record of an epoch in the store of a node |
//! | `journal` | the transactions in the journal of a node |
//! | `boundary_votes` | the synced votes for the last commit of an epoch in the store of a node |
//! | `executor_values` | columns, keys and values of the store of an executor |
//! | `node_disk`, `executor_disk` | what a store of a node or an executor holds, write by write |
//! | `disk` | [`DiskWitness`]: the stores of one process |
//! | `stored` | [`NamedStore`]: the stores of a process that has ended, as if they were written now |
//!
//! Does not know the simulation: the same facts can come from logs, data directories and proxies of real processes.

mod batches;
mod bcs;
mod block;
mod blocks;
mod boundary_votes;
mod channel;
pub(crate) mod delivered;
mod disk;
mod epoch_record;
mod exchange;
mod executor_disk;
mod executor_values;
mod fact;
mod frames;
mod journal;
mod node_disk;
mod once;
mod peers;
pub(crate) mod protobuf;
mod rpc;
#[cfg(test)]
mod rpc_tests;
mod secure;
mod sent_block;
mod sockets;
#[cfg(test)]
mod sockets_tests;
mod state_rows;
mod stored;
mod stored_commit;
pub(crate) mod transaction;

pub use batches::Taken;
pub use block::SeenBlock;
pub use blocks::Blocks;
pub use channel::{Channel, End, Ends};
pub use disk::DiskWitness;
pub use exchange::{Reply, Request};
pub use fact::{
    ChangeStep, ContentHash, Durability, EpochRecord, Fact, Frame, Member, SeenBoundary,
    SeenCommit, StateRoot,
};
pub use secure::Sessions;
pub use sent_block::SentBlock;
pub use sockets::Connections;
pub use stored::NamedStore;
pub(crate) use transaction::hash;
