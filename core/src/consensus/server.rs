//! The server of consensus P2P: streams own blocks to subscribers and answers queries, for any retained epoch.

use super::{
    archive::{Archive, RetainedEpoch},
    peer_stream::PeerStream,
    protocol::{
        self, Hello, MAX_ANSWER_BYTES, MAX_BLOCKS_PER_REQUEST, MAX_COMMITS_PER_ANSWER,
        MessageError, PeerRequest, PeerResponse, Purpose, Welcome,
    },
    votes::certified,
};
use crate::{
    config::ConsensusParameters,
    deadline::timeout,
    env::{BoxListener, BoxStream, MonitoredStream, TaskMonitor},
    framing::{Decoder, ReadError, read_frame},
    ingest::HandedOver,
    store::StoreError,
    tasks::Tasks,
    types::{AuthorityIndex, BlockRef, CommitIndex, Epoch, Round, VerifiedBlock},
};
use std::{convert::Infallible, io, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tracing::debug;

/// Why a peer's connection ended.
#[derive(Debug, Error)]
pub(super) enum ConnectionEnd {
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("the peer requested {0}, which is damaged in this node's store")]
    Damaged(BlockRef),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("the peer requested epoch {0}, which this node does not retain")]
    OtherEpoch(Epoch),
    #[error("the peer is of another chain: {0}")]
    OtherChain(String),
    #[error("the peer closed the connection")]
    Closed,
}

