//! Sends many validly signed blocks besides its honest one: further blocks for the same round, for old rounds, and for
//! rounds far ahead. A node that keeps all of them runs out of memory; a node that fetches all their ancestors makes no
//! progress.
//!
//! A node leaves a stream whose rounds fall. So mostly there is one further block for the same round, which it has to take;
//! sometimes a burst whose rounds rise as far as they go, which ends the stream when it goes on.

use super::{Asked, Context, Sent, Strategy};
use bytes::Bytes;
use metanode_core::{
    consensus::protocol::PeerResponse,
    types::{Block, BlockRef, Round, TimestampMs, Transaction, VerifiedBlock},
};
use rand_core::Rng;

/// In one round of this many there is a burst.
const BURST_ONE_IN: u32 = 8;

/// Blocks besides the honest one in a burst: fewer than this.
const BURST: u32 = 40;

/// Bytes in a block of a later round: fewer than this.
const PAYLOAD_BYTES: u32 = 64 << 10;

/// How many rounds ahead most of these blocks are, at most: below and above the limit of a node.
const AHEAD: u32 = 1_000;

pub(super) struct Flooding;

impl Strategy for Flooding {
    fn stream(&mut self, Sent { honest, .. }: Sent<'_>, context: &mut Context<'_>) -> Vec<Bytes> {
        if context.below(BURST_ONE_IN) > 0 {
            let twin = another_block(honest, context);
            let twin = context.sign(twin);
            return vec![honest.bytes().clone(), twin.bytes().clone()];
        }
        let mut burst = vec![];
        for _ in 0..context.below(BURST) {
            let more = match context.below(4) {
                0 => another_block(honest, context),
                1 => {
                    let own = context.memory.own();
                    let count = context.memory.blocks_of(own).count();
                    let position = context.below(u32::try_from(count).unwrap_or(1)) as usize;
                    let old = context.memory.blocks_of(own).nth(position).cloned();
                    another_block(&old.unwrap_or_else(|| honest.clone()), context)
                }
                2 => ahead(
                    honest,
                    Round(honest.round.0 + 1 + context.below(AHEAD)),
                    context,
                ),
                _ => ahead(honest, Round(u32::MAX - context.below(2)), context),
            };
            burst.push(context.sign(more));
        }
        burst.sort_by_key(|block| (block.round < honest.round, block.round));
        let burst = burst.iter().map(|block| block.bytes().clone());
        [honest.bytes().clone()].into_iter().chain(burst).collect()
    }

    /// The requested blocks and many others.
    fn answer(&mut self, asked: Asked<'_>, context: &mut Context<'_>) -> Option<PeerResponse> {
        let PeerResponse::Blocks(mut blocks) = asked.honest else {
            return Some(asked.honest);
        };
        let own = context.memory.own();
        let more = context.memory.blocks_of(own).rev().take(100);
        blocks.extend(more.map(|block| block.bytes().clone()));
        Some(PeerResponse::Blocks(blocks))
    }
}

/// Another block for the same slot.
fn another_block(of: &VerifiedBlock, context: &mut Context<'_>) -> Block {
    let mut block = Block::clone(of);
    block.timestamp_ms = TimestampMs(context.random.next_u64() >> 1);
    block
}

/// A block of `round` with ancestors that do not exist.
fn ahead(honest: &VerifiedBlock, round: Round, context: &mut Context<'_>) -> Block {
    let mut block = Block::clone(honest);
    block.round = round;
    let payload = vec![0; context.below(PAYLOAD_BYTES) as usize];
    block.transactions = vec![Transaction(payload.into())];
    for ancestor in &mut block.ancestors {
        *ancestor = context.unknown(BlockRef {
            round: round.prev(),
            ..*ancestor
        });
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::byzantine::testing::Bench;
    use std::collections::BTreeSet;

    #[test]
    fn a_flood_is_valid_and_comes_with_the_honest_block() {
        let mut bench = Bench::new();
        let honest = bench.make().expect("a block");
        let mut rounds = BTreeSet::new();
        for _ in 0..100 {
            let blocks = bench.stream(&mut Flooding, &honest);
            assert_eq!(blocks[0], honest.bytes());
            for bytes in blocks {
                rounds.insert(bench.verifies(&bytes).expect("a valid block").round);
            }
        }
        assert!(rounds.len() > 20 && rounds.contains(&Round(u32::MAX)));
    }
}
