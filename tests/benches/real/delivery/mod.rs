//! How fast a node delivers: metanode replays what it has stored to an executor that reads, counts and forgets. Beside it a
//! bare loop writes the same frames to the same reader, one write for each.
//!
//! Then, at the pace of consensus, how long it takes until the node has heard of a block that became durable.

mod fill;
mod node;
mod sink;
mod table;
mod writer;

pub use table::compare;
pub use writer::bare_writer;
