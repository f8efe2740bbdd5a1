//! What a node knows of the executors of its peers.
//!
//! | module | contains |
//! |---|---|
//! | [`discovery`] | asks them for epoch and block, says whether the own executor is behind, and notices a fork |

pub mod discovery;
