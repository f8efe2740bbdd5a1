//! The blocks that an executor gets: the next ones of its epoch. Pure.
//!
//! A block that was made once is the same when it is sent again (invariant AGREE).

use bytes::Bytes;
use metanode_core::{
    executor::wire::{CommittedBlock, CommittedEpochData, TransactionExe},
    framing::{FrameError, Framing},
    types::{Epoch, EpochBase, GlobalExecIndex, IndexError, TimestampMs},
};
use prost::Message;
use std::collections::BTreeMap;

/// The chain as it goes on.
#[derive(Debug)]
pub(super) struct Chain {
    base: EpochBase,
    /// The block before the first one that is made here, and the earliest time of that one. Each later block comes a
    /// millisecond after the one before.
    anchor: GlobalExecIndex,
    earliest: TimestampMs,
    /// The account of the leader of all blocks.
    leader: [u8; 20],
    made: BTreeMap<GlobalExecIndex, Bytes>,
}

impl Chain {
    /// A chain that goes on in this epoch after block `anchor`, not earlier than `earliest`.
    pub const fn new(
        base: EpochBase,
        anchor: GlobalExecIndex,
        earliest: TimestampMs,
        leader: [u8; 20],
    ) -> Self {
        Self {
            base,
            anchor,
            earliest,
            leader,
            made: BTreeMap::new(),
        }
    }

    pub const fn base(&self) -> EpochBase {
        self.base
    }

    /// The next epoch begins: what was made for the old one beyond its boundary is not sent any more.
    pub fn enter(&mut self, base: EpochBase, start: TimestampMs) {
        self.made.retain(|gei, _| *gei <= base.base);
        self.earliest = start.max(self.timestamp(base.base));
        self.anchor = base.base;
        self.base = base;
    }

    /// When the block is made.
    pub const fn timestamp(&self, gei: GlobalExecIndex) -> TimestampMs {
        TimestampMs(self.earliest.0 + gei.0.saturating_sub(self.anchor.0))
    }

    /// The block as it was made, or is made now.
    ///
    /// # Errors
    /// If the epoch has no such commit.
    pub fn body(&mut self, gei: GlobalExecIndex) -> Result<Bytes, IndexError> {
        self.body_with(gei, &[])
    }

    /// As [`Self::body`], with these transactions if it is made now.
    ///
    /// # Errors
    /// If the epoch has no such commit.
    pub fn body_with(
        &mut self,
        gei: GlobalExecIndex,
        transactions: &[Bytes],
    ) -> Result<Bytes, IndexError> {
        if let Some(made) = self.made.get(&gei) {
            return Ok(made.clone());
        }
        let body = self.encoded(gei, self.base.epoch, self.timestamp(gei), transactions)?;
        self.made.insert(gei, body.clone());
        Ok(body)
    }

    /// The frame of the block.
    ///
    /// # Errors
    /// If the epoch has no such commit.
    pub fn frame(&mut self, gei: GlobalExecIndex) -> Result<Vec<u8>, IndexError> {
        Ok(frame_of(&self.body(gei)?))
    }

    /// The body of a block that is like the next one, of another epoch.
    ///
    /// # Errors
    /// If the current epoch has no such commit.
    pub fn body_of_epoch(&self, gei: GlobalExecIndex, epoch: Epoch) -> Result<Bytes, IndexError> {
        self.encoded(gei, epoch, self.timestamp(gei), &[])
    }

    /// The body of another block with the same number.
    ///
    /// # Errors
    /// If the epoch has no such commit.
    pub fn other_body(&self, gei: GlobalExecIndex) -> Result<Bytes, IndexError> {
        let timestamp = TimestampMs(self.timestamp(gei).0 + 60_000);
        self.encoded(gei, self.base.epoch, timestamp, &[])
    }

    /// The body of a block that was made here.
    pub fn made(&self, gei: GlobalExecIndex) -> Option<&Bytes> {
        self.made.get(&gei)
    }

    fn encoded(
        &self,
        gei: GlobalExecIndex,
        epoch: Epoch,
        timestamp: TimestampMs,
        transactions: &[Bytes],
    ) -> Result<Bytes, IndexError> {
        let commit = self.base.commit_index(gei)?;
        let transaction = |digest: &Bytes| TransactionExe {
            digest: digest.clone(),
            worker_id: 0,
        };
        let block = CommittedEpochData {
            blocks: vec![CommittedBlock {
                epoch: epoch.0,
                height: commit.0.into(),
                transactions: transactions.iter().map(transaction).collect(),
            }],
            global_exec_index: gei.0,
            commit_index: commit.0,
            epoch: epoch.0,
            commit_timestamp_ms: timestamp.0,
            leader_author_index: 0,
            leader_address: Bytes::copy_from_slice(&self.leader),
        };
        Ok(block.encode_to_vec().into())
    }
}

/// The frame of a body.
pub(super) fn frame_of(body: &[u8]) -> Vec<u8> {
    let frame: Result<Bytes, FrameError> = Framing::BLOCK_STREAM.encode_body(body);
    frame
        .expect("blocks made here are within the limit")
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Chain {
        let base = EpochBase {
            epoch: Epoch(3),
            base: GlobalExecIndex(10),
        };
        Chain::new(base, GlobalExecIndex(10), TimestampMs(1_000), [7; 20])
    }

    fn decoded(body: Bytes) -> CommittedEpochData {
        CommittedEpochData::decode(body).unwrap()
    }

    #[test]
    fn a_block_is_made_once_and_time_never_goes_back() {
        let mut chain = chain();
        let last = chain.body(GlobalExecIndex(15)).unwrap();
        let first = decoded(chain.body(GlobalExecIndex(11)).unwrap());
        assert_eq!((first.epoch, first.commit_index), (3, 1));
        assert_eq!(first.blocks[0].height, 1);
        let again = chain.body(GlobalExecIndex(15)).unwrap();
        assert_eq!(last, again);
        let times = (11..=15).map(|gei| {
            let block = decoded(chain.body(GlobalExecIndex(gei)).unwrap());
            block.commit_timestamp_ms
        });
        let times: Vec<_> = times.collect();
        assert!(times.is_sorted(), "{times:?}");
        assert!(chain.body(GlobalExecIndex(9)).is_err());
    }

    #[test]
    fn an_epoch_begins_with_commit_1_and_not_before_its_start() {
        let mut chain = chain();
        let old = chain.body(GlobalExecIndex(12)).unwrap();
        let base = EpochBase {
            epoch: Epoch(4),
            base: GlobalExecIndex(11),
        };
        chain.enter(base, TimestampMs(5_000));
        let new = chain.body(GlobalExecIndex(12)).unwrap();
        assert_ne!(old, new);
        let new = decoded(new);
        assert_eq!((new.epoch, new.commit_index), (4, 1));
        assert!(new.commit_timestamp_ms >= 5_000);
    }
}
