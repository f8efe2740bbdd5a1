//! Shared by the tasks of consensus: the environment, the store, the peers, and the channel to the core.

use super::{
    amnesia_recovery::Asked, archive::RetainedEpoch, fetch_scheduler::Missing, peer::Peer,
};
use crate::{
    config::ConsensusParameters,
    env::{Env, NodeEvent, Quantity},
    tasks::Tasks,
    types::{
        AuthorityIndex, CommitIndex, Committee, Epoch, EpochEnding, Round, SubDag, VerifiedBlock,
    },
};
use bytes::Bytes;
use std::{
    future::Future,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

/// A command to the core. The channel is bounded, so that a busy core slows down the senders.
pub(super) enum Command {
    /// Verified blocks from a peer.
    Blocks {
        from: AuthorityIndex,
        blocks: Vec<VerifiedBlock>,
    },
    /// Certified commits with the blocks whose votes certify them. `stored` is answered when they are stored.
    Commits {
        sub_dags: Vec<SubDag>,
        voters: Vec<VerifiedBlock>,
        stored: oneshot::Sender<()>,
    },
    /// The highest round of an own block that peers have.
    LastProposedRound(Round),
}

/// The state that the core publishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub last_commit: CommitIndex,
    /// The last commit for which votes of a quorum were received.
    pub quorum_commit: CommitIndex,
    pub ending: EpochEnding,
}

/// Numbers that metrics read at any time.
#[derive(Debug, Default)]
pub(super) struct Levels {
    pub dag_round: AtomicU32,
    pub suspended_bytes: AtomicUsize,
    pub subscriptions: AtomicUsize,
}

/// A subscription that delivers blocks, counted until it is dropped.
pub(super) struct Subscribed(Arc<Levels>);

impl Levels {
    pub fn subscribed(self: &Arc<Self>) -> Subscribed {
        self.subscriptions.fetch_add(1, Ordering::Relaxed);
        Subscribed(self.clone())
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.0.subscriptions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The shared state of all tasks of one epoch's consensus.
pub(super) struct Shared {
    pub env: Env,
    /// When this epoch's consensus was started.
    pub started: Instant,
    pub committee: Arc<Committee>,
    pub parameters: ConsensusParameters,
    pub retained: Arc<RetainedEpoch>,
    /// All other authorities, in order.
    pub peers: Vec<Peer>,
    pub commands: mpsc::Sender<Command>,
    pub progress: watch::Receiver<Progress>,
    /// Per authority, the round above which its blocks are needed. No task waits for a change.
    pub wanted_after: Mutex<Vec<Round>>,
    pub missing: watch::Receiver<Missing>,
    /// The newest epoch that a peer says it has entered.
    pub newest_epoch: watch::Sender<Epoch>,
    /// See [`ConsensusSetup::asked`](super::ConsensusSetup).
    pub asked: Arc<OnceLock<Asked>>,
    pub levels: Arc<Levels>,
    pub tasks: Tasks,
}

impl Shared {
    /// Lets metrics read numbers of this epoch's consensus.
    pub fn measure(&self) {
        let measure = |quantity, read: fn(&Levels) -> u64| {
            let levels = self.levels.clone();
            self.env.measure(quantity, move || read(&levels));
        };
        measure(Quantity::DagRound, |levels| {
            levels.dag_round.load(Ordering::Relaxed).into()
        });
        measure(Quantity::SuspendedBytes, |levels| {
            levels.suspended_bytes.load(Ordering::Relaxed) as u64
        });
        measure(Quantity::PeersConnected, |levels| {
            levels.subscriptions.load(Ordering::Relaxed) as u64
        });
        let peers = self.peers.len() as u64;
        let most_bytes = u64::from(self.parameters.max_suspended_bytes) * peers;
        self.env.measure(Quantity::Peers, move || peers);
        (self.env).measure(Quantity::SuspendedBytesLimit, move || most_bytes);
    }

    /// A peer says that it has entered this epoch.
    pub fn has_entered(&self, epoch: Epoch) {
        self.newest_epoch.send_if_modified(|newest| {
            let is_newer = epoch > *newest;
            *newest = epoch.max(*newest);
            is_newer
        });
    }

    /// Milliseconds since this epoch's consensus was started.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Spawns a task that ends with this epoch's consensus.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// The round above which `author`'s blocks are needed.
    pub fn wanted_after(&self, author: AuthorityIndex) -> Round {
        let wanted = self.wanted_after.lock();
        wanted.unwrap_or_else(PoisonError::into_inner)[author.as_usize()]
    }

    /// Verifies blocks received from `from`, up to the first invalid one, which is reported: an honest peer sends none.
    pub fn verify(&self, from: AuthorityIndex, blocks: Vec<Bytes>) -> Vec<VerifiedBlock> {
        let scheme = self.parameters.signatures;
        let chain = self.retained.start.chain.id();
        blocks
            .into_iter()
            .map_while(|bytes| {
                VerifiedBlock::verify(bytes, &self.committee, scheme, chain)
                    .map_err(|e| {
                        self.env.emit(NodeEvent::Rejected {
                            from: from.0,
                            reason: e.to_string(),
                        });
                    })
                    .ok()
            })
            .collect()
    }
}
