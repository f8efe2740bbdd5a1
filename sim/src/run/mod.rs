//! Seed in, outcome out.

mod judge;
mod supervisor;
mod watchdog;

pub use judge::{Judgement, judge};

use crate::{
    allocator::{self, Measuring},
    faults::Occurrences,
    model::Model,
    oracles::Violation,
    panics::{self, Panic},
    plan::Plan,
    recorder::{ExecutorReport, NodeReport, Recorder},
    trace::{Entry, ProcessId, SimTime, TraceHash, What},
    world::{self, Status, lock},
};
use metanode_core::env::{CrashPoint, Event};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, channel},
    },
};
use supervisor::{Simulated, simulate};
use watchdog::Stuck;

/// Stack of a simulation's thread: futures of a whole cluster are polled on it.
const STACK_BYTES: usize = 8 << 20;

/// Options of a run that do not affect its events.
#[derive(Clone, Copy, Debug)]
pub struct RunOptions {
    /// The newest entries that are kept for the report.
    pub keep_entries: usize,
}

impl RunOptions {
    /// All entries are kept.
    pub const KEEP_ALL: Self = Self {
        keep_entries: usize::MAX,
    };
}

/// The result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Passed,
    SafetyViolated,
    LivenessViolated,
    /// A process panicked, or the simulation itself.
    Panicked,
    /// The plan names invariants of which one had to be violated, and none was.
    NotFound,
}

impl Verdict {
    /// In descending order of severity: violated safety, then panics, which may hide other failures, then missing
    /// progress.
    const BY_SEVERITY: [Self; 5] = [
        Self::SafetyViolated,
        Self::Panicked,
        Self::LivenessViolated,
        Self::NotFound,
        Self::Passed,
    ];

    /// The most severe of several verdicts; `Passed` if there are none.
    #[must_use]
    pub fn gravest(verdicts: impl IntoIterator<Item = Self>) -> Self {
        let all: Vec<_> = verdicts.into_iter().collect();
        let mut by_severity = Self::BY_SEVERITY.into_iter();
        by_severity
            .find(|verdict| all.contains(verdict))
            .unwrap_or(Self::Passed)
    }
}

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    pub plan: Plan,
    pub verdict: Verdict,
    /// At most one: the run ends at the first violation.
    pub violations: Vec<Violation>,
    /// The violation that the plan had to find, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Violation>,
    /// What panicked: a process, or the simulation itself.
    pub panic: Option<Panic>,
    pub trace_hash: TraceHash,
    pub events: u64,
    pub simulated: SimTime,
    pub nodes: Vec<NodeReport>,
    pub executors: Vec<ExecutorReport>,
    /// All probes with how often each was reached.
    pub probes: BTreeMap<String, u64>,
    /// The most bytes that each process had in use, looked at once per simulated second; empty if it was not measured.
    pub memory_bytes: BTreeMap<ProcessId, u64>,
    /// How often each process was at each of its crash points.
    #[serde(skip)]
    pub reached: BTreeMap<(ProcessId, CrashPoint), Occurrences>,
    /// The newest entries of the trace, oldest first.
    pub entries: Vec<Entry>,
}

