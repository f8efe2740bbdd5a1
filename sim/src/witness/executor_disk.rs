//! The store of an executor or of a Sub that follows one, write by write: account entries, delivered blocks, the watermark,
//! starts of epochs.
//!
//! A watermark covers what is on the disk when it is written, whatever the order of the writes before it. What comes
//! after it counts from the next one on.

use super::{
    Blocks, Fact, Frame,
    bcs::Malformed,
    executor_values::{BLOCKS, EPOCHS, META, STATE, WATERMARK, epoch, gei, number},
    state_rows::StateRows,
};
use bytes::Bytes;
use metanode_core::{
    store::{Column, Durability, Entry, Scan, ScanOrder, Store, Write, WriteBatch},
    types::GlobalExecIndex,
};
use std::{collections::BTreeMap, mem, ops::Range, sync::Arc};

const STORE: &str = "executor";

/// The store of one executor. Every start reads it again from the disk.
#[derive(Default)]
pub(super) struct ExecutorDisk {
    pub seen: Blocks,
    watermark: GlobalExecIndex,
    rows: StateRows,
    /// Stored above the watermark.
    blocks: BTreeMap<GlobalExecIndex, Arc<Frame>>,
    /// Watermarks that are not synced yet. The next sync makes them durable.
    unsynced: Vec<Fact>,
}

impl ExecutorDisk {
    /// A start of the executor opened the store.
    pub fn opened(&mut self, name: &str, store: &dyn Store, facts: &mut Vec<Fact>) {
        if name != STORE {
            return;
        }
        let seen = mem::take(&mut self.seen);
        *self = Self {
            seen,
            ..Self::default()
        };
        if let Err(reason) = self.read(store, facts) {
            facts.push(Fact::DamagedValue { reason });
        }
    }

    /// All blocks up to the watermark are stored.
    ///
    /// # Errors
    /// The first block that is missing or something else.
    pub fn check_whole(&self, name: &str, store: &dyn Store) -> Result<(), Malformed> {
        if name != STORE {
            return Ok(());
        }
        let end = self.watermark.0.saturating_add(1).to_be_bytes();
        let mut stored = scan(store, BLOCKS, &[]..&end)?.into_iter();
        for expected in (1..=self.watermark.0).map(GlobalExecIndex) {
            let (key, value) = stored
                .next()
                .ok_or_else(|| format!("block {expected} is missing"))?;
            let found = self.frame(expected, &value)?;
            if (gei(&key)?, found.gei) != (expected, expected) {
                return Err(format!("expected block {expected}, found {found}"));
            }
        }
        Ok(())
    }

    /// The batch was written.
    pub fn written(
        &mut self,
        name: &str,
        batch: &WriteBatch,
        durability: Durability,
        facts: &mut Vec<Fact>,
    ) {
        if name != STORE {
            return;
        }
        let mut watermark = None;
        for write in &batch.writes {
            let written = match write {
                Write::Put { column, key, value } => self.put(*column, key, value, facts),
                Write::Delete { column, key } => self.delete(*column, key),
            };
            match written {
                Ok(new) => watermark = new.or(watermark),
                Err(reason) => facts.push(Fact::DamagedValue { reason }),
            }
        }
        // A batch is atomic, so its watermark covers all of it.
        if let Some(watermark) = watermark {
            let fact = self.moved_to(watermark);
            self.unsynced.push(fact);
        }
        if durability == Durability::Synced {
            facts.append(&mut self.unsynced);
        }
    }

    /// Reads everything, with what is above the watermark: until it is deleted, it is on the disk.
    fn read(&mut self, store: &dyn Store, facts: &mut Vec<Fact>) -> Result<(), Malformed> {
        if let Some(value) = store.get(META, WATERMARK).map_err(|e| e.to_string())? {
            self.watermark = GlobalExecIndex(number(&value, "the watermark")?);
        }
        let first_above = self.watermark.0.saturating_add(1).to_be_bytes();
        for (column, start) in [(STATE, &[][..]), (BLOCKS, &first_above)] {
            for (key, value) in scan(store, column, start..&[0xff; 64])? {
                if let Err(reason) = self.put(column, &key, &value, facts) {
                    facts.push(Fact::DamagedValue { reason });
                }
            }
        }
        facts.push(Fact::ExecutorFound {
            watermark: self.watermark,
            state_root: self.rows.root(self.watermark),
        });
        Ok(())
    }

