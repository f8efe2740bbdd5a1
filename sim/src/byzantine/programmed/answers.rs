//! Answers of a program that deviate.

use crate::byzantine::{Asked, context::Context};
use bytes::Bytes;
use metanode_core::consensus::protocol::{PeerRequest, PeerResponse};

/// What the validator did not know yet, in rounds and in blocks of an author, at most.
const BEHIND: u32 = 12;

/// The requested blocks and all others.
pub(super) fn huge(honest: PeerResponse, context: &Context<'_>) -> PeerResponse {
    let PeerResponse::Blocks(mut blocks) = honest else {
        return honest;
    };
    for author in context.committee.indexes() {
        let all = context.memory.blocks_of(author);
        blocks.extend(all.map(|block| block.bytes().clone()));
    }
    PeerResponse::Blocks(blocks)
}

/// The answer of a validator that knows less.
pub(super) fn outdated(asked: Asked<'_>, context: &mut Context<'_>) -> PeerResponse {
    let back = 1 + context.below(BEHIND);
    match asked.request {
        PeerRequest::NewestBlockOf(author) => {
            let older = context.memory.blocks_of(*author).rev().nth(back as usize);
            PeerResponse::NewestBlock(older.map(|block| block.bytes().clone()))
        }
        PeerRequest::Blocks(wanted) => {
            let newest = wanted.iter().map(|name| name.round.0).max().unwrap_or(0);
            let found = context.memory.find(wanted).into_iter();
            let found = found.filter(|block| block.round.0 + back <= newest);
            PeerResponse::Blocks(found.map(|block| block.bytes().clone()).collect())
        }
        PeerRequest::Commits { .. } => asked.honest,
    }
}

pub(super) fn nothing(request: &PeerRequest) -> PeerResponse {
    match request {
        PeerRequest::Blocks(_) => PeerResponse::Blocks(vec![]),
        PeerRequest::Commits { .. } => PeerResponse::Commits {
            commits: vec![],
            voters: vec![],
            further_voters: vec![],
        },
        PeerRequest::NewestBlockOf(_) => PeerResponse::NewestBlock(None),
    }
}

pub(super) fn malformed(request: &PeerRequest, context: &mut Context<'_>) -> PeerResponse {
    let noise = Bytes::copy_from_slice(&context.noise::<64>());
    match request {
        PeerRequest::Blocks(_) => PeerResponse::Blocks(vec![noise.clone(), noise]),
        PeerRequest::Commits { .. } => PeerResponse::Commits {
            commits: vec![noise.clone()],
            voters: vec![noise],
            further_voters: vec![],
        },
        PeerRequest::NewestBlockOf(_) => PeerResponse::NewestBlock(Some(noise)),
    }
}