/// Accepts connections of peers for ever.
pub(crate) async fn serve(
    monitor: Arc<dyn TaskMonitor>,
    archive: Arc<Archive>,
    parameters: ConsensusParameters,
    handed_over: HandedOver,
    listener: BoxListener,
) -> Infallible {
    let greeting = Tasks::new(monitor);
    let parameters = Arc::new(parameters);
    let handed_over = Arc::new(handed_over);
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let (archive, handed_over) = (archive.clone(), handed_over.clone());
                greeting.spawn(greet(archive, parameters.clone(), handed_over, stream));
            }
            Err(e) => {
                debug!(error = %e, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// Reads the [`Hello`] of a new peer and serves it from the epoch that it names. If it is the next epoch, the peer
/// waits until this node enters it, because it would only reconnect. A peer of another chain is told so and left.
async fn greet(
    archive: Arc<Archive>,
    parameters: Arc<ConsensusParameters>,
    handed_over: Arc<HandedOver>,
    stream: BoxStream,
) {
    let silence_ms = parameters.peer_silence_ms;
    let mut stream = PeerStream::new(stream, silence_ms);
    let greeted = async {
        let mut decoder = Decoder::new(protocol::REQUEST_FRAMING);
        let patience = Duration::from_millis(silence_ms);
        let hello = timeout(patience, next::<Hello>(&mut stream.stream, &mut decoder));
        let hello = hello.await.unwrap_or(Err(ConnectionEnd::Closed))?;
        let refusal = archive.welcome().filter(|own| own.chain != hello.chain);
        if let Some(own) = refusal {
            // Whatever its epoch is.
            welcome(&mut stream, own, &hello).await?;
        }
        let found = timeout(patience, archive.find(hello.epoch)).await;
        let retained = found.flatten();
        let retained = retained.ok_or(ConnectionEnd::OtherEpoch(hello.epoch))?;
        let own = archive.welcome().unwrap_or(Welcome {
            chain: retained.start.chain,
            newest_epoch: hello.epoch,
        });
        welcome(&mut stream, own, &hello).await?;
        Ok((decoder, hello, retained))
    };
    match greeted.await {
        Ok((decoder, hello, retained)) if hello.purpose == Purpose::HandOver => {
            if !decoder.is_between_frames() {
                // A frame that was sent before the welcome would be parsed from its middle.
                debug!("a node hands over before it is welcome");
                return;
            }
            let stream = Box::new(stream.stream);
            let serving = async move { handed_over.serve(stream).await };
            retained.serving.spawn(serving);
        }
        Ok((decoder, hello, retained)) => {
            let batch = parameters.commit_sync_batch;
            let served = serve_peer(retained.clone(), batch, hello.purpose, stream, decoder);
            retained.serving.spawn(served);
        }
        Err::<_, ConnectionEnd>(end) => debug!(%end, "a peer connection ended"),
    }
}

/// Tells the peer of which chain this node is.
///
/// # Errors
/// If the peer is of another one.
async fn welcome(
    stream: &mut PeerStream,
    own: Welcome,
    hello: &Hello,
) -> Result<(), ConnectionEnd> {
    stream.write(&protocol::frame(&own)?).await?;
    match own.chain.difference(&hello.chain) {
        None => Ok(()),
        Some(difference) => Err(ConnectionEnd::OtherChain(difference)),
    }
}

async fn serve_peer(
    retained: Arc<RetainedEpoch>,
    batch: u32,
    purpose: Purpose,
    stream: PeerStream,
    decoder: Decoder,
) {
    let Err(end) = match purpose {
        Purpose::Subscribe { after } => stream_own_blocks(&retained, stream, after).await,
        // What is handed over goes elsewhere.
        Purpose::Query | Purpose::HandOver => {
            answer_queries(&retained, batch, stream, decoder).await
        }
    };
    debug!(%end, "a peer connection ended");
}

pub(super) async fn answer_queries(
    retained: &RetainedEpoch,
    batch: u32,
    mut stream: PeerStream,
    mut decoder: Decoder,
) -> Result<Infallible, ConnectionEnd> {
    loop {
        let request = next(&mut stream.stream, &mut decoder).await?;
        let response = answer(retained, batch, request)?;
        let frame = protocol::frame(&response)?;
        stream.write(&frame).await?;
    }
}

async fn next<T: serde::de::DeserializeOwned>(
    stream: &mut MonitoredStream,
    decoder: &mut Decoder,
) -> Result<T, ConnectionEnd> {
    let body = read_frame(stream, decoder)
        .await?
        .ok_or(ConnectionEnd::Closed)?;
    Ok(protocol::parse(&body)?)
}

pub(super) async fn stream_own_blocks(
    retained: &RetainedEpoch,
    mut stream: PeerStream,
    mut after: Round,
) -> Result<Infallible, ConnectionEnd> {
    let asked = retained.own_blocks.newest();
    loop {
        let seen = retained.own_blocks.newest();
        let blocks = retained.own_blocks.after(after)?;
        for block in &blocks {
            after = block.round;
            // Writing may take long, so this is asked when it is the block's turn.
            if !retained.own_blocks.is_sent(block.round, asked) {
                continue;
            }
            let frame = protocol::FRAMING
                .encode_body(block.bytes())
                .map_err(ReadError::Frame)?;
            stream.write(&frame).await?;
        }
        if blocks.is_empty() {
            let mut probe = [0; 1];
            tokio::select! {
                biased;
                () = retained.own_blocks.newer_than(seen) => {}
                // A subscriber sends nothing more: any result of reading means that the connection has ended.
                _ = stream.stream.read(&mut probe) => return Err(ConnectionEnd::Closed),
            }
        }
    }
}

fn answer(
    retained: &RetainedEpoch,
    batch: u32,
    request: PeerRequest,
) -> Result<PeerResponse, ConnectionEnd> {
    let store = &retained.store;
    Ok(match request {
        PeerRequest::Blocks(mut wanted) => {
            wanted.truncate(MAX_BLOCKS_PER_REQUEST);
            let found = store.blocks(&wanted)?.into_iter().flatten();
            PeerResponse::Blocks(within_answer(found).map(|b| b.bytes().clone()).collect())
        }
        PeerRequest::Commits { from, to } => certified_commits(retained, batch, from, to)?,
        PeerRequest::NewestBlockOf(author) => {
            PeerResponse::NewestBlock(newest_of(retained, author)?)
        }
    })
}

/// The newest stored block of an authority. No answer if it is damaged: with an older block its author would conclude
/// that it may sign the round again.
fn newest_of(
    retained: &RetainedEpoch,
    author: AuthorityIndex,
) -> Result<Option<bytes::Bytes>, ConnectionEnd> {
    if author.as_usize() >= retained.start.committee.size() {
        return Ok(None);
    }
    match retained.store.newest_block_of(author)? {
        Some(Ok(block)) => Ok(Some(block.bytes().clone())),
        Some(Err(reference)) => {
            retained.log.miss_block(reference);
            Err(ConnectionEnd::Damaged(reference))
        }
        None => Ok(None),
    }
}

/// Commits of the range up to the last one of a batch that has votes of a quorum, with the blocks of these votes or their
/// names. Votes for some commits may be lost for ever, so if no commit of the batch has them, the next one that has them
/// ends the answer.
pub(super) fn certified_commits(
    retained: &RetainedEpoch,
    batch: u32,
    from: CommitIndex,
    to: CommitIndex,
) -> Result<PeerResponse, StoreError> {
    let store = &retained.store;
    let to = to.min(store.last_commit()?.unwrap_or_default());
    let batch = batch.max(1);
    let (mut next, mut commits) = (from.max(CommitIndex(1)), vec![]);
    while next <= to && commits.len() < MAX_COMMITS_PER_ANSWER {
        let end = CommitIndex(next.prev().0.saturating_add(batch)).min(to);
        let page = store.commits(next, end)?;
        let known = commits.len();
        commits.extend(page.intact);
        for last in (known..commits.len()).rev() {
            let reference = commits[last].reference();
            let voters = store.votes_for(reference)?;
            if certified(reference, &voters, &retained.start.committee) {
                let fitting = within_answer(voters.iter().cloned()).count();
                let (fitting, further) = voters.split_at(fitting);
                return Ok(PeerResponse::Commits {
                    commits: commits[..=last].iter().map(|c| c.encode().into()).collect(),
                    voters: fitting.iter().map(|b| b.bytes().clone()).collect(),
                    further_voters: further.iter().map(|b| b.reference()).collect(),
                });
            }
        }
        if let Some(index) = page.damaged {
            retained.log.miss_commit(index);
            break;
        }
        next = end.next();
    }
    Ok(PeerResponse::Commits {
        commits: vec![],
        voters: vec![],
        further_voters: vec![],
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
