//! Repair: fetches damaged blocks and commits of the commit log again, for which delivery waits. Blocks are verified by
//! their digests, commits by the votes of a quorum, for the commit itself or a later one.

use super::{
    commit_sync::{MAX_PATIENCE, RANGE_PATIENCE, fetch_certified},
    peer::PeerError,
    shared::Shared,
    synchronizer::{in_turn, next_found},
};
use crate::{
    deadline::timeout,
    env::NodeEvent,
    store::{CommitLog, Damage, Durability},
    types::{BlockRef, CommitIndex},
};
use rand_core::Rng;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tracing::{debug, warn};

/// Repairs the commit log, for ever.
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
        // The links may be slow, so each attempt gets more time.
        patience = (patience + usual).min(usual * MAX_PATIENCE);
        tokio::time::sleep(pause).await;
    }
}

/// Queries one peer after the other, starting at a random one.
async fn repair_commit(
    shared: &Shared,
    log: &CommitLog,
    index: CommitIndex,
    start: usize,
    patience: Duration,
) {
    warn!(%index, "a stored commit is damaged, fetching it again");
    // Open-ended, because the votes may be for a later commit.
    let to = CommitIndex(u32::MAX);
    let count = shared.peers.len();
    for peer in (0..count).map(|i| &shared.peers[(start + i) % count]) {
        let fetched = timeout(patience, fetch_certified(shared, peer, index, to));
        let fetched = fetched.await.unwrap_or_else(|| {
            Err(PeerError::TooSlow {
                limit_ms: patience.as_millis(),
            })
        });
        let commit = match fetched {
            Ok((commits, _)) => commits.into_iter().take(1).collect::<Vec<_>>(),
            Err(error) => {
                debug!(peer = %peer.index, %error, "cannot fetch a damaged commit");
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
            Err(error) => warn!(%error, "cannot store a repaired commit"),
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
        "stored blocks are damaged, fetching them again"
    );
    let mut peers = in_turn(shared, &wanted, start);
    while let Some(found) = next_found(shared, &mut peers, &mut wanted, patience).await {
        if let Err(error) = shared
            .retained
            .store
            .write(&found, &[], Durability::Buffered)
        {
            warn!(%error, "cannot store repaired blocks");
            return;
        }
        let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
        shared.env.emit(NodeEvent::BlocksRepaired { count });
        log.repaired_blocks(&found);
    }
}
