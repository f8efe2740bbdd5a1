//! The synchronizer: fetches missing ancestors, and blocks for repair. [`FetchScheduler`] decides from which peers to
//! fetch ancestors.

use super::{
    fetch_scheduler::{FetchRequest, FetchScheduler, FetchTiming},
    peer::Peer,
    protocol::{MAX_BLOCKS_PER_REQUEST, PeerRequest, PeerResponse},
    shared::{Command, Shared},
};
use crate::{
    deadline::timeout,
    env::NodeEvent,
    types::{BlockRef, VerifiedBlock},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::Instant};
use tracing::debug;

/// Time after which a request is overdue, in multiples of `fetch_delay_ms`.
const PATIENCE: u32 = 4;

/// The missing blocks are looked at at most so many times within `fetch_delay_ms`, not with every block that arrives or
/// that becomes due: a peer can make thousands of blocks miss.
const LOOKS_PER_DELAY: u32 = 8;

/// A request with the blocks that were found; `None` if there was no answer.
type Answered = (FetchRequest, Option<BTreeSet<BlockRef>>);

/// Fetches missing ancestors for ever.
pub(super) async fn synchronize(shared: Arc<Shared>) {
    if shared.peers.is_empty() {
        return;
    }
    let parameters = &shared.parameters;
    let delay = Duration::from_millis(parameters.fetch_delay_ms);
    let timeout = Duration::from_millis(parameters.peer_timeout_ms);
    let timing = FetchTiming {
        delay,
        settling: timeout,
        patience: (delay * PATIENCE).min(timeout),
        most_patience: timeout,
        longest: Duration::from_millis(parameters.peer_retry_max_ms),
    };
    let mut scheduler = FetchScheduler::new(shared.peers.iter().map(|peer| peer.index), timing);
    let mut missing = shared.missing.clone();
    // Each peer has at most one request in flight.
    let (answer, mut answers) = mpsc::channel(shared.peers.len());
    #[allow(clippy::disallowed_methods)]
    // This is tokio's clock; under madsim the lint mistakes it for that of std.
    let started = Instant::now();
    let pause = delay / LOOKS_PER_DELAY;
    let (mut has_changed, mut next_look) = (true, Duration::ZERO);
    loop {
        let now = started.elapsed();
        if has_changed && now >= next_look {
            scheduler.update(&missing.borrow_and_update(), now);
            (has_changed, next_look) = (false, now + pause);
        }
        for request in scheduler.due(now) {
            shared.spawn(ask(shared.clone(), request, answer.clone()));
        }
        let due = (scheduler.next_due(now)).map(|due| due.max(now + pause));
        let due = due
            .into_iter()
            .chain(has_changed.then_some(next_look))
            .min();
        let timer = async {
            match due {
                Some(due) => tokio::time::sleep_until(started + due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some((request, found)) = answers.recv() => {
                scheduler.answered(&request, found.as_ref(), started.elapsed());
            }
            changed = missing.changed(), if !has_changed => match changed {
                Ok(()) => has_changed = true,
                Err(_) => return,
            },
            () = timer => {}
        }
    }
}

/// Sends one request and passes the found blocks to the core, then the result to the scheduler.
async fn ask(shared: Arc<Shared>, request: FetchRequest, answer: mpsc::Sender<Answered>) {
    let mut peers = shared.peers.iter();
    let Some(peer) = peers.find(|peer| peer.index == request.peer) else {
        return;
    };
    let mut wanted = request.blocks.iter().copied().collect();
    let found = blocks_of(&shared, peer, &mut wanted).await;
    let names = (found.as_ref()).map(|found| found.iter().map(VerifiedBlock::reference).collect());
    if let Some(found) = found
        && !found.is_empty()
    {
        let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
        shared.env.emit(NodeEvent::AncestorsFetched { count });
        // An error means that the core has ended.
        let (from, blocks) = (peer.index, found);
        let _ = shared.commands.send(Command::Blocks { from, blocks }).await;
    }
    let _ = answer.send((request, names)).await;
}

/// The order in which peers are queried: first the author of the oldest missing block, then the others from a random
/// one on.
pub(super) fn in_turn<'a>(
    shared: &'a Shared,
    wanted: &BTreeSet<BlockRef>,
    start: usize,
) -> impl Iterator<Item = &'a Peer> + Send + use<'a> {
    let author = wanted.first().map(|oldest| oldest.author);
    let by_author = shared
        .peers
        .iter()
        .filter(move |peer| Some(peer.index) == author);
    let count = shared.peers.len();
    let others = (0..count).map(move |i| &shared.peers[(start + i) % count]);
    by_author.chain(others.filter(move |peer| Some(peer.index) != author))
}

/// Queries one peer after the other, each for at most `patience`, until one has some of the `wanted` blocks, which are
/// removed from `wanted`.
pub(super) async fn next_found(
    shared: &Shared,
    peers: &mut (impl Iterator<Item = &Peer> + Send),
    wanted: &mut BTreeSet<BlockRef>,
    patience: Duration,
) -> Option<Vec<VerifiedBlock>> {
    while !wanted.is_empty() {
        let peer = peers.next()?;
        let found = timeout(patience, blocks_of(shared, peer, wanted)).await;
        if let Some(Some(found)) = found
            && !found.is_empty()
        {
            return Some(found);
        }
    }
    None
}

/// Fetches `wanted` blocks from one peer and removes those found from `wanted`. `None` if there was no answer.
async fn blocks_of(
    shared: &Shared,
    peer: &Peer,
    wanted: &mut BTreeSet<BlockRef>,
) -> Option<Vec<VerifiedBlock>> {
    let request: Vec<_> = wanted
        .iter()
        .take(MAX_BLOCKS_PER_REQUEST)
        .copied()
        .collect();
    let blocks = match peer.ask(shared, &PeerRequest::Blocks(request)).await {
        Ok(PeerResponse::Blocks(mut blocks)) => {
            blocks.truncate(wanted.len());
            shared.verify(peer.index, blocks)
        }
        Ok(other) => {
            debug!(peer = %peer.index, ?other, "expected blocks, found another answer");
            return None;
        }
        Err(e) => {
            debug!(peer = %peer.index, error = %e, "cannot fetch blocks");
            return None;
        }
    };
    let found = blocks.into_iter();
    Some(
        found
            .filter(|block| wanted.remove(&block.reference()))
            .collect(),
    )
}
