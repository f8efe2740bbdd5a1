//! Commit sync: catching up by certified commits, for a node that is too far behind to fetch ancestors.
//!
//! Commits form a chain of digests, so commit votes of 2f+1 stake for the last one certify all of a range. The commits
//! contain the digests of their blocks, which need no other verification.

use super::{
    missing_history::{Missing, MissingHistory},
    peer::{Peer, PeerError},
    protocol::{MAX_BLOCKS_PER_REQUEST, PeerRequest, PeerResponse},
    shared::{Command, Progress, Shared},
    votes::{certified, voters_for},
};
use crate::{
    deadline::timeout,
    env::NodeEvent,
    types::{
        BlockRef, Commit, CommitDigest, CommitIndex, Epoch, EpochEnding, SubDag, VerifiedBlock,
    },
};
use bytes::Bytes;
use rand_core::Rng;
use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::{
        oneshot,
        watch::{self, error::RecvError},
    },
    time::Sleep,
};
use tracing::debug;

/// Time limit of the first attempt to fetch a range, in peer timeouts. It protects against a peer that sends its answer
/// byte by byte. The limit grows with each attempt that exceeds it, because the link may be slow.
pub(super) const RANGE_PATIENCE: u32 = 10;

/// Maximum time limit of an attempt, in limits of the first one. Without it one slow peer could keep this node from asking
/// others for ever; but a range that needs longer never arrives, because the next attempt begins anew.
pub(super) const MAX_PATIENCE: u32 = 64;

/// Fetches commits whenever the node is behind, for ever.
pub(super) async fn catch_up(shared: Arc<Shared>) {
    if shared.peers.is_empty() {
        return;
    }
    let mut random = shared.env.entropy.stream("consensus/commit-sync");
    let stall = Duration::from_millis(shared.parameters.peer_timeout_ms);
    let usual = stall * RANGE_PATIENCE;
    let mut patience = usual;
    let mut asked = Asked::beginning_at(random.next_u32() as usize);
    let mut watched = Watched::of(&shared, stall);
    let mut missing = MissingHistory::default();
    let mut found = Found::default();
    loop {
        let seen = *watched.progress.borrow_and_update();
        let threshold = shared.parameters.commit_sync_threshold;
        let Some((from, to)) = wanted(&seen, watched.stalled, threshold) else {
            if watched.changed(&seen).await.is_err() {
                return;
            }
            continue;
        };
        let peer = &shared.peers[asked.position % shared.peers.len()];
        let asked_ms = shared.elapsed_ms();
        found.begin(from);
        let fetching = fetch_range(&shared, peer, from, to, &mut found.blocks);
        let fetched = timeout(patience, fetching);
        let fetched = fetched.await.unwrap_or_else(|| {
            let limit_ms = patience.as_millis();
            patience = (patience * 2).min(usual * MAX_PATIENCE);
            Err(PeerError::TooSlow { limit_ms })
        });
        match fetched {
            Ok((sub_dags, voters)) => {
                patience = usual;
                let is_all = from.0.saturating_add(sub_dags.len() as u32) > to.0;
                let took = Duration::from_millis(shared.elapsed_ms() - asked_ms);
                asked.has_sent(is_all || took <= stall, shared.peers.len());
                missing.fetched();
                let (stored, on_stored) = oneshot::channel();
                let commits = Command::Commits {
                    sub_dags,
                    voters,
                    stored,
                };
                if shared.commands.send(commits).await.is_err() {
                    return;
                }
                // Closed without an answer if the core decided these commits itself: check again in both cases.
                let _ = on_stored.await;
            }
            Err(error) => {
                debug!(peer = %peer.index, %error, "cannot fetch commits");
                missing.failed(peer.index, &error);
                if asked.has_failed(shared.peers.len()) {
                    // Nobody has more, or can be reached.
                    watched.stalled = false;
                    tell(&shared, from, missing.all_failed(shared.elapsed_ms()));
                }
                let wait_ms = shared.parameters.peer_retry_min_ms;
                tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            }
        }
    }
}

/// What shows that this node does not get on by itself.
struct Watched {
    progress: watch::Receiver<Progress>,
    newest_epoch: watch::Receiver<Epoch>,
    epoch: Epoch,
    period: Duration,
    tick: Pin<Box<Sleep>>,
    at_last_tick: Option<(CommitIndex, EpochEnding)>,
    /// There was no progress for a period, or this epoch is over for a peer. Until peers have nothing more.
    stalled: bool,
}

impl Watched {
    fn of(shared: &Shared, period: Duration) -> Self {
        let epoch = shared.committee.epoch();
        let mut newest_epoch = shared.newest_epoch.subscribe();
        let stalled = *newest_epoch.borrow_and_update() > epoch;
        Self {
            progress: shared.progress.clone(),
            newest_epoch,
            epoch,
            period,
            tick: Box::pin(tokio::time::sleep(period)),
            at_last_tick: None,
            stalled,
        }
    }

