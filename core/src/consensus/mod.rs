//! Consensus: Mysticeti over an uncertified DAG, as an async shell around the pure modules [`dag`](crate::dag) and
//! [`commit`](crate::commit).
//!
//! The protocol is Mysticeti-C of Babel et al., 2023 ([arXiv:2310.14821](https://arxiv.org/abs/2310.14821)), without
//! the fast path of Mysticeti-FPC. Stake is counted, not validators: at most `f` is faulty, `2f+1` is a quorum.
//!
//! # Design
//!
//! One task owns the [`Core`], which is synchronous and does no I/O. Everything else (subscriptions to peers, fetching
//! of ancestors, catching up, repair) sends it commands over a bounded channel. What the core decides is stored
//! **before** anyone hears of it: an own block is synced before a peer may see it, a commit before delivery may.
//!
//! # Protocol
//!
//! ## Blocks
//! * A block names blocks of lower rounds as ancestors: first the previous block of its author, at most one of each
//!   authority, and 2f+1 stake of the round before, its *parents*. Only its author signs it.
//! * It enters the DAG when all its ancestors above the garbage collection round are there
//!   ([`BlockManager`](crate::dag::BlockManager)). Until then it is suspended, and what is missing is fetched, first
//!   from the authorities that built on it ([`FetchScheduler`]).
//! * The clock of a node is in round `r` when it has accepted blocks of 2f+1 stake of `r-1`.
//! * In round `r` a node proposes one block if it has signed none of `r` or later and delivery is not behind: at the
//!   earliest `min_round_delay_ms` after its last block, and when the leaders of `r-1` are there or `leader_timeout_ms`
//!   after it entered `r` ([`decide`]).
//!
//! ## Waves
//! Every round begins a wave of three rounds. Votes and certificates are patterns of the DAG, not messages:
//!
//! ```txt
//!  round       r            r+1           r+2
//!            leader        votes      certificates
//!
//!    A         o        ,--- v <--------- c      names v(A) v(B) v(C)
//!                      /
//!    B         L <----+----- v <--------- c      names v(A) v(B) v(C)
//!                      \
//!    C         o        '--- v <--------- c      names v(A) v(B) v(C) b(D)
//!
//!    D         o <---------- b <--------- o      names v(A) v(B) b(D): no certificate
//! ```
//!
//! A block of `r+1` that names the leader block `L` is a *vote* for it (`v`), one that names no block of the leader's
//! slot a *blame* (`b`). A block of `r+2` with votes of 2f+1 stake among its ancestors is a *certificate* of `L` (`c`).
//!
//! ## Decisions
//! A leader slot of round `r` is decided ([`CommitRule`](crate::commit::CommitRule))
//! * **directly**: committed if blocks of 2f+1 stake of `r+2` are certificates of its block, skipped if blocks of 2f+1
//!   stake of `r+1` are blames;
//! * otherwise **indirectly**, by its *anchor*, the first leader slot of a round above `r+2` that is not skipped. If
//!   the anchor is undecided, so is the slot. If the anchor is committed, the slot is committed if a certificate of its
//!   block is in the anchor's history, and skipped if none is.
//!
//! Decisions take effect in the order of (round, offset), up to the first undecided slot. In the drawing `L` is
//! committed.
//!
//! ## Commits
//! * A committed leader of round `R` makes one commit ([`Linearizer`](crate::commit::Linearizer)): its causal history
//!   without what earlier commits contain and without rounds up to `R - gc_depth_rounds`, ordered by (round, author,
//!   digest). A commit contains the digest of the commit before, so equal digests mean equal histories.
//! * Its timestamp is the lower stake-weighted median of the timestamps of the leader's parents, never below that of
//!   the commit before or the start of the epoch.
//! * An own block carries *commit votes*: references of the commits that this node stored since its last block. Votes
//!   of 2f+1 stake for the last commit of a chain certify the whole chain.
//! * A node that is more than `commit_sync_threshold` commits behind what 2f+1 stake has reached, or that makes no
//!   progress for `peer_timeout_ms`, fetches such a chain with its blocks and adopts it instead of deciding by itself.
//!
//! ## End of an epoch
//! * By its own clock, a node sets the end mark in its blocks once the epoch has lasted `epoch_duration_ms`.
//! * The *boundary* is the first commit up to which end marks of 2f+1 stake are committed. No commit follows it.
//! * Later blocks carry no transactions. They go on until commit votes of 2f+1 stake for the boundary are stored here,
//!   so that this node can prove the boundary to others; then it proposes nothing more and waits to leave the epoch.
//!
//! # Deviations from Mysticeti
//! * **Slots.** Of the blocks for one slot a node takes the first, and those that a suspended block names as ancestor.
//!   The paper lets in every valid block, so that one equivocating validator could fill the disks of all others.
//! * **Skip pattern.** A blame names no block of the slot at all. The paper counts for each block of the slot the
//!   blocks that do not support it, which skips some slots of equivocating leaders sooner; here their anchors skip
//!   them.
//! * **Leaders.** `leaders_per_round` leaders (default 1) are drawn by stake, without replacement, from epoch and round
//!   alone. There is no reputation, so whoever knows the committee knows the leaders.
//! * **Garbage collection.** A block that comes too late for every commit is left out, which bounds memory. Which
//!   blocks these are follows from the round of each leader alone, so all nodes leave out the same ones.
//! * **Block sizes.** Transactions of own blocks that were left out are proposed again, before others. The limit for
//!   the next blocks is then halved; each committed block that fills half of it raises it by an eighth, at least by 256
//!   bytes. Otherwise blocks that are too large for the links would come too late again and again.
//! * **Amnesia.** Unless this process entered the epoch by itself and for the first time, the node asks its peers for
//!   its own newest block, and proposes only when 2f+1 stake, itself included, has answered. The paper does not treat
//!   the loss of what a validator signed.
//! * **Commit votes and commit sync.** They are not part of the paper. A node that is far behind, or that only follows,
//!   would otherwise have to fetch every block of the DAG and decide it anew.
//! * **Timestamps.** Not part of the paper, but the executor's blocks carry them. As medians they are the same on every
//!   node and lie between those of honest authorities.
//! * **End of an epoch.** The end mark corresponds to the epoch-change bit of Mysticeti-FPC. The blocks after the
//!   boundary, which only carry votes, are new: number and time of the boundary are what the next epoch is built on, so
//!   a node must be able to prove them to those that come later.

