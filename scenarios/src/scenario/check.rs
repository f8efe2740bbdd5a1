//! Checks of a scenario file beyond the types of its keys. Every error names the key and what was expected there.

use super::{
    Delivery, Scenario, own_limits,
    target::{Kind, Roster},
};
use crate::source::{InputError, Source};
use metanode_sim::trace::ProcessId;

/// The largest committee of a scenario.
pub(super) const MOST_VALIDATORS: u16 = 100;

/// # Errors
/// The first error.
pub(super) fn scenario(scenario: &Scenario, source: &Source<'_>) -> Result<(), InputError> {
    if scenario.story.trim().is_empty() {
        let message = "is missing: expected what happens and what must hold";
        return Err(source.error("story", message));
    }
    for (key, low, least) in least_values(scenario) {
        source.at_least(key, low, least)?;
    }
    scenario.network.check(source, "network")?;
    scenario.node.check(source)?;
    scenario.workload.check(source, "workload")?;
    scenario.followers.check(source, "followers")?;
    if scenario.topology.validators.high > MOST_VALIDATORS {
        let message = format!("is too high: expected at most {MOST_VALIDATORS}");
        return Err(source.error("topology.validators", message));
    }
    if scenario.executor.guard.is_empty() {
        return Err(source.error("executor.guard", "is empty: expected at least one"));
    }
    let rarely = scenario.swarm.iter().flat_map(|swarm| &swarm.rarely);
    for (position, rarely) in rarely.enumerate() {
        rarely.check(position, source)?;
    }
    let roster = scenario
        .topology
        .smallest_roster(scenario.epochs.duration_ms.is_some());
    lists_by_number(scenario, source, roster)?;
    own_limits::check(scenario, source, roster)?;
    if let Some(odd) = &scenario.executor.odd {
        let fits = odd.which.check_single(&[Kind::Executor], roster);
        fits.map_err(|message| source.error("executor.odd.which", message))?;
    }
    scenario
        .epochs
        .check(source, scenario.topology.validators.low)?;
    if let Some(byzantine) = &scenario.byzantine {
        let can_be_single = scenario.topology.delivery != Delivery::MasterPerNode;
        byzantine.check(
            source,
            roster,
            scenario.topology.validators.high,
            can_be_single,
        )?;
    }
    for (position, fault) in scenario.faults.iter().enumerate() {
        fault.check(source, position, roster)?;
    }
    for (position, expectation) in scenario.expect.iter().enumerate() {
        let path = |key: &str| format!("expect.{position}.{key}");
        let nodes = roster.count(Kind::Node);
        if !matches!(expectation.node, ProcessId::Node(node) if node < nodes) {
            let last = nodes - 1;
            let message = format!("is {}: expected node-0 to node-{last}", expectation.node);
            return Err(source.error(&path("node"), message));
        }
        if expectation.frames_after_restart.is_empty() {
            let message = "is empty: expected one GEI or more";
            return Err(source.error(&path("frames_after_restart"), message));
        }
    }
    Ok(())
}

/// Lists have one entry for each validator or executor.
fn lists_by_number(
    scenario: &Scenario,
    source: &Source<'_>,
    roster: Roster,
) -> Result<(), InputError> {
    let validators = scenario.topology.validators;
    for (key, entries, low, high) in [
        (
            "clock_skew_ms_by_host",
            scenario.clock_skew_ms_by_host.len(),
            validators.low,
            validators.high,
        ),
        (
            "executor.each",
            scenario.executor.each.len(),
            roster.executors,
            scenario.topology.most_executors(),
        ),
    ] {
        let each = u16::try_from(entries).ok();
        if entries > 0 && (low != high || each != Some(low)) {
            let message =
                format!("has {entries} entries: expected one for each of {low} to {high}");
            return Err(source.error(key, message));
        }
    }
    Ok(())
}

/// Key, lowest value that can be drawn, lowest valid value.
fn least_values(scenario: &Scenario) -> Vec<(&'static str, u64, u64)> {
    let mut values = vec![
        ("duration_ms", scenario.duration_ms.low, 1),
        ("settle_ms", scenario.settle_ms.low, 1),
    ];
    values.extend(scenario.topology.least_values());
    values.extend(scenario.executor.least_values());
    values.extend(scenario.epochs.least_values());
    values
}
