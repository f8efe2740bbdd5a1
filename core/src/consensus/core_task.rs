//! The task that owns the core of one epoch: passes commands to the core, stores its results, and publishes them
//! afterwards.

use super::{
    amnesia_recovery::{self, Asked},
    archive::RetainedEpoch,
    broken_promise::BrokenPromise,
    bug_switches, commit_sync,
    core::{Core, Signer},
    fetch_scheduler::Missing,
    peer::Peer,
    repair,
    shared::{Command, Levels, Progress, Shared},
    subscriber, synchronizer,
    votes::are_quorum,
};
use crate::{
    commit::is_boundary,
    config::ConsensusParameters,
    env::{CommitOrigin, CrashPoint, Env, NodeEvent},
    ingest::Pool,
    store::{Durability, StoreError},
    tasks::Tasks,
    types::{
        Address, AuthorityIndex, Boundary, Commit, CommitIndex, Committee, Epoch, EpochEnding,
        Round, SubDag, VerifiedBlock,
    },
};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, atomic::Ordering};
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

/// Capacity of the channel of commands.
const COMMAND_CAPACITY: usize = 256;

/// Maximum number of commands before their results are stored.
const COMMANDS_PER_STEP: usize = 64;

/// The inputs of [`Consensus::recover`].
pub(crate) struct ConsensusSetup {
    pub env: Env,
    pub retained: Arc<RetainedEpoch>,
    /// The last stored commits. Read once for all who need them: what is read later may be damaged meanwhile.
    pub commits: Vec<Commit>,
    /// `None` for a follower.
    pub signer: Option<Signer>,
    pub parameters: ConsensusParameters,
    pub pool: Pool,
    /// Whether backpressure pauses proposals.
    pub pressure: watch::Receiver<bool>,
    /// Whether this node has certainly signed nothing in this epoch, because this process entered it from the previous
    /// one and the disk has no record of an earlier entry. Otherwise peers are queried (contract §6.5).
    pub is_new: bool,
    /// Set by the first query of this process that a quorum answers.
    pub asked: Arc<OnceLock<Asked>>,
}

/// An error from which consensus cannot recover.
#[derive(Debug, Error)]
pub enum ConsensusError {
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    #[error(
        "a quorum certified commits that contradict the stored ones: {0}; \
         more than a third of the stake is faulty, or this store is not of this chain"
    )]
    Diverged(#[from] crate::commit::AdoptError),
    #[error(
        "{0}; more than a third of the stake is faulty, or this node is not like the others: compare versions and \
        configurations"
    )]
    BrokenPromise(#[from] BrokenPromise),
}

/// One epoch's consensus.
pub(crate) struct Consensus {
    core: Core,
    pressure: watch::Receiver<bool>,
    commands: mpsc::Receiver<Command>,
    progress: watch::Sender<Progress>,
    missing: watch::Sender<Missing>,
    /// [`Core::missing_changes`] at the last publication.
    missing_changes: u64,
    /// Blocks whose votes certify fetched commits, to be stored so that this node can prove these commits to others.
    voters: Vec<VerifiedBlock>,
    ending: watch::Sender<EpochEnding>,
    is_new: bool,
    shared: Arc<Shared>,
    _tasks: AbortTasksOnDrop,
}

/// Aborts the tasks on drop. They hold references to [`Shared`], which owns them, so it would never be dropped.
struct AbortTasksOnDrop(Arc<Shared>);

impl Drop for AbortTasksOnDrop {
    fn drop(&mut self) {
        self.0.tasks.abort();
    }
}

