//! What no node can go on from: the promise that at most f stake is faulty does not hold, or this node is not like the
//! others (contract §13.7).

use crate::types::{BlockRef, CommitRef};
use thiserror::Error;

/// What happens only if more than f stake is faulty, or if this node computes other commits than everybody else.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BrokenPromise {
    #[error("{first} and {second} of one leader are both certified, and neither may be committed")]
    TwoCertified { first: BlockRef, second: BlockRef },
    #[error("this node made commit {own}, a quorum votes for {others}")]
    OtherCommit { own: CommitRef, others: CommitRef },
}
