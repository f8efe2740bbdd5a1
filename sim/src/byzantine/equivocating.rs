//! Signs several blocks for a round and sends different ones to different peers: either one chain that forks in each
//! round, or a separate chain for each peer. Some of the blocks have an end-of-epoch mark.

use super::{Asked, Context, Sent, Strategy};
use bytes::Bytes;
use metanode_core::{
    consensus::protocol::PeerResponse,
    types::{AuthorityIndex, Block, BlockRef, TimestampMs},
};
use std::collections::BTreeMap;

/// Different blocks for one round, including the honest one.
const VARIANTS: u32 = 3;

#[derive(Default)]
pub(super) struct Equivocating {
    /// The last block sent to each peer.
    last: BTreeMap<AuthorityIndex, BlockRef>,
}

impl Strategy for Equivocating {
    fn stream(&mut self, Sent { to, honest }: Sent<'_>, context: &mut Context<'_>) -> Vec<Bytes> {
        let variant = context.below(VARIANTS);
        let block = if variant == 0 {
            honest.clone()
        } else {
            let mut block = Block::clone(honest);
            block.timestamp_ms = TimestampMs(honest.timestamp_ms.0 + u64::from(variant));
            block.end_of_epoch = context.one_in(2);
            if let Some(last) = self.last.get(&to)
                && last.round == block.ancestors[0].round
                && context.one_in(2)
            {
                block.ancestors[0] = *last;
            }
            context.sign_and_keep(block)
        };
        self.last.insert(to, block.reference());
        vec![block.bytes().clone()]
    }

    /// Half of the requests stay unanswered.
    fn answer(&mut self, asked: Asked<'_>, context: &mut Context<'_>) -> Option<PeerResponse> {
        context.one_in(2).then_some(asked.honest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::byzantine::testing::Bench;
    use std::collections::BTreeSet;

    #[test]
    fn peers_get_valid_blocks_of_one_slot_that_differ() {
        let mut bench = Bench::new();
        let honest = bench.make().expect("a block");
        let mut strategy = Equivocating::default();
        let (mut seen, mut marks) = (BTreeSet::new(), BTreeSet::new());
        for block in bench.streams(&mut strategy, &honest, 40) {
            let block = block.expect("a valid block");
            assert_eq!(block.slot(), honest.slot());
            seen.insert(block.reference());
            marks.insert(block.end_of_epoch);
        }
        assert_eq!(seen.len(), 5, "{seen:?}");
        assert_eq!(marks, [false, true].into());
    }
}
