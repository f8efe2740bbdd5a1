//! Delivery: from the commit log to the executor, each block in order, none lost, none twice above the watermark.
//!
//! The commit log in the store **is** the queue. Memory holds a [`window`] over it; what is written to the socket
//! counts for nothing until the executor reports it durable (contract §5).

mod plan;

pub use plan::{ExecutorView, ReplayPlan, StoreView, replay_plan};
