//! The core of consensus in one epoch: accepts blocks into the DAG, decides leaders, makes commits and proposes blocks.
//! Synchronous and without I/O; time is a parameter, and the results to store are returned as a [`Step`].

use super::{
    broken_promise::BrokenPromise,
    fetch_scheduler::Missing,
    proposer::{ProposalDecision, ProposalView, decide},
    step::Step,
    uncommitted::Uncommitted,
    unvoted::Unvoted,
    votes::CommitVotes,
};
use crate::{
    commit::{AdoptError, CommitRule, Decision, LeaderSchedule, LeaderSlot, Linearizer},
    config::ConsensusParameters,
    dag::{BlockManager, Dag, Source, ThresholdClock, admission, ancestors_for},
    env::{CommitOrigin, NodeEvent},
    epoch::epoch_has_elapsed,
    ingest::Pool,
    store::{ConsensusStore, StoreError},
    types::{
        AuthorityIndex, Block, BlockRef, Commit, CommitIndex, CommitRef, EpochStart, KeyPair,
        Round, SubDag, TimestampMs, VerifiedBlock,
    },
};
use std::time::Duration;

/// Number of suspended blocks from each peer whose ancestors are fetched at the same time.
const FETCHED_PER_PEER: usize = 64;

/// This node's authority index and signing key.
pub(crate) struct Signer {
    pub index: AuthorityIndex,
    pub keys: KeyPair,
}

/// The core of one node in one epoch.
pub(super) struct Core {
    /// `None` for a follower.
    signer: Option<Signer>,
    start: EpochStart,
    parameters: ConsensusParameters,
    dag: Dag,
    manager: BlockManager,
    clock: ThresholdClock,
    rule: CommitRule,
    linearizer: Linearizer,
    last_decided: LeaderSlot,
    votes: CommitVotes,
    unvoted: Unvoted,
    pool: Pool,
    uncommitted: Uncommitted,
    /// Commit votes of 2f+1 stake for the boundary are stored: nothing more is proposed in this epoch.
    is_over: bool,
    last_proposed_round: Round,
    last_proposed_round_known: bool,
    round_entered: Duration,
    last_proposed: Option<Duration>,
    step: Step,
}

impl Core {
    /// Recovers DAG, last commit and last own block from the store, after the commits that
    /// [`recover_log`](super::recover_log) has left.
    ///
    /// # Errors
    /// If the store fails.
    pub fn recover(
        signer: Option<Signer>,
        start: EpochStart,
        parameters: ConsensusParameters,
        pool: Pool,
        store: &ConsensusStore,
        commits: &[Commit],
    ) -> Result<Self, StoreError> {
        let committee = start.committee.clone();
        let mut dag = Dag::new(committee.clone(), parameters.gc_depth_rounds);
        let linearizer = Linearizer::recover(
            committee.clone(),
            start.timestamp_ms,
            parameters.max_commit_bytes,
            &mut dag,
            commits,
        );
        let rule = CommitRule::new(
            LeaderSchedule::new(committee.clone()),
            parameters.leaders_per_round,
        );
        let uncommitted = Uncommitted::new(parameters.max_block_bytes as usize, &pool);
        let linearizer_tip = linearizer.last_commit();
        let manager = BlockManager::new(parameters.max_suspended_bytes as usize);
        let mut core = Self {
            signer,
            start,
            clock: ThresholdClock::new(committee.clone()),
            votes: CommitVotes::new(committee),
            parameters,
            dag,
            manager,
            rule,
            linearizer,
            last_decided: LeaderSlot::GENESIS,
            // It is unknown whether an own block voted for it. Voting twice is harmless.
            unvoted: Unvoted::new(linearizer_tip),
            pool,
            uncommitted,
            is_over: false,
            last_proposed_round: Round(0),
            last_proposed_round_known: false,
            round_entered: Duration::ZERO,
            last_proposed: None,
            step: Step::default(),
        };
        core.resume_deciding_after_last_commit();
        let blocks = store.blocks_from_round(core.dag.gc_round().next())?;
        if let Some(own) = core.own() {
            core.last_proposed_round = store.newest_round_of(own)?.unwrap_or_default();
            core.recover_uncommitted(&blocks);
        }
        for block in core
            .manager
            .accept(&mut core.dag, blocks, Source::Own)
            .accepted
        {
            core.clock.observe(&block.reference());
            core.votes.observe(&block);
        }
        core.votes.made(linearizer_tip);
        Ok(core)
    }

