//! The vocabulary of the node: indexes, digests, blocks, commits, committees and transactions.
//!
//! Plain data with its validity checks. No I/O, no clock, no async.

mod address;
mod block;
mod chain;
mod commit;
mod committee;
mod crypto;
mod digest;
mod epoch;
mod index;
mod network_key;
mod own_round;
mod replay_plan;
mod standing;
mod transaction;

pub use address::{Address, AddressError, parse_p2p_address};
pub use block::{
    Block, BlockRef, InvalidBlock, MAX_BLOCK_TRANSACTION_BYTES, MAX_BLOCK_TRANSACTIONS,
    MAX_COMMIT_VOTES, SignedBlock, Slot, VerifiedBlock,
};
pub use chain::Chain;
pub use commit::{Commit, CommitRef, SubDag};
pub use committee::{Authority, Committee, CommitteeError};
pub use crypto::{KeyPair, PublicKey, SignatureBytes, SignatureScheme};
pub use digest::{BlockDigest, ChainId, CommitDigest, CommitteeDigest, GenesisDigest};
pub use epoch::{Boundary, ChangeStep, EpochStart};
pub use index::{
    AuthorityIndex, CommitIndex, Epoch, EpochBase, GlobalExecIndex, IndexError, Round, Stake,
    TimestampMs,
};
pub use network_key::{Encryption, NetworkKey, NetworkKeyPair};
pub use own_round::OwnRound;
pub use replay_plan::ReplayPlan;
pub use standing::{BestPeer, ChainPosition, Gap, Standing, StateRoot, Support, UnknownBecause};
pub use transaction::{
    AccessTuple, ClientTransaction, SpentNonce, Transaction, TransactionHash, Transactions,
};

pub(crate) use digest::fixed_bytes;
pub(crate) use epoch::EpochEnding;
pub(crate) use network_key::readable_public;
