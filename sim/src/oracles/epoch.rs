//! EPOCH: *one change per epoch per node; same boundary, base, timestamp, committee everywhere; epochs never go back.*
//!
//! Input: the epoch records and own blocks on the disks of nodes, and the epochs on the disks of executors.
//!
//! Violations: an epoch with two bases, start timestamps, committees or boundaries; a step of a change out of an epoch
//! that is not the node's newest; a step that does not follow the previous one (contract §7), such as a second change
//! out of the same epoch; an executor that enters another epoch than the next one; an own block of an older epoch than
//! the node's previous one; an epoch that ends before it is due by the clocks of 2f+1 of its stake (judged only if no
//! clock jumps), where Byzantine members may end it at any time; an epoch that ends less than its duration after the
//! previous one ended, or after the run began: every epoch lasts, however late it begins (contract §7). The last rule is
//! measured in simulated time: the lower median of 2f+1 clocks is not behind the slowest of the 2f+1 that end an epoch,
//! unless some of them are Byzantine; then it may be behind by as much as honest clocks differ.
//!
//! No violation: a return to an older epoch after a backup of the executor was restored: it enters its epochs again,
//! and its nodes return to an older one and repeat its change; a change that is not finished because the executor is
//! already in the next epoch; a change that begins again because the node has removed the store of the epoch; a missing
//! `Drained` step of a node that does not deliver.

use super::{Invariant, Oracle, Violation, first_said::FirstSaid};
use crate::{
    clock,
    faults::{ClockFault, Fault, PlannedFault},
    plan::{Authorities, Member, Plan, Topology},
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
    witness::{ChangeStep, EpochRecord, Fact, Member as Authority, SeenBlock, SeenBoundary},
};
use metanode_core::types::{CommitDigest, CommitIndex, Epoch, GlobalExecIndex, TimestampMs};
use std::collections::BTreeMap;

pub(super) struct Epochs {
    topology: Topology,
    /// The plan, if it determines when epochs are due.
    clocks: Option<Plan>,
    /// Base and start timestamp, when the epoch is opened or entered, or the previous one ends.
    begins: FirstSaid<Epoch, (GlobalExecIndex, TimestampMs)>,
    /// When the epoch is opened.
    committees: FirstSaid<Epoch, Vec<Authority>>,
    /// The last commit of each epoch, when a change records it.
    boundaries: FirstSaid<Epoch, (CommitIndex, CommitDigest)>,
    /// The entry that first recorded the last commit of each epoch.
    ended: BTreeMap<Epoch, Entry>,
    /// The epoch that each executor entered last; `None` after a restored backup. All begin in epoch 0.
    executors: BTreeMap<u16, Option<(Epoch, Entry)>>,
    nodes: BTreeMap<u16, Node>,
    authorities: Authorities,
}

#[derive(Default)]
struct Node {
    /// The epoch that it recorded last, over all its incarnations.
    opened: Option<(Epoch, Entry)>,
    started: TimestampMs,
    /// The epoch of its last own block.
    proposed: Option<(Epoch, Entry)>,
    /// How often its executor was restored and its records, and its own blocks, have not returned to an older epoch.
    may_return: Returns,
    changes: BTreeMap<Epoch, Change>,
    /// Its disk was replaced by an older one, of which only what is written later is seen.
    is_restored: bool,
}

#[derive(Default)]
struct Returns {
    records: u32,
    blocks: u32,
}

impl Returns {
    /// Uses one of them, if there is one.
    fn take(left: &mut u32) -> bool {
        let is_left = *left > 0;
        *left = left.saturating_sub(1);
        is_left
    }
}

impl Change {
    /// Whether this step may be recorded next.
    fn is_followed_by(&mut self, step: ChangeStep, delivers: bool) -> bool {
        use ChangeStep::{Advanced, BoundaryCommitted, Drained, Running};
        let is_unknown = std::mem::take(&mut self.is_unknown);
        match (self.step, step) {
            (Running, BoundaryCommitted(_))
            | (BoundaryCommitted(_), Drained(_))
            | (Drained(_), Advanced(_)) => true,
            (BoundaryCommitted(_), Advanced(_)) => !delivers,
            (_, BoundaryCommitted(_) | Running) => std::mem::take(&mut self.may_begin_again),
            _ => is_unknown,
        }
    }
}

/// The recorded steps of the change out of an epoch.
struct Change {
    step: ChangeStep,
    recorded: Option<Entry>,
    may_begin_again: bool,
    /// Whether the step on the disk was not seen.
    is_unknown: bool,
}

