//! The account entries on the disk of an executor, and their root at any height.
//!
//! All rows are kept, because a row that is written late or deleted changes the histories after it. They share the bytes
//! of a disk in memory.

use super::{StateRoot, bcs::Malformed};
use bytes::Bytes;
use metanode_core::types::GlobalExecIndex;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_128;

/// An address, a balance and a nonce.
const ENTRY_BYTES: usize = 20 + 16 + 8;

/// Rows by the height after the flush that wrote them.
#[derive(Default)]
pub(super) struct StateRows {
    rows: BTreeMap<u64, Row>,
    /// The histories of all rows below are known.
    unfolded_from: u64,
}

/// The entries that a flush wrote.
struct Row {
    entries: Bytes,
    /// After this row, if known.
    history: u128,
}

impl StateRows {
    /// Writes a row, or replaces it.
    ///
    /// # Errors
    /// If the bytes are not a list of entries. Nothing is then at this height.
    pub fn put(&mut self, height: GlobalExecIndex, entries: Bytes) -> Result<(), Malformed> {
        self.delete(height);
        if !entries.len().is_multiple_of(ENTRY_BYTES) {
            return Err(format!(
                "the state row at {height} has {} bytes, which is no multiple of {ENTRY_BYTES}",
                entries.len()
            ));
        }
        let history = 0;
        self.rows.insert(height.0, Row { entries, history });
        Ok(())
    }

    /// Deletes a row if there is one.
    pub fn delete(&mut self, height: GlobalExecIndex) {
        self.rows.remove(&height.0);
        self.unfolded_from = self.unfolded_from.min(height.0);
    }

    /// The root of the rows up to this height.
    pub fn root(&mut self, height: GlobalExecIndex) -> StateRoot {
        let from = self.unfolded_from;
        if from <= height.0 {
            let before = self.rows.range(..from).next_back();
            let mut history = before.map_or(0, |(_, row)| row.history);
            for row in self.rows.range_mut(from..=height.0).map(|(_, row)| row) {
                history = row.entries.chunks(ENTRY_BYTES).fold(history, extended);
                row.history = history;
            }
            self.unfolded_from = height.0.saturating_add(1);
        }
        let last = self.rows.range(..=height.0).next_back();
        root(height, last.map_or(0, |(_, row)| row.history))
    }
}

/// The history with one more entry.
fn extended(history: u128, entry: &[u8]) -> u128 {
    let mut input = [0; 16 + ENTRY_BYTES];
    input[..16].copy_from_slice(&history.to_le_bytes());
    input[16..].copy_from_slice(entry);
    xxh3_128(&input)
}

fn root(height: GlobalExecIndex, history: u128) -> StateRoot {
    let mut input = [0; 8 + 16];
    input[..8].copy_from_slice(&height.0.to_le_bytes());
    input[8..].copy_from_slice(&history.to_le_bytes());
    StateRoot(*blake3::hash(&input).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    /// From all entries up to the height, in order.
    fn from_scratch(rows: &BTreeMap<u64, Vec<u8>>, height: u64) -> StateRoot {
        let entries: Vec<u8> = rows
            .range(..=height)
            .flat_map(|(_, row)| row.clone())
            .collect();
        let mut history = 0u128;
        for entry in entries.chunks(44) {
            history = xxh3_128(&[&history.to_le_bytes()[..], entry].concat());
        }
        let input = [&height.to_le_bytes()[..], &history.to_le_bytes()].concat();
        StateRoot(*blake3::hash(&input).as_bytes())
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(u64, Vec<u8>),
        Delete(u64),
        Root(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let height = || prop_oneof![0..9_u64, Just(u64::MAX)];
        let row = (0..3usize, any::<u8>()).prop_map(|(entries, byte)| vec![byte; 44 * entries]);
        prop_oneof![
            3 => (height(), row).prop_map(|(height, row)| Step::Put(height, row)),
            1 => height().prop_map(Step::Delete),
            2 => height().prop_map(Step::Root),
        ]
    }

    proptest! {
        #[test]
        fn the_root_is_that_of_the_present_rows(steps in vec(step(), 1..40)) {
            let (mut rows, mut expected) = (StateRows::default(), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Put(height, row) => {
                        rows.put(GlobalExecIndex(height), row.clone().into()).unwrap();
                        expected.insert(height, row);
                    }
                    Step::Delete(height) => {
                        rows.delete(GlobalExecIndex(height));
                        expected.remove(&height);
                    }
                    Step::Root(height) => {
                        let root = rows.root(GlobalExecIndex(height));
                        prop_assert_eq!(root, from_scratch(&expected, height));
                    }
                }
            }
        }
    }

    #[test]
    fn the_root_does_not_depend_on_how_entries_are_flushed() {
        let (mut apart, mut together) = (StateRows::default(), StateRows::default());
        let entries = [[1; 44], [2; 44], [3; 44]];
        for (height, entry) in (1..).zip(entries) {
            let entry = Bytes::copy_from_slice(&entry);
            apart.put(GlobalExecIndex(height), entry).unwrap();
        }
        let all = Bytes::from(entries.concat());
        together.put(GlobalExecIndex(3), all).unwrap();
        let three = GlobalExecIndex(3);
        assert_eq!(apart.root(three), together.root(three));
        assert_ne!(apart.root(three), apart.root(GlobalExecIndex(4)));
        assert!(apart.put(three, Bytes::from(vec![0; 45])).is_err());
    }
}
