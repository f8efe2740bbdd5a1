//! The stores of processes that have ended: what is in them, as if it were written now, in an order in which it could have
//! been.

use super::{
    DiskWitness, Fact,
    bcs::Malformed,
    executor_values::{BLOCKS as DELIVERED, EPOCHS, META, STATE, WATERMARK},
    node_disk::{BLOCKS, COMMITS, RECORDS, block_key},
};
use metanode_core::{
    store::{Column, Durability, Entry, Key, Scan, ScanOrder, Store, Write, WriteBatch},
    types::{AuthorityIndex, Round},
};
use std::{ops::Range, sync::Arc};

/// More than every key.
const END: [u8; 64] = [0xff; 64];

/// A store with its name.
#[derive(Clone)]
pub struct NamedStore {
    pub name: String,
    pub store: Arc<dyn Store>,
}

impl NamedStore {
    /// The lowest round of a block from this one on; `None` if there is no block.
    ///
    /// # Errors
    /// If the store cannot be read, or a key is not that of a block.
    pub fn first_round(&self, from: Round) -> Result<Option<Round>, Malformed> {
        let first = self.scan(BLOCKS, &from.0.to_be_bytes()..&END, 1)?;
        let first = first.first().map(|(key, _)| block_key(key)).transpose()?;
        Ok(first.map(|first| first.round))
    }

    /// The blocks of these rounds, those of other authors or only its own.
    ///
    /// # Errors
    /// If the store cannot be read, or a key is not that of a block.
    pub fn blocks(
        &self,
        witness: &mut DiskWitness,
        rounds: Range<Round>,
        is_asked: impl Fn(AuthorityIndex) -> bool,
    ) -> Result<Vec<Fact>, Malformed> {
        let [start, end] = [rounds.start, rounds.end].map(|round| round.0.to_be_bytes());
        let mut asked = vec![];
        for (key, value) in self.scan(BLOCKS, &start..&end, usize::MAX)? {
            if is_asked(block_key(&key)?.author) {
                asked.push((key, value));
            }
        }
        Ok(self.written(witness, BLOCKS, asked))
    }

    /// The commits of the epoch, if it is the store of one.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn commits(&self, witness: &mut DiskWitness) -> Result<Vec<Fact>, Malformed> {
        self.all(witness, COMMITS)
    }

    /// The records of epochs, if it is their store.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn records(&self, witness: &mut DiskWitness) -> Result<Vec<Fact>, Malformed> {
        self.all(witness, RECORDS)
    }

    /// The store of an executor: its epochs, then each flush with the blocks that it covers. Calls `see` for each.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn flushes(
        &self,
        witness: &mut DiskWitness,
        mut see: impl FnMut(Vec<Fact>),
    ) -> Result<(), Malformed> {
        see(self.all(witness, EPOCHS)?);
        let watermark = self.store.get(META, WATERMARK).map_err(|e| e.to_string())?;
        let Some(watermark) = watermark else {
            return Ok(());
        };
        let flushes = self.scan(STATE, &[]..&END, usize::MAX)?;
        let mut from = vec![];
        let rows = flushes
            .into_iter()
            .filter(|(height, _)| *height <= watermark);
        let rows: Vec<_> = rows.collect();
        let is_covered = rows.last().is_some_and(|(height, _)| *height == watermark);
        let last = (!is_covered).then_some((watermark, None));
        for (height, row) in (rows.into_iter().map(|(height, row)| (height, Some(row)))).chain(last)
        {
            let mut upto = height.to_vec();
            upto.push(0);
            let mut batch = WriteBatch::default();
            for (key, value) in self.scan(DELIVERED, &from..&upto, usize::MAX)? {
                batch.put(DELIVERED, &key, value);
            }
            if let Some(row) = row {
                batch.put(STATE, &height, row);
            }
            batch.put(META, WATERMARK, height);
            let mut facts = vec![];
            witness.written(&self.name, &batch, Durability::Synced, &mut facts);
            see(facts);
            from = upto;
        }
        Ok(())
    }

    fn all(&self, witness: &mut DiskWitness, column: Column) -> Result<Vec<Fact>, Malformed> {
        let entries = self.scan(column, &[]..&END, usize::MAX)?;
        Ok(self.written(witness, column, entries))
    }

    fn written(&self, witness: &mut DiskWitness, column: Column, entries: Vec<Entry>) -> Vec<Fact> {
        let put = |(key, value): Entry| Write::Put {
            column,
            key: Key::from_slice(&key),
            value,
        };
        let batch = WriteBatch {
            writes: entries.into_iter().map(put).collect(),
        };
        let mut facts = vec![];
        witness.written(&self.name, &batch, Durability::Synced, &mut facts);
        facts
    }

    fn scan(
        &self,
        column: Column,
        range: Range<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Entry>, Malformed> {
        let scan = Scan {
            column,
            range,
            order: ScanOrder::Ascending,
            limit,
        };
        self.store.scan(scan).map_err(|e| e.to_string())
    }
}