    /// Returns the watermark if this is one.
    fn put(
        &mut self,
        column: Column,
        key: &[u8],
        value: &Bytes,
        facts: &mut Vec<Fact>,
    ) -> Result<Option<GlobalExecIndex>, Malformed> {
        if column == STATE {
            self.rows.put(gei(key)?, value.clone())?;
        } else if column == BLOCKS {
            facts.extend(self.put_block(gei(key)?, value)?);
        } else if column == EPOCHS {
            facts.push(epoch(key, value)?);
        } else if column == META && key == WATERMARK {
            return number(value, "the watermark").map(|n| Some(GlobalExecIndex(n)));
        }
        Ok(None)
    }

    fn put_block(&mut self, gei: GlobalExecIndex, body: &Bytes) -> Result<Option<Fact>, Malformed> {
        self.blocks.remove(&gei);
        let block = self.frame(gei, body)?;
        if block.gei != gei {
            return Err(format!("expected block {gei}, found {block}"));
        }
        if gei <= self.watermark {
            return Ok(Some(Fact::BlockRewritten { block }));
        }
        self.blocks.insert(gei, block);
        Ok(None)
    }

    fn frame(&self, gei: GlobalExecIndex, body: &Bytes) -> Result<Arc<Frame>, Malformed> {
        let frame = self.seen.frame(body, || body.clone());
        frame.map_err(|reason| format!("block {gei}: {reason}"))
    }

    /// Returns the watermark if this deletes it.
    fn delete(&mut self, column: Column, key: &[u8]) -> Result<Option<GlobalExecIndex>, Malformed> {
        if column == STATE {
            self.rows.delete(gei(key)?);
        } else if column == BLOCKS {
            self.blocks.remove(&gei(key)?);
        } else if column == META && key == WATERMARK {
            return Ok(Some(GlobalExecIndex(0)));
        }
        Ok(None)
    }

    /// The watermark may also stay or go back: it then covers no new blocks.
    fn moved_to(&mut self, watermark: GlobalExecIndex) -> Fact {
        let above = match watermark.0.checked_add(1) {
            Some(next) => self.blocks.split_off(&GlobalExecIndex(next)),
            None => BTreeMap::new(),
        };
        let covered = mem::replace(&mut self.blocks, above);
        self.watermark = watermark;
        Fact::Durable {
            watermark,
            state_root: self.rows.root(watermark),
            blocks: covered.into_values().collect(),
        }
    }
}

