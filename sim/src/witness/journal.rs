//! The journal of a node: which transactions are in it, write by write.

use super::{Durability, Fact, transaction};
use metanode_core::{
    store::{self, Column, Scan, ScanOrder, Store, Write, WriteBatch},
    types::TransactionHash,
};
use rustc_hash::FxHashMap;

pub(super) const STORE: &str = "journal";
/// Number, big-endian → 8 bytes of a checksum, then the transaction.
pub(super) const ENTRIES: Column = Column("entries");

const CHECKSUM_BYTES: usize = 8;

/// The entries that are written, by their keys.
#[derive(Default)]
pub(super) struct Journal(FxHashMap<Vec<u8>, TransactionHash>);

impl Journal {
    /// A start of the node opened it.
    pub fn opened(&mut self, store: &dyn Store, facts: &mut Vec<Fact>) {
        let stored = store.scan(Scan {
            column: ENTRIES,
            range: &[]..&[0xff; 9],
            order: ScanOrder::Ascending,
            limit: usize::MAX,
        });
        match stored {
            Ok(stored) => {
                let entries = stored
                    .iter()
                    .map(|(key, value)| (key.to_vec(), hash(value)));
                self.0 = entries.collect();
                let transactions = self.0.values().copied().collect();
                facts.push(Fact::JournalFound { transactions });
            }
            Err(error) => facts.push(Fact::DamagedValue {
                reason: error.to_string(),
            }),
        }
    }

    pub fn written(
        &mut self,
        batch: &WriteBatch,
        durability: store::Durability,
        facts: &mut Vec<Fact>,
    ) {
        let (mut added, mut removed) = (vec![], vec![]);
        for write in &batch.writes {
            match write {
                Write::Put { column, key, value } if *column == ENTRIES => {
                    let hash = hash(value);
                    self.0.insert(key.to_vec(), hash);
                    added.push(hash);
                }
                Write::Delete { column, key } if *column == ENTRIES => {
                    removed.extend(self.0.remove(&key[..]));
                }
                Write::Put { .. } | Write::Delete { .. } => {}
            }
        }
        if !added.is_empty() {
            facts.push(Fact::JournalWritten {
                transactions: added,
                durability: Durability::from(durability),
            });
        }
        if !removed.is_empty() {
            facts.push(Fact::JournalRemoved {
                transactions: removed,
            });
        }
    }
}

fn hash(value: &[u8]) -> TransactionHash {
    transaction::hash(value.get(CHECKSUM_BYTES..).unwrap_or_default())
}
