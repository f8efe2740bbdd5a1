//! Fetching ancestors that nobody sent: asks one peer after the other until they are here.

use super::{
    peer::Peer,
    protocol::{MAX_BLOCKS_PER_REQUEST, PeerRequest, PeerResponse},
    shared::{Command, Shared},
};
use crate::{
    env::NodeEvent,
    types::{BlockRef, VerifiedBlock},
};
use rand_core::Rng;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tracing::debug;

/// Fetches for ever.
pub(super) async fn synchronize(shared: Arc<Shared>) {
    if shared.peers.is_empty() {
        return;
    }
    let mut random = shared.env.entropy.stream("consensus/synchronizer");
    let mut missing = shared.missing.clone();
    let delay = Duration::from_millis(shared.parameters.fetch_delay_ms);
    loop {
        let before = missing.borrow_and_update().clone();
        if before.is_empty() {
            if missing.changed().await.is_err() {
                return;
            }
            continue;
        }
        // Most of what is missing is on its way: only what is still missing later is worth a question.
        tokio::time::sleep(delay).await;
        let overdue: BTreeSet<BlockRef> = missing.borrow().intersection(&before).copied().collect();
        if overdue.is_empty() {
            continue;
        }
        let start = random.next_u32() as usize;
        fetch(&shared, overdue, start).await;
    }
}

async fn fetch(shared: &Shared, mut wanted: BTreeSet<BlockRef>, start: usize) {
    let mut peers = in_turn(shared, &wanted, start);
    while let Some(found) = next_found(shared, &mut peers, &mut wanted).await {
        let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
        shared.env.emit(NodeEvent::AncestorsFetched { count });
        if shared.commands.send(Command::Blocks(found)).await.is_err() {
            return;
        }
    }
}

/// First the author of the oldest missing block, who has it if anyone does, then the others from a random one on.
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

/// Asks one peer after the other until one has some of the `wanted` blocks; what it had is wanted no more.
pub(super) async fn next_found(
    shared: &Shared,
    peers: &mut (impl Iterator<Item = &Peer> + Send),
    wanted: &mut BTreeSet<BlockRef>,
) -> Option<Vec<VerifiedBlock>> {
    while !wanted.is_empty() {
        let peer = peers.next()?;
        let request: Vec<_> = wanted
            .iter()
            .take(MAX_BLOCKS_PER_REQUEST)
            .copied()
            .collect();
        let blocks = match peer.ask(shared, &PeerRequest::Blocks(request)).await {
            Ok(PeerResponse::Blocks(blocks)) => shared.verify(peer.index, blocks),
            Ok(other) => {
                debug!(peer = %peer.index, ?other, "answer to another question");
                continue;
            }
            Err(e) => {
                debug!(error = %e, "fetching ancestors");
                continue;
            }
        };
        let found: Vec<_> = blocks
            .into_iter()
            .filter(|block| wanted.remove(&block.reference()))
            .collect();
        if !found.is_empty() {
            return Some(found);
        }
    }
    None
}