mod amnesia_recovery;
mod archive;
mod bug_switches;
mod commit_sync;
mod core;
#[cfg(test)]
mod core_tests;
mod fetch_scheduler;
mod idle_timeout;
mod own_blocks;
mod peer;
mod proposer;
pub mod protocol;
mod repair;
mod server;
mod shared;
mod subscriber;
mod synchronizer;
mod uncommitted;
mod votes;

pub use self::core::{Core, Signer, Step, recover_log};
pub use archive::{Archive, RetainedEpoch};
pub use fetch_scheduler::{FetchRequest, FetchScheduler, FetchTiming, Missing};
pub use proposer::{ProposalDecision, ProposalView, decide};
pub use server::serve;
pub use votes::{CommitVotes, certified};

use crate::{
    commit::is_boundary,
    config::ConsensusParameters,
    env::{CrashPoint, Env, NodeEvent},
    ingest::Pool,
    store::{Durability, StoreError},
    tasks::Tasks,
    types::{Address, AddressError, Boundary, CommitIndex, EpochEnding, Round, VerifiedBlock},
};
use peer::Peer;
use shared::{Command, Progress, Shared};
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

/// Commands that wait for the core at most.
const COMMAND_CAPACITY: usize = 256;

/// Commands taken in before what they led to is stored.
const COMMANDS_PER_STEP: usize = 64;

/// What consensus is built from.
pub struct ConsensusSetup {
    pub env: Env,
    pub retained: Arc<RetainedEpoch>,
    /// None if this node only follows.
    pub signer: Option<Signer>,
    pub parameters: ConsensusParameters,
    pub pool: Pool,
    /// Whether delivery forbids proposing.
    pub pressure: watch::Receiver<bool>,
    /// As far as its own disk tells, this node has signed nothing in this epoch, and this process saw it begin.
    /// Otherwise its peers are asked (contract §6.5).
    pub is_new: bool,
}

