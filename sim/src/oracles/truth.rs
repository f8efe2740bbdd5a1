//! TRUTH: *what a process reports of itself is what its bytes and its disk say.*
//!
//! The only oracle that judges by events of processes. Each is compared with the fact that precedes it; other oracles
//! judge whether the fact itself is right.
//!
//! Violations: an own block, a commit, a frame, an epoch, a step of an epoch change or a durable watermark that is
//! reported otherwise than it was written, or without having been written, or that is written and not reported within
//! [`GRACE`] although the process runs, judged when it or the run ends; a watermark that was learned and is in no reply
//! that this incarnation has read since it asked its executor for epoch and watermark; two blocks that it reports of an
//! honest author for one slot (if the author signed both, NOEQUIV says so first); a start of an executor that finds
//! something else than its disk holds; a replay plan that does not follow from the node's disk and its executor's answer
//! (contract §6.3); a state root, reported for a block, that the disk does not have once the block is
//! durable.
//!
//! No violation: a fact whose report is missing because the process ended or was paused, or because the connection of the
//! frame was given up, which is known from the next one, or from the report of its end; an own block that a node had
//! proposed before its disk was restored, and that it has again from a peer.

mod pending;
mod replay;

use self::{
    pending::{GRACE, Pending, lie},
    replay::Known,
};
use super::{Invariant, Oracle, Violation};
use crate::{
    plan::{Authorities, Plan},
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
    witness::{EpochRecord, Fact, Frame, SeenBlock, SeenCommit, StateRoot},
};
use metanode_core::{
    config::StartPolicy,
    env::{Event, ExecutorEvent, NodeEvent},
    types::{AuthorityIndex, BlockRef, Epoch, GlobalExecIndex, ReplayPlan, Round, TimestampMs},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// Watermarks of replies that a node may still be about to report.
const RECENT_REPLIES: usize = 16;

pub(super) struct Truth {
    start_policy: StartPolicy,
    nodes: BTreeMap<u16, Node>,
    executors: BTreeMap<u16, Executor>,
    authorities: Authorities,
    /// Nodes that lost with their disks what they signed, and may have signed it again.
    restored: BTreeSet<u16>,
}

/// What one node wrote and read, and has not reported yet.
#[derive(Default)]
struct Node {
    own_blocks: Pending<(Epoch, BlockRef)>,
    commits: Pending<Arc<SeenCommit>>,
    /// Of the newest connection.
    frames: Pending<Arc<Frame>>,
    watermarks: VecDeque<GlobalExecIndex>,
    known: Known,
    /// On its disk.
    records: BTreeMap<Epoch, (Arc<EpochRecord>, Entry)>,
    /// Epochs of which the record on the disk is not reported.
    recorded: Pending<Epoch>,
    removed: Pending<Epoch>,
    paused: bool,
    /// The last own block that it reported, in all its incarnations.
    proposed: Option<(Epoch, Round)>,
    /// What that was when its disk was restored. It may fetch own blocks up to here from its peers, which it does not
    /// propose again.
    lost: Option<(Epoch, Round)>,
}

/// What one executor wrote and read, and has not reported yet.
#[derive(Default)]
struct Executor {
    found: Option<(GlobalExecIndex, StateRoot, Entry)>,
    durable: Pending<GlobalExecIndex>,
    entered: Pending<(Epoch, GlobalExecIndex, TimestampMs)>,
    /// The last block that it reported as executed, with the root after it.
    executed: Option<(GlobalExecIndex, StateRoot)>,
    paused: bool,
}

impl Node {
    fn seen(&mut self, fact: &Fact, entry: &Entry) {
        match fact {
            Fact::BlockStored { block, .. } => {
                let (epoch, name) = (block.epoch, block.reference);
                match self.lost.is_some_and(|lost| (epoch, name.round) <= lost) {
                    true => self.own_blocks.add_known((epoch, name), entry),
                    false => self.own_blocks.add((epoch, name), entry),
                }
            }
            Fact::CommitStored { commit, .. } => {
                let last = self.known.last_commits.entry(commit.epoch).or_default();
                *last = commit.index.max(*last);
                self.commits.add(commit.clone(), entry);
            }
            Fact::CommitsCut { epoch, from } => {
                self.known.last_commits.insert(*epoch, from.prev());
            }
            Fact::NodeFound { epoch, last_commit } => {
                self.known.last_commits.insert(*epoch, *last_commit);
            }
            // Frames of connections that were given up.
            Fact::StreamOpened { .. } => self.frames.clear(),
            Fact::FrameSent { frame, .. } => self.frames.add(frame.clone(), entry),
            Fact::ReplyRead { reply, .. } => {
                if let Some(watermark) = reply.watermark() {
                    if self.watermarks.len() == RECENT_REPLIES {
                        self.watermarks.pop_front();
                    }
                    self.watermarks.push_back(watermark);
                }
            }
            Fact::EpochRecorded { record } => {
                let recorded = (record.clone(), entry.clone());
                self.records.insert(record.epoch, recorded);
                self.recorded.add(record.epoch, entry);
            }
            Fact::EpochRemoved { epoch } => self.removed.add(*epoch, entry),
            _ => {}
        }
    }

    /// A watermark that the node uses is in a reply that it has read.
    fn learned(&self, watermark: GlobalExecIndex, entry: &Entry) -> Result<(), Box<Violation>> {
        match self.watermarks.contains(&watermark) {
            true => Ok(()),
            false => Err(lie(entry, "watermark-in-no-reply", None)),
        }
    }

    fn planned(&self, plan: &ReplayPlan, entry: &Entry) -> Result<(), Box<Violation>> {
        let record = |epoch| self.records.get(&epoch).map(|(record, _)| &**record);
        match self.known.leads_to(plan, record) {
            true => Ok(()),
            false => Err(lie(entry, "another-replay-plan", None)),
        }
    }

    /// It takes the beginning of the newest epoch on its disk for what the executor has.
    fn assumed(
        &mut self,
        epoch: Epoch,
        watermark: GlobalExecIndex,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        let newest = self.records.last_key_value();
        let newest = newest.map(|(epoch, (record, _))| (*epoch, record.base));
        if newest != Some((epoch, watermark)) {
            return Err(lie(entry, "assumed-otherwise", None));
        }
        self.begins_with(epoch, watermark);
        Ok(())
    }

    /// An epoch begins with an answer of its own.
    fn begins_with(&mut self, epoch: Epoch, watermark: GlobalExecIndex) {
        self.known.answered = Some((epoch, watermark));
        self.watermarks.clear();
    }

    fn said(&mut self, event: &NodeEvent, entry: &Entry) -> Result<(), Box<Violation>> {
        match event {
            NodeEvent::Proposed { epoch, block, .. } => {
                self.proposed = self.proposed.max(Some((*epoch, block.round)));
                self.own_blocks
                    .reported(entry, |own| *own == (*epoch, *block))
            }
            NodeEvent::CommitStored {
                epoch,
                commit,
                gei,
                leader,
                blocks,
                ..
            } => {
                let base = self.records.get(epoch).map(|(record, _)| record.base);
                self.commits.reported(entry, |stored| {
                    (stored.epoch, stored.index, stored.digest)
                        == (*epoch, commit.index, commit.digest)
                        && base.is_none_or(|base| base.0 + u64::from(commit.index.0) == gei.0)
                        && stored.leader == *leader
                        && stored.blocks.len() == *blocks as usize
                })
            }
            NodeEvent::CommitRepaired { index } => self
                .commits
                .reported(entry, |stored| stored.index == *index),
            NodeEvent::FrameWritten {
                gei, epoch, commit, ..
            } => self.frames.reported(entry, |frame| {
                (frame.gei, frame.epoch, frame.commit) == (*gei, *epoch, commit.index)
            }),
            NodeEvent::StreamLost { .. } => {
                self.frames.clear();
                Ok(())
            }
            NodeEvent::WatermarkLearned { watermark }
            | NodeEvent::WatermarkStands { watermark, .. } => self.learned(*watermark, entry),
            NodeEvent::ExecutorQueried { epoch, watermark } => {
                let learned = self.learned(*watermark, entry);
                self.begins_with(*epoch, *watermark);
                learned
            }
            NodeEvent::GenesisAssumed {
                epoch, watermark, ..
            } => self.assumed(*epoch, *watermark, entry),
            NodeEvent::ReplayPlanned(plan) => self.planned(plan, entry),
            NodeEvent::EpochOpened {
                base,
                start_timestamp_ms,
                ..
            } => {
                let is_it = |record: &EpochRecord| {
                    (record.base, record.start_ms) == (base.base, *start_timestamp_ms)
                };
                self.record(base.epoch, entry, is_it)
            }
            NodeEvent::ChangeRecorded { epoch, step } => {
                let is_it = |record: &EpochRecord| record.step.is(step);
                self.record(*epoch, entry, is_it)
            }
            NodeEvent::EpochRemoved { epoch } => {
                self.removed.reported(entry, |removed| removed == epoch)
            }
            NodeEvent::Stopped | NodeEvent::Failed { .. } => {
                self.ended();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn record(
        &mut self,
        epoch: Epoch,
        entry: &Entry,
        is_it: impl FnOnce(&EpochRecord) -> bool,
    ) -> Result<(), Box<Violation>> {
        self.recorded.retain(|recorded| *recorded != epoch);
        match self.records.get(&epoch) {
            Some((record, _)) if is_it(record) => Ok(()),
            Some((_, fact)) => Err(lie(entry, "reported-otherwise", Some(fact.clone()))),
            None => Err(lie(entry, "reported-without-a-fact", None)),
        }
    }

    /// What an incarnation has not reported is never reported.
    fn ended(&mut self) {
        *self = Self {
            records: std::mem::take(&mut self.records),
            proposed: self.proposed,
            lost: self.lost,
            ..Self::default()
        };
    }

    fn overdue(&self, now: SimTime) -> Option<&Entry> {
        if self.paused {
            return None;
        }
        (self.own_blocks.overdue(now))
            .or_else(|| self.commits.overdue(now))
            .or_else(|| self.frames.overdue(now))
            .or_else(|| self.recorded.overdue(now))
            .or_else(|| self.removed.overdue(now))
    }

    fn pause(&mut self, paused: bool, now: SimTime) {
        self.paused = paused;
        self.own_blocks.begin_again(now);
        self.commits.begin_again(now);
        self.frames.begin_again(now);
        self.recorded.begin_again(now);
        self.removed.begin_again(now);
    }
}

impl Executor {
    fn seen(&mut self, fact: &Fact, entry: &Entry) -> Result<(), Box<Violation>> {
        match fact {
            Fact::ExecutorFound {
                watermark,
                state_root,
            } => self.found = Some((*watermark, *state_root, entry.clone())),
            Fact::Durable {
                watermark,
                state_root,
                ..
            } => {
                self.durable.add(*watermark, entry);
                let executed = self.executed.filter(|(gei, _)| gei == watermark);
                if let Some((_, root)) = executed
                    && root != *state_root
                {
                    let message = format!(
                        "expected the root that it reported for GEI {watermark}, {root}, its disk has {state_root}"
                    );
                    return Err(Violation::by(
                        entry,
                        Invariant::Truth,
                        "root-not-on-disk",
                        message,
                        None,
                    ));
                }
            }
            Fact::EpochEntered {
                epoch,
                boundary,
                start_ms,
            } => self.entered.add((*epoch, *boundary, *start_ms), entry),
            _ => {}
        }
        Ok(())
    }

    fn said(&mut self, event: &ExecutorEvent, entry: &Entry) -> Result<(), Box<Violation>> {
        match event {
            ExecutorEvent::Started {
                watermark,
                state_root,
            } => match self.found.take() {
                Some((found, root, _)) if (found, root.0) == (*watermark, *state_root) => Ok(()),
                Some((_, _, fact)) => Err(lie(entry, "reported-otherwise", Some(fact))),
                None => Err(lie(entry, "reported-without-a-fact", None)),
            },
            ExecutorEvent::Executed {
                gei, state_root, ..
            } => {
                self.executed = Some((*gei, StateRoot(*state_root)));
                Ok(())
            }
            ExecutorEvent::Durable { watermark } => {
                self.durable.reported(entry, |durable| durable == watermark)
            }
            ExecutorEvent::EpochEntered {
                epoch,
                boundary,
                start_timestamp_ms,
            } => {
                let start = (*epoch, *boundary, *start_timestamp_ms);
                self.entered.reported(entry, |entered| *entered == start)
            }
            ExecutorEvent::Stopped | ExecutorEvent::Failed { .. } => {
                *self = Self::default();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn overdue(&self, now: SimTime) -> Option<&Entry> {
        if self.paused {
            return None;
        }
        (self.durable.overdue(now)).or_else(|| self.entered.overdue(now))
    }

    fn pause(&mut self, paused: bool, now: SimTime) {
        self.paused = paused;
        self.durable.begin_again(now);
        self.entered.begin_again(now);
    }
}

impl Truth {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            start_policy: plan.start_policy,
            nodes: BTreeMap::new(),
            executors: BTreeMap::new(),
            authorities: Authorities::new(plan),
            restored: BTreeSet::new(),
        }
    }

    /// A process ends or starts.
    fn ended(&mut self, process: ProcessId, now: SimTime) -> Result<(), Box<Violation>> {
        match process {
            ProcessId::Node(n) => {
                let node = self.nodes.entry(n).or_default();
                reported_by(node.overdue(now))?;
                node.ended();
            }
            ProcessId::Executor(n) => {
                let executor = self.executors.entry(n).or_default();
                reported_by(executor.overdue(now))?;
                *executor = Executor::default();
            }
            ProcessId::Sub(_) | ProcessId::World => {}
        }
        Ok(())
    }

    fn paused(&mut self, process: ProcessId, paused: bool, now: SimTime) {
        match process {
            ProcessId::Node(n) => self.nodes.entry(n).or_default().pause(paused, now),
            ProcessId::Executor(n) => self.executors.entry(n).or_default().pause(paused, now),
            ProcessId::Sub(_) | ProcessId::World => {}
        }
    }

    /// Whether this author must not have two blocks in a slot. NOEQUIV judges one whose disk was restored.
    fn is_honest(&mut self, epoch: Epoch, author: AuthorityIndex) -> bool {
        let validator = self.authorities.validator(epoch, author);
        let is_honest = |n| self.authorities.is_honest(n) && !self.restored.contains(&n);
        validator.is_some_and(is_honest)
    }

    fn is_of_another(&mut self, n: u16, block: &SeenBlock) -> bool {
        let author = block.reference.author;
        self.authorities.validator(block.epoch, author) != Some(n)
    }
}

/// No fact is overdue.
fn reported_by(overdue: Option<&Entry>) -> Result<(), Box<Violation>> {
    let Some(fact) = overdue else {
        return Ok(());
    };
    let message = format!("expected a report within {} ms", GRACE.as_ms());
    Err(Violation::by(
        fact,
        Invariant::Truth,
        "not-reported",
        message,
        None,
    ))
}

impl Oracle for Truth {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match (entry.process, &entry.what) {
            (ProcessId::Node(n), _) if !self.authorities.is_honest(n) => {}
            (ProcessId::Node(n), What::World(WorldEvent::DiskRestored { .. })) => {
                self.restored.insert(n);
                let node = self.nodes.entry(n).or_default();
                node.lost = node.proposed;
            }
            (process, What::World(event)) => match event {
                WorldEvent::Started { .. }
                | WorldEvent::Killed
                | WorldEvent::Exited
                | WorldEvent::PowerLost { .. } => {
                    self.ended(process, entry.at)?;
                }
                WorldEvent::Paused => self.paused(process, true, entry.at),
                WorldEvent::Resumed => self.paused(process, false, entry.at),
                _ => {}
            },
            (ProcessId::Node(n), What::Seen(Fact::BlockStored { block, .. }))
                if self.is_of_another(n, block) => {}
            (ProcessId::Node(n), What::Seen(fact)) => {
                self.nodes.entry(n).or_default().seen(fact, entry);
            }
            (
                ProcessId::Node(_),
                What::Process(Event::Node(NodeEvent::Equivocation { epoch, slot })),
            ) if self.is_honest(*epoch, slot.author) => {
                return Err(lie(entry, "equivocation-of-an-honest-author", None));
            }
            (ProcessId::Node(_), What::Process(Event::Node(NodeEvent::GenesisAssumed { .. })))
                if self.start_policy == StartPolicy::Wait =>
            {
                return Err(lie(entry, "genesis-assumed", None));
            }
            (ProcessId::Node(n), What::Process(Event::Node(event))) => {
                self.nodes.entry(n).or_default().said(event, entry)?;
            }
            (ProcessId::Executor(n), What::Seen(fact)) => {
                self.executors.entry(n).or_default().seen(fact, entry)?;
            }
            (ProcessId::Executor(n), What::Process(Event::Executor(event))) => {
                self.executors.entry(n).or_default().said(event, entry)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, end: SimTime) -> Result<(), Box<Violation>> {
        let of_nodes = self.nodes.values().find_map(|node| node.overdue(end));
        let mut executors = self.executors.values();
        let of_executors = || executors.find_map(|executor| executor.overdue(end));
        reported_by(of_nodes.or_else(of_executors))
    }
}