fn scan(store: &dyn Store, column: Column, range: Range<&[u8]>) -> Result<Vec<Entry>, Malformed> {
    let entries = store.scan(Scan {
        column,
        range,
        order: ScanOrder::Ascending,
        limit: usize::MAX,
    });
    entries.map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::witness::{StateRoot, delivered};
    use metanode_core::{
        executor::wire::{CommittedBlock, CommittedEpochData},
        store::{MemoryDisk, MemoryStores, StoreFactory},
        types::{Epoch, TimestampMs},
    };
    use proptest::{collection::vec, prelude::*, sample::select};
    use prost::Message;

    const COLUMNS: [Column; 4] = [STATE, BLOCKS, EPOCHS, META];

    /// A write of the executor.
    #[derive(Clone, Copy)]
    enum Step {
        State(u64),
        Blocks(u64, u64),
        Watermark(u64),
    }
    use Step::{Blocks, State, Watermark};

    fn body(gei: u64) -> Vec<u8> {
        let inner = CommittedBlock {
            height: gei,
            ..CommittedBlock::default()
        };
        let block = CommittedEpochData {
            blocks: vec![inner],
            global_exec_index: gei,
            commit_index: u32::try_from(gei).unwrap(),
            ..CommittedEpochData::default()
        };
        block.encode_to_vec()
    }

    fn row(height: u64) -> Vec<u8> {
        vec![u8::try_from(height).unwrap(); 88]
    }

    fn batch(steps: &[Step]) -> WriteBatch {
        let mut batch = WriteBatch::default();
        for step in steps {
            match *step {
                State(height) => batch.put(STATE, &height.to_be_bytes(), row(height)),
                Blocks(from, to) => {
                    for gei in from..=to {
                        batch.put(BLOCKS, &gei.to_be_bytes(), body(gei));
                    }
                }
                Watermark(gei) => batch.put(META, WATERMARK, gei.to_be_bytes().to_vec()),
            }
        }
        batch
    }

    fn write(disk: &mut ExecutorDisk, batch: &WriteBatch, durability: Durability) -> Vec<Fact> {
        let mut facts = vec![];
        disk.written(STORE, batch, durability, &mut facts);
        facts
    }

    /// The facts of steps that are written one by one. Only watermarks are synced.
    fn facts_of(disk: &mut ExecutorDisk, steps: &[Step]) -> Vec<Fact> {
        let facts = steps.iter().flat_map(|step| {
            let durability = match step {
                Watermark(_) => Durability::Synced,
                State(_) | Blocks(..) => Durability::Buffered,
            };
            write(disk, &batch(&[*step]), durability)
        });
        facts.collect()
    }

    fn root(watermark: u64, rows: &[u64]) -> StateRoot {
        let mut state = StateRows::default();
        for height in rows {
            state
                .put(GlobalExecIndex(*height), row(*height).into())
                .unwrap();
        }
        state.root(GlobalExecIndex(watermark))
    }

    fn durable(watermark: u64, rows: &[u64], blocks: &[u64]) -> Fact {
        let frame = |gei: &u64| Arc::new(delivered::frame(body(*gei).into()).unwrap());
        Fact::Durable {
            watermark: GlobalExecIndex(watermark),
            state_root: root(watermark, rows),
            blocks: blocks.iter().map(frame).collect(),
        }
    }

    fn found(watermark: u64, rows: &[u64]) -> Fact {
        Fact::ExecutorFound {
            watermark: GlobalExecIndex(watermark),
            state_root: root(watermark, rows),
        }
    }

    #[test]
    fn a_watermark_covers_what_was_written_before_it() {
        let mut disk = ExecutorDisk::default();
        let flushes = [
            State(3),
            Blocks(1, 3),
            Watermark(3),
            Blocks(4, 5),
            State(5),
            Watermark(5),
        ];
        let expected = [durable(3, &[3], &[1, 2, 3]), durable(5, &[3, 5], &[4, 5])];
        assert_eq!(facts_of(&mut disk, &flushes), expected);
        let at_once = batch(&[Watermark(7), State(7), Blocks(6, 7)]);
        let facts = write(&mut disk, &at_once, Durability::Synced);
        assert_eq!(facts, [durable(7, &[3, 5, 7], &[6, 7])]);
    }

    #[test]
    fn what_comes_after_its_watermark_counts_from_the_next_one_on() {
        let mut disk = ExecutorDisk::default();
        let steps = [
            Watermark(3),
            State(3),
            Blocks(1, 3),
            Watermark(5),
            State(5),
            Blocks(4, 5),
        ];
        let again = |gei| Fact::BlockRewritten {
            block: Arc::new(delivered::frame(body(gei).into()).unwrap()),
        };
        let expected = [
            durable(3, &[], &[]),
            again(1),
            again(2),
            again(3),
            durable(5, &[3], &[]),
            again(4),
            again(5),
        ];
        assert_eq!(facts_of(&mut disk, &steps), expected);
        let steps = [
            Watermark(5),
            Watermark(3),
            State(7),
            Blocks(6, 6),
            Watermark(7),
        ];
        let expected = [
            durable(5, &[3, 5], &[]),
            durable(3, &[3], &[]),
            durable(7, &[3, 5, 7], &[6]),
        ];
        assert_eq!(facts_of(&mut disk, &steps), expected);
    }

    #[test]
    fn a_watermark_that_is_not_synced_is_durable_with_the_next_sync() {
        let mut disk = ExecutorDisk::default();
        let buffered = batch(&[State(3), Blocks(1, 3), Watermark(3)]);
        assert_eq!(write(&mut disk, &buffered, Durability::Buffered), []);
        let mut epoch = WriteBatch::default();
        let start = [7_u64.to_be_bytes(), 3_u64.to_be_bytes()].concat();
        epoch.put(EPOCHS, &1_u64.to_be_bytes(), start);
        let entered = Fact::EpochEntered {
            epoch: Epoch(1),
            boundary: GlobalExecIndex(3),
            start_ms: TimestampMs(7),
        };
        let facts = write(&mut disk, &epoch, Durability::Synced);
        assert_eq!(facts, [entered, durable(3, &[3], &[1, 2, 3])]);
    }

    /// Opens the store of a new incarnation. Returns what the witness says, and a way to write to both.
    fn open(disk: &MemoryDisk, witness: &mut ExecutorDisk) -> (Arc<dyn Store>, Vec<Fact>) {
        let store = MemoryStores::new(disk).open(STORE, &COLUMNS).unwrap();
        let mut facts = vec![];
        witness.opened(STORE, &*store, &mut facts);
        (store, facts)
    }

    #[test]
    fn a_start_reads_everything_from_the_disk() {
        let (disk, mut witness) = (MemoryDisk::default(), ExecutorDisk::default());
        let (store, facts) = open(&disk, &mut witness);
        assert_eq!(facts, [found(0, &[])]);
        let synced = batch(&[State(3), Blocks(1, 3), Watermark(3)]);
        store.write(synced, Durability::Synced).unwrap();
        for step in [State(5), Blocks(4, 5)] {
            let batch = batch(&[step]);
            write(&mut witness, &batch, Durability::Buffered);
            store.write(batch, Durability::Buffered).unwrap();
        }

        disk.power_lost(|unsynced| unsynced - 1);
        let (store, facts) = open(&disk, &mut witness);
        assert_eq!(facts, [found(3, &[3])]);
        // A row that the executor does not drop counts. The blocks are lost.
        let facts = facts_of(&mut witness, &[State(6), Watermark(6)]);
        assert_eq!(facts, [durable(6, &[3, 5, 6], &[])]);
        drop(store);

        disk.process_killed();
        let (_store, facts) = open(&disk, &mut witness);
        assert_eq!(facts, [found(3, &[3])]);
        let mut dropped = WriteBatch::default();
        dropped.delete(STATE, &5_u64.to_be_bytes());
        assert_eq!(write(&mut witness, &dropped, Durability::Synced), []);
        let facts = facts_of(&mut witness, &[State(6), Blocks(4, 6), Watermark(6)]);
        assert_eq!(facts, [durable(6, &[3, 6], &[4, 5, 6])]);
    }

    #[test]
    fn blocks_above_the_watermark_count_until_they_are_dropped() {
        let (disk, mut witness) = (MemoryDisk::default(), ExecutorDisk::default());
        let (store, _) = open(&disk, &mut witness);
        let content = batch(&[Watermark(3), Blocks(1, 5), State(5)]);
        store.write(content, Durability::Synced).unwrap();
        disk.process_killed();
        let (_store, facts) = open(&disk, &mut witness);
        assert_eq!(facts, [found(3, &[])]);
        let mut dropped = WriteBatch::default();
        dropped.delete(BLOCKS, &5_u64.to_be_bytes());
        write(&mut witness, &dropped, Durability::Synced);
        let facts = facts_of(&mut witness, &[Watermark(5)]);
        assert_eq!(facts, [durable(5, &[5], &[4])]);
    }

    #[test]
    fn a_value_that_is_not_what_its_key_says_is_damaged() {
        let one = 1_u64.to_be_bytes();
        for (column, key, value) in [
            (STATE, &one[..], vec![0; 45]),
            (STATE, &[1], row(1)),
            (BLOCKS, &one, vec![0xff]),
            (BLOCKS, &one, body(2)),
            (BLOCKS, &[1], body(1)),
            (EPOCHS, &one, vec![0; 15]),
            (EPOCHS, &one, vec![]),
            (META, WATERMARK, vec![0; 7]),
        ] {
            let (disk, mut witness) = (MemoryDisk::default(), ExecutorDisk::default());
            let (store, _) = open(&disk, &mut witness);
            let mut batch = WriteBatch::default();
            batch.put(column, key, value);
            let facts = write(&mut witness, &batch, Durability::Synced);
            assert!(
                matches!(facts[..], [Fact::DamagedValue { .. }]),
                "{facts:?}"
            );

            store.write(batch, Durability::Synced).unwrap();
            disk.process_killed();
            let (_, facts) = open(&disk, &mut witness);
            let is_damaged = |fact: &Fact| matches!(fact, Fact::DamagedValue { .. });
            let is_read = column != EPOCHS;
            assert_eq!(facts.iter().any(is_damaged), is_read, "{facts:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(
            column in select(&COLUMNS),
            key in vec(any::<u8>(), 0..12),
            value in vec(any::<u8>(), 0..100),
            watermark: u64,
        ) {
            let (disk, mut witness) = (MemoryDisk::default(), ExecutorDisk::default());
            let (store, _) = open(&disk, &mut witness);
            let mut batch = batch(&[Watermark(watermark)]);
            for key in [&key[..], &7_u64.to_be_bytes(), &[0xff; 8], WATERMARK] {
                batch.put(column, key, value.clone());
            }
            write(&mut witness, &batch, Durability::Synced);
            store.write(batch, Durability::Synced).unwrap();
            disk.process_killed();
            open(&disk, &mut witness);
        }
    }
}