/// Why consensus ended. None of these can be survived by going on.
#[derive(Debug, Error)]
pub enum ConsensusError {
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    #[error("authority {authority} has no usable P2P address: {source}")]
    PeerAddress {
        authority: String,
        source: AddressError,
    },
    #[error(
        "a quorum certified commits that contradict the stored ones: {0}; \
         more than a third of the stake is faulty, or this store is not of this chain"
    )]
    Diverged(#[from] crate::commit::AdoptError),
}

/// One epoch's consensus.
pub struct Consensus {
    core: Core,
    pressure: watch::Receiver<bool>,
    commands: mpsc::Receiver<Command>,
    progress: watch::Sender<Progress>,
    missing: watch::Sender<Missing>,
    /// As of what was published last.
    missing_changes: u64,
    started: Instant,
    /// Blocks whose votes certify fetched commits. They are stored, so that this node can show them, too.
    voters: Vec<VerifiedBlock>,
    ending: watch::Sender<EpochEnding>,
    is_new: bool,
    shared: Arc<Shared>,
    _tasks: EndsWithThis,
}

/// Tasks hold what owns them, so they would never end by themselves.
struct EndsWithThis(Arc<Shared>);

impl Drop for EndsWithThis {
    fn drop(&mut self) {
        self.0.tasks.abort();
    }
}

impl Consensus {
    /// Recovers the state from the store. Nothing runs yet.
    ///
    /// # Errors
    /// If the store fails or a peer has no address.
    pub fn recover(setup: ConsensusSetup) -> Result<Self, ConsensusError> {
        let ConsensusSetup {
            env,
            retained,
            parameters,
            ..
        } = setup;
        let mut core = Core::recover(
            setup.signer,
            retained.start.clone(),
            parameters.clone(),
            setup.pool,
            &retained.store,
        )?;
        env.emit(NodeEvent::Recovered {
            last_commit: core.last_commit().map_or(CommitIndex(0), |c| c.index),
            highest_round: core.highest_round(),
            last_proposed_round: core.last_proposed_round(),
        });
        if setup.is_new {
            core.set_last_proposed_round(Round(0));
        }
        let committee = retained.start.committee.clone();
        let peers = committee
            .authorities()
            .filter(|(index, _)| Some(*index) != retained.own)
            .map(|(index, authority)| {
                let address: Address = authority.p2p_address.parse().map_err(|source| {
                    ConsensusError::PeerAddress {
                        authority: authority.name.clone(),
                        source,
                    }
                })?;
                Ok(Peer::new(index, address))
            })
            .collect::<Result<Vec<_>, ConsensusError>>()?;
        let (command_sender, commands) = mpsc::channel(COMMAND_CAPACITY);
        let ending = recovered_ending(&retained)?;
        if matches!(ending, EpochEnding::Certified(_)) {
            core.end();
        }
        let progress = watch::Sender::new(progress_of(&core, ending));
        let missing = watch::Sender::new(Missing::new());
        let wanted_after = committee.indexes().map(|i| core.wanted_after(i)).collect();
        let shared = Arc::new(Shared {
            tasks: Tasks::new(env.monitor.clone()),
            env,
            committee,
            parameters,
            retained,
            peers,
            commands: command_sender,
            progress: progress.subscribe(),
            wanted_after: Mutex::new(wanted_after),
            missing: missing.subscribe(),
        });
        Ok(Self {
            core,
            pressure: setup.pressure,
            commands,
            progress,
            missing,
            missing_changes: 0,
            #[allow(clippy::disallowed_methods)] // tokio's clock, which the lint takes for std's when simulated
            started: Instant::now(),
            voters: vec![],
            ending: watch::Sender::new(ending),
            is_new: setup.is_new,
            _tasks: EndsWithThis(shared.clone()),
            shared,
        })
    }

    /// How far the end of the epoch has come. One task may wait for it to change.
    #[must_use]
    pub fn ending(&self) -> watch::Receiver<EpochEnding> {
        self.ending.subscribe()
    }

