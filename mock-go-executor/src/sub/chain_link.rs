//! Whether what the Master sends continues the chain that a Sub has executed. Pure.

use crate::chain::ReceivedBlock;
use bytes::{Bytes, BytesMut};
use metanode_core::{
    executor::wire::{BlockData, CommittedEpochData},
    framing::Framing,
    types::GlobalExecIndex,
};
use prost::{DecodeError, Message};
use std::mem;
use thiserror::Error;

/// The last block that a Sub has executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tip {
    pub height: GlobalExecIndex,
    /// Zeros at height 0.
    pub hash: [u8; 32],
}

/// The next block.
#[derive(Debug)]
pub(super) struct Next {
    pub block: ReceivedBlock,
    pub hash: [u8; 32],
    /// What the Master's state root is after it.
    pub state_root: Bytes,
}

/// The Master sent something else than the next block.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum Mismatch {
    #[error("the Master sent block {found}, expected {expected}")]
    Number {
        expected: GlobalExecIndex,
        found: u64,
    },
    #[error("block {number} has other bytes than its hash says, after {bytes} bytes")]
    Hash {
        number: GlobalExecIndex,
        bytes: usize,
    },
    #[error(
        "block {number} does not follow the block {} that this Sub has executed: they are of different chains",
        number.prev()
    )]
    Parent { number: GlobalExecIndex },
    #[error("block {number} is no CommittedEpochData: {source}")]
    Undecodable {
        number: GlobalExecIndex,
        source: DecodeError,
    },
    #[error("block {number} contains block {found} of epoch {epoch}")]
    Content {
        number: GlobalExecIndex,
        found: u64,
        epoch: u64,
    },
}

/// The part of the next block that has arrived: a block may be larger than a reply.
#[derive(Debug, Default)]
pub(super) struct Part {
    bytes: BytesMut,
    /// Of them.
    hasher: blake3::Hasher,
}

impl Part {
    /// The number of bytes that need not be sent again.
    pub fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Adds what the Master sent. `None` if more of the block is missing.
    ///
    /// # Errors
    /// If it is not the block after `tip`. What has arrived of that one is dropped, unless this is another one.
    pub fn add(&mut self, tip: Tip, data: BlockData) -> Result<Option<Next>, Mismatch> {
        let number = tip.height.next();
        if data.block_number != number.0 {
            return Err(Mismatch::Number {
                expected: number,
                found: data.block_number,
            });
        }
        let Self {
            mut bytes,
            mut hasher,
        } = mem::take(self);
        let adds_nothing = data.raw_block_bytes.is_empty();
        hasher.update(&data.raw_block_bytes);
        let hash = *hasher.finalize().as_bytes();
        let body = match bytes.is_empty() {
            true if data.block_hash[..] == hash => data.raw_block_bytes,
            _ => {
                bytes.extend_from_slice(&data.raw_block_bytes);
                if data.block_hash[..] != hash {
                    let is_too_long = bytes.len() > Framing::BLOCK_STREAM.limit_bytes;
                    if adds_nothing || is_too_long {
                        let bytes = bytes.len();
                        return Err(Mismatch::Hash { number, bytes });
                    }
                    *self = Self { bytes, hasher };
                    return Ok(None);
                }
                bytes.freeze()
            }
        };
        if data.parent_hash[..] != tip.hash {
            return Err(Mismatch::Parent { number });
        }
        let block = CommittedEpochData::decode(body.clone());
        let block = block.map_err(|source| Mismatch::Undecodable { number, source })?;
        if (block.global_exec_index, block.epoch) != (number.0, data.epoch) {
            return Err(Mismatch::Content {
                number,
                found: block.global_exec_index,
                epoch: block.epoch,
            });
        }
        Ok(Some(Next {
            block: ReceivedBlock { block, body },
            hash,
            state_root: data.state_root,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chain::block_hash,
        testing::{received, transfer},
    };

    const TIP: Tip = Tip {
        height: GlobalExecIndex(6),
        hash: [5; 32],
    };

    fn seventh() -> BlockData {
        let body = received(7, [transfer(0, 1, 5, 0)]).body;
        BlockData {
            block_number: 7,
            block_hash: block_hash(&body).to_vec().into(),
            parent_hash: TIP.hash.to_vec().into(),
            raw_block_bytes: body,
            ..BlockData::default()
        }
    }

    fn add(data: BlockData) -> Result<Option<Next>, Mismatch> {
        Part::default().add(TIP, data)
    }

    #[test]
    fn the_next_block_continues_the_chain() {
        let next = add(seventh()).unwrap().unwrap();
        assert_eq!(next.block.gei(), GlobalExecIndex(7));
        assert_eq!(next.block.body, seventh().raw_block_bytes);
        assert_eq!(next.hash[..], seventh().block_hash);
    }

    #[test]
    fn a_block_may_come_in_parts_and_each_byte_once() {
        let mut part = Part::default();
        let whole = seventh().raw_block_bytes;
        for (i, byte) in (1..).zip(&whole) {
            let raw_block_bytes = Bytes::from(vec![*byte]);
            let data = BlockData {
                raw_block_bytes,
                ..seventh()
            };
            let next = part.add(TIP, data).unwrap();
            assert_eq!(next.is_some(), i == whole.len());
        }
        assert_eq!(part.len(), 0);
    }

    #[test]
    fn what_does_not_continue_the_chain_is_refused() {
        let other_number = BlockData {
            block_number: 8,
            ..seventh()
        };
        assert!(matches!(
            add(other_number),
            Err(Mismatch::Number { found: 8, .. })
        ));
        let other_parent = BlockData {
            parent_hash: vec![6; 32].into(),
            ..seventh()
        };
        assert!(matches!(add(other_parent), Err(Mismatch::Parent { .. })));
        let eighth = received(8, []).body;
        let other_content = BlockData {
            block_hash: block_hash(&eighth).to_vec().into(),
            raw_block_bytes: eighth,
            ..seventh()
        };
        assert!(matches!(
            add(other_content),
            Err(Mismatch::Content { found: 8, .. })
        ));
    }

    #[test]
    fn a_block_that_never_gets_its_hash_is_refused_and_begins_anew() {
        let mut part = Part::default();
        let damaged = BlockData {
            block_hash: vec![1; 32].into(),
            ..seventh()
        };
        assert!(part.add(TIP, damaged.clone()).unwrap().is_none());
        let nothing = BlockData {
            raw_block_bytes: Bytes::new(),
            ..damaged
        };
        assert!(matches!(part.add(TIP, nothing), Err(Mismatch::Hash { .. })));
        assert!(part.add(TIP, seventh()).unwrap().is_some());
    }
}