/// Runs a plan on a new thread and waits for the outcome. A simulation whose time does not advance is abandoned: its
/// outcome is a panic that describes where it hangs.
#[must_use]
pub fn run(plan: Plan, options: &RunOptions) -> Outcome {
    allocator::keep_freed_memory();
    let recorder = Arc::new(Mutex::new(Recorder::new(
        &plan,
        Model::new(world::genesis(&plan)),
        options.keep_entries,
    )));
    let status = Arc::new(Status::default());
    let simulation_failed = match simulate_on_new_thread(&plan, &recorder, &status) {
        Err(e) => Some(Panic::of_simulation(format!(
            "the thread of the simulation could not start: {e}"
        ))),
        Ok(ended) => match watchdog::wait_for(&ended, &status) {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(e))) => Some(Panic::of_simulation(format!(
                "the simulation could not start: {e}"
            ))),
            Ok(Err(payload)) => Some(Panic::unwound(payload.as_ref())),
            Err(stuck) => Some(Panic {
                process: Some(status.running()),
                ..Panic::of_simulation(hang(&stuck, &lock(&recorder)))
            }),
        },
    };
    let recorder = lock(&recorder);
    let panic = recorder.panic().cloned().or(simulation_failed);
    let violation = recorder.violation().cloned();
    let is_sought = |violation: &Violation| plan.finds.contains(&violation.invariant);
    // A panic is never what was to be found.
    let (found, violation) = match violation {
        Some(violation) if panic.is_none() && is_sought(&violation) => (Some(violation), None),
        violation => (None, violation),
    };
    let verdict = match (&panic, &violation) {
        (Some(_), _) => Verdict::Panicked,
        (None, Some(violation)) if violation.invariant.is_liveness() => Verdict::LivenessViolated,
        (None, Some(_)) => Verdict::SafetyViolated,
        (None, None) if found.is_none() && !plan.finds.is_empty() => Verdict::NotFound,
        (None, None) => Verdict::Passed,
    };
    Outcome {
        plan,
        verdict,
        violations: violation.into_iter().collect(),
        found,
        panic,
        trace_hash: recorder.hash(),
        events: recorder.events(),
        simulated: recorder.end(),
        nodes: recorder.nodes().to_vec(),
        executors: recorder.executors().to_vec(),
        probes: recorder.probes().counts(),
        memory_bytes: recorder.memory_bytes().clone(),
        reached: recorder.reached().clone(),
        entries: recorder.entries().cloned().collect(),
    }
}

fn simulate_on_new_thread(
    plan: &Plan,
    recorder: &Arc<Mutex<Recorder>>,
    status: &Arc<Status>,
) -> io::Result<Receiver<Simulated>> {
    let (sender, ended) = channel();
    let (plan, recorder, status) = (plan.clone(), recorder.clone(), status.clone());
    #[allow(clippy::disallowed_methods)] // one simulation = one new thread
    let thread = std::thread::Builder::new()
        .name(format!("{}/{}", plan.scenario, plan.seed))
        .stack_size(STACK_BYTES);
    thread.spawn(move || {
        panics::capture_on_this_thread();
        status.begin();
        let _measuring = plan.measures_memory().then(Measuring::begin);
        let simulated = AssertUnwindSafe(|| simulate(plan, recorder, status));
        // The receiver of an abandoned run is gone.
        let _ = sender.send(std::panic::catch_unwind(simulated));
    })?;
    Ok(ended)
}

/// Describes where a simulation hangs.
fn hang(stuck: &Stuck, recorder: &Recorder) -> String {
    let last = recorder.last_entry().map_or_else(
        || "there was no event before".to_owned(),
        |last| {
            let event = match &last.what {
                What::Process(Event::Node(event)) => event.to_string(),
                What::Process(Event::Executor(event)) => event.to_string(),
                What::Process(Event::Sub(event)) => event.to_string(),
                What::Process(Event::Crashed(point)) => format!("reached {point}"),
                What::World(event) => format!("{event:?}"),
                What::Seen(fact) => fact.to_string(),
                What::Derived(derived) => derived.to_string(),
            };
            format!("the last event was of {}: {event}", last.process)
        },
    );
    format!(
        "a task never yields: simulated time stood still at {} for {} s of CPU time; {last}",
        stuck.at.to_string().trim_start(),
        stuck.cpu_seconds
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Backend;

    /// The world holds the recorder, and its tasks hold the world: a remaining task would keep a reference.
    #[test]
    #[allow(clippy::disallowed_methods)] // one simulation = one new thread
    fn no_task_of_a_world_outlives_its_run() {
        for store in [Backend::Memory, Backend::Rocksdb] {
            let plan = Plan {
                store,
                duration_ms: 500,
                ..Plan::example()
            };
            let recorder = Arc::new(Mutex::new(Recorder::new(
                &plan,
                Model::new(world::genesis(&plan)),
                0,
            )));
            let of_run = recorder.clone();
            let run = std::thread::spawn(move || simulate(plan, of_run, Arc::default()));
            run.join().unwrap().unwrap();
            assert!(lock(&recorder).events() > 0);
            assert_eq!(Arc::strong_count(&recorder), 1, "{store:?}");
        }
    }
}
