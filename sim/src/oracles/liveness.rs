//! LIVE: *once faults end, every live executor reaches the committed tip within a bounded time, every live honest node
//! proposes and is referenced, and an epoch that is due ends.*
//!
//! Judged by the blocks and commits that were seen and by the watermarks on disks. Within the plan's `settle_ms` after
//! faults ended:
//!
//! 1. every executor of a live honest validator has durable what was decided when faults ended;
//! 2. then, in some measurement, commits and transactions proceed at least at a quarter of the rate that the plan allows
//!    in the worst case. One round takes at most
//!    `R = min_round_delay + leader_timeout + 2 · highest latency + ROUND_SLACK_MS`, because with f validators down a
//!    round may wait for a missing leader; one block takes at most
//!    `X = longest execution + (watermark_poll + 2 · highest latency + ACKNOWLEDGED_MS) / window`.
//!    A measurement of `t ≥ MEASURED_MS` demands `t / (4 · max(R, X))` commits, and as many transactions, but at most a
//!    quarter of those that were offered in its first `MEASURED_MS / 2`. A measurement that does not get there within
//!    `12 · max(R, X, MEASURED_MS)` begins again;
//! 3. meanwhile every live honest member of the committee that was free to propose for `20 · R` has sent a block of its
//!    own that others name as an ancestor, and every executor of a live honest validator has made as many blocks durable
//!    as commits are demanded;
//! 4. meanwhile no epoch is due for longer than `20 · R` by the clocks of live honest members with 2f+1 of its stake that
//!    are free to propose in it (if no clock jumps). A start counts once it has proposed, at the latest after the longest
//!    pause between two of its attempts and `20 · R`. While an epoch is due, measuring goes on, also after the time is up.
//!
//! The chain may be faster than an executor, which then never reaches the tip; while it is half a window behind, its node may
//! be paused (contract §5). While that is not so and its process runs, a node is free to propose.
//!
//! No violation: missing progress while faults last; a run that ends before the time is up; processes of validators that
//! are Byzantine or stay down for good.

mod bounds;
mod processes;
mod report;

use self::{
    bounds::{Bounds, MEASURED_MS, Measurement},
    processes::{Executor, Node},
};
use super::{
    Invariant, Oracle, Violation,
    epoch::{clocks_are_known, must_end},
};
use crate::{
    model::Derived,
    plan::{Authorities, Plan},
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
    witness::{Fact, SeenBlock, Taken},
};
use metanode_core::{
    env::{Event, NodeEvent},
    types::{Epoch, GlobalExecIndex, Round, TimestampMs},
};
use rustc_hash::FxHashSet;
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct Liveness {
    plan: Plan,
    bounds: Bounds,
    authorities: Authorities,
    executors: BTreeMap<u16, Executor>,
    nodes: BTreeMap<u16, Node>,
    /// The last commit that was decided.
    tip: GlobalExecIndex,
    highest_round: (Epoch, Round),
    epoch: Running,
    phase: Phase,
    /// The time of the last entry.
    now: SimTime,
}

/// The running epoch.
struct Running {
    epoch: Epoch,
    /// The timestamp of its first commit, from which its age counts (contract §7).
    began: Option<TimestampMs>,
    /// For how long it has been due by the clocks of members that were free to propose; `None` if it was not due yet.
    due_for: Option<SimTime>,
}

enum Phase {
    Faults,
    /// After faults have ended, until every executor has the tip of that time.
    CatchingUp {
        began: Entry,
        tip: GlobalExecIndex,
    },
    Measuring {
        began: Entry,
        seen: Proposals,
        /// What each executor had durable when measuring began.
        durable: BTreeMap<u16, GlobalExecIndex>,
        rates: Measurement,
        /// Whether some measurement had all that is demanded.
        sufficed: bool,
    },
    Done,
}

/// Blocks since executors have caught up.
struct Proposals {
    /// Blocks of this round and above count.
    from: (Epoch, Round),
    proposed: BTreeSet<u16>,
    referenced: BTreeSet<u16>,
}

impl Liveness {
    pub(super) fn new(plan: &Plan) -> Self {
        let lives = |n: &u16| plan.takes_part(*n);
        let honest = || (0..plan.validators).filter(lives);
        let executors = plan.executors.len();
        Self {
            plan: plan.clone(),
            bounds: Bounds::of(plan),
            authorities: Authorities::new(plan),
            executors: honest()
                .filter(|n| usize::from(*n) < executors)
                .map(|n| (n, Executor::default()))
                .collect(),
            nodes: honest().map(|n| (n, Node::of(plan, n, 1))).collect(),
            tip: GlobalExecIndex(0),
            highest_round: (Epoch(0), Round(0)),
            epoch: Running {
                epoch: Epoch(0),
                began: None,
                due_for: None,
            },
            phase: Phase::Faults,
            now: SimTime::default(),
        }
    }

