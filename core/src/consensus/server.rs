//! The server of consensus P2P: streams own blocks to subscribers and answers queries, for any retained epoch.

use super::{
    archive::{Archive, RetainedEpoch},
    peer_stream::PeerStream,
    protocol::{
        self, MAX_ANSWER_BYTES, MAX_BLOCKS_PER_REQUEST, MAX_COMMITS_PER_ANSWER,
        MAX_GUEST_ANSWER_BYTES, MessageError, PeerRequest, PeerResponse, Purpose,
    },
    votes::are_quorum,
};
use crate::{
    backoff::Backoff,
    config::ConsensusParameters,
    deadline::timeout,
    env::{BoxListener, BoxStream, Env, IdleTimeout, MonitoredStream, NodeEvent},
    framing::{Decoder, ReadError, read_frame, read_frame_exactly},
    ingest::HandedOver,
    peers::{
        Accepted, Admission, Caller, Hello, Kind, NoPlace, Place, SecureStream, SessionError,
        bug_switches, read_hello, refuse,
    },
    store::{ConsensusStore, StoreError},
    tasks::Tasks,
    types::{AuthorityIndex, BlockRef, CommitIndex, Epoch, Round, VerifiedBlock},
};
use std::{collections::BTreeSet, convert::Infallible, io, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::io::AsyncReadExt;
use tracing::{debug, warn};

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
    #[error(transparent)]
    NoSession(#[from] SessionError),
    #[error("the peer requested epoch {0}, which this node does not retain")]
    OtherEpoch(Epoch),
    #[error("the peer is no member, and all places for guests are taken")]
    NoPlace,
    #[error("the peer has newer connections, as many as it may")]
    Displaced,
    #[error("a step of the greeting was not over after {0} ms")]
    TooSlow(u64),
    #[error("the peer closed the connection")]
    Closed,
}

impl From<NoPlace> for ConnectionEnd {
    fn from(_: NoPlace) -> Self {
        Self::NoPlace
    }
}

/// Blocks of one request that are read at a time, as long as they are small: together fewer bytes than this.
const BLOCKS_PER_READ: usize = 8;
const SMALL_BYTES: usize = 64 * 1024;

/// What all connections share.
struct Server {
    env: Env,
    archive: Arc<Archive>,
    parameters: ConsensusParameters,
    handed_over: HandedOver,
}

/// Accepts connections of peers for ever.
pub(crate) async fn serve(
    env: Env,
    archive: Arc<Archive>,
    parameters: ConsensusParameters,
    admission: Arc<Admission>,
    handed_over: HandedOver,
    listener: BoxListener,
) -> Infallible {
    let greeting = Tasks::new(env.monitor.clone());
    let server = Arc::new(Server {
        env,
        archive,
        parameters,
        handed_over,
    });
    let mut pause = Backoff::new(10, 1_000);
    loop {
        match listener.accept().await {
            Ok(stream) => {
                pause.reset();
                let place = admission.accept();
                greeting.spawn(greet(server.clone(), stream, place));
            }
            Err(error) => {
                warn!(%error, "cannot accept connections of peers");
                tokio::time::sleep(pause.pause()).await;
            }
        }
    }
}

/// A peer that has said what it wants.
struct Greeted {
    retained: Arc<RetainedEpoch>,
    purpose: Purpose,
    caller: Caller,
    stream: PeerStream,
}

/// Finds out who a new peer is and what it wants, and serves it from the epoch that it names.
async fn greet(server: Arc<Server>, stream: BoxStream, place: Place) {
    let greeted = tokio::select! {
        biased;
        () = place.displaced() => Err(ConnectionEnd::Displaced),
        greeted = server.greet(stream, &place) => greeted,
    };
    match greeted {
        Ok(greeted) => {
            let serving = greeted.retained.clone();
            let served = async move {
                let end = tokio::select! {
                    biased;
                    () = place.displaced() => ConnectionEnd::Displaced,
                    end = server.serve(greeted, &place) => end,
                };
                debug!(%end, "a peer connection ended");
            };
            serving.serving.spawn(served);
        }
        Err(end) => debug!(%end, "a peer connection ended"),
    }
}

impl Server {
    /// If the peer names the next epoch, it waits until this node enters it, because it would only reconnect. A peer of
    /// another chain, or of an epoch that is not retained, is told so and left.
    async fn greet(&self, stream: BoxStream, place: &Place) -> Result<Greeted, ConnectionEnd> {
        let idle = IdleTimeout::default();
        let mut stream = idle.monitor(stream);
        let hello = self.patiently(read_hello(&mut stream)).await?;
        let patience = Duration::from_millis(self.parameters.peer_silence_ms);
        let own = self.archive.retained();
        let may_be_ours = own.is_none_or(|(chain, _)| chain == hello.chain);
        if may_be_ours
            && let Some(retained) = timeout(patience, self.archive.find(hello.epoch))
                .await
                .flatten()
            && retained.start.chain == hello.chain
        {
            return self.answer(retained, &hello, stream, idle, place).await;
        }
        let own = self.archive.retained();
        let (chain, retained) = own.ok_or(ConnectionEnd::OtherEpoch(hello.epoch))?;
        let refused = async { Err(refuse(&mut stream, chain, retained, &hello).await) };
        self.patiently(refused).await
    }

    async fn answer(
        &self,
        retained: Arc<RetainedEpoch>,
        hello: &Hello,
        stream: MonitoredStream,
        idle: IdleTimeout,
        place: &Place,
    ) -> Result<Greeted, ConnectionEnd> {
        let own = self.archive.retained();
        let newest_epoch = own.map_or(hello.epoch, |(_, own)| own.newest);
        let answered = retained.sessions.answer(stream, hello, newest_epoch);
        let Accepted { mut stream, caller } = self.patiently(answered).await?;
        let has_displaced = bug_switches::has_begun(place, caller);
        self.report(has_displaced, hello.epoch, caller);
        let purpose = read_frame_exactly(&mut stream, protocol::REQUEST_FRAMING.limit_bytes);
        let purpose = self.patiently(purpose).await?;
        let purpose = protocol::parse(&purpose.ok_or(ConnectionEnd::Closed)?)?;
        let kind = match purpose {
            Purpose::Subscribe { .. } => Kind::Subscription,
            Purpose::Query => Kind::Queries,
            Purpose::HandOver => Kind::HandOver,
        };
        // It was encrypted with the keys of this session, so nobody repeats what the caller has said.
        let has_displaced = place.prove(caller, kind)?;
        self.report(has_displaced, hello.epoch, caller);
        let silence_ms = self.parameters.peer_silence_ms;
        // Callers have the same timeout, if nobody has changed it.
        let alive_ms = self.parameters.peer_timeout_ms / 4;
        Ok(Greeted {
            retained,
            purpose,
            caller,
            stream: PeerStream::new(stream, idle, silence_ms, alive_ms),
        })
    }

    /// A member has more connections than it may, so that one of them has to go.
    fn report(&self, has_displaced: bool, epoch: Epoch, caller: Caller) {
        if let (true, Some(peer)) = (has_displaced, caller.seat) {
            let peer = peer.0;
            self.env.emit(NodeEvent::PeerDisplaced { epoch, peer });
        }
    }

    /// Limits a step of the greeting. A peer that does not take it is left.
    async fn patiently<T, E>(
        &self,
        step: impl Future<Output = Result<T, E>>,
    ) -> Result<T, ConnectionEnd>
    where
        ConnectionEnd: From<E>,
    {
        let patience_ms = self.parameters.peer_silence_ms;
        let done = timeout(Duration::from_millis(patience_ms), step).await;
        Ok(done.ok_or(ConnectionEnd::TooSlow(patience_ms))??)
    }

    async fn serve(&self, greeted: Greeted, place: &Place) -> ConnectionEnd {
        let Greeted {
            retained,
            purpose,
            caller,
            stream,
        } = greeted;
        let ended = match purpose {
            Purpose::Subscribe { after } => {
                stream_own_blocks(&retained, stream, after, place).await
            }
            Purpose::Query => {
                let batch = self.parameters.commit_sync_batch;
                answer_queries(&retained, batch, stream, place).await
            }
            Purpose::HandOver => {
                let is_known = self.archive.has_member(&caller.key);
                let stream = Box::new(stream.stream);
                self.handed_over.serve(stream, is_known).await;
                Err(ConnectionEnd::Closed)
            }
        };
        match ended {
            Err(end) => end,
            Ok(never) => match never {},
        }
    }
}

pub(super) async fn answer_queries(
    retained: &RetainedEpoch,
    batch: u32,
    mut stream: PeerStream,
    place: &Place,
) -> Result<Infallible, ConnectionEnd> {
    let answers = Answers {
        batch,
        most_bytes: match place.is_guest() {
            true => MAX_GUEST_ANSWER_BYTES,
            false => MAX_ANSWER_BYTES,
        },
    };
    let mut decoder = Decoder::new(protocol::REQUEST_FRAMING);
    loop {
        let request = next(&mut stream.stream, &mut decoder).await?;
        await_turn(place, &mut stream).await?;
        let Answer { response, cost } = answer(retained, answers, request)?;
        let frame = protocol::frame(&response)?;
        place.take(frame.len().max(cost));
        stream.write(&frame).await?;
        // Whoever asks for nothing without a pause does not keep others from their turn.
        tokio::task::yield_now().await;
    }
}

/// Waits until the caller may take something, and lets it know meanwhile that its answer will come.
async fn await_turn(place: &Place, stream: &mut PeerStream) -> Result<(), ConnectionEnd> {
    let alive = Duration::from_millis(stream.alive_ms);
    while timeout(alive, place.may_take()).await.is_none() {
        let wait = protocol::frame(&PeerResponse::Wait)?;
        stream.write(&wait).await?;
    }
    Ok(())
}

async fn next<T: serde::de::DeserializeOwned>(
    stream: &mut SecureStream<MonitoredStream>,
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
    place: &Place,
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
            place.may_take().await;
            place.take(frame.len());
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

/// The limits of answers.
#[derive(Clone, Copy)]
pub(super) struct Answers {
    /// Commits per read.
    pub batch: u32,
    /// Approximate size of the blocks.
    pub most_bytes: usize,
}

/// What every request costs its peer, and every key that is looked up for it, in bytes of an answer: also one that finds
/// nothing.
const REQUEST_COST: usize = 1024;
const KEY_COST: usize = 128;

/// An answer, and what its peer is charged for it at least, in bytes.
pub(super) struct Answer {
    pub response: PeerResponse,
    pub cost: usize,
}

pub(super) fn answer(
    retained: &RetainedEpoch,
    limits: Answers,
    request: PeerRequest,
) -> Result<Answer, ConnectionEnd> {
    let store = &retained.store;
    let mut cost = REQUEST_COST;
    let response = match request {
        PeerRequest::Blocks(mut wanted) => {
            wanted.truncate(MAX_BLOCKS_PER_REQUEST);
            let mut named = BTreeSet::new();
            wanted.retain(|block| named.insert(*block));
            cost += KEY_COST * wanted.len();
            let (found, read_bytes) = first_blocks(store, &wanted, limits.most_bytes)?;
            cost += read_bytes;
            PeerResponse::Blocks(found.iter().map(|b| b.bytes().clone()).collect())
        }
        PeerRequest::Commits { from, to } => {
            let (response, read_bytes) = certified_commits(retained, limits, from, to)?;
            cost += read_bytes;
            response
        }
        PeerRequest::NewestBlockOf(author) => {
            PeerResponse::NewestBlock(newest_of(retained, author)?)
        }
    };
    Ok(Answer { response, cost })
}

fn bytes_of(blocks: &[VerifiedBlock]) -> usize {
    blocks.iter().map(|block| block.bytes().len()).sum()
}

/// The first stored ones of these blocks, up to the one with which they have `most_bytes`, and how many bytes were read. Not
/// all are read: the requester chooses how many it names, and pays for what it gets. A large one is sent when it was read,
/// or it would be paid for twice.
fn first_blocks(
    store: &ConsensusStore,
    mut wanted: &[BlockRef],
    most_bytes: usize,
) -> Result<(Vec<VerifiedBlock>, usize), StoreError> {
    let (mut found, mut bytes, mut read_bytes, mut at_once) = (vec![], 0, 0, 1);
    while !wanted.is_empty() && (found.is_empty() || bytes < most_bytes) {
        let (some, rest) = wanted.split_at(at_once.min(wanted.len()));
        wanted = rest;
        for block in store.blocks(some)?.into_iter().flatten() {
            let length = block.bytes().len();
            read_bytes += length;
            if found.is_empty() || bytes < most_bytes {
                bytes += length;
                found.push(block);
            }
        }
        at_once = match read_bytes < SMALL_BYTES {
            true => BLOCKS_PER_READ.min(2 * at_once),
            false => 1,
        };
    }
    Ok((found, read_bytes))
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
/// ends the answer. Returns how many bytes of blocks were read for it, too.
pub(super) fn certified_commits(
    retained: &RetainedEpoch,
    limits: Answers,
    from: CommitIndex,
    to: CommitIndex,
) -> Result<(PeerResponse, usize), StoreError> {
    let store = &retained.store;
    let mut read_bytes = 0;
    let to = to.min(store.last_commit()?.unwrap_or_default());
    let batch = limits.batch.max(1);
    let (mut next, mut commits) = (from.max(CommitIndex(1)), vec![]);
    while next <= to && commits.len() < MAX_COMMITS_PER_ANSWER {
        let room = u32::try_from(MAX_COMMITS_PER_ANSWER - commits.len()).unwrap_or(u32::MAX);
        let end = CommitIndex(next.prev().0.saturating_add(batch.min(room))).min(to);
        let page = store.commits(next, end)?;
        let known = commits.len();
        commits.extend(page.intact);
        for last in (known..commits.len()).rev() {
            let reference = commits[last].reference();
            let is_quorum = |voters: &_| are_quorum(voters, &retained.start.committee);
            read_bytes += KEY_COST;
            if let Some(voters) = store.quorum_for(reference, is_quorum)? {
                read_bytes += bytes_of(&voters);
                let fitting = within_answer(limits.most_bytes, voters.iter().cloned()).count();
                let (fitting, further) = voters.split_at(fitting);
                let response = PeerResponse::Commits {
                    commits: commits[..=last].iter().map(|c| c.encode().into()).collect(),
                    voters: fitting.iter().map(|b| b.bytes().clone()).collect(),
                    further_voters: further.iter().map(|b| b.reference()).collect(),
                };
                return Ok((response, read_bytes));
            }
        }
        if let Some(index) = page.damaged {
            retained.log.miss_commit(index);
            break;
        }
        next = end.next();
    }
    let nothing = PeerResponse::Commits {
        commits: vec![],
        voters: vec![],
        further_voters: vec![],
    };
    Ok((nothing, read_bytes))
}

/// The first blocks that fit into an answer, at least one.
fn within_answer(
    most_bytes: usize,
    blocks: impl Iterator<Item = VerifiedBlock>,
) -> impl Iterator<Item = VerifiedBlock> {
    let mut bytes = 0;
    blocks.take_while(move |block| {
        let first = bytes == 0;
        bytes += block.bytes().len();
        first || bytes <= most_bytes
    })
}
