//! One JSON object per run, for programs (`--json`, JSON Lines).

use super::{
    describe,
    verdict::{self, hex},
};
use crate::batch::Finished;
use serde_json::{Value, json};

/// Everything that a dashboard or a script wants of a run. Only `wall_seconds` differs between two runs of one build,
/// scenario and seed.
#[must_use]
pub fn object(finished: &Finished) -> Value {
    let outcome = &finished.outcome;
    let nodes: Vec<Value> = outcome
        .nodes
        .iter()
        .map(|node| {
            json!({
                "epoch": node.epoch,
                "last_commit": node.last_commit,
                "last_gei": node.last_gei,
                "window_max": node.window_max,
                "proposals_paused_ms": node.proposals_paused_ms,
                "starts": node.starts,
            })
        })
        .collect();
    let executors: Vec<Value> = outcome
        .executors
        .iter()
        .map(|executor| {
            json!({
                "last_block_number": executor.last_block_number,
                "state_root": hex(&executor.state_root),
                "duplicates": executor.duplicates,
                "restarts": executor.restarts,
            })
        })
        .collect();
    json!({
        "scenario": outcome.plan.scenario,
        "seed": outcome.plan.seed,
        "store": describe::store(outcome.plan.store),
        "verdict": verdict::name(outcome.verdict),
        "violations": outcome.violations,
        "trace_hash": outcome.trace_hash,
        "sim_seconds": outcome.simulated.as_ms() as f64 / 1000.0,
        "wall_seconds": finished.wall.as_secs_f64(),
        "events": outcome.events,
        "nodes": nodes,
        "executors": executors,
        "probes": outcome.probes,
        "reproduce": verdict::reproduce(&outcome.plan),
    })
}