impl Default for Change {
    fn default() -> Self {
        Self {
            step: ChangeStep::Running,
            recorded: None,
            may_begin_again: false,
            is_unknown: false,
        }
    }
}

impl Epochs {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            topology: plan.topology,
            clocks: clocks_are_known(plan).then(|| plan.clone()),
            begins: FirstSaid::default(),
            committees: FirstSaid::default(),
            boundaries: FirstSaid::default(),
            ended: BTreeMap::new(),
            executors: BTreeMap::new(),
            nodes: (0..plan.validators).map(|n| (n, Node::default())).collect(),
            authorities: Authorities::new(plan),
        }
    }

    fn begins(
        &mut self,
        epoch: Epoch,
        base: GlobalExecIndex,
        start: TimestampMs,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        match self.begins.contradicted(epoch, (base, start), entry) {
            None => Ok(()),
            Some(((first_base, first_start), earlier)) => Err(broken(
                entry,
                "begins-differ",
                format!(
                    "expected epoch {epoch} to begin after GEI {first_base} at {first_start} ms as {} has it, \
                     found GEI {base} at {start} ms",
                    earlier.process
                ),
                Some(earlier.clone()),
            )),
        }
    }

    fn opened(
        &mut self,
        n: u16,
        record: &EpochRecord,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        let epoch = record.epoch;
        self.begins(epoch, record.base, record.start_ms, entry)?;
        let committee = record.committee.clone();
        if let Some((_, earlier)) = self.committees.contradicted(epoch, committee, entry) {
            let message = format!(
                "expected the committee of epoch {epoch} that {} has, found another",
                earlier.process
            );
            return Err(broken(
                entry,
                "committees-differ",
                message,
                Some(earlier.clone()),
            ));
        }
        let node = self.nodes.entry(n).or_default();
        let is_unknown = node.is_restored && record.step != ChangeStep::Running;
        let change = || Change {
            is_unknown,
            ..Change::default()
        };
        node.changes.entry(epoch).or_insert_with(change);
        node.started = record.start_ms;
        let moves = match &node.opened {
            Some((last, _)) if epoch < *last => Returns::take(&mut node.may_return.records),
            Some((last, _)) => epoch > *last,
            None => true,
        };
        if moves {
            node.opened = Some((epoch, entry.clone()));
        }
        Ok(())
    }

    fn proposed(&mut self, n: u16, epoch: Epoch, entry: &Entry) -> Result<(), Box<Violation>> {
        let node = self.nodes.entry(n).or_default();
        match node.proposed.replace((epoch, entry.clone())) {
            Some((last, earlier))
                if epoch < last && !Returns::take(&mut node.may_return.blocks) =>
            {
                Err(broken(
                    entry,
                    "went-back",
                    format!(
                        "proposed in epoch {epoch} after epoch {last}, and its executor lost nothing"
                    ),
                    Some(earlier),
                ))
            }
            _ => Ok(()),
        }
    }

    fn recorded(
        &mut self,
        n: u16,
        epoch: Epoch,
        step: ChangeStep,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        use ChangeStep::{Advanced, BoundaryCommitted, Drained};
        if let BoundaryCommitted(boundary) | Drained(boundary) | Advanced(boundary) = step {
            let SeenBoundary {
                commit,
                digest,
                gei,
                timestamp_ms,
            } = boundary;
            self.begins(epoch.next(), gei, timestamp_ms, entry)?;
            let last = (commit, digest);
            if let Some((first, earlier)) = self.boundaries.contradicted(epoch, last, entry) {
                let message = format!(
                    "expected epoch {epoch} to end with commit {}:{} as {} has it, found {commit}:{digest}",
                    first.0, first.1, earlier.process
                );
                return Err(broken(
                    entry,
                    "boundaries-differ",
                    message,
                    Some(earlier.clone()),
                ));
            }
        }
        if let BoundaryCommitted(_) = step {
            self.lasted(epoch, entry)?;
        }
        let delivers = executor_of(self.topology, n) == n;
        let node = self.nodes.entry(n).or_default();
        match &node.opened {
            Some((open, _)) if *open == epoch => {}
            opened => {
                let message = format!(
                    "expected a change out of the epoch of the node, it recorded one of epoch {epoch}, which it is not in"
                );
                let earlier = opened.as_ref().map(|(_, earlier)| earlier.clone());
                return Err(broken(entry, "change-of-another-epoch", message, earlier));
            }
        }
        if let Some(plan) = &self.clocks
            && !is_due(plan, epoch, node.started, entry.at)
        {
            let message = format!(
                "expected epoch {epoch}, which began at {} ms, to last until it is due by the clocks of 2f+1 of its stake",
                node.started
            );
            let opened = node.opened.as_ref().map(|(_, earlier)| earlier.clone());
            return Err(broken(entry, "ended-too-early", message, opened));
        }
        let change = node.changes.entry(epoch).or_default();
        if !change.is_followed_by(step, delivers) {
            let before = change.step;
            let message =
                format!("in the change out of epoch {epoch} {step} does not follow {before}");
            return Err(broken(
                entry,
                "steps-out-of-order",
                message,
                change.recorded.take(),
            ));
        }
        (change.step, change.recorded) = (step, Some(entry.clone()));
        Ok(())
    }

    /// A record that is written when the epoch is entered has no new step.
    fn stepped(
        &mut self,
        n: u16,
        record: &EpochRecord,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        let change = self.nodes.entry(n).or_default();
        let known = change.changes.get(&record.epoch);
        if known.is_some_and(|change| change.step == record.step) {
            return Ok(());
        }
        self.recorded(n, record.epoch, record.step, entry)
    }

    fn is_own(&mut self, n: u16, block: &SeenBlock) -> bool {
        let author = self
            .authorities
            .validator(block.epoch, block.reference.author);
        author == Some(n)
    }

    /// The first record that the epoch has ended.
    fn lasted(&mut self, epoch: Epoch, entry: &Entry) -> Result<(), Box<Violation>> {
        if self.ended.contains_key(&epoch) {
            return Ok(());
        }
        let before = match epoch {
            Epoch(0) => None,
            later => self.ended.get(&later.prev()),
        };
        let began = before.map_or(SimTime::default(), |before| before.at);
        let lasted_ms = entry.at.since(began).as_ms();
        let least_ms = self.clocks.as_ref().map_or(0, |plan| least_ms(plan, epoch));
        if lasted_ms < least_ms {
            let message = format!(
                "expected epoch {epoch} to last {least_ms} ms at least after the one before it, it ended after {lasted_ms} ms"
            );
            return Err(broken(entry, "lasted-too-short", message, before.cloned()));
        }
        self.ended.insert(epoch, entry.clone());
        Ok(())
    }

    fn entered(&mut self, n: u16, epoch: Epoch, entry: &Entry) -> Result<(), Box<Violation>> {
        let entered = Some((epoch, entry.clone()));
        let (last, earlier) = match self.executors.insert(n, entered) {
            None => (Epoch(0), None),
            Some(None) => return Ok(()),
            Some(Some((last, earlier))) => (last, Some(earlier)),
        };
        if epoch == last.next() {
            return Ok(());
        }
        let message = format!(
            "expected epoch {} after epoch {last}, entered {epoch}",
            last.next()
        );
        Err(broken(entry, "executor-skipped-epoch", message, earlier))
    }

    fn restored(&mut self, executor: u16) {
        self.executors.insert(executor, None);
        for (n, node) in &mut self.nodes {
            if executor_of(self.topology, *n) == executor {
                node.may_return.records += 1;
                node.may_return.blocks += 1;
                for change in node.changes.values_mut() {
                    change.may_begin_again = true;
                }
            }
        }
    }
}

