//! Sends invalid blocks: random bytes, and blocks that break one rule each. Also sends valid blocks with contents that
//! no honest validator would choose; they must do no harm.

use super::{Asked, Context, Sent, Strategy};
use bytes::Bytes;
use metanode_core::{
    consensus::protocol::{PeerRequest, PeerResponse},
    types::{
        AuthorityIndex, Block, CommitDigest, CommitIndex, CommitRef, Epoch, Round, TimestampMs,
        Transaction, VerifiedBlock,
    },
};

pub(super) struct Invalid;

/// More votes than any block may carry.
const VOTES: u32 = 2_000;

impl Strategy for Invalid {
    fn stream(&mut self, Sent { honest, .. }: Sent<'_>, context: &mut Context<'_>) -> Vec<Bytes> {
        // An invalid block makes the peer reconnect; if there were no others, no peer would receive a block.
        match context.below(4) {
            0 => vec![honest.bytes().clone(), invalid(honest, context)],
            1 => vec![unusual(honest, context)],
            _ => vec![honest.bytes().clone()],
        }
    }

    fn answer(&mut self, asked: Asked<'_>, context: &mut Context<'_>) -> Option<PeerResponse> {
        let noise = Bytes::copy_from_slice(&context.noise::<64>());
        Some(match context.below(4) {
            0 => asked.honest,
            1 => PeerResponse::NewestBlock(Some(noise)),
            2 => PeerResponse::Blocks(vec![noise]),
            _ => match asked.request {
                // Blocks that were not requested.
                PeerRequest::Blocks(_) => {
                    let own = context.memory.own();
                    let all = context.memory.blocks_of(own).rev();
                    PeerResponse::Blocks(all.take(20).map(|b| b.bytes().clone()).collect())
                }
                _ => PeerResponse::Commits {
                    commits: vec![noise.clone()],
                    voters: vec![noise],
                    further_voters: vec![],
                },
            },
        })
    }
}

/// An invalid body.
fn invalid(honest: &VerifiedBlock, context: &mut Context<'_>) -> Bytes {
    let mut block = Block::clone(honest);
    let parent = block.ancestors[0];
    match context.below(11) {
        0 => return Bytes::copy_from_slice(&context.noise::<100>()),
        1 => {
            let half = honest.bytes().len() / 2;
            return honest.bytes().slice(..half);
        }
        2 => {
            // A valid block of another author over this validator's stream.
            let other = context.another();
            let of_other = context.memory.blocks_of(other).next_back();
            return of_other.map_or_else(Bytes::new, |block| block.bytes().clone());
        }
        3 => block.epoch = Epoch(honest.epoch.0 + 1),
        4 => block.author = AuthorityIndex(u16::MAX),
        5 => block.round = Round(0),
        6 => drop(block.ancestors.remove(0)),
        7 => block.ancestors.push(parent),
        8 => {
            if let Some(last) = block.ancestors.last_mut() {
                last.round = Round(u32::MAX);
            }
        }
        9 => block.ancestors.truncate(1),
        _ => block.commit_votes = votes(VOTES, context),
    }
    context.sign(block).bytes().clone()
}

/// A valid block with unusual contents.
fn unusual(honest: &VerifiedBlock, context: &mut Context<'_>) -> Bytes {
    let mut block = Block::clone(honest);
    match context.below(4) {
        0 => block.timestamp_ms = TimestampMs(u64::MAX),
        1 => block.timestamp_ms = TimestampMs(0),
        2 => {
            block.commit_votes = votes(5, context);
            block.end_of_epoch = true;
        }
        _ => {
            let noise = Transaction(Bytes::copy_from_slice(&context.noise::<40>()));
            block.transactions = vec![noise.clone(), noise, Transaction(Bytes::new())];
        }
    }
    context.sign_and_keep(block).bytes().clone()
}

/// Votes for commits that do not exist, with the highest indexes.
fn votes(count: u32, context: &mut Context<'_>) -> Vec<CommitRef> {
    let vote = |distance| CommitRef {
        index: CommitIndex(u32::MAX - distance),
        digest: CommitDigest(context.noise()),
    };
    (0..count).map(vote).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::byzantine::testing::Bench;

    #[test]
    fn only_own_blocks_of_the_round_verify() {
        let mut bench = Bench::new();
        let honest = bench.make().expect("a block");
        let mut refused = vec![];
        let (mut own, mut foreign) = (0, 0);
        bench.receive_round(Round(1), 3);
        for block in bench.streams(&mut Invalid, &honest, 400) {
            match block {
                Ok(block) if block.slot() == honest.slot() => own += 1,
                Ok(_) => foreign += 1,
                Err(error) => {
                    let kind = std::mem::discriminant(&error);
                    if !refused.contains(&kind) {
                        refused.push(kind);
                    }
                }
            }
        }
        assert!(own > 100 && foreign == 0, "{own} {foreign}");
        assert!(refused.len() >= 9, "{refused:?}");
    }
}