    /// A block on the wire or on a disk; its author has made it only if it is the one who sends or stores it.
    fn block_seen(&mut self, holder: u16, block: &SeenBlock) {
        let at = (block.epoch, block.reference.round);
        let author = (self.authorities).validator(block.epoch, block.reference.author);
        if author != Some(holder) || !self.nodes.contains_key(&holder) {
            return;
        }
        let author = holder;
        self.highest_round = self.highest_round.max(at);
        if let Some(node) = self.nodes.get_mut(&author)
            && at > node.newest
        {
            (node.newest, node.has_proposed) = (at, true);
        }
        let Phase::Measuring { seen, .. } = &mut self.phase else {
            return;
        };
        if at < seen.from {
            return;
        }
        seen.proposed.insert(author);
        for ancestor in &block.ancestors {
            let of = self.authorities.validator(block.epoch, ancestor.author);
            let counts = (block.epoch, ancestor.round) >= seen.from;
            if let Some(of) = of.filter(|of| counts && *of != author) {
                seen.referenced.insert(of);
            }
        }
    }

    fn derived(&mut self, derived: &Derived) {
        match derived {
            Derived::Commit { commit, frame, .. } => {
                self.tip = frame.gei;
                self.epoch.began = Some(commit.epoch_began_ms);
                if let Phase::Measuring { rates, .. } = &mut self.phase {
                    rates.commits += 1;
                }
            }
            Derived::EpochBegan { epoch, .. } => {
                self.epoch = Running {
                    epoch: *epoch,
                    began: None,
                    due_for: None,
                };
            }
            Derived::InvalidBlock { .. } => {}
        }
    }

    fn executor_seen(&mut self, n: u16, fact: &Fact, entry: &Entry) {
        let Some(executor) = self.executors.get_mut(&n) else {
            return;
        };
        let (Fact::Durable { watermark, .. } | Fact::ExecutorFound { watermark, .. }) = fact else {
            return;
        };
        executor.durable = *watermark;
        executor.last = Some(entry.clone());
        if let (Phase::Measuring { rates, .. }, Fact::Durable { blocks, .. }) =
            (&mut self.phase, fact)
        {
            for block in blocks.iter().filter(|block| block.gei > rates.counted) {
                rates.executed += block.transactions.len() as u64;
            }
            rates.counted = rates.counted.max(*watermark);
        }
    }

    fn node_said(&mut self, n: u16, event: &NodeEvent, entry: &Entry) {
        let Some(node) = self.nodes.get_mut(&n) else {
            return;
        };
        match event {
            NodeEvent::Waiting { .. } => node.waiting = Some(entry.clone()),
            NodeEvent::Ready => node.waiting = None,
            NodeEvent::ProposalsPaused { .. } => node.paused = Some(entry.clone()),
            NodeEvent::ProposalsResumed { .. } => node.paused = None,
            _ => {}
        }
    }

    /// A node has taken these transactions.
    fn taken(&mut self, transactions: &[Taken], at: SimTime) {
        if let Phase::Measuring { rates, .. } = &mut self.phase
            && at.since(rates.since).as_ms() <= MEASURED_MS / 2
        {
            rates.offered.extend(transactions.iter().map(|it| it.hash));
        }
    }

    fn world(&mut self, event: &WorldEvent, entry: &Entry) {
        let down = match event {
            WorldEvent::Started { start } => {
                if let ProcessId::Node(n) = entry.process
                    && let Some(node) = self.nodes.get_mut(&n)
                {
                    node.half_window = Node::of(&self.plan, n, *start).half_window;
                }
                false
            }
            WorldEvent::Killed
            | WorldEvent::Exited
            | WorldEvent::PowerLost { .. }
            | WorldEvent::Panicked { .. } => true,
            WorldEvent::FaultsEnded => {
                self.phase = Phase::CatchingUp {
                    began: entry.clone(),
                    tip: self.tip,
                };
                return;
            }
            _ => return,
        };
        match entry.process {
            ProcessId::Node(n) => {
                if let Some(node) = self.nodes.get_mut(&n) {
                    node.restart(down, entry.at);
                }
            }
            ProcessId::Executor(n) => {
                if let Some(executor) = self.executors.get_mut(&n) {
                    executor.down = down;
                }
            }
            ProcessId::Sub(_) | ProcessId::World => {}
        }
    }