pub(super) fn clocks_are_known(plan: &Plan) -> bool {
    let jumps =
        |fault: &PlannedFault| matches!(fault.fault, Fault::Clock(ClockFault::JumpClock { .. }));
    let ends = plan.epochs.duration_ms.is_some();
    ends && !plan.faults.iter().any(jumps)
}

/// Whether 2f+1 of the stake may have marked the end of the epoch by now. Byzantine members may mark it at any time.
pub(super) fn is_due(plan: &Plan, epoch: Epoch, started: TimestampMs, now: SimTime) -> bool {
    is_marked_by_quorum(plan, epoch, |member| {
        plan.is_byzantine(member.validator) || has_elapsed(plan, member, started, now)
    })
}

/// Whether live honest members with 2f+1 of the stake must mark the end of the epoch by now. `proposes` says which nodes
/// have no reason not to propose.
pub(super) fn must_end(
    plan: &Plan,
    epoch: Epoch,
    started: TimestampMs,
    now: SimTime,
    proposes: impl Fn(u16) -> bool,
) -> bool {
    is_marked_by_quorum(plan, epoch, |member| {
        let n = member.validator;
        let is_live = plan.takes_part(n);
        is_live && proposes(n) && has_elapsed(plan, member, started, now)
    })
}

fn is_marked_by_quorum(plan: &Plan, epoch: Epoch, marks: impl Fn(&Member) -> bool) -> bool {
    let members = plan.epochs.members(epoch, plan.validators);
    let of_all: u64 = members.iter().map(|member| member.stake).sum();
    let marking = members.iter().filter(|member| marks(member));
    marking.map(|member| member.stake).sum::<u64>() > of_all * 2 / 3
}

