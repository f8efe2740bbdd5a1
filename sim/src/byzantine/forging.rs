//! Sends blocks with invalid signatures: its own blocks, and blocks in the name of other validators.

use super::{Asked, Context, Sent, Strategy, context::with_signature};
use bytes::Bytes;
use metanode_core::{
    consensus::protocol::{PeerRequest, PeerResponse},
    types::{
        AuthorityIndex, Block, BlockRef, Commit, CommitDigest, CommitIndex, Round, SignatureBytes,
        TimestampMs, VerifiedBlock,
    },
};

pub(super) struct Forging;

impl Strategy for Forging {
    fn stream(&mut self, Sent { honest, .. }: Sent<'_>, context: &mut Context<'_>) -> Vec<Bytes> {
        match context.below(5) {
            0 => vec![with_signature(Block::clone(honest), SignatureBytes::new())],
            1 => {
                let noise: [u8; 32] = context.noise();
                let signature = SignatureBytes::copy_from_slice(&noise);
                vec![with_signature(Block::clone(honest), signature)]
            }
            2 => {
                let victim = context.another();
                let forged = forged_block(victim, honest.round, honest, context);
                vec![forged.bytes().clone()]
            }
            _ => vec![honest.bytes().clone()],
        }
    }

    fn answer(&mut self, asked: Asked<'_>, context: &mut Context<'_>) -> Option<PeerResponse> {
        let own = context.memory.own();
        let Some(model) = context.memory.blocks_of(own).next_back().cloned() else {
            return Some(asked.honest);
        };
        Some(match asked.request {
            // A node that accepts this never proposes again, or only far ahead of all others.
            PeerRequest::NewestBlockOf(author) => {
                let round = Round(model.round.0 + 1_000);
                let forged = forged_block(*author, round, &model, context);
                PeerResponse::NewestBlock(Some(forged.bytes().clone()))
            }
            // Truthful, too: the blocks of a forged commit can be had.
            PeerRequest::Blocks(_) if context.one_in(2) => asked.honest,
            PeerRequest::Blocks(wanted) => {
                let forged = wanted.iter().map(|name| {
                    let forged = forged_block(name.author, name.round, &model, context);
                    forged.bytes().clone()
                });
                PeerResponse::Blocks(forged.collect())
            }
            PeerRequest::Commits { from, to } => forged_commits(*from, *to, &model, context),
        })
    }
}

/// A block of `victim` with the signature of this validator.
pub(super) fn forged_block(
    victim: AuthorityIndex,
    round: Round,
    model: &VerifiedBlock,
    context: &Context<'_>,
) -> VerifiedBlock {
    let mut block = Block::clone(model);
    let shift = |ancestor: &BlockRef| BlockRef {
        round: round.prev(),
        ..*ancestor
    };
    block.ancestors = model.ancestors.iter().map(shift).collect();
    if let Some(own) = (block.ancestors.iter()).position(|ancestor| ancestor.author == victim) {
        block.ancestors.swap(0, own);
    }
    (block.author, block.round) = (victim, round);
    context.sign(block)
}

/// Forged commits with forged votes.
fn forged_commits(
    from: CommitIndex,
    to: CommitIndex,
    model: &VerifiedBlock,
    context: &mut Context<'_>,
) -> PeerResponse {
    // It continues the commits of honest validators, as far as their votes tell them.
    let mut previous = voted_for(from.prev(), context).unwrap_or_default();
    let mut newest = None;
    let mut commits = vec![];
    for index in (from.0..=to.0).take(3) {
        let commit = Commit {
            epoch: model.epoch,
            index: CommitIndex(index),
            previous,
            leader: model.reference(),
            timestamp_ms: TimestampMs(0),
            epoch_began_ms: TimestampMs(0),
            ending: vec![],
            blocks: vec![model.reference()],
        };
        previous = commit.reference().digest;
        newest = Some(commit.reference());
        commits.push(commit.encode().into());
    }
    let mut voting = Block::clone(model);
    voting.commit_votes.extend(newest);
    let voting = context.sign(voting);
    let voters = context.committee.indexes();
    let voters = voters.map(|voter| {
        let forged = forged_block(voter, model.round, &voting, context);
        forged.bytes().clone()
    });
    PeerResponse::Commits {
        commits,
        voters: voters.collect(),
        further_voters: vec![],
    }
}

/// The commit with this index that others vote for.
fn voted_for(index: CommitIndex, context: &Context<'_>) -> Option<CommitDigest> {
    let voters = context.committee.indexes();
    let blocks = voters.flat_map(|voter| context.memory.blocks_of(voter));
    let mut votes = blocks.flat_map(|block| block.commit_votes.iter());
    let vote = votes.find(|vote| vote.index == index);
    vote.map(|vote| vote.digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::byzantine::testing::Bench;
    use metanode_core::types::InvalidBlock;

    #[test]
    fn only_honest_blocks_verify_and_only_signatures_are_wrong() {
        let mut bench = Bench::new();
        let honest = bench.make().expect("a block");
        let mut refused = 0;
        for block in bench.streams(&mut Forging, &honest, 40) {
            match block {
                Ok(block) => assert_eq!(block, honest),
                Err(InvalidBlock::BadSignature { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert!(refused > 10, "{refused}");
        let victim = AuthorityIndex(1);
        let answer = bench.answer(
            &mut Forging,
            &PeerRequest::NewestBlockOf(victim),
            PeerResponse::NewestBlock(None),
        );
        let Some(PeerResponse::NewestBlock(Some(forged))) = answer else {
            panic!("{answer:?}")
        };
        let error = bench.verifies(&forged).expect_err("forged");
        assert!(matches!(error, InvalidBlock::BadSignature { slot } if slot.author == victim));
    }
}
