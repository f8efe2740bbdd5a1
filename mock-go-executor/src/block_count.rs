//! The number of the last block in an executor that counts apart from GEIs: how many durable blocks have transactions.

use crate::disk::Disk;
use metanode_core::{
    executor::wire::CommittedEpochData, store::StoreError, types::GlobalExecIndex,
};
use prost::Message;

/// The count so far. It is not stored: a process counts again from the first block on.
#[derive(Debug, Default)]
pub struct BlockCount {
    up_to: GlobalExecIndex,
    blocks: u64,
}

impl BlockCount {
    /// The blocks with transactions up to the watermark, as far as they are stored.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn at(&mut self, watermark: GlobalExecIndex, disk: &Disk) -> Result<u64, StoreError> {
        while self.up_to < watermark
            && let Some(body) = disk.body(self.up_to.next())?
        {
            // What was executed does decode.
            let block = CommittedEpochData::decode(body).unwrap_or_default();
            let mut blocks = block.blocks.iter();
            self.blocks += u64::from(blocks.any(|block| !block.transactions.is_empty()));
            self.up_to = self.up_to.next();
        }
        Ok(self.blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Funding;
    use crate::{
        chain::Chain,
        testing::{TestWorld, received, transfer},
    };
    use metanode_core::store::MemoryDisk;

    #[tokio::test]
    async fn blocks_without_transactions_and_blocks_that_are_not_durable_are_not_counted() {
        let world = TestWorld::new(&MemoryDisk::default());
        let mut chain = Chain::open(world.env.clone(), Funding::default()).unwrap();
        chain.execute(received(1, [])).await;
        chain.execute(received(2, [transfer(0, 1, 1, 0)])).await;
        chain.execute(received(3, [])).await;
        chain.flush().await.unwrap();
        chain.execute(received(4, [transfer(0, 1, 1, 1)])).await;
        let at = |count: &mut BlockCount, n| count.at(GlobalExecIndex(n), &chain.disk()).unwrap();
        let mut count = BlockCount::default();
        assert_eq!([0, 1, 2, 3, 4].map(|n| at(&mut count, n)), [0, 0, 1, 1, 1]);
        assert_eq!(at(&mut BlockCount::default(), 3), 1);
    }
}
