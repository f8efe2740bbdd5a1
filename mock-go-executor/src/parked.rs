//! Blocks above a gap, which an executor keeps until the gap is filled. Pure.

use crate::chain::ReceivedBlock;
use metanode_core::types::GlobalExecIndex;
use std::collections::BTreeMap;

/// At most so many blocks and bytes.
#[derive(Debug)]
pub struct Parked {
    max_blocks: usize,
    max_bytes: usize,
    blocks: BTreeMap<GlobalExecIndex, ReceivedBlock>,
    bytes: usize,
}

impl Parked {
    #[must_use]
    pub const fn new(max_blocks: usize, max_bytes: usize) -> Self {
        Self {
            max_blocks,
            max_bytes,
            blocks: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Keeps the block, unless one with its number is kept. Returns whether there was room for it.
    pub fn keep(&mut self, received: ReceivedBlock) -> bool {
        let (gei, bytes) = (received.gei(), self.bytes + received.body.len());
        if self.blocks.contains_key(&gei) {
            return true;
        }
        let fits = self.blocks.len() < self.max_blocks && bytes <= self.max_bytes;
        if fits {
            self.blocks.insert(gei, received);
            self.bytes = bytes;
        }
        fits
    }

    /// Removes the expected block, if it is kept, and those below it, which were executed meanwhile.
    pub fn take(&mut self, expected: GlobalExecIndex) -> Option<ReceivedBlock> {
        while let Some(lowest) = self.blocks.first_entry()
            && *lowest.key() <= expected
        {
            let received = lowest.remove();
            self.bytes -= received.body.len();
            if received.gei() == expected {
                return Some(received);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn block(n: u64) -> ReceivedBlock {
        testing::received(n, [])
    }

    fn taken(parked: &mut Parked, expected: u64) -> Option<u64> {
        let received = parked.take(GlobalExecIndex(expected))?;
        Some(received.gei().0)
    }

    #[test]
    fn blocks_are_taken_in_order_and_those_below_are_dropped() {
        let mut parked = Parked::new(9, 9_999);
        for n in [7, 5, 4, 5] {
            assert!(parked.keep(block(n)));
        }
        assert_eq!(taken(&mut parked, 3), None);
        assert_eq!(taken(&mut parked, 5), Some(5), "4 was executed otherwise");
        assert_eq!(taken(&mut parked, 6), None);
        assert_eq!(taken(&mut parked, 7), Some(7));
        assert_eq!((parked.blocks.len(), parked.bytes), (0, 0));
    }

    #[test]
    fn blocks_and_bytes_are_bounded() {
        let mut parked = Parked::new(2, 9_999);
        assert_eq!(
            [4, 5, 6].map(|n| parked.keep(block(n))),
            [true, true, false]
        );
        assert!(parked.keep(block(4)), "it is kept already");
        assert_eq!(taken(&mut parked, 4), Some(4));
        assert!(parked.keep(block(6)));

        let bytes = block(4).body.len();
        let mut parked = Parked::new(9, 2 * bytes - 1);
        assert_eq!([4, 5].map(|n| parked.keep(block(n))), [true, false]);
        assert!(!Parked::new(0, 9_999).keep(block(4)));
    }
}