    /// Own blocks that a commit may still contain, also those that wait for a damaged ancestor. No commit follows the
    /// boundary: in an epoch that is over, what they contain waits in the pool.
    fn recover_uncommitted(&mut self, stored: &[VerifiedBlock]) {
        if self.linearizer.boundary().is_some() {
            return;
        }
        for block in stored {
            self.add_if_uncommitted(block);
        }
    }

    fn add_if_uncommitted(&mut self, block: &VerifiedBlock) {
        if Some(block.author) == self.own() && !self.dag.is_committed(&block.reference()) {
            let is_older = self.step.own.as_ref() != Some(block);
            if is_older {
                self.pool.withdraw(block.own_round(), &block.transactions);
            }
            self.uncommitted.add(block, is_older);
        }
    }

    /// Accepts verified blocks from a peer, in any order. Duplicates are ignored.
    pub fn receive(&mut self, blocks: Vec<VerifiedBlock>, from: AuthorityIndex, now: Duration) {
        let mut admitted = Vec::with_capacity(blocks.len());
        for block in blocks {
            self.votes.observe(&block);
            if Some(block.author) == self.own() {
                // An own block from a peer, which this node may have lost: it counts as signed.
                self.last_proposed_round = self.last_proposed_round.max(block.round);
            }
            let (gc_round, clock_round) = (self.dag.gc_round(), self.clock.round());
            let ahead = self.parameters.max_rounds_ahead;
            if admission(block.round, gc_round, clock_round, ahead).is_err() {
                continue;
            }
            // Of several blocks for one slot only the first and those with dependants are accepted. Otherwise an
            // equivocating authority could fill the disk.
            let (epoch, slot) = (block.epoch, block.slot());
            let taken = self.dag.blocks_at_slot(slot).next();
            if taken.is_some_and(|taken| *taken != block)
                && !self.manager.is_wanted(&block.reference())
            {
                let equivocation = NodeEvent::Equivocation { epoch, slot };
                self.step.events.push(equivocation);
                continue;
            }
            admitted.push(block);
        }
        let result = self
            .manager
            .accept(&mut self.dag, admitted, Source::Peer(from));
        if !result.missing.is_empty() {
            let count = u32::try_from(result.missing.len()).unwrap_or(u32::MAX);
            self.step.events.push(NodeEvent::AncestorsMissing { count });
        }
        self.take_accepted(result.accepted, now);
        self.commit(now);
    }

    /// Continues the commit sequence with certified commits.
    ///
    /// # Errors
    /// If one of them is not the next commit of this sequence; those before it are adopted.
    pub fn adopt(&mut self, sub_dags: Vec<SubDag>, now: Duration) -> Result<(), AdoptError> {
        let mut outcome = Ok(());
        for sub_dag in sub_dags {
            match self.linearizer.adopt(&mut self.dag, &sub_dag) {
                Ok(added) => {
                    self.take_accepted(added, now);
                    self.unvoted.made([sub_dag.reference]);
                    self.votes.made([sub_dag.reference]);
                    self.uncommitted.on_committed(&sub_dag);
                    self.step.commits.push((sub_dag, CommitOrigin::Certified));
                }
                Err(e) => {
                    outcome = Err(e);
                    break;
                }
            }
        }
        self.resume_deciding_after_last_commit();
        let released = self.manager.release(&mut self.dag);
        self.take_accepted(released, now);
        self.commit(now);
        outcome
    }

    /// Sets the highest round that this authority has signed, as returned by peers.
    pub fn set_last_proposed_round(&mut self, round: Round) {
        self.last_proposed_round = self.last_proposed_round.max(round);
        self.last_proposed_round_known = true;
    }

    /// Ends proposing in this epoch: commit votes of 2f+1 stake for the boundary are stored.
    pub const fn end(&mut self) {
        self.is_over = true;
    }

