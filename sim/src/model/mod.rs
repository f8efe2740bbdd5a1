//! The reference model: the paper and the specification, slow and obvious, without the node's code.
//!
//! From all blocks that were ever seen, whose validity it judges itself, it derives leaders, decisions, sub-DAGs, their
//! order and timestamps, boundaries, committees, the content of each delivered block, and the state after it.
//!
//! | file | content |
//! |---|---|
//! | `derived` | [`Derived`]: the results |
//! | `committee` | members, quorums and leaders of an epoch |
//! | `validity` | which blocks honest nodes may accept |
//! | `dag` | accepted blocks of an epoch, and those that wait for ancestors |
//! | `decide` | which leaders are committed or skipped |
//! | `sub_dag` | from committed leaders to commits |
//! | `bcs` | a writer, for the digests of commits |
//! | `content` | the block that a commit is delivered as |
//! | `ledger` | accounts and state roots |
//!
//! It may be ahead of a node, and never differs: what it derives depends on the blocks alone, not on their order. It
//! keeps what undecided rounds need, not what the run was.
//!
//! # Deviations from the paper
//! The protocol is Mysticeti-C of Babel et al., 2023, as the specification changes it:
//! * **Skip pattern.** Blames name no block of the slot at all; the paper counts them for each block of the slot.
//! * **Leaders** are drawn by stake from epoch and round alone (contract §13.1), `leaders_per_round` of them.
//! * **First leaders** are those of round 2, so that their parents carry timestamps of clocks (contract §7.8).
//! * **Garbage collection.** The commit of a leader of round `R` leaves out rounds up to `R - gc_depth_rounds`, and no
//!   block of these rounds is waited for after it. So ancestors in round 0 are never looked at.
//! * **Size.** What does not fit into `max_commit_bytes` is left to later commits (contract §13.6).
//! * **Timestamps** of commits are medians of those of the leader's parents, and never fall.
//! * **Boundary.** End-of-epoch marks of a quorum end the commits of an epoch (contract §7).
//! * **Slots.** As in the paper, and other than in a node, every valid block is accepted, also of equivocating authors.
//!   The blocks that honest nodes accept are among them, and decisions are the same for any of these sets.

mod bcs;
mod committee;
mod content;
mod dag;
mod decide;
mod derived;
mod ledger;
mod sub_dag;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod validity;

pub use derived::Derived;

use crate::witness::{Member, SeenBlock, SeenCommit};
use committee::Committee;
use dag::Dag;
use decide::{Decision, LeaderSlot, Rule};
use ledger::Ledger;
use metanode_core::types::{BlockRef, Epoch, GlobalExecIndex, Round, SignatureScheme, TimestampMs};
use std::{cmp::Ordering, collections::VecDeque, sync::Arc};
use sub_dag::Commits;
use validity::{Judge, Judgement};

/// Blocks of later epochs that are kept, at most. A node accepts none before the model has begun their epoch, and is
/// seen to store those that it accepts then.
const MOST_OF_LATER_EPOCHS: usize = 1024;

/// What the chain is made of: everything that the specification leaves to configuration.
pub struct Genesis {
    pub scheme: SignatureScheme,
    pub gc_depth_rounds: u32,
    pub leaders_per_round: u32,
    /// Size of the transactions of one commit (specification §13.6).
    pub max_commit_bytes: u32,
    /// Starts of later epochs are multiples of it (specification §7.3).
    pub epoch_start_granularity_ms: u32,
    /// Start of epoch 0.
    pub start_ms: TimestampMs,
    /// Of each account.
    pub initial_balance: u128,
    /// The members of the committee of an epoch, in any order.
    pub members: Box<dyn Fn(Epoch) -> Vec<Member> + Send>,
}

/// The reference model of one chain.
pub struct Model {
    /// What signatures cover.
    id: [u8; 32],
    genesis: Genesis,
    judge: Judge,
    running: RunningEpoch,
    /// Valid blocks of later epochs, oldest first.
    later: VecDeque<Arc<SeenBlock>>,
    ledger: Ledger,
}

/// The epoch whose commits are derived.
struct RunningEpoch {
    committee: Committee,
    base: GlobalExecIndex,
    dag: Dag,
    commits: Commits,
    /// The next slot to decide.
    next: LeaderSlot,
}

impl Model {
    #[must_use]
    pub fn new(genesis: Genesis) -> Self {
        let id = genesis.id();
        Self::of_chain(genesis, id)
    }

    /// With blocks that are signed for this chain.
    fn of_chain(genesis: Genesis, id: [u8; 32]) -> Self {
        Self {
            id,
            judge: Judge::default(),
            running: RunningEpoch::new(
                genesis.committee(Epoch(0)),
                GlobalExecIndex(0),
                genesis.start_ms,
            ),
            later: VecDeque::new(),
            ledger: Ledger::new(genesis.initial_balance),
            genesis,
        }
    }

    /// The begin of epoch 0, from which everything else is derived.
    #[must_use]
    pub fn genesis(&self) -> Derived {
        RunningEpoch::new(
            self.genesis.committee(Epoch(0)),
            GlobalExecIndex(0),
            self.genesis.start_ms,
        )
        .began(self.genesis.start_ms)
    }

