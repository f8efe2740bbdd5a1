//! Names wrong ancestors: blocks that do not exist, too few of the previous round, not its own last block, and blocks
//! near the garbage collection round, below which ancestors count as available without being fetched.

use super::{Asked, Context, Sent, Strategy};
use bytes::Bytes;
use metanode_core::{
    consensus::protocol::PeerResponse,
    types::{Block, BlockRef, Round, VerifiedBlock},
};

/// Rounds behind the newest; more than any garbage collection depth of the tests.
const EDGE: u32 = 80;

pub(super) struct Lying;

impl Strategy for Lying {
    fn stream(&mut self, Sent { honest, .. }: Sent<'_>, context: &mut Context<'_>) -> Vec<Bytes> {
        if context.one_in(2) {
            return vec![honest.bytes().clone()];
        }
        let block_with_wrong_ancestors = block_with_wrong_ancestors(honest, context);
        let block_with_wrong_ancestors = context
            .sign_and_keep(block_with_wrong_ancestors)
            .bytes()
            .clone();
        // Besides the honest block, or instead of it.
        match context.one_in(2) {
            true => vec![honest.bytes().clone(), block_with_wrong_ancestors],
            false => vec![block_with_wrong_ancestors],
        }
    }

    fn answer(&mut self, asked: Asked<'_>, context: &mut Context<'_>) -> Option<PeerResponse> {
        (!context.one_in(3)).then_some(asked.honest)
    }
}

fn block_with_wrong_ancestors(honest: &VerifiedBlock, context: &mut Context<'_>) -> Block {
    let mut block = Block::clone(honest);
    match context.below(6) {
        // None of them exists.
        0 => {
            for ancestor in &mut block.ancestors {
                *ancestor = context.unknown(*ancestor);
            }
        }
        // All but one exist.
        1 => {
            let count = u32::try_from(block.ancestors.len()).unwrap_or(1);
            let position = context.below(count) as usize;
            block.ancestors[position] = context.unknown(block.ancestors[position]);
        }
        // Its own last block is genesis.
        2 => block.ancestors[0] = Block::genesis(block.epoch, block.author).reference(),
        // All but a quorum are of an old round.
        3 => {
            let quorum = usize::try_from(context.committee.quorum().0).unwrap_or(usize::MAX);
            for ancestor in block.ancestors.iter_mut().skip(quorum) {
                let old = BlockRef {
                    round: Round(1).min(honest.round.prev()),
                    ..*ancestor
                };
                *ancestor = context.unknown(old);
            }
        }
        // Too few of the previous round.
        4 => block.ancestors.truncate(2),
        // A round near the garbage collection round, with ancestors that do not exist.
        _ => {
            let back = context.below(EDGE).min(honest.round.0.saturating_sub(2));
            block.round = Round(honest.round.0 - back);
            for ancestor in &mut block.ancestors {
                let old = BlockRef {
                    round: block.round.prev(),
                    ..*ancestor
                };
                *ancestor = context.unknown(old);
            }
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::byzantine::testing::Bench;
    use metanode_core::types::InvalidBlock;

    #[test]
    fn blocks_are_signed_and_most_verify_because_ancestors_are_not_checked() {
        let mut bench = Bench::new();
        let honest = bench.make().expect("a block");
        let (mut wrong, mut few) = (0, 0);
        for block in bench.streams(&mut Lying, &honest, 100) {
            match block {
                Ok(block) => wrong += u32::from(block != honest),
                Err(InvalidBlock::TooFewParents { .. }) => few += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert!(wrong > 20 && few > 2, "{wrong} {few}");
    }
}