    /// Leaves the epoch. Returns the pool, with the transactions of own blocks that no commit contains in front, and
    /// their number: the next epoch proposes them again (contract §7.1).
    #[must_use]
    pub fn leave(mut self) -> (Pool, u32) {
        let last_leader = self.linearizer.last_leader();
        let last_leader = last_leader.map_or(Round(0), |leader| leader.round);
        let requeue = self.uncommitted.requeue_all(last_leader, &mut self.pool);
        (self.pool, requeue)
    }

    /// Makes own blocks as long as one is due. Returns the time of the next one if it only depends on time.
    pub fn propose(
        &mut self,
        now: Duration,
        timestamp_ms: TimestampMs,
        paused: bool,
    ) -> Option<Duration> {
        loop {
            match decide(&self.proposal_view(now, paused)) {
                ProposalDecision::Wait => return None,
                ProposalDecision::WaitUntil(time) => return Some(time),
                ProposalDecision::Propose => {}
            }
            let round = self.clock.round();
            assert!(
                round > self.last_proposed_round,
                "a block of round {round} would be signed after one of round {}",
                self.last_proposed_round
            );
            let ancestors = ancestors_for(&self.dag, self.own()?, round)?;
            let block = self.next_block(round, timestamp_ms, ancestors)?;
            self.last_proposed_round = round;
            self.last_proposed = Some(now);
            let unstored = self.step.own.replace(block.clone());
            assert!(
                unstored.is_none(),
                "{} would be proposed before the previous own block was stored",
                block.reference()
            );
            let accepted = self
                .manager
                .accept(&mut self.dag, vec![block], Source::Own)
                .accepted;
            self.take_accepted(accepted, now);
            self.commit(now);
        }
    }

    fn next_block(
        &mut self,
        round: Round,
        timestamp_ms: TimestampMs,
        ancestors: Vec<BlockRef>,
    ) -> Option<VerifiedBlock> {
        let commit_votes = self.unvoted.take();
        let signer = self.signer.as_ref()?;
        let block = Block {
            epoch: self.start.base.epoch,
            round,
            author: signer.index,
            timestamp_ms,
            ancestors,
            // Blocks after the boundary carry commit votes only.
            transactions: match self.uncommitted.block_bytes() {
                Some(most_bytes) if self.linearizer.boundary().is_none() => {
                    self.pool.fill(most_bytes)
                }
                _ => vec![],
            },
            commit_votes,
            end_of_epoch: self.linearizer.epoch_began().is_some_and(|began| {
                epoch_has_elapsed(began, timestamp_ms, self.parameters.epoch_duration_ms)
            }),
        };
        Some(block.sign(&signer.keys, self.start.chain.id()))
    }

    /// What is to be proposed.
    pub const fn pool(&mut self) -> &mut Pool {
        &mut self.pool
    }

    /// Returns the results since the last call.
    pub fn take_step(&mut self) -> Step {
        if let Some((own, others)) = self.votes.contradiction() {
            self.step.fault = Some(BrokenPromise::OtherCommit { own, others });
        }
        std::mem::take(&mut self.step)
    }

    /// The missing ancestors to fetch first, with the authors of the blocks that wait for them.
    #[must_use]
    pub fn missing(&self) -> Missing {
        self.manager.missing_first(FETCHED_PER_PEER)
    }

    /// A counter that increases whenever [`Self::missing`] may have changed.
    #[must_use]
    pub const fn missing_changes(&self) -> u64 {
        self.manager.changes()
    }

    #[must_use]
    pub fn last_commit(&self) -> Option<CommitRef> {
        self.linearizer.last_commit()
    }

    /// The last commit for which votes of 2f+1 stake were received.
    #[must_use]
    pub const fn quorum_commit(&self) -> CommitIndex {
        self.votes.quorum()
    }

    #[must_use]
    pub const fn last_proposed_round(&self) -> Round {
        self.last_proposed_round
    }

    #[must_use]
    pub const fn highest_round(&self) -> Round {
        self.dag.highest_round()
    }

    /// Size of the suspended blocks, once for each source.
    #[must_use]
    pub fn suspended_bytes(&self) -> usize {
        self.manager.suspended_bytes()
    }

