//! Hashes of transactions, computed once for all nodes of a world: every one of them meets the same transactions.

use indexmap::IndexMap;
use metanode_core::{
    env::TransactionHashes,
    types::{Transaction, TransactionHash},
};
use rustc_hash::FxBuildHasher;
use std::sync::{Mutex, PoisonError};
use xxhash_rust::xxh3::xxh3_128;

/// More than are on their way at any time. What is forgotten is computed again.
const REMEMBERED: usize = 1 << 14;

/// The hashes that some node has asked for, by what was hashed.
#[derive(Default)]
pub struct SharedHashes(Mutex<IndexMap<u128, TransactionHash, FxBuildHasher>>);

impl TransactionHashes for SharedHashes {
    fn hash(&self, transaction: &Transaction) -> TransactionHash {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == REMEMBERED {
            known.clear();
        }
        let of = known.entry(xxh3_128(&transaction.0));
        *of.or_insert_with(|| transaction.hash())
    }
}