    /// Waits for a change since the progress that was `seen`, or for the end of a period.
    ///
    /// # Errors
    /// If consensus has ended.
    async fn changed(&mut self, seen: &Progress) -> Result<(), RecvError> {
        tokio::select! {
            biased;
            changed = self.progress.changed() => changed?,
            // In an epoch that is over for others, nobody makes commits or votes for them any more.
            Ok(()) = self.newest_epoch.changed() => {
                self.stalled |= *self.newest_epoch.borrow_and_update() > self.epoch;
            }
            () = &mut self.tick => {
                let known = (seen.last_commit, seen.ending);
                self.stalled = self.at_last_tick.replace(known) == Some(known);
                self.tick = Box::pin(tokio::time::sleep(self.period));
            }
        }
        Ok(())
    }
}

/// Blocks of certified commits from an attempt that did not get all of them: the next one, with another peer, needs only
/// the others.
#[derive(Default)]
struct Found {
    from: CommitIndex,
    blocks: BTreeMap<BlockRef, VerifiedBlock>,
}

impl Found {
    /// Keeps what an attempt for commits from `from` on has found before.
    fn begin(&mut self, from: CommitIndex) {
        if self.from != from {
            *self = Self {
                from,
                ..Self::default()
            };
        }
    }
}

/// Tells the operator that nobody has the commits from `from` on, because peers have removed them.
fn tell(shared: &Shared, from: CommitIndex, missing: Option<Missing>) {
    if let Some(missing) = missing {
        shared.env.emit(NodeEvent::HistoryMissing {
            epoch: shared.committee.epoch(),
            from,
            peers: missing.peers,
            of: u16::try_from(shared.peers.len()).unwrap_or(u16::MAX),
            oldest: missing.oldest,
            for_ms: missing.for_ms,
        });
    }
}

/// Which peer is asked: again the one that had something, because only a few may have kept an old epoch; the next one after
/// a failure, or if it was slow.
struct Asked {
    position: usize,
    /// In a row.
    failures: usize,
}

impl Asked {
    const fn beginning_at(position: usize) -> Self {
        Self {
            position,
            failures: 0,
        }
    }

    /// A peer had something. One that took long for a part of what was asked for is left for the next one, which may have
    /// more and be faster.
    const fn has_sent(&mut self, enough: bool, peers: usize) {
        self.failures = 0;
        if !enough {
            self.position = (self.position + 1) % peers;
        }
    }

    /// A peer had nothing. Returns whether all of them have been asked since one had something.
    const fn has_failed(&mut self, peers: usize) -> bool {
        self.position = (self.position + 1) % peers;
        self.failures += 1;
        if self.failures < peers {
            return false;
        }
        self.failures = 0;
        true
    }
}

/// The range to fetch: up to the last commit that a quorum has voted for, if it is more than `threshold` ahead. Without
/// progress (`stalled`) all commits that peers have: votes may have been lost, and at the end of an epoch no new ones
/// are sent.
fn wanted(
    progress: &Progress,
    stalled: bool,
    threshold: u32,
) -> Option<(CommitIndex, CommitIndex)> {
    let Progress {
        last_commit: last,
        quorum_commit: quorum,
        ending,
    } = *progress;
    let next = match ending {
        EpochEnding::No => last.next(),
        // Fetched again for its votes.
        EpochEnding::Boundary(_) => last,
        EpochEnding::Certified(_) => return None,
    };
    if quorum.0.saturating_sub(last.0) > threshold {
        Some((next, quorum))
    } else {
        stalled.then_some((next, CommitIndex(u32::MAX)))
    }
}

/// Fetches a range of commits with their blocks, and the blocks whose votes certify it.
async fn fetch_range(
    shared: &Shared,
    peer: &Peer,
    from: CommitIndex,
    to: CommitIndex,
    found: &mut BTreeMap<BlockRef, VerifiedBlock>,
) -> Result<(Vec<SubDag>, Vec<VerifiedBlock>), PeerError> {
    let (commits, voters) = fetch_certified(shared, peer, from, to).await?;
    let named: Vec<BlockRef> = commits.iter().flat_map(|c| c.blocks.clone()).collect();
    fetch_blocks(shared, peer, &named, found).await?;
    let sub_dags = commits
        .into_iter()
        .map(|commit| assemble(commit, found))
        .collect::<Result<_, _>>()?;
    Ok((sub_dags, voters))
}

/// Fetches at least one commit from `from` on and none after `to`, all certified, and the blocks whose votes certify
/// them.
pub(super) async fn fetch_certified(
    shared: &Shared,
    peer: &Peer,
    from: CommitIndex,
    to: CommitIndex,
) -> Result<(Vec<Commit>, Vec<VerifiedBlock>), PeerError> {
    let request = PeerRequest::Commits { from, to };
    let response = peer.ask(shared, &request).await?;
    let PeerResponse::Commits {
        commits,
        mut voters,
        mut further_voters,
    } = response
    else {
        return Err(PeerError::OtherAnswer { request: "commits" });
    };
    let before = shared.retained.store.commit(from.prev())?;
    let previous = match before {
        Some(commit) => Some(commit.reference().digest),
        None if from == CommitIndex(1) => Some(CommitDigest::default()),
        // The stored commit is damaged. The votes of a quorum are sufficient without it.
        None => None,
    };
    let commits = check_chain(from, previous, &commits)?;
    let Some(newest) = commits.last() else {
        return Err(PeerError::NoCommits { from });
    };
    let newest = newest.reference();
    if newest.index > to {
        return Err(PeerError::OtherCommit {
            expected: to,
            found: newest,
        });
    }
    voters.truncate(shared.committee.size());
    let mut voters = shared.verify(peer.index, voters);
    further_voters.truncate(shared.committee.size());
    let mut further = BTreeMap::new();
    fetch_blocks(shared, peer, &further_voters, &mut further).await?;
    voters.extend(further.into_values());
    // All are stored, so the peer must not choose how many there are.
    let voters = voters_for(newest, voters);
    if !certified(newest, &voters, &shared.committee) {
        return Err(PeerError::NotCertified { commit: newest });
    }
    Ok((commits, voters))
}

