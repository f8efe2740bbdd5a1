//! Fetches again what the disk has damaged of the commit log, so that delivery can go on. Blocks are named by their
//! digests; a commit comes with a quorum's votes, for itself or for one after it.

use super::{
    commit_sync::{RANGE_PATIENCE, fetch_certified},
    peer::PeerError,
    shared::Shared,
    synchronizer::{in_turn, next_found},
};
use crate::{
    env::NodeEvent,
    store::{CommitLog, Damage, Durability},
    types::{BlockRef, CommitIndex},
};
use rand_core::Rng;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tracing::{debug, warn};

/// Stores again what peers have of it, for ever.
pub(super) async fn repair(shared: Arc<Shared>, log: Arc<CommitLog>) {
    let mut random = shared.env.entropy.stream("consensus/repair");
    let mut damaged = log.damaged();
    let pause = Duration::from_millis(shared.parameters.peer_retry_min_ms);
    let usual = Duration::from_millis(shared.parameters.peer_timeout_ms) * RANGE_PATIENCE;
    let mut patience = usual;
    loop {
        let Damage { commit, blocks } = damaged.borrow_and_update().clone();
        if commit.is_none() && blocks.is_empty() {
            patience = usual;
            if damaged.changed().await.is_err() {
                return;
            }
            continue;
        }
        let start = random.next_u32() as usize;
        if let Some(index) = commit {
            repair_commit(&shared, &log, index, start, patience).await;
        }
        repair_blocks(&shared, &log, blocks, start, patience).await;
        // Should it be the links that are slow, there is more time with every attempt.
        patience += usual;
        tokio::time::sleep(pause).await;
    }
}

/// Asks one peer after the other, from any one on.
async fn repair_commit(
    shared: &Shared,
    log: &CommitLog,
    index: CommitIndex,
    start: usize,
    patience: Duration,
) {
    warn!(%index, "a stored commit is damaged: fetching it again");
    // As far as it takes to find a quorum's votes.
    let to = CommitIndex(u32::MAX);
    let count = shared.peers.len();
    for peer in (0..count).map(|i| &shared.peers[(start + i) % count]) {
        let fetched = tokio::time::timeout(patience, fetch_certified(shared, peer, index, to));
        let fetched = fetched.await.unwrap_or_else(|_| {
            Err(PeerError::TooSlow {
                limit_ms: patience.as_millis(),
            })
        });
        let commit = match fetched {
            Ok((commits, _)) => commits.into_iter().take(1).collect::<Vec<_>>(),
            Err(error) => {
                debug!(peer = %peer.index, %error, "fetching a damaged commit");
                continue;
            }
        };
        match shared
            .retained
            .store
            .write(&[], &commit, Durability::Synced)
        {
            Ok(()) => {
                shared.env.emit(NodeEvent::CommitRepaired { index });
                log.repaired_commit(index);
            }
            Err(error) => warn!(%error, "a repaired commit cannot be stored"),
        }
        return;
    }
}

async fn repair_blocks(
    shared: &Shared,
    log: &CommitLog,
    mut wanted: BTreeSet<BlockRef>,
    start: usize,
    patience: Duration,
) {
    if wanted.is_empty() {
        return;
    }
    warn!(
        blocks = wanted.len(),
        "stored blocks are damaged: fetching them again"
    );
    let mut peers = in_turn(shared, &wanted, start);
    while let Some(found) = next_found(shared, &mut peers, &mut wanted, patience).await {
        if let Err(error) = shared
            .retained
            .store
            .write(&found, &[], Durability::Buffered)
        {
            warn!(%error, "repaired blocks cannot be stored");
            return;
        }
        let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
        shared.env.emit(NodeEvent::BlocksRepaired { count });
        log.repaired_blocks(&found);
    }
}
