//! Receives every entry: for the trace, the oracles, the probes and the figures of the report.

use crate::{
    faults::Occurrences,
    model::{Derived, Model},
    oracles::{self, Oracle, Violation},
    panics::Panic,
    plan::{Plan, Topology},
    probes::Probes,
    trace::{Entry, ProcessId, SimTime, Trace, TraceHash, What, WorldEvent},
    witness::Fact,
};
use metanode_core::{
    env::{CrashPoint, Event, ExecutorEvent, NodeEvent},
    types::{CommitIndex, Epoch, GlobalExecIndex},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One node at the end of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// The epoch of its last commit.
    pub epoch: Epoch,
    pub last_commit: CommitIndex,
    pub last_gei: GlobalExecIndex,
    /// Maximum number of blocks in its window.
    pub window_max: u32,
    /// How long its proposals were paused.
    pub proposals_paused_ms: u64,
    pub starts: u32,
    #[serde(skip)]
    paused_since: Option<SimTime>,
}

/// One executor at the end of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorReport {
    /// The durable watermark.
    pub last_block_number: GlobalExecIndex,
    /// After the last executed block.
    pub state_root: [u8; 32],
    /// Received blocks that were not executed.
    pub duplicates: u64,
    pub restarts: u32,
    #[serde(skip)]
    received: u64,
    #[serde(skip)]
    executed: u64,
}

/// The record of one run.
pub struct Recorder {
    trace: Trace,
    /// `None` when the run is finished.
    model: Option<Model>,
    /// Empty when the run is finished.
    oracles: Vec<Box<dyn Oracle + Send>>,
    violation: Option<Violation>,
    panic: Option<Panic>,
    probes: Probes,
    nodes: Vec<NodeReport>,
    executors: Vec<ExecutorReport>,
    reached: BTreeMap<(ProcessId, CrashPoint), Occurrences>,
    memory_bytes: BTreeMap<ProcessId, u64>,
    end: SimTime,
}

impl Recorder {
    #[must_use]
    pub fn new(plan: &Plan, model: Model, keep_entries: usize) -> Self {
        let validators = usize::from(plan.validators);
        let executors = match plan.topology {
            Topology::SingleMaster => 1,
            Topology::MasterPerNode => validators,
        };
        let genesis = Entry {
            at: SimTime::default(),
            process: ProcessId::World,
            what: What::Derived(model.genesis()),
        };
        let mut recorder = Self {
            trace: Trace::new(keep_entries),
            model: Some(model),
            oracles: oracles::all(plan),
            violation: None,
            panic: None,
            probes: Probes::default(),
            nodes: vec![NodeReport::default(); validators],
            executors: vec![ExecutorReport::default(); executors],
            reached: BTreeMap::new(),
            memory_bytes: BTreeMap::new(),
            end: SimTime::default(),
        };
        recorder.record(genesis);
        recorder
    }

    /// Records a fact, then what follows from it by the reference model.
    pub fn see(&mut self, at: SimTime, process: ProcessId, fact: Fact) {
        if self.is_over() {
            return;
        }
        let derived = match (&mut self.model, &fact) {
            (Some(model), Fact::BlockSent { block } | Fact::BlockStored { block, .. }) => {
                model.add(block)
            }
            _ => vec![],
        };
        let is_invalid = |derived: &Derived| matches!(derived, Derived::InvalidBlock { .. });
        // Whether a block is valid is known before it is seen.
        let (verdict, results): (Vec<_>, Vec<_>) = derived.into_iter().partition(is_invalid);
        let of_model = |derived| (ProcessId::World, What::Derived(derived));
        let entries = verdict
            .into_iter()
            .map(of_model)
            .chain([(process, What::Seen(fact))])
            .chain(results.into_iter().map(of_model));
        for (process, what) in entries {
            self.record(Entry { at, process, what });
        }
    }

    /// Records one entry. After a violation nothing more is recorded: the trace ends with the entry that proves it.
    pub fn record(&mut self, entry: Entry) {
        if self.violation.is_some() {
            return;
        }
        self.end = entry.at;
        self.probes.observe(&entry);
        self.count(&entry);
        // After a panic the oracles do not judge: the verdict is the panic.
        if self.panic.is_none() {
            self.judge(&entry);
        }
        self.trace.push(entry);
    }

    fn judge(&mut self, entry: &Entry) {
        let judged = (self.oracles.iter_mut()).try_for_each(|oracle| oracle.observe(entry));
        self.violation = judged.err().map(|violation| *violation);
    }

    /// Ends the run: oracles judge what had to happen by now. `reached` counts how often each process reached each
    /// crash point.
    pub fn finish(
        &mut self,
        end: SimTime,
        reached: BTreeMap<(ProcessId, CrashPoint), Occurrences>,
    ) {
        self.end = end;
        self.reached = reached;
        for oracle in &mut self.oracles {
            if self.violation.is_some() || self.panic.is_some() {
                break;
            }
            self.violation = oracle.finish(end).err().map(|violation| *violation);
        }
        for node in &mut self.nodes {
            node.resume(end);
        }
        // Freed by the thread that allocated it, because the allocator is slow when another one does.
        self.model = None;
        self.oracles = vec![];
    }