    /// Whether all executors have this durable.
    fn all_have(&self, tip: GlobalExecIndex) -> bool {
        self.executors
            .values()
            .all(|executor| executor.durable >= tip)
    }

    /// Whether all executors have made this many blocks durable since.
    fn all_follow(&self, since: &BTreeMap<u16, GlobalExecIndex>, blocks: u64) -> bool {
        let mut executors = self.executors.iter();
        executors.all(|(n, executor)| {
            let before = since.get(n).copied().unwrap_or_default();
            executor.durable.0 >= before.0 + blocks
        })
    }

    /// Goes to the next phase if its time has come.
    fn proceed(&mut self, now: SimTime) {
        let commit_ms = self.bounds.commit_ms;
        let durable: BTreeMap<_, _> = (self.executors.iter())
            .map(|(n, executor)| (*n, executor.durable))
            .collect();
        let measurement = Measurement {
            since: now,
            commits: 0,
            offered: FxHashSet::default(),
            executed: 0,
            counted: durable.values().copied().max().unwrap_or_default(),
        };
        match &self.phase {
            Phase::CatchingUp { began, tip } if self.all_have(*tip) => {
                self.phase = Phase::Measuring {
                    began: began.clone(),
                    seen: Proposals {
                        from: self.highest_round,
                        proposed: BTreeSet::new(),
                        referenced: BTreeSet::new(),
                    },
                    durable,
                    rates: measurement,
                    sufficed: false,
                };
            }
            Phase::Measuring { seen, .. } if self.suffices(now) => {
                if self.epoch.due_for.is_none() && self.unseen(seen).is_empty() {
                    self.phase = Phase::Done;
                } else if let Phase::Measuring { sufficed, .. } = &mut self.phase {
                    *sufficed = true;
                }
            }
            Phase::Measuring { rates, .. }
                if now.since(rates.since).as_ms() > 12 * commit_ms.max(MEASURED_MS) =>
            {
                if let Phase::Measuring { rates, .. } = &mut self.phase {
                    *rates = measurement;
                }
            }
            Phase::Measuring { .. } | Phase::CatchingUp { .. } | Phase::Faults | Phase::Done => {}
        }
    }

    /// Whether commits, transactions and executors have proceeded as demanded, in this measurement or an earlier one.
    fn suffices(&self, now: SimTime) -> bool {
        let Phase::Measuring {
            rates,
            durable,
            sufficed,
            ..
        } = &self.phase
        else {
            return false;
        };
        let (elapsed_ms, commit_ms) = (now.since(rates.since).as_ms(), self.bounds.commit_ms);
        *sufficed
            || rates.suffice(elapsed_ms, commit_ms)
                && self.all_follow(durable, rates.demanded(elapsed_ms, commit_ms))
    }

    /// Whether the time is up by which everything but the end of an epoch is demanded, and something is missing.
    fn is_overdue(&self, began: &Entry, now: SimTime) -> bool {
        if now.since(began.at).as_ms() < self.plan.settle_ms {
            return false;
        }
        let silent = |seen| !self.silent(seen).is_empty();
        let is_silent = matches!(&self.phase, Phase::Measuring { seen, .. } if silent(seen));
        is_silent || !self.suffices(now)
    }

    /// Live honest members of the committee that have not proposed, or that nobody references.
    fn unseen(&self, seen: &Proposals) -> Vec<u16> {
        let members = |epoch| self.plan.epochs.members(epoch, self.plan.validators);
        let (then, now) = (members(seen.from.0), members(self.epoch.epoch));
        let is_in = |members: &[crate::plan::Member], n: u16| {
            members.iter().any(|member| member.validator == n)
        };
        let alone = now.len() == 1;
        let is_seen =
            |n: u16| seen.proposed.contains(&n) && (alone || seen.referenced.contains(&n));
        let nodes = self.nodes.keys().copied();
        nodes
            .filter(|n| is_in(&then, *n) && is_in(&now, *n) && !is_seen(*n))
            .collect()
    }

    /// Those of them that had the time to propose.
    fn silent(&self, seen: &Proposals) -> Vec<u16> {
        let had_time = |n: &u16| {
            let free_for = self.nodes.get(n).map(|node| node.free_for.as_ms());
            free_for.is_some_and(|free_ms| free_ms > self.bounds.reaction_ms)
        };
        self.unseen(seen).into_iter().filter(had_time).collect()
    }

