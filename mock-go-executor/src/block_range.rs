//! Replies to `GetBlocksRange`: durable blocks with what a follower needs to execute and check them (contract §3.1).

use crate::{
    disk::{Disk, ExecutedBlock, Header},
    error_texts::not_durable,
};
use bytes::Bytes;
use metanode_core::{
    executor::wire::{BlockData, BlocksRange, GetBlocksRange},
    store::StoreError,
    types::GlobalExecIndex,
};
use thiserror::Error;

/// Blocks in one reply, at most: they are read while other requests wait.
const MOST_BLOCKS: usize = 500;
/// Bytes of a block in a reply beside its content, at most: hashes, root, numbers, tags and lengths.
const HEADER_BYTES: usize = 160;

/// Why a range has no reply.
#[derive(Debug, Error)]
pub enum RangeError {
    #[error("blocks {from}..={to} are not a range: expected 1 <= from <= to")]
    Empty { from: u64, to: u64 },
    #[error("block {number} has {bytes} bytes: expected to skip at most so many, not {skipped}")]
    SkipsMore {
        number: GlobalExecIndex,
        bytes: usize,
        skipped: u64,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The beginning of the range, as far as it is durable and fits into `reply_bytes`.
///
/// # Errors
/// If this is no range, or the disk fails or is damaged.
pub fn reply(
    disk: &Disk,
    asked: GetBlocksRange,
    watermark: GlobalExecIndex,
    reply_bytes: usize,
) -> Result<BlocksRange, RangeError> {
    let GetBlocksRange {
        from,
        to,
        mut skip_bytes,
    } = asked;
    if from == 0 || from > to {
        return Err(RangeError::Empty { from, to });
    }
    if from > watermark.0 {
        return Ok(BlocksRange {
            error: not_durable(from, watermark),
            ..BlocksRange::default()
        });
    }
    let mut parent_hash = match from {
        1 => [0; 32],
        _ => disk.header(GlobalExecIndex(from).prev())?.hash,
    };
    let mut blocks = vec![];
    let mut left_bytes = reply_bytes;
    let numbers = (from..=to.min(watermark.0)).map(GlobalExecIndex);
    for number in numbers.take(MOST_BLOCKS) {
        let block = disk.block(number)?;
        let bytes = block.body.len() + HEADER_BYTES;
        if !blocks.is_empty() && bytes > left_bytes {
            break;
        }
        let content = part(&block, skip_bytes, left_bytes)?;
        blocks.push(block_data(&block, content, parent_hash));
        (skip_bytes, parent_hash) = (0, block.header.hash);
        match left_bytes.checked_sub(bytes) {
            Some(left) => left_bytes = left,
            None => break,
        }
    }
    Ok(BlocksRange {
        count: blocks.len() as u64,
        blocks,
        error: String::new(),
    })
}

/// The content from `skip_bytes` on, at most `most_bytes` of it.
fn part(block: &ExecutedBlock, skip_bytes: u64, most_bytes: usize) -> Result<Bytes, RangeError> {
    let bytes = block.body.len();
    let start = usize::try_from(skip_bytes).ok().filter(|n| *n <= bytes);
    let start = start.ok_or(RangeError::SkipsMore {
        number: block.gei,
        bytes,
        skipped: skip_bytes,
    })?;
    let end = bytes.min(start.saturating_add(most_bytes));
    Ok(block.body.slice(start..end))
}

fn block_data(block: &ExecutedBlock, content: Bytes, parent_hash: [u8; 32]) -> BlockData {
    let Header {
        hash,
        state_root,
        epoch,
        timestamp_ms,
    } = block.header;
    let bytes = |digest: [u8; 32]| Bytes::from(digest.to_vec());
    BlockData {
        block_number: block.gei.0,
        block_hash: bytes(hash),
        epoch,
        timestamp_ms,
        parent_hash: bytes(parent_hash),
        state_root: bytes(state_root),
        raw_block_bytes: content,
        ..BlockData::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error_texts::NOT_DURABLE,
        testing::{TestWorld, received, transfer},
    };
    use metanode_core::store::MemoryDisk;
    use prost::Message;

    /// Blocks 1 to 5, each with one transaction more than the one before; their sizes in a reply.
    fn disk() -> (Disk, Vec<usize>) {
        let world = TestWorld::new(&MemoryDisk::default());
        let (disk, _) = Disk::open(world.env.stores.as_ref()).unwrap();
        let block = |n: u64| ExecutedBlock {
            gei: GlobalExecIndex(n),
            body: received(n, (0..n).map(|nonce| transfer(0, 1, 1, nonce))).body,
            header: Header {
                hash: [1, u8::try_from(n).unwrap()].repeat(16).try_into().unwrap(),
                state_root: [u8::try_from(n).unwrap(); 32],
                epoch: n * 300,
                timestamp_ms: u64::MAX - n,
            },
        };
        let blocks: Vec<_> = (1..=5).map(block).collect();
        disk.save_blocks(&blocks).unwrap();
        let size = |block: &ExecutedBlock| block.body.len() + HEADER_BYTES;
        (disk, blocks.iter().map(size).collect())
    }

    fn ask(
        disk: &Disk,
        from: u64,
        skip_bytes: u64,
        reply_bytes: usize,
    ) -> Result<BlocksRange, RangeError> {
        let range = GetBlocksRange {
            from,
            to: 9,
            skip_bytes,
        };
        reply(disk, range, GlobalExecIndex(4), reply_bytes)
    }

    #[test]
    fn a_reply_is_full_at_its_limit_and_has_a_part_of_one_block_at_least() {
        let (disk, sizes) = disk();
        let counted = |bytes| ask(&disk, 1, 0, bytes).unwrap().count;
        let three = sizes[..3].iter().sum::<usize>();
        assert_eq!(
            [1, sizes[0], three - 1, three, 9_999].map(counted),
            [1, 1, 2, 3, 4]
        );
    }

    #[test]
    fn blocks_name_the_one_before_and_the_root_after() {
        let (disk, _) = disk();
        let BlocksRange { blocks, .. } = ask(&disk, 1, 0, 9_999).unwrap();
        assert_eq!(blocks[0].parent_hash[..], [0; 32]);
        for (block, next) in blocks.iter().zip(&blocks[1..]) {
            assert_eq!(next.parent_hash, block.block_hash);
            assert_eq!(next.block_number, block.block_number + 1);
            assert_eq!(u64::from(next.state_root[31]), next.block_number);
            let times = (next.epoch, next.timestamp_ms);
            assert_eq!(
                times,
                (next.block_number * 300, u64::MAX - next.block_number)
            );
        }
        let sizes = blocks
            .iter()
            .map(|block| (block.encoded_len(), block.raw_block_bytes.len()));
        for (bytes, content) in sizes {
            assert!(
                bytes <= content + HEADER_BYTES,
                "{bytes}, {content} of content"
            );
        }
        let alone = ask(&disk, 2, 0, 9_999).unwrap().blocks;
        assert_eq!(alone, blocks[1..]);
    }

    #[test]
    fn a_block_that_is_larger_than_a_reply_comes_in_parts() {
        let (disk, sizes) = disk();
        let whole = disk.block(GlobalExecIndex(3)).unwrap().body;
        let mut found = vec![];
        while found.len() < whole.len() {
            let reply = ask(&disk, 3, found.len() as u64, sizes[2] / 2).unwrap();
            assert_eq!(reply.count, 1);
            found.extend_from_slice(&reply.blocks[0].raw_block_bytes);
        }
        assert_eq!(found, whole);
        assert!(ask(&disk, 3, whole.len() as u64 + 1, 9).is_err());
    }

    #[test]
    fn a_block_that_is_not_durable_has_the_text_that_clients_match() {
        let (disk, _) = disk();
        let reply = ask(&disk, 5, 0, 9_999).unwrap();
        assert!(reply.error.contains(NOT_DURABLE));
        assert_eq!(reply.count, 0);
        assert!(ask(&disk, 0, 0, 9_999).is_err());
    }
}
