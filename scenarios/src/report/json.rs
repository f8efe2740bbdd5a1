//! One JSON object per run (`--json`, JSON Lines).

use super::verdict::{self, hex};
use crate::{batch::Finished, run_reference};
use metanode_core::types::{CommitIndex, Epoch, GlobalExecIndex};
use metanode_sim::{
    oracles::Violation,
    panics::Panic,
    trace::{ProcessId, TraceHash},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// The result of a run. Only `wall_seconds` differs between two runs of one build, scenario and seed.
#[derive(Serialize)]
pub struct RunObject<'a> {
    scenario: &'a str,
    seed: u64,
    store: &'static str,
    verdict: &'static str,
    violations: &'a [Violation],
    /// Only where the scenario had to find it.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<&'a Violation>,
    panic: Option<&'a Panic>,
    trace_hash: TraceHash,
    sim_seconds: f64,
    wall_seconds: f64,
    events: u64,
    nodes: Vec<NodeObject>,
    executors: Vec<ExecutorObject>,
    probes: &'a BTreeMap<String, u64>,
    reproduce: String,
}

#[derive(Serialize)]
struct NodeObject {
    epoch: Epoch,
    last_commit: CommitIndex,
    last_gei: GlobalExecIndex,
    window_max: u32,
    proposals_paused_ms: u64,
    starts: u32,
    /// `null` if it was not measured.
    memory_max_bytes: Option<u64>,
}

#[derive(Serialize)]
struct ExecutorObject {
    last_block_number: GlobalExecIndex,
    state_root: String,
    duplicates: u64,
    restarts: u32,
    memory_max_bytes: Option<u64>,
}

/// The object of a run.
#[must_use]
pub fn object(finished: &Finished) -> RunObject<'_> {
    let outcome = &finished.outcome;
    let memory = |process: ProcessId| outcome.memory_bytes.get(&process).copied();
    let nodes = (0..).zip(&outcome.nodes).map(|(n, node)| NodeObject {
        epoch: node.epoch,
        last_commit: node.last_commit,
        last_gei: node.last_gei,
        window_max: node.window_max,
        proposals_paused_ms: node.proposals_paused_ms,
        starts: node.starts,
        memory_max_bytes: memory(ProcessId::Node(n)),
    });
    let executors = (0..)
        .zip(&outcome.executors)
        .map(|(n, executor)| ExecutorObject {
            last_block_number: executor.last_block_number,
            state_root: hex(&executor.state_root),
            duplicates: executor.duplicates,
            restarts: executor.restarts,
            memory_max_bytes: memory(ProcessId::Executor(n)),
        });
    RunObject {
        scenario: &outcome.plan.scenario,
        seed: outcome.plan.seed,
        store: run_reference::store_name(outcome.plan.store),
        verdict: verdict::name(outcome.verdict),
        violations: &outcome.violations,
        found: outcome.found.as_ref(),
        panic: outcome.panic.as_ref(),
        trace_hash: outcome.trace_hash,
        sim_seconds: outcome.simulated.as_ms() as f64 / 1000.0,
        wall_seconds: finished.wall.as_secs_f64(),
        events: outcome.events,
        nodes: nodes.collect(),
        executors: executors.collect(),
        probes: &outcome.probes,
        reproduce: run_reference::command(&outcome.plan),
    }
}
