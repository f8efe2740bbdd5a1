//! What the core has done since it was asked last.

use super::broken_promise::BrokenPromise;
use crate::{
    env::{CommitOrigin, NodeEvent},
    types::{SubDag, VerifiedBlock},
};

/// The results of the core that must be stored, in this order, before any of it is published.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Accepted blocks, ancestors first, including own ones.
    pub blocks: Vec<VerifiedBlock>,
    /// The new own block among them.
    pub own: Option<VerifiedBlock>,
    /// New commits in order.
    pub commits: Vec<(SubDag, CommitOrigin)>,
    /// Other events.
    pub events: Vec<NodeEvent>,
    /// The node must end, and store nothing of this step.
    pub fault: Option<BrokenPromise>,
}

impl Step {
    /// Whether there is nothing to store.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.commits.is_empty()
    }
}
