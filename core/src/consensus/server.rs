//! The listening side of consensus P2P: streams own blocks to subscribers and answers queries from the store.

use super::{
    protocol::{
        self, Hello, MAX_ANSWER_BYTES, MAX_BLOCKS_PER_REQUEST, PeerRequest, PeerResponse, Purpose,
    },
    shared::Shared,
};
use crate::{
    consensus::votes::certified,
    env::{BoxListener, BoxStream},
    executor::framing::{Decoder, ReadError, read_frame, write_frame},
    store::StoreError,
    types::{AuthorityIndex, CommitIndex, Round, VerifiedBlock},
};
use std::{io, sync::Arc};
use thiserror::Error;
use tracing::debug;

/// Why a peer's connection ended.
#[derive(Debug, Error)]
enum PeerGone {
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("it sent what is no message: {0}")]
    Malformed(String),
    #[error("it is in another epoch")]
    OtherEpoch,
    #[error("it closed the connection")]
    Closed,
}

/// Accepts peers for ever.
pub(super) async fn serve(shared: Arc<Shared>, listener: BoxListener) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let shared = shared.clone();
                shared.clone().spawn(async move {
                    let Err(end) = serve_peer(&shared, stream).await;
                    debug!(%end, "peer connection");
                });
            }
            Err(e) => {
                debug!(error = %e, "accepting a peer failed");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }
}

async fn serve_peer(
    shared: &Shared,
    mut stream: BoxStream,
) -> Result<std::convert::Infallible, PeerGone> {
    let mut decoder = Decoder::new(protocol::FRAMING);
    let hello: Hello = next(&mut stream, &mut decoder).await?;
    if hello.epoch != shared.committee.epoch() {
        return Err(PeerGone::OtherEpoch);
    }
    match hello.purpose {
        Purpose::Subscribe { after } => stream_own_blocks(shared, stream, after).await,
        Purpose::Query => loop {
            let request = next(&mut stream, &mut decoder).await?;
            let response = answer(shared, request)?;
            let frame = protocol::frame(&response).map_err(PeerGone::Malformed)?;
            write_frame(&mut stream, &frame).await?;
        },
    }
}

async fn next<T: serde::de::DeserializeOwned>(
    stream: &mut BoxStream,
    decoder: &mut Decoder,
) -> Result<T, PeerGone> {
    let body = read_frame(stream, decoder).await?.ok_or(PeerGone::Closed)?;
    protocol::parse(&body).map_err(PeerGone::Malformed)
}

async fn stream_own_blocks(
    shared: &Shared,
    mut stream: BoxStream,
    mut after: Round,
) -> Result<std::convert::Infallible, PeerGone> {
    loop {
        let seen = shared.own_blocks.newest();
        let blocks = shared.own_blocks.after(after)?;
        for block in &blocks {
            let frame = protocol::FRAMING
                .encode_body(block.bytes())
                .map_err(ReadError::Frame)?;
            write_frame(&mut stream, &frame).await?;
            after = block.round;
        }
        if blocks.is_empty() {
            shared.own_blocks.newer_than(seen).await;
        }
    }
}

fn answer(shared: &Shared, request: PeerRequest) -> Result<PeerResponse, StoreError> {
    let store = &shared.store;
    Ok(match request {
        PeerRequest::Blocks(mut wanted) => {
            wanted.truncate(MAX_BLOCKS_PER_REQUEST);
            let found = store.blocks(&wanted)?.into_iter().flatten();
            PeerResponse::Blocks(within_answer(found).map(|b| b.bytes().clone()).collect())
        }
        PeerRequest::Commits { from, to } => certified_commits(shared, from, to)?,
        PeerRequest::NewestBlockOf(author) => PeerResponse::NewestBlock(newest_of(shared, author)?),
    })
}

fn newest_of(shared: &Shared, author: AuthorityIndex) -> Result<Option<bytes::Bytes>, StoreError> {
    if author.as_usize() >= shared.committee.size() {
        return Ok(None);
    }
    let newest = shared.store.newest_block_of(author)?;
    Ok(newest.map(|block| block.bytes().clone()))
}

/// Commits of the range up to the last that a quorum certified, with the blocks that certify it.
fn certified_commits(
    shared: &Shared,
    from: CommitIndex,
    to: CommitIndex,
) -> Result<PeerResponse, StoreError> {
    let none = PeerResponse::Commits {
        commits: vec![],
        voters: vec![],
    };
    let last = shared.store.last_commit()?.unwrap_or_default();
    let limit = CommitIndex(from.0.saturating_add(shared.parameters.commit_sync_batch)).prev();
    let to = to.min(last).min(limit);
    if from == CommitIndex(0) || from > to {
        return Ok(none);
    }
    let mut commits = shared.store.commits(from, to)?.intact;
    while let Some(commit) = commits.last() {
        let reference = commit.reference();
        let voters = shared.store.votes_for(reference)?;
        if certified(reference, &voters, &shared.committee) {
            return Ok(PeerResponse::Commits {
                commits: commits.iter().map(|c| c.encode().into()).collect(),
                voters: voters.iter().map(|b| b.bytes().clone()).collect(),
            });
        }
        commits.pop();
    }
    Ok(none)
}

fn within_answer(
    blocks: impl Iterator<Item = VerifiedBlock>,
) -> impl Iterator<Item = VerifiedBlock> {
    let mut bytes = 0;
    blocks.take_while(move |block| {
        let first = bytes == 0;
        bytes += block.bytes().len();
        first || bytes <= MAX_ANSWER_BYTES
    })
}