    /// A block that was seen. Returns what follows from it, in order. A block that is known has no effect.
    pub fn add(&mut self, block: &Arc<SeenBlock>) -> Vec<Derived> {
        let mut derived = vec![];
        match self.judge(block) {
            Judgement::Valid => {}
            Judgement::Invalid(reason) => {
                derived.extend(reason.map(|reason| Derived::InvalidBlock {
                    block: block.reference,
                    reason,
                }));
                return derived;
            }
        }
        let mut open = VecDeque::from([block.clone()]);
        while let Some(block) = open.pop_front() {
            match block.epoch.cmp(&self.running.committee.epoch()) {
                Ordering::Less => {}
                Ordering::Greater => self.keep_for_later(block),
                Ordering::Equal => {
                    let Some(waited) = self.running.dag.add(&block) else {
                        continue;
                    };
                    open.extend(waited);
                    // Slots are decided by blocks of later rounds alone.
                    if block.reference.round > self.running.next.round {
                        self.commit_decided(&mut open, &mut derived);
                    }
                }
            }
        }
        derived
    }

    fn judge(&mut self, block: &SeenBlock) -> Judgement {
        let (genesis, running, id) = (&self.genesis, &self.running.committee, &self.id);
        self.judge.judge(block, |block| {
            if block.epoch == running.epoch() {
                validity::check(block, running, genesis.scheme, id)
            } else {
                let committee = genesis.committee(block.epoch);
                validity::check(block, &committee, genesis.scheme, id)
            }
        })
    }

    fn keep_for_later(&mut self, block: Arc<SeenBlock>) {
        let is_kept = |kept: &Arc<SeenBlock>| kept.reference == block.reference;
        if self.later.iter().any(is_kept) {
            return;
        }
        if self.later.len() == MOST_OF_LATER_EPOCHS {
            self.later.pop_front();
        }
        self.later.push_back(block);
    }

    /// Makes the commits of all leaders that are decided. Blocks that may be accepted after that are added to `open`.
    fn commit_decided(&mut self, open: &mut VecDeque<Arc<SeenBlock>>, derived: &mut Vec<Derived>) {
        loop {
            let RunningEpoch {
                committee,
                dag,
                next,
                ..
            } = &mut self.running;
            let mut rule = Rule::new(dag, committee, self.genesis.leaders_per_round);
            let (decision, after) = (rule.decide(*next), rule.after(*next));
            match decision {
                Decision::Undecided => return,
                Decision::Skip => *next = after,
                Decision::Commit(leader) => {
                    *next = after;
                    let Some((commit, gei)) = self.commit(leader, open, derived) else {
                        return;
                    };
                    if sub_dag::is_boundary(&commit, &self.running.committee) {
                        self.begin_epoch_after(&commit, gei, derived);
                        open.extend(self.later.drain(..));
                        return;
                    }
                }
            }
        }
    }

    fn commit(
        &mut self,
        leader: BlockRef,
        open: &mut VecDeque<Arc<SeenBlock>>,
        derived: &mut Vec<Derived>,
    ) -> Option<(Arc<SeenCommit>, GlobalExecIndex)> {
        let RunningEpoch {
            committee,
            base,
            dag,
            commits,
            ..
        } = &mut self.running;
        let gc_depth = self.genesis.gc_depth_rounds;
        let gc_round = Round(leader.round.0.saturating_sub(gc_depth));
        let leader = dag.get(&leader)?;
        let max_bytes = self.genesis.max_commit_bytes as usize;
        let commit = commits.next(leader, gc_round, max_bytes, dag, committee);
        let (frame, transactions) = content::frame(&commit, *base, dag, committee);
        let frame = Arc::new(frame);
        let (state_root, applied) = self.ledger.execute(&frame);
        let gei = frame.gei;
        derived.push(Derived::Commit {
            commit: commit.clone(),
            frame,
            transactions: transactions.into(),
            state_root,
            applied: applied.into(),
        });
        open.extend(dag.collect(gc_round));
        Some((commit, gei))
    }

    /// Begins the next epoch: its base is the GEI of the boundary, its start the boundary's timestamp, rounded up (contract
    /// §7.3).
    fn begin_epoch_after(
        &mut self,
        boundary: &SeenCommit,
        base: GlobalExecIndex,
        derived: &mut Vec<Derived>,
    ) {
        let epoch = boundary.epoch.next();
        let granularity_ms = u64::from(self.genesis.epoch_start_granularity_ms);
        let granules = boundary.timestamp_ms.0.div_ceil(granularity_ms);
        let start_ms = TimestampMs(granules * granularity_ms);
        self.running = RunningEpoch::new(self.genesis.committee(epoch), base, start_ms);
        derived.push(self.running.began(start_ms));
    }
}

impl Genesis {
    fn committee(&self, epoch: Epoch) -> Committee {
        Committee::new(epoch, (self.members)(epoch))
    }

    /// The identity of the chain (contract §13.4).
    fn id(&self) -> [u8; 32] {
        let mut start = self.start_ms.0.to_le_bytes().to_vec();
        for member in self.committee(Epoch(0)).members() {
            start.extend((member.authority_key.len() as u64).to_le_bytes());
            start.extend(&member.authority_key);
            start.extend(member.protocol_key);
            start.extend(member.stake.to_le_bytes());
            start.extend(&member.address);
        }
        let parameters = [
            self.gc_depth_rounds,
            self.leaders_per_round,
            self.max_commit_bytes,
            self.epoch_start_granularity_ms,
        ];
        let parameters = parameters.map(u32::to_le_bytes);
        let genesis = *blake3::hash(&start).as_bytes();
        *blake3::hash(&[&genesis[..], &parameters.concat()].concat()).as_bytes()
    }
}

impl RunningEpoch {
    fn began(&self, start_ms: TimestampMs) -> Derived {
        Derived::EpochBegan {
            epoch: self.committee.epoch(),
            base: self.base,
            start_ms,
            committee: self.committee.members().into(),
        }
    }

    fn new(committee: Committee, base: GlobalExecIndex, start_ms: TimestampMs) -> Self {
        Self {
            committee,
            base,
            dag: Dag::default(),
            commits: Commits::new(start_ms),
            next: LeaderSlot::FIRST,
        }
    }
}
