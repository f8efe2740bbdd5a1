//! Where an own block stands among all own blocks.

use super::{Epoch, Round};
use std::fmt;

/// The epoch and the round of a block of this node. An honest node signs at most one block for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnRound {
    pub epoch: Epoch,
    pub round: Round,
}

impl fmt::Display for OwnRound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "round {} of epoch {}", self.round, self.epoch)
    }
}