impl Consensus {
    /// Recovers the state from the store. Starts no task.
    ///
    /// # Errors
    /// If the store fails or the address of a peer does not parse.
    pub fn recover(setup: ConsensusSetup) -> Result<Self, ConsensusError> {
        let ConsensusSetup {
            env,
            retained,
            commits,
            parameters,
            ..
        } = setup;
        let mut core = Core::recover(
            setup.signer,
            retained.start.clone(),
            parameters.clone(),
            setup.pool,
            &retained.store,
            &commits,
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
        let peers = peers_in(&committee, retained.own);
        let (command_sender, commands) = mpsc::channel(COMMAND_CAPACITY);
        let ending = recovered_ending(&retained, commits.last())?;
        if matches!(ending, EpochEnding::Certified(_)) {
            core.end();
        }
        let progress = watch::channel(progress_of(&core, ending)).0;
        let missing = watch::channel(Missing::new()).0;
        let wanted_after = committee.indexes().map(|i| core.wanted_after(i)).collect();
        let shared = Arc::new(Shared {
            #[allow(clippy::disallowed_methods)] // tokio's clock; under madsim the lint mistakes it for that of std
            started: Instant::now(),
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
            newest_epoch: watch::channel(Epoch(0)).0,
            asked: setup.asked,
            levels: Arc::new(Levels::default()),
        });
        shared.measure();
        Ok(Self {
            core,
            pressure: setup.pressure,
            commands,
            progress,
            missing,
            missing_changes: 0,
            voters: vec![],
            ending: watch::channel(ending).0,
            is_new: setup.is_new,
            _tasks: AbortTasksOnDrop(shared.clone()),
            shared,
        })
    }

    /// Watches the end of the epoch. Only one task may wait for a change.
    #[must_use]
    pub fn ending(&self) -> watch::Receiver<EpochEnding> {
        self.ending.subscribe()
    }

    /// Runs until this node leaves the epoch. Returns the pool, with the transactions of own blocks that no commit
    /// contains in front.
    ///
    /// # Errors
    /// If the store fails, or a quorum certified commits that contradict the stored ones.
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
                    // If the sender was dropped, delivery has ended and the last value remains.
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
                let _ = stored.send(()); // an error means that the requester has ended
            }
        }
    }

    fn take(
        &mut self,
        command: Command,
        waiting: &mut Vec<oneshot::Sender<()>>,
    ) -> Result<(), ConsensusError> {
        let now = self.shared.started.elapsed();
        match command {
            Command::Blocks { from, blocks } => self.core.receive(blocks, from, now),
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
                // The core may have decided some of them itself in the meantime.
                let new = sub_dags
                    .into_iter()
                    .filter(|s| bug_switches::is_new(s.commit.index >= next))
                    .collect();
                self.core.adopt(new, now)?;
                waiting.push(stored);
            }
        }
        Ok(())
    }

    /// Proposes if a block is due, and stores the results. Returns the time at which the next block may be due.
    async fn advance(&mut self) -> Result<Option<Instant>, ConsensusError> {
        let timestamp_ms = self.shared.env.clock.now();
        let paused = *self.pressure.borrow_and_update();
        let due = self
            .core
            .propose(self.shared.started.elapsed(), timestamp_ms, paused);
        self.persist().await?;
        Ok(due.map(|since_start| self.shared.started + since_start))
    }

    /// Stores the results of the core, then publishes them.
    async fn persist(&mut self) -> Result<(), ConsensusError> {
        let step = self.core.take_step();
        let env = &self.shared.env;
        for event in step.events.iter().cloned() {
            env.emit(event);
        }
        if let Some(fault) = step.fault {
            return Err(fault.into());
        }
        let voters = std::mem::take(&mut self.voters);
        if step.is_empty() && voters.is_empty() {
            self.publish_progress();
            return Ok(());
        }
        env.reach(CrashPoint::NodeBeforeStore).await;
        let retained = &self.shared.retained;
        let store = &retained.store;
        // An own block must not be lost once a peer may have received it. Blocks of others can be fetched again.
        let durability = match step.own {
            Some(_) => Durability::Synced,
            None => Durability::Buffered,
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
            retained.own_blocks.publish(own);
        }
        let committed = rounds_of(retained.own, &step.commits);
        (retained.own_blocks).on_committed(committed, self.core.gc_round());
        self.persist_commits(step.commits).await?;
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

    /// Stores new commits and publishes each: one synced write per commit, so that none is published that a crash could
    /// remove.
    async fn persist_commits(
        &mut self,
        commits: Vec<(SubDag, CommitOrigin)>,
    ) -> Result<(), ConsensusError> {
        let env = &self.shared.env;
        let retained = &self.shared.retained;
        let (log, base) = (&retained.log, retained.start.base);
        let count = commits.len();
        for (sub_dag, origin) in commits {
            let commit = std::slice::from_ref(&sub_dag.commit);
            let expected = log.last().next();
            let gei = base.gei(sub_dag.commit.index);
            assert_eq!(
                sub_dag.commit.index, expected,
                "a commit was stored out of order"
            );
            retained.store.write(&[], commit, Durability::Synced)?;
            env.emit(NodeEvent::CommitStored {
                epoch: sub_dag.commit.epoch,
                commit: sub_dag.reference,
                gei,
                leader: sub_dag.commit.leader,
                blocks: u32::try_from(sub_dag.blocks.len()).unwrap_or(u32::MAX),
                origin,
            });
            env.reach(CrashPoint::NodeAfterStore).await;
            self.core.pool().included(gei, &sub_dag)?;
            let is_first = *self.ending.borrow() == EpochEnding::No;
            let is_boundary = is_boundary(&sub_dag.commit, &self.shared.committee);
            if bug_switches::is_boundary(is_boundary, count) && is_first {
                let boundary = Boundary::of(&sub_dag.commit, &retained.start);
                let boundary = bug_switches::boundary(boundary, &sub_dag.commit);
                self.ending.send_replace(EpochEnding::Boundary(boundary));
                self.core.pool().epoch_is_ending();
            }
            log.publish(sub_dag);
        }
        Ok(())
    }

    fn publish_progress(&mut self) {
        let progress = progress_of(&self.core, *self.ending.borrow());
        self.progress.send_if_modified(|old| {
            let modified = *old != progress;
            *old = progress;
            modified
        });
        let levels = &self.shared.levels;
        let round = self.core.highest_round().0;
        levels.dag_round.store(round, Ordering::Relaxed);
        let suspended_bytes = self.core.suspended_bytes();
        (levels.suspended_bytes).store(suspended_bytes, Ordering::Relaxed);
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

/// The rounds of this author's blocks in these commits.
fn rounds_of(
    author: Option<AuthorityIndex>,
    commits: &[(SubDag, CommitOrigin)],
) -> impl Iterator<Item = Round> {
    let blocks = commits.iter().flat_map(|(sub_dag, _)| &sub_dag.blocks);
    let of_author = blocks.filter(move |block| Some(block.author) == author);
    of_author.map(|block| block.round)
}

/// All other authorities, in order.
fn peers_in(committee: &Committee, own: Option<AuthorityIndex>) -> Vec<Peer> {
    let others = committee.authorities();
    let others = others.filter(|(index, _)| Some(*index) != own);
    others
        .map(|(index, authority)| Peer::new(index, Address::Tcp(authority.p2p_address)))
        .collect()
}

/// Recovers the state of the end of the epoch from the last stored commit and the votes for it.
fn recovered_ending(
    retained: &RetainedEpoch,
    last: Option<&Commit>,
) -> Result<EpochEnding, StoreError> {
    let is_last = |last: &&Commit| is_boundary(last, &retained.start.committee);
    let Some(last) = last.filter(is_last) else {
        return Ok(EpochEnding::No);
    };
    let boundary = bug_switches::boundary(Boundary::of(last, &retained.start), last);
    Ok(if is_certified(retained, boundary)? {
        EpochEnding::Certified(boundary)
    } else {
        EpochEnding::Boundary(boundary)
    })
}

/// Whether commit votes of 2f+1 stake for the boundary are stored. They are synced then: peers that are behind may depend
/// on them after this node has left the epoch, and a Byzantine author may have shown its vote to nobody else.
fn is_certified(retained: &RetainedEpoch, boundary: Boundary) -> Result<bool, StoreError> {
    let RetainedEpoch { store, start, .. } = retained;
    let is_quorum = |voters: &_| are_quorum(voters, &start.committee);
    let is_certified = store.quorum_for(boundary.commit, is_quorum)?.is_some();
    if bug_switches::syncs_votes(is_certified) {
        store.sync()?;
    }
    Ok(is_certified)
}

fn progress_of(core: &Core, ending: EpochEnding) -> Progress {
    Progress {
        ending,
        last_commit: core.last_commit().map_or(CommitIndex(0), |c| c.index),
        quorum_commit: core.quorum_commit(),
    }
}