    /// Whether this node runs, and its executor, if it has one, is at most half a window behind.
    fn is_free(&self, n: u16) -> bool {
        let Some(node) = self.nodes.get(&n) else {
            return false;
        };
        let is_behind = |executor: &Executor| executor.durable.0 + node.half_window < self.tip.0;
        !node.down && !self.executors.get(&n).is_some_and(is_behind)
    }

    /// Counts the time until `now`, with the state that all had in it.
    fn pass_time(&mut self, now: SimTime) {
        let passed = now.since(self.now);
        self.now = now;
        let Phase::Measuring { began, .. } = &self.phase else {
            return;
        };
        if passed.ns == 0 {
            return;
        }
        let faults_ended = began.at;
        let free: Vec<u16> = (self.nodes.keys().copied())
            .filter(|n| self.is_free(*n))
            .collect();
        for n in &free {
            if let Some(node) = self.nodes.get_mut(n) {
                node.free_for.ns += passed.ns;
            }
        }
        let Running { epoch, began, .. } = self.epoch;
        let start_is_over = |node: &Node| {
            let could_ask = node.restarted.max(faults_ended);
            node.has_proposed || now.since(could_ask).as_ms() > self.bounds.start_ms
        };
        let is_in = |node: &Node| start_is_over(node) && node.epoch >= epoch;
        let proposes = |n| free.contains(&n) && is_in(&self.nodes[&n]);
        let is_due = |began| must_end(&self.plan, epoch, began, now, proposes);
        if clocks_are_known(&self.plan) && began.is_some_and(is_due) {
            self.epoch.due_for = match self.epoch.due_for {
                None => Some(SimTime::default()),
                Some(before) => Some(SimTime {
                    ns: before.ns + passed.ns,
                }),
            };
        }
    }

    /// The entry that ended faults, while progress is demanded.
    const fn settling(&self) -> Option<&Entry> {
        match &self.phase {
            Phase::CatchingUp { began, .. } | Phase::Measuring { began, .. } => Some(began),
            Phase::Faults | Phase::Done => None,
        }
    }

    /// A violation if the running epoch should have ended long ago.
    fn epoch_ends(&self, entry: &Entry) -> Result<(), Box<Violation>> {
        let bound_ms = self.bounds.reaction_ms;
        let due_for = self.epoch.due_for.unwrap_or_default();
        if due_for.as_ms() <= bound_ms {
            return Ok(());
        }
        let message = format!(
            "expected epoch {} to end within {bound_ms} ms after it was due by the clocks of 2f+1 of its stake",
            self.epoch.epoch
        );
        Err(Violation::by(
            entry,
            Invariant::Live,
            "epoch-does-not-end",
            message,
            None,
        ))
    }
}

impl Oracle for Liveness {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        self.pass_time(entry.at);
        self.epoch_ends(entry)?;
        if let Some(began) = self.settling()
            && self.is_overdue(began, entry.at)
        {
            return Err(self.overdue(began, entry.at));
        }
        match (entry.process, &entry.what) {
            (ProcessId::Executor(n), What::Seen(fact)) => self.executor_seen(n, fact, entry),
            (
                ProcessId::Node(n),
                What::Seen(Fact::BlockSent { block } | Fact::BlockStored { block, .. }),
            ) => self.block_seen(n, block),
            (ProcessId::Node(_), What::Seen(Fact::BatchAnswered { taken, .. })) => {
                self.taken(taken, entry.at)
            }
            (ProcessId::Node(n), What::Seen(Fact::EpochRecorded { record })) => {
                if let Some(node) = self.nodes.get_mut(&n) {
                    node.epoch = node.epoch.max(record.epoch);
                }
            }
            (ProcessId::Node(n), What::Process(Event::Node(event))) => {
                self.node_said(n, event, entry);
            }
            (_, What::Derived(derived)) => self.derived(derived),
            (_, What::World(event)) => self.world(event, entry),
            _ => return Ok(()),
        }
        self.proceed(entry.at);
        Ok(())
    }

    fn finish(&mut self, end: SimTime) -> Result<(), Box<Violation>> {
        self.pass_time(end);
        match self.settling() {
            Some(began) if self.is_overdue(began, end) => Err(self.overdue(began, end)),
            _ => Ok(()),
        }
    }

    fn is_satisfied(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }
}
