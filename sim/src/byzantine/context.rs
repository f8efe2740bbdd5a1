//! The input of a strategy's decision: the validator's own keys, received blocks, randomness.

use super::memory::Memory;
use bytes::Bytes;
use metanode_core::types::{
    AuthorityIndex, Block, BlockDigest, BlockRef, ChainId, Committee, KeyPair, SignatureBytes,
    SignedBlock, VerifiedBlock,
};
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

/// The input of one decision.
pub struct Context<'a> {
    pub keys: &'a KeyPair,
    pub chain: ChainId,
    pub committee: &'a Committee,
    pub memory: &'a mut Memory,
    pub random: &'a mut ChaCha8Rng,
}

impl Context<'_> {
    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.random.next_u32() % bound.max(1)
    }

    /// True with probability 1 / `times`.
    pub fn one_in(&mut self, times: u32) -> bool {
        self.below(times) == 0
    }

    /// Random bytes.
    pub fn noise<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.fill_bytes(&mut bytes);
        bytes
    }

    /// A reference to a block that does not exist, in the slot of an existing one.
    pub fn unknown(&mut self, slot_of: BlockRef) -> BlockRef {
        BlockRef {
            digest: BlockDigest(self.noise()),
            ..slot_of
        }
    }

    /// Signs a block without keeping it: requests for it stay unanswered.
    pub fn sign(&self, block: Block) -> VerifiedBlock {
        block.sign(self.keys, self.chain)
    }

    /// Signs a block and keeps it for requests.
    pub fn sign_and_keep(&mut self, block: Block) -> VerifiedBlock {
        let block = self.sign(block);
        self.memory.keep(block.clone());
        block
    }

    /// A random other authority.
    pub fn another(&mut self) -> AuthorityIndex {
        let own = self.memory.own();
        let size = u32::try_from(self.committee.size()).unwrap_or(u32::MAX);
        let others: Vec<_> = self.committee.indexes().filter(|i| *i != own).collect();
        let position = self.below(size.saturating_sub(1));
        others.get(position as usize).copied().unwrap_or(own)
    }
}

/// The signature of a block.
pub fn signature_of(block: &VerifiedBlock) -> SignatureBytes {
    let signed = bcs::from_bytes::<SignedBlock>(block.bytes());
    signed.map(|signed| signed.signature).unwrap_or_default()
}

/// The bytes of a block with any signature.
pub fn with_signature(block: Block, signature: SignatureBytes) -> Bytes {
    // Plain structs always encode; an empty body would be invalid, too.
    bcs::to_bytes(&SignedBlock { block, signature })
        .unwrap_or_default()
        .into()
}
