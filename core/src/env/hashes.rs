//! Hashes of transactions, which are expensive and the same on every node.

use crate::types::{Transaction, TransactionHash};

/// Computes the hash of a transaction, a function of its bytes alone. The simulator, which runs many nodes in one
/// process, shares a cache between them.
pub trait TransactionHashes: Send + Sync {
    fn hash(&self, transaction: &Transaction) -> TransactionHash;
}

/// Computes every hash anew.
pub struct Computed;

impl TransactionHashes for Computed {
    fn hash(&self, transaction: &Transaction) -> TransactionHash {
        transaction.hash()
    }
}
