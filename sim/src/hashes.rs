//! Hashes of transactions, computed once for all nodes of a world, which all hash the same transactions.

use crate::allocator::Uncharged;
use indexmap::IndexMap;
use metanode_core::{
    env::TransactionHashes,
    types::{Transaction, TransactionHash},
};
use rustc_hash::FxBuildHasher;
use std::sync::{Mutex, PoisonError};
use xxhash_rust::xxh3::xxh3_128;

/// More than are in flight at any time. A forgotten hash is computed again.
const CAPACITY: usize = 1 << 14;

/// The computed hashes, by a checksum of the transaction.
#[derive(Default)]
pub struct SharedHashes(Mutex<IndexMap<u128, TransactionHash, FxBuildHasher>>);

impl TransactionHashes for SharedHashes {
    fn hash(&self, transaction: &Transaction) -> TransactionHash {
        let _uncharged = Uncharged::begin();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() == CAPACITY {
            known.clear();
        }
        let of = known.entry(xxh3_128(&transaction.0));
        *of.or_insert_with(|| transaction.hash())
    }
}