/// Whether the duration of an epoch that started then is over by the clock of this member.
fn has_elapsed(plan: &Plan, member: &Member, started: TimestampMs, now: SimTime) -> bool {
    let duration_ms = plan.epochs.duration_ms.unwrap_or(u64::MAX);
    let host = usize::from(member.validator);
    let skew_ms = plan.clock_skew_ms.get(host).copied().unwrap_or(0);
    let drift_ppm = plan.clock_drift_ppm.get(host).copied().unwrap_or(0);
    clock::reading(now.as_ms(), skew_ms, drift_ppm).since_ms(started) >= duration_ms
}

/// The least duration of an epoch in simulated time, however late it begins.
fn least_ms(plan: &Plan, epoch: Epoch) -> u64 {
    /// Readings are whole milliseconds.
    const ROUNDING_MS: u64 = 3;
    let duration_ms = plan.epochs.duration_ms.unwrap_or(0);
    let members = plan.epochs.members(epoch, plan.validators);
    let (byzantine, honest): (Vec<_>, Vec<_>) = members
        .iter()
        .map(|member| member.validator)
        .partition(|validator| plan.is_byzantine(*validator));
    let skews = honest
        .iter()
        .map(|host| plan.clock_skew_ms[usize::from(*host)]);
    let spread_ms = match (byzantine.is_empty(), skews.clone().min(), skews.max()) {
        (false, Some(lowest), Some(highest)) => highest.abs_diff(lowest),
        _ => 0,
    };
    let drifts = plan.clock_drift_ppm.iter().map(|ppm| ppm.unsigned_abs());
    let drift_ppm = u64::from(drifts.max().unwrap_or(0));
    // Clocks drift from the start of the run.
    let drift_ms = 2 * drift_ppm * (plan.duration_ms + plan.settle_ms) / 1_000_000;
    duration_ms.saturating_sub(spread_ms + drift_ms + ROUNDING_MS)
}

/// The executor whose epochs a node follows.
const fn executor_of(topology: Topology, node: u16) -> u16 {
    match topology {
        Topology::SingleMaster => 0,
        Topology::MasterPerNode => node,
    }
}

fn broken(
    entry: &Entry,
    clause: &'static str,
    message: String,
    earlier: Option<Entry>,
) -> Box<Violation> {
    Violation::by(entry, Invariant::Epoch, clause, message, earlier)
}

impl Oracle for Epochs {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match (entry.process, &entry.what) {
            (ProcessId::Node(n), What::Seen(fact)) => match fact {
                Fact::EpochRecorded { record } => {
                    self.opened(n, record, entry)?;
                    self.stepped(n, record, entry)
                }
                Fact::BlockStored { block, .. } if self.is_own(n, block) => {
                    self.proposed(n, block.epoch, entry)
                }
                Fact::EpochRemoved { epoch } => {
                    let node = self.nodes.entry(n).or_default();
                    if let Some(change) = node.changes.get_mut(epoch) {
                        change.may_begin_again = true;
                    }
                    Ok(())
                }
                _ => Ok(()),
            },
            (
                ProcessId::Executor(n),
                What::Seen(Fact::EpochEntered {
                    epoch,
                    boundary,
                    start_ms,
                }),
            ) => {
                self.begins(*epoch, *boundary, *start_ms, entry)?;
                self.entered(n, *epoch, entry)
            }
            (ProcessId::Executor(n), What::World(WorldEvent::DiskRestored { .. })) => {
                self.restored(n);
                Ok(())
            }
            (ProcessId::Node(n), What::World(WorldEvent::DiskRestored { .. })) => {
                let is_restored = true;
                let node = Node {
                    is_restored,
                    ..Node::default()
                };
                self.nodes.insert(n, node);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
