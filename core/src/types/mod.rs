//! The vocabulary of the node: indexes, digests, blocks, commits, committees and transactions.
//!
//! Plain data with the checks that make it valid. No I/O, no clock, no async.

mod block;
mod commit;
mod committee;
mod crypto;
mod digest;
mod index;
mod transaction;

pub use block::{
    Block, BlockRef, InvalidBlock, MAX_COMMIT_VOTES, SignedBlock, Slot, VerifiedBlock,
};
pub use commit::{Commit, CommitRef, SubDag};
pub use committee::{Authority, Committee, CommitteeError};
pub use crypto::{KeyPair, PublicKey, SignatureBytes, SignatureScheme};
pub use digest::{BlockDigest, CommitDigest, CommitteeDigest, fixed_bytes};
pub use index::{
    AuthorityIndex, CommitIndex, Epoch, EpochBase, GlobalExecIndex, IndexError, Round, Stake,
    TimestampMs,
};
pub use transaction::{AccessTuple, ClientTransaction, SpentNonce, Transaction, TransactionHash};