    /// The round above which `author`'s blocks are needed: that of its newest block, or the gc round.
    #[must_use]
    pub fn wanted_after(&self, author: AuthorityIndex) -> Round {
        self.dag.newest_of(author).round.max(self.dag.gc_round())
    }

    /// No later commit will contain a block of this round or an earlier one.
    pub const fn gc_round(&self) -> Round {
        self.dag.gc_round()
    }

    fn own(&self) -> Option<AuthorityIndex> {
        self.signer.as_ref().map(|signer| signer.index)
    }

    fn take_accepted(&mut self, accepted: Vec<VerifiedBlock>, now: Duration) {
        for block in accepted {
            let reference = block.reference();
            if self.clock.observe(&reference).is_some() {
                self.round_entered = now;
            }
            let (epoch, slot) = (block.epoch, reference.slot());
            if self.dag.blocks_at_slot(slot).nth(1).is_some() {
                let equivocation = NodeEvent::Equivocation { epoch, slot };
                self.step.events.push(equivocation);
            }
            self.add_if_uncommitted(&block);
            self.step.blocks.push(block);
        }
    }

    fn commit(&mut self, now: Duration) {
        self.decide_all(now);
        let collected = self.dag.gc_round();
        let transactions = self.uncommitted.requeue(collected, &mut self.pool);
        if transactions > 0 {
            let epoch = self.start.base.epoch;
            let requeue = NodeEvent::Requeued {
                epoch,
                transactions,
            };
            self.step.events.push(requeue);
        }
    }

    fn decide_all(&mut self, now: Duration) {
        loop {
            let decisions = self.rule.decide(&self.dag, self.last_decided);
            let Some(last) = decisions.last() else { return };
            self.last_decided = last.slot();
            let mut leaders = vec![];
            let mut origins = vec![];
            for decision in decisions {
                match decision {
                    Decision::Commit { leader, direct, .. } => {
                        leaders.push(leader);
                        origins.push(if direct {
                            CommitOrigin::Direct
                        } else {
                            CommitOrigin::Indirect
                        });
                    }
                    Decision::Skip { slot, .. } => {
                        let slot = self.rule.block_slot(slot);
                        self.step.events.push(NodeEvent::LeaderSkipped { slot });
                    }
                    Decision::Conflict {
                        certified: [first, second],
                        ..
                    } => {
                        self.step.fault = Some(BrokenPromise::TwoCertified { first, second });
                        return;
                    }
                }
            }
            let sub_dags = self.linearizer.linearize(&mut self.dag, leaders);
            let made = sub_dags.iter().map(|sub_dag| sub_dag.reference);
            self.votes.made(made.clone());
            self.unvoted.made(made);
            for sub_dag in &sub_dags {
                self.uncommitted.on_committed(sub_dag);
            }
            self.step.commits.extend(sub_dags.into_iter().zip(origins));
            // The gc round advanced, so suspended blocks may be released, which may allow new decisions.
            let released = self.manager.release(&mut self.dag);
            if released.is_empty() {
                return;
            }
            self.take_accepted(released, now);
        }
    }

    fn proposal_view(&self, now: Duration, paused: bool) -> ProposalView {
        let clock_round = self.clock.round();
        ProposalView {
            clock_round,
            last_proposed_round: self.last_proposed_round,
            last_proposed_round_known: self.last_proposed_round_known,
            paused,
            is_over: self.is_over || self.signer.is_none(),
            leaders_present: self.leaders_present(clock_round.prev()),
            now,
            round_entered: self.round_entered,
            last_proposed: self.last_proposed,
            min_round_delay: Duration::from_millis(self.parameters.min_round_delay_ms),
            leader_timeout: Duration::from_millis(self.parameters.leader_timeout_ms),
        }
    }

    fn leaders_present(&self, round: Round) -> bool {
        self.rule
            .leaders(round)
            .all(|slot| self.dag.blocks_at_slot(slot).next().is_some())
    }

    fn resume_deciding_after_last_commit(&mut self) {
        if let Some(leader) = self.linearizer.last_leader()
            && let Some(slot) = self.rule.slot_led_by(&leader)
        {
            self.last_decided = self.last_decided.max(slot);
        }
    }
}
