//! The stores of one process: from what is read and written there to facts.

use super::{
    Blocks, Fact,
    executor_disk::ExecutorDisk,
    executor_values, journal,
    node_disk::{self, NodeDisk},
};
use crate::process_id::ProcessId;
use metanode_core::store::{Column, Durability, Store, WriteBatch};
use std::sync::Arc;

/// Observes the stores of one process. Outlives its incarnations.
pub struct DiskWitness(Stores);

enum Stores {
    Node(NodeDisk),
    /// Also that of a Sub, which follows an executor.
    Executor(Box<ExecutorDisk>),
    /// The world has none.
    None,
}

impl DiskWitness {
    #[must_use]
    pub fn new(process: ProcessId, blocks: Blocks) -> Self {
        Self(match process {
            ProcessId::Node(_) => Stores::Node(NodeDisk::new(process, blocks)),
            ProcessId::Executor(_) | ProcessId::Sub(_) => {
                let mut disk = ExecutorDisk::default();
                disk.seen = blocks;
                Stores::Executor(Box::new(disk))
            }
            ProcessId::World => Stores::None,
        })
    }

    /// Whether writes to this column say something. All others may be left out of batches.
    #[must_use]
    pub fn reads(column: Column) -> bool {
        let node = [
            node_disk::BLOCKS,
            node_disk::COMMITS,
            node_disk::RECORDS,
            journal::ENTRIES,
        ];
        let executor = [
            executor_values::STATE,
            executor_values::BLOCKS,
            executor_values::EPOCHS,
            executor_values::META,
        ];
        node.contains(&column) || executor.contains(&column)
    }

    /// A store was opened by a new incarnation: reads from it what survived.
    pub fn opened(&mut self, name: &str, store: &Arc<dyn Store>, facts: &mut Vec<Fact>) {
        match &mut self.0 {
            Stores::Node(disk) => disk.opened(name, store, facts),
            Stores::Executor(disk) => disk.opened(name, store.as_ref(), facts),
            Stores::None => {}
        }
    }

    /// The batch was written.
    pub fn written(
        &mut self,
        name: &str,
        batch: &WriteBatch,
        durability: Durability,
        facts: &mut Vec<Fact>,
    ) {
        match &mut self.0 {
            Stores::Node(disk) => disk.written(name, batch, durability, facts),
            Stores::Executor(disk) => disk.written(name, batch, durability, facts),
            Stores::None => {}
        }
    }

    /// The run has ended: reads all that is in the store, not only what a start needs.
    pub fn read_at_end(&mut self, name: &str, store: &Arc<dyn Store>, facts: &mut Vec<Fact>) {
        self.opened(name, store, facts);
        let damaged = match &self.0 {
            Stores::Node(disk) => disk.check_whole(name, store.as_ref()),
            Stores::Executor(disk) => disk.check_whole(name, store.as_ref()),
            Stores::None => Ok(()),
        };
        facts.extend(damaged.err().map(|reason| Fact::DamagedValue { reason }));
    }

    /// The store was removed.
    pub fn removed(&mut self, name: &str, facts: &mut Vec<Fact>) {
        match &mut self.0 {
            Stores::Node(disk) => disk.removed(name, facts),
            Stores::Executor(_) | Stores::None => {}
        }
    }
}
