//! The listening side of consensus P2P: streams own blocks to subscribers and answers queries from the store.

use super::{
    protocol::{
        self, Hello, MAX_ANSWER_BYTES, MAX_BLOCKS_PER_REQUEST, MAX_COMMITS_PER_ANSWER, PeerRequest,
        PeerResponse, Purpose,
    },
    shared::Shared,
};
use crate::{
    consensus::votes::certified,
    delivery::CommitLog,
    env::{BoxListener, BoxStream},
    executor::framing::{Decoder, ReadError, read_frame, write_frame},
    store::StoreError,
    types::{AuthorityIndex, BlockRef, CommitIndex, Round, VerifiedBlock},
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
    #[error("it asked for {0}, which is damaged here and fetched again")]
    Damaged(BlockRef),
    #[error("it sent what is no message: {0}")]
    Malformed(String),
    #[error("it is in another epoch")]
    OtherEpoch,
    #[error("it closed the connection")]
    Closed,
}

/// Accepts peers for ever.
pub(super) async fn serve(shared: Arc<Shared>, log: Arc<CommitLog>, listener: BoxListener) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let (shared, log) = (shared.clone(), log.clone());
                shared.clone().spawn(async move {
                    let Err(end) = serve_peer(&shared, &log, stream).await;
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
    log: &CommitLog,
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
            let response = answer(shared, log, request)?;
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

fn answer(
    shared: &Shared,
    log: &CommitLog,
    request: PeerRequest,
) -> Result<PeerResponse, PeerGone> {
    let store = &shared.store;
    Ok(match request {
        PeerRequest::Blocks(mut wanted) => {
            wanted.truncate(MAX_BLOCKS_PER_REQUEST);
            let found = store.blocks(&wanted)?.into_iter().flatten();
            PeerResponse::Blocks(within_answer(found).map(|b| b.bytes().clone()).collect())
        }
        PeerRequest::Commits { from, to } => certified_commits(shared, log, from, to)?,
        PeerRequest::NewestBlockOf(author) => {
            PeerResponse::NewestBlock(newest_of(shared, log, author)?)
        }
    })
}

/// An older block in its place would tell its author that it may sign the round again: better no answer until the
/// newest one is here again.
fn newest_of(
    shared: &Shared,
    log: &CommitLog,
    author: AuthorityIndex,
) -> Result<Option<bytes::Bytes>, PeerGone> {
    if author.as_usize() >= shared.committee.size() {
        return Ok(None);
    }
    match shared.store.newest_block_of(author)? {
        Some(Ok(block)) => Ok(Some(block.bytes().clone())),
        Some(Err(reference)) => {
            log.miss_block(reference);
            Err(PeerGone::Damaged(reference))
        }
        None => Ok(None),
    }
}

/// Commits of the range up to the last one of the batch that a quorum certified, with the blocks that certify it. Not
/// every commit has all its votes here for good, so if none of the batch has them the next one that has them counts.
fn certified_commits(
    shared: &Shared,
    log: &CommitLog,
    from: CommitIndex,
    to: CommitIndex,
) -> Result<PeerResponse, StoreError> {
    let store = &shared.store;
    let to = to.min(store.last_commit()?.unwrap_or_default());
    let batch = shared.parameters.commit_sync_batch.max(1);
    let (mut next, mut commits) = (from.max(CommitIndex(1)), vec![]);
    while next <= to && commits.len() < MAX_COMMITS_PER_ANSWER {
        let end = CommitIndex(next.prev().0.saturating_add(batch)).min(to);
        let page = store.commits(next, end)?;
        let known = commits.len();
        commits.extend(page.intact);
        for last in (known..commits.len()).rev() {
            let reference = commits[last].reference();
            let voters = store.votes_for(reference)?;
            if certified(reference, &voters, &shared.committee) {
                return Ok(PeerResponse::Commits {
                    commits: commits[..=last].iter().map(|c| c.encode().into()).collect(),
                    voters: voters.iter().map(|b| b.bytes().clone()).collect(),
                });
            }
        }
        if let Some(index) = page.damaged {
            log.miss_commit(index);
            break;
        }
        next = end.next();
    }
    Ok(PeerResponse::Commits {
        commits: vec![],
        voters: vec![],
    })
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
