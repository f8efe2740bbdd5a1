//! Hashes of transactions: the same for everyone who computes them, and dear.

use crate::types::{Transaction, TransactionHash};

/// Knows the hash of a transaction. A function of its bytes and nothing else; where many nodes share a process, one may
/// remember what another has computed.
pub trait TransactionHashes: Send + Sync {
    fn hash(&self, transaction: &Transaction) -> TransactionHash;
}

/// Computes every one.
pub struct Computed;

impl TransactionHashes for Computed {
    fn hash(&self, transaction: &Transaction) -> TransactionHash {
        transaction.hash()
    }
}