    /// Whether everything that oracles demand by the end has happened.
    #[must_use]
    pub fn is_satisfied(&self) -> bool {
        self.oracles.iter().all(|oracle| oracle.is_satisfied())
    }

    /// Whether a violation or a panic has ended the run.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.violation.is_some() || self.panic.is_some()
    }

    #[must_use]
    pub const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// A process panicked.
    pub fn record_panic(&mut self, panic: Panic) {
        self.panic.get_or_insert(panic);
    }

    #[must_use]
    pub const fn panic(&self) -> Option<&Panic> {
        self.panic.as_ref()
    }

    /// The newest entry, if entries are kept.
    #[must_use]
    pub fn last_entry(&self) -> Option<&Entry> {
        self.trace.entries().next_back()
    }

    #[must_use]
    pub fn hash(&self) -> TraceHash {
        self.trace.hash()
    }

    #[must_use]
    pub const fn events(&self) -> u64 {
        self.trace.count()
    }

    #[must_use]
    pub const fn end(&self) -> SimTime {
        self.end
    }

    #[must_use]
    pub fn nodes(&self) -> &[NodeReport] {
        &self.nodes
    }

    #[must_use]
    pub fn executors(&self) -> &[ExecutorReport] {
        &self.executors
    }

    #[must_use]
    pub const fn memory_bytes(&self) -> &BTreeMap<ProcessId, u64> {
        &self.memory_bytes
    }

    /// Processes have this many bytes in use.
    pub fn in_use(&mut self, at: SimTime, bytes: BTreeMap<ProcessId, u64>) {
        for (process, bytes) in bytes {
            let most = self.memory_bytes.entry(process).or_default();
            *most = bytes.max(*most);
            if self.is_over() {
                continue;
            }
            let what = What::World(WorldEvent::InUse { bytes });
            let entry = Entry { at, process, what };
            self.judge(&entry);
            if self.violation.is_some() {
                self.end = at;
                self.trace.push(entry);
            }
        }
    }

    #[must_use]
    pub const fn reached(&self) -> &BTreeMap<(ProcessId, CrashPoint), Occurrences> {
        &self.reached
    }

    #[must_use]
    pub const fn probes(&self) -> &Probes {
        &self.probes
    }

    /// The kept entries, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.trace.entries()
    }

    fn count(&mut self, entry: &Entry) {
        match (entry.process, &entry.what) {
            (ProcessId::Node(n), What::Process(Event::Node(event))) => {
                self.nodes[usize::from(n)].observe(entry.at, event);
            }
            (ProcessId::Executor(n), What::Process(Event::Executor(event))) => {
                self.executors[usize::from(n)].observe(event);
            }
            (ProcessId::Node(n), What::World(event)) => {
                let node = &mut self.nodes[usize::from(n)];
                match event {
                    WorldEvent::Started { start } => node.starts = *start,
                    WorldEvent::Killed | WorldEvent::Exited | WorldEvent::PowerLost { .. } => {
                        node.resume(entry.at)
                    }
                    _ => {}
                }
            }
            (ProcessId::Executor(n), What::World(WorldEvent::Started { start })) => {
                self.executors[usize::from(n)].restarts = start - 1;
            }
            _ => {}
        }
    }
}

impl NodeReport {
    fn observe(&mut self, at: SimTime, event: &NodeEvent) {
        match event {
            NodeEvent::CommitStored {
                epoch, commit, gei, ..
            } => {
                self.epoch = *epoch;
                self.last_commit = commit.index;
                self.last_gei = *gei;
            }
            NodeEvent::WindowLoaded { blocks, .. } => {
                self.window_max = self.window_max.max(*blocks);
            }
            NodeEvent::ProposalsPaused { .. } => self.paused_since = Some(at),
            // A new epoch begins with an empty window.
            NodeEvent::ProposalsResumed { .. } | NodeEvent::EpochOpened { .. } => self.resume(at),
            _ => {}
        }
    }

    fn resume(&mut self, at: SimTime) {
        if let Some(since) = self.paused_since.take() {
            self.proposals_paused_ms += at.since(since).as_ms();
        }
    }
}

impl ExecutorReport {
    fn observe(&mut self, event: &ExecutorEvent) {
        match event {
            ExecutorEvent::Started { watermark, .. } | ExecutorEvent::Durable { watermark } => {
                self.last_block_number = *watermark;
            }
            ExecutorEvent::Received { .. } => self.received += 1,
            ExecutorEvent::Executed { state_root, .. } => {
                self.executed += 1;
                self.state_root = *state_root;
            }
            _ => {}
        }
        self.duplicates = self.received.saturating_sub(self.executed);
    }
}