    /// Takes part until this node leaves the epoch. Gives the pool back, with the transactions of own blocks that no
    /// commit contains in front.
    ///
    /// # Errors
    /// If something fails that cannot be survived.
    pub async fn run(mut self, leave: oneshot::Receiver<()>) -> Result<Pool, ConsensusError> {
        self.take_part(leave).await?;
        let Self { core, shared, .. } = self;
        let (pool, transactions) = core.leave();
        if transactions > 0 {
            let epoch = shared.committee.epoch();
            shared.env.emit(NodeEvent::Requeued {
                epoch,
                transactions,
            });
        }
        Ok(pool)
    }

    async fn take_part(&mut self, mut leave: oneshot::Receiver<()>) -> Result<(), ConsensusError> {
        let shared = self.shared.clone();
        for position in 0..shared.peers.len() {
            shared.spawn(subscriber::subscribe(shared.clone(), position));
        }
        shared.spawn(synchronizer::synchronize(shared.clone()));
        shared.spawn(repair::repair(shared.clone(), shared.retained.log.clone()));
        shared.spawn(commit_sync::catch_up(shared.clone()));
        if let Some(own) = shared.retained.own
            && !self.is_new
        {
            shared.spawn(amnesia_recovery::recover(shared.clone(), own));
        }
        loop {
            let due = self.advance().await?;
            let command = {
                let timer = async {
                    match due {
                        Some(due) => tokio::time::sleep_until(due).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    biased;
                    _ = &mut leave => return Ok(()),
                    command = self.commands.recv() => command,
                    // A sender that is gone has stopped delivering; its last word stands.
                    Ok(()) = self.pressure.changed() => None,
                    () = timer => None,
                }
            };
            let mut waiting = vec![];
            if let Some(command) = command {
                self.take(command, &mut waiting)?;
                for _ in 1..COMMANDS_PER_STEP {
                    let Ok(command) = self.commands.try_recv() else {
                        break;
                    };
                    self.take(command, &mut waiting)?;
                }
            }
            self.persist().await?;
            for stored in waiting {
                let _ = stored.send(()); // nobody waits any more: fine
            }
        }
    }

    fn take(
        &mut self,
        command: Command,
        waiting: &mut Vec<oneshot::Sender<()>>,
    ) -> Result<(), ConsensusError> {
        let now = self.started.elapsed();
        match command {
            Command::Blocks(blocks) => self.core.receive(blocks, now),
            Command::LastProposedRound(round) => {
                self.core.set_last_proposed_round(round);
                let round = self.core.last_proposed_round();
                self.shared
                    .env
                    .emit(NodeEvent::LastProposedRoundLearned { round });
            }
            Command::Commits {
                sub_dags,
                voters,
                stored,
            } => {
                self.voters.extend(voters);
                let next = self
                    .core
                    .last_commit()
                    .map_or(CommitIndex(0), |c| c.index)
                    .next();
                // The core may have decided some of them by itself meanwhile.
                let new = sub_dags
                    .into_iter()
                    .filter(|s| s.commit.index >= next)
                    .collect();
                self.core.adopt(new, now)?;
                waiting.push(stored);
            }
        }
        Ok(())
    }

    /// Proposes if a proposal is due and stores what came up. Returns when the next one may be.
    async fn advance(&mut self) -> Result<Option<Instant>, ConsensusError> {
        let timestamp_ms = self.shared.env.clock.now();
        let paused = *self.pressure.borrow_and_update();
        let due = self
            .core
            .propose(self.started.elapsed(), timestamp_ms, paused);
        self.persist().await?;
        Ok(due.map(|since_start| self.started + since_start))
    }

    /// Stores and syncs what the core has come up with, then tells those who wait for it.
    async fn persist(&mut self) -> Result<(), ConsensusError> {
        let step = self.core.take_step();
        let env = &self.shared.env;
        for event in step.events.iter().cloned() {
            env.emit(event);
        }
        let voters = std::mem::take(&mut self.voters);
        if step.is_empty() && voters.is_empty() {
            self.publish_progress();
            return Ok(());
        }
        env.reach(CrashPoint::NodeBeforeStore).await;
        let retained = &self.shared.retained;
        let (store, base) = (&retained.store, retained.start.base);
        // An own block must never be forgotten once a peer may have seen it; others' can be fetched again.
        let durability = if step.own.is_some() {
            Durability::Synced
        } else {
            Durability::Buffered
        };
        store.write(&step.blocks, &[], durability)?;
        store.write(&voters, &[], Durability::Buffered)?;
        if let Some(own) = step.own {
            env.emit(NodeEvent::Proposed {
                epoch: own.epoch,
                block: own.reference(),
                transactions: u32::try_from(own.transactions.len()).unwrap_or(u32::MAX),
                payload_bytes: u32::try_from(own.bytes().len()).unwrap_or(u32::MAX),
            });
            self.shared.retained.own_blocks.publish(own);
        }
        let commits = step.commits.len();
        // One synced write per commit: whatever a crash leaves is a whole number of commits that nobody has seen more of.
        for (sub_dag, origin) in step.commits {
            let commit = std::slice::from_ref(&sub_dag.commit);
            store.write(&[], commit, Durability::Synced)?;
            env.emit(NodeEvent::CommitStored {
                epoch: sub_dag.commit.epoch,
                commit: sub_dag.reference,
                gei: base.gei(sub_dag.commit.index),
                leader: sub_dag.commit.leader,
                blocks: u32::try_from(sub_dag.blocks.len()).unwrap_or(u32::MAX),
                origin,
            });
            env.reach(CrashPoint::NodeAfterStore).await;
            let is_first = *self.ending.borrow() == EpochEnding::No;
            let is_boundary = is_boundary(&sub_dag.commit, &self.shared.committee);
            if bug_switches::is_boundary(is_boundary, commits) && is_first {
                let boundary = Boundary::of(&sub_dag.commit, base);
                self.ending.send_replace(EpochEnding::Boundary(boundary));
            }
            self.shared.retained.log.publish(sub_dag);
        }
        let ending = *self.ending.borrow();
        if let EpochEnding::Boundary(boundary) = ending
            && is_certified(&self.shared.retained, boundary)?
        {
            self.ending.send_replace(EpochEnding::Certified(boundary));
            self.core.end();
        }
        self.publish_progress();
        Ok(())
    }

    fn publish_progress(&mut self) {
        let progress = progress_of(&self.core, *self.ending.borrow());
        self.progress.send_if_modified(|old| {
            let modified = *old != progress;
            *old = progress;
            modified
        });
        {
            let mut wanted = self
                .shared
                .wanted_after
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            for (after, author) in wanted.iter_mut().zip(self.shared.committee.indexes()) {
                *after = self.core.wanted_after(author);
            }
        }
        if self.missing_changes == self.core.missing_changes() {
            return;
        }
        self.missing_changes = self.core.missing_changes();
        let missing = self.core.missing();
        self.missing.send_if_modified(|old| {
            let modified = *old != missing;
            *old = missing;
            modified
        });
    }
}

/// How far the end of the epoch had come when its store was last written.
fn recovered_ending(retained: &RetainedEpoch) -> Result<EpochEnding, StoreError> {
    let last = retained.store.last_commit()?;
    let last = last.map(|index| retained.store.commit(index)).transpose()?;
    let Some(last) = last.flatten() else {
        return Ok(EpochEnding::No);
    };
    if !is_boundary(&last, &retained.start.committee) {
        return Ok(EpochEnding::No);
    }
    let boundary = Boundary::of(&last, retained.start.base);
    Ok(if is_certified(retained, boundary)? {
        EpochEnding::Certified(boundary)
    } else {
        EpochEnding::Boundary(boundary)
    })
}

/// Whether 2f+1 votes for the boundary are stored here.
fn is_certified(retained: &RetainedEpoch, boundary: Boundary) -> Result<bool, StoreError> {
    let voters = retained.store.votes_for(boundary.commit)?;
    Ok(certified(
        boundary.commit,
        &voters,
        &retained.start.committee,
    ))
}

fn progress_of(core: &Core, ending: EpochEnding) -> Progress {
    Progress {
        ending,
        last_commit: core.last_commit().map_or(CommitIndex(0), |c| c.index),
        quorum_commit: core.quorum_commit(),
    }
}
