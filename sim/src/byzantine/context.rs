//! What a strategy makes its lies of: the validator's own keys, what it has heard, and dice.

use super::memory::Memory;
use bytes::Bytes;
use metanode_core::types::{
    AuthorityIndex, Block, BlockDigest, BlockRef, Committee, KeyPair, SignatureBytes, SignedBlock,
    VerifiedBlock,
};
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

/// Handed to a strategy for one decision.
pub struct Context<'a> {
    pub keys: &'a KeyPair,
    pub committee: &'a Committee,
    pub memory: &'a mut Memory,
    pub random: &'a mut ChaCha8Rng,
}

impl Context<'_> {
    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.random.next_u32() % bound.max(1)
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// Bytes that mean nothing.
    pub fn noise<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill_bytes(&mut bytes);
        bytes
    }

    /// A block that does not exist, in the slot of one that does.
    pub fn unknown(&mut self, slot_of: BlockRef) -> BlockRef {
        BlockRef {
            digest: BlockDigest(self.noise()),
            ..slot_of
        }
    }

    /// Signs a block and forgets it: nobody who asks gets it.
    pub fn sign(&self, block: Block) -> VerifiedBlock {
        block.sign(self.keys)
    }

    /// Signs a block that is given to whoever asks.
    pub fn sign_and_keep(&mut self, block: Block) -> VerifiedBlock {
        let block = self.sign(block);
        self.memory.keep(block.clone());
        block
    }

    /// Any other authority.
    pub fn another(&mut self) -> AuthorityIndex {
        let own = self.memory.own();
        let size = u32::try_from(self.committee.size()).unwrap_or(u32::MAX);
        let others: Vec<_> = self.committee.indexes().filter(|i| *i != own).collect();
        let position = self.below(size.saturating_sub(1));
        others.get(position as usize).copied().unwrap_or(own)
    }
}

/// The bytes of a block with whatever for a signature.
pub fn with_signature(block: Block, signature: SignatureBytes) -> Bytes {
    // Plain structs always encode; nothing at all is no valid block either.
    bcs::to_bytes(&SignedBlock { block, signature })
        .unwrap_or_default()
        .into()
}
