//! What the tasks of consensus share: the environment, the store, the peers, and the way to the core.

use super::{archive::RetainedEpoch, fetch_scheduler::Missing, peer::Peer};
use crate::{
    config::ConsensusParameters,
    env::{Env, NodeEvent},
    tasks::Tasks,
    types::{AuthorityIndex, CommitIndex, Committee, EpochEnding, Round, SubDag, VerifiedBlock},
};
use bytes::Bytes;
use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{mpsc, oneshot, watch};

/// What the core is told. The channel is bounded: a core that is busy slows its informants down.
pub(super) enum Command {
    /// Verified blocks of others.
    Blocks(Vec<VerifiedBlock>),
    /// Certified commits with the blocks whose votes say so; the reply comes when they are stored.
    Commits {
        sub_dags: Vec<SubDag>,
        voters: Vec<VerifiedBlock>,
        stored: oneshot::Sender<()>,
    },
    /// What peers know of the own blocks.
    LastProposedRound(Round),
}

/// What the core lets others see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub last_commit: CommitIndex,
    /// The last commit that a quorum has.
    pub quorum_commit: CommitIndex,
    pub ending: EpochEnding,
}

/// Shared by all tasks of one epoch's consensus. Dropping it ends them.
pub(super) struct Shared {
    pub env: Env,
    pub committee: Arc<Committee>,
    pub parameters: ConsensusParameters,
    pub retained: Arc<RetainedEpoch>,
    /// All other authorities, in order.
    pub peers: Vec<Peer>,
    pub commands: mpsc::Sender<Command>,
    pub progress: watch::Receiver<Progress>,
    /// Per authority, the round above which its blocks are wanted. Nobody waits for it to change.
    pub wanted_after: Mutex<Vec<Round>>,
    pub missing: watch::Receiver<Missing>,
    pub tasks: Tasks,
}

impl Shared {
    /// Runs a task that ends with this consensus.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// The round above which `author`'s blocks are wanted.
    pub fn wanted_after(&self, author: AuthorityIndex) -> Round {
        let wanted = self.wanted_after.lock();
        wanted.unwrap_or_else(PoisonError::into_inner)[author.as_usize()]
    }

    /// Checks blocks that came from `from`. Those that are not to be believed are reported and left out.
    pub fn verify(&self, from: AuthorityIndex, blocks: Vec<Bytes>) -> Vec<VerifiedBlock> {
        let scheme = self.parameters.signatures;
        blocks
            .into_iter()
            .filter_map(|bytes| {
                VerifiedBlock::verify(bytes, &self.committee, scheme)
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