/// Decodes commits and checks that they form a chain from `from` on, which continues `previous` if it is known.
fn check_chain(
    from: CommitIndex,
    mut previous: Option<CommitDigest>,
    encoded: &[Bytes],
) -> Result<Vec<Commit>, PeerError> {
    let mut commits: Vec<Commit> = Vec::with_capacity(encoded.len());
    let mut expected = from;
    for bytes in encoded {
        let commit = Commit::decode(bytes).map_err(PeerError::MalformedCommit)?;
        let follows = previous.is_none_or(|previous| commit.previous == previous);
        if commit.index != expected || !follows {
            return Err(PeerError::OtherCommit {
                expected,
                found: commit.reference(),
            });
        }
        previous = Some(commit.reference().digest);
        expected = expected.next();
        commits.push(commit);
    }
    Ok(commits)
}

/// Adds all these blocks to those that were found.
async fn fetch_blocks(
    shared: &Shared,
    peer: &Peer,
    named: &[BlockRef],
    found: &mut BTreeMap<BlockRef, VerifiedBlock>,
) -> Result<(), PeerError> {
    let missing = named.iter().filter(|block| !found.contains_key(block));
    let missing: Vec<_> = missing.copied().collect();
    let stored = shared.retained.store.blocks(&missing)?;
    let stored = stored.into_iter().flatten();
    found.extend(stored.map(|block| (block.reference(), block)));
    loop {
        let wanted: Vec<_> = named
            .iter()
            .filter(|reference| !found.contains_key(reference))
            .take(MAX_BLOCKS_PER_REQUEST)
            .copied()
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let response = peer
            .ask(shared, &PeerRequest::Blocks(wanted.clone()))
            .await?;
        let PeerResponse::Blocks(mut blocks) = response else {
            return Err(PeerError::OtherAnswer { request: "blocks" });
        };
        blocks.truncate(wanted.len());
        let before = found.len();
        for block in shared.verify(peer.index, blocks) {
            if wanted.contains(&block.reference()) {
                found.insert(block.reference(), block);
            }
        }
        if found.len() == before {
            let wanted = wanted.len();
            return Err(PeerError::NoBlocks { wanted });
        }
    }
}

fn assemble(
    commit: Commit,
    blocks: &mut BTreeMap<BlockRef, VerifiedBlock>,
) -> Result<SubDag, PeerError> {
    let of_commit = commit
        .blocks
        .iter()
        .map(|reference| {
            blocks
                .remove(reference)
                .ok_or(PeerError::CommittedTwice { block: *reference })
        })
        .collect::<Result<_, _>>()?;
    Ok(SubDag {
        reference: commit.reference(),
        commit,
        blocks: of_commit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Boundary, CommitRef, GlobalExecIndex, TimestampMs};

    const LAST: CommitIndex = CommitIndex(10);
    const NEXT: CommitIndex = CommitIndex(11);
    const WHATEVER: CommitIndex = CommitIndex(u32::MAX);

    fn progress(quorum: u32, ending: EpochEnding) -> Progress {
        Progress {
            last_commit: LAST,
            quorum_commit: CommitIndex(quorum),
            ending,
        }
    }

    fn boundary() -> Boundary {
        Boundary {
            commit: CommitRef {
                index: LAST,
                digest: CommitDigest::default(),
            },
            gei: GlobalExecIndex(10),
            timestamp_ms: TimestampMs(0),
        }
    }

    #[test]
    fn the_range_ends_at_the_commit_of_a_quorum_if_far_behind_and_is_open_if_stalled() {
        let of = |quorum, stalled| wanted(&progress(quorum, EpochEnding::No), stalled, 5);
        assert_eq!(of(15, false), None);
        assert_eq!(of(16, false), Some((NEXT, CommitIndex(16))));
        assert_eq!(of(15, true), Some((NEXT, WHATEVER)));
    }

    #[test]
    fn a_boundary_is_fetched_again_until_its_votes_are_stored() {
        let uncertified = progress(10, EpochEnding::Boundary(boundary()));
        assert_eq!(wanted(&uncertified, false, 5), None);
        assert_eq!(wanted(&uncertified, true, 5), Some((LAST, WHATEVER)));
        let certified = progress(99, EpochEnding::Certified(boundary()));
        assert_eq!(wanted(&certified, true, 5), None);
    }
}
