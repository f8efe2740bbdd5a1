//! `own_limits`: limits in which single nodes differ, fixed in a file or drawn by a swarm.

use super::{Node, Scenario, target::Roster};
use crate::{
    sampling::Sampler,
    source::{InputError, Source},
};
use metanode_core::config::{LIMITS, within};
use metanode_sim::plan::{NodeParameters, OwnLimit, Plan};

/// Checks the entries of a file.
///
/// # Errors
/// The first one that names no limit, or a value that is not valid.
pub(super) fn check(
    scenario: &Scenario,
    source: &Source<'_>,
    roster: Roster,
) -> Result<(), InputError> {
    for (position, own) in scenario.own_limits.iter().enumerate() {
        let error = |key: &str, message: String| {
            source.error(&format!("own_limits.{position}.{key}"), message)
        };
        if own.validator >= roster.validators {
            let last = roster.validators.saturating_sub(1);
            let message = format!(
                "is {}: expected a validator from 0 to {last}",
                own.validator
            );
            return Err(error("validator", message));
        }
        let Some(limit) = own.declared() else {
            let message = format!("is {:?}: expected TABLE.KEY of [node]", own.limit);
            return Err(error("limit", message));
        };
        within(own.value.into(), &limit.range).map_err(|e| error("value", e.to_string()))?;
        if own.is_of_chain() && own.from_start > 1 {
            let message = "changes the chain of a node that has begun: expected 1".to_owned();
            return Err(error("from_start", message));
        }
    }
    Ok(())
}

/// The limits that the nodes of a seed have for themselves, and some change when they start again. `least_timeout_ms` is
/// the lowest timeout of the RPC with which a node can start.
pub(super) fn draw(
    section: &Node,
    sampler: &Sampler,
    plan: &Plan,
    least_timeout_ms: u64,
) -> Vec<OwnLimit> {
    let sampler = sampler.named("own_limits");
    let mut drawn = vec![];
    for validator in 0..plan.validators {
        for from_start in [1, 2] {
            let mut stream = sampler.stream(&format!("which.{validator}.{from_start}"));
            let limits = sampler.named(&format!("{validator}.{from_start}"));
            let mut own = section.draw(&limits.biased_low());
            own.rpc.timeout_ms = own.rpc.timeout_ms.max(least_timeout_ms);
            drawn.extend(LIMITS.iter().filter_map(|limit| {
                let own = OwnLimit {
                    validator,
                    from_start,
                    limit: format!("{}.{}", limit.group, limit.key),
                    value: (limit.get)(&own),
                };
                let differs = own.value != (limit.get)(&plan.node) && !own.is_of_chain();
                (stream.one_in(8) && differs).then_some(own)
            }));
        }
    }
    drawn
}

/// Another depth of garbage collection, which makes a node one of another chain.
pub(super) fn of_other_chain(validator: u16, shared: &NodeParameters) -> OwnLimit {
    OwnLimit {
        validator,
        from_start: 1,
        limit: "consensus.gc_depth_rounds".to_owned(),
        value: u64::from(shared.consensus.gc_depth_rounds) + 1,
    }
}
