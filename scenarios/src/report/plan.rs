//! The values that a seed drew.

use super::{
    colour::Colour,
    describe::{self, span},
};
use metanode_core::{
    config::{LIMITS, WatermarkSource},
    types::{Encryption, SignatureScheme},
};
use metanode_sim::{
    amounts::{bytes, count, ms, us},
    plan::{
        Backend, BlockNumber, Guard, Manners, NodeParameters, Plan, Reports, Span, Topology,
        WorkloadPlan,
    },
};
use std::{collections::BTreeMap, fmt::Write};

/// Width of a line of limits in characters, without the name in front.
const LIMITS_WIDTH: usize = 100;

/// The whole plan. Ends with a line break.
#[must_use]
pub fn text(plan: &Plan, colour: Colour) -> String {
    let mut lines = Lines {
        text: String::new(),
        colour,
    };
    add_world(&mut lines, plan);
    add_limits(&mut lines, &plan.node, plan.asks_peers);
    add_own_limits(&mut lines, plan);
    add_executors(&mut lines, plan);
    add_manners(&mut lines, plan);
    add_epochs(&mut lines, plan);
    add_clocks_and_clients(&mut lines, plan);
    add_faults(&mut lines, plan);
    lines.text
}

/// Lines with a name in front; it is empty for a continuation.
struct Lines {
    text: String,
    colour: Colour,
}

impl Lines {
    fn add(&mut self, name: &str, text: impl std::fmt::Display) {
        let name = self.colour.dim(format_args!("{name:<10}"));
        let _ = writeln!(self.text, "  {name} {text}");
    }
}

fn add_world(lines: &mut Lines, plan: &Plan) {
    lines.add(
        "topology",
        format_args!(
            "{}, {} validators, {} signatures, {} links, {}",
            match plan.topology {
                Topology::SingleMaster => "single-master",
                Topology::MasterPerNode => "master-per-node",
            },
            plan.validators,
            match plan.signatures {
                SignatureScheme::Ed25519 => "ed25519",
                SignatureScheme::KeyedHash => "keyed-hash",
            },
            match plan.encryption {
                Encryption::Noise => "encrypted",
                Encryption::Readable => "readable",
            },
            match plan.store {
                Backend::Memory => "stores in memory",
                Backend::Rocksdb => "stores on RocksDB",
            },
        ),
    );
    lines.add(
        "time",
        format_args!(
            "{} with faults, then up to {} to reach the tip",
            ms(plan.duration_ms),
            ms(plan.settle_ms)
        ),
    );
    let network = &plan.network;
    lines.add(
        "network",
        format_args!(
            "{} one way, buffers {} (unix) and {} (tcp), backlog {}",
            span(network.latency_ms, ms),
            bytes(network.unix_buffer_bytes),
            bytes(network.tcp_buffer_bytes),
            network.backlog
        ),
    );
}

/// The limits of the nodes that differ from production, by their keys.
/// One line for each node that differs and the start from which it does.
fn add_own_limits(lines: &mut Lines, plan: &Plan) {
    let mut rows: BTreeMap<(u16, u32), Vec<String>> = BTreeMap::new();
    for own in &plan.own_limits {
        let row = rows.entry((own.validator, own.from_start)).or_default();
        row.push(format!("{} {}", own.limit, own.value));
    }
    for ((validator, from_start), limits) in rows {
        let since = match from_start {
            1 => String::new(),
            later => format!("from start {later} on: "),
        };
        let node = format!("node-{validator}");
        lines.add(&node, format_args!("{since}{}", limits.join(", ")));
    }
}

fn add_limits(lines: &mut Lines, node: &NodeParameters, asks_peers: bool) {
    let production = NodeParameters::default();
    for group in LIMITS.chunk_by(|one, next| one.group == next.group) {
        let mut name = group[0].group;
        if name == "peers" && !asks_peers {
            continue;
        }
        let mut line = String::new();
        for limit in group {
            let value = (limit.get)(node);
            if value == (limit.get)(&production) {
                continue;
            }
            let limit = format!("{} {value}", limit.key);
            if line.is_empty() {
                line = limit;
            } else if line.len() + 2 + limit.len() <= LIMITS_WIDTH {
                line = format!("{line}, {limit}");
            } else {
                lines.add(name, format_args!("{line},"));
                (name, line) = ("", limit);
            }
        }
        if !line.is_empty() {
            lines.add(name, line);
        }
    }
}

fn add_executors(lines: &mut Lines, plan: &Plan) {
    for (number, executor) in plan.executors.iter().enumerate() {
        lines.add(
            if number == 0 { "executors" } else { "" },
            format_args!(
                "{number}: {} per block, durable every {}{}",
                span(executor.execute_us, us),
                match executor.flush_every_blocks {
                    Span { low: 1, high: 1 } => "block".into(),
                    blocks => format!("{} blocks", span(blocks, |n| n.to_string())),
                },
                match executor.guard {
                    Guard::Strict => "",
                    Guard::SkipLow => ", guard skip-low",
                    Guard::Naive => ", guard naive",
                }
            ),
        );
    }
}

fn add_manners(lines: &mut Lines, plan: &Plan) {
    let Manners {
        block_number,
        reports,
        serves_two_streams,
        parked_blocks,
        parked_bytes,
    } = &plan.manners;
    if *reports == Reports::Executed {
        lines.add("", "report what they have executed as durable");
    }
    if *serves_two_streams {
        lines.add("", "serve two block streams at a time");
    }
    if *parked_blocks > 0 {
        let most = count(u64::from(*parked_blocks), "block");
        let size = bytes(u64::from(*parked_bytes));
        lines.add("", format_args!("keep {most} of {size} above a gap"));
    }
    if *block_number == BlockNumber::NonEmptyBlocks {
        lines.add("", "count blocks and GEIs apart: empty ones have no number");
    }
    if plan.watermark_source == WatermarkSource::LastGlobalExecIndex {
        lines.add("", "nodes take W from last_global_exec_index");
    }
}

fn add_epochs(lines: &mut Lines, plan: &Plan) {
    let epochs = &plan.epochs;
    if let Some(duration_ms) = epochs.duration_ms {
        let retained = epochs.retained;
        let rounded = match epochs.start_granularity_ms {
            1 => String::new(),
            granularity_ms => {
                format!(", beginning at multiples of {}", ms(granularity_ms.into()))
            }
        };
        lines.add(
            "epochs",
            format_args!("{} each{rounded}, {retained} kept", ms(duration_ms)),
        );
    }
    for committee in &epochs.committees {
        let members = committee.members.iter().map(describe::member);
        let members = members.collect::<Vec<_>>().join(", ");
        lines.add(
            "",
            format_args!("from epoch {} on: {members}", committee.from_epoch),
        );
    }
    for unusable in &epochs.unusable {
        lines.add("", format_args!("registered, but no member: {unusable}"));
    }
}

fn add_clocks_and_clients(lines: &mut Lines, plan: &Plan) {
    let skews = plan.clock_skew_ms.iter().map(|skew| format!("{skew:+}"));
    let skews = skews.collect::<Vec<_>>().join(", ");
    lines.add("clocks", format_args!("{skews} ms"));
    if plan.clock_drift_ppm.iter().any(|ppm| *ppm != 0) {
        let drifts = plan.clock_drift_ppm.iter().map(|ppm| format!("{ppm:+}"));
        let drifts = drifts.collect::<Vec<_>>().join(", ");
        lines.add("", format_args!("drift {drifts} ppm"));
    }
    lines.add(
        "clients",
        format_args!(
            "{} transactions/s over {}",
            plan.workload.transactions_per_second,
            count(u64::from(plan.workload.accounts), "account")
        ),
    );
    add_mix(lines, &plan.workload);
    add_old_transport(lines, &plan.workload);
}

fn add_mix(lines: &mut Lines, workload: &WorkloadPlan) {
    let chain = u64::from(workload.chain_length);
    let chains = (chain > 1).then(|| format!("{} per sender", count(chain, "transaction")));
    let shares = [
        ("large", workload.large_percent),
        ("empty", workload.empty_percent),
        ("overdrawn", workload.overdrawn_percent),
        ("conflicting", workload.conflicting_percent),
        ("duplicated", workload.duplicated_percent),
        ("resubmitted", workload.resubmitted_percent),
    ];
    let shares = shares.into_iter().filter(|(_, percent)| *percent > 0);
    let shares = shares.map(|(what, percent)| format!("{percent} % {what}"));
    let mix: Vec<_> = chains.into_iter().chain(shares).collect();
    if !mix.is_empty() {
        lines.add("", mix.join(", "));
    }
    let WorkloadPlan {
        burst_percent,
        burst_transactions,
        ..
    } = *workload;
    if burst_percent > 0 && burst_transactions > 0 {
        let burst = count(u64::from(burst_transactions), "transaction");
        let text = format_args!("bursts of {burst} in {burst_percent} % of the intervals");
        lines.add("", text);
    }
}

fn add_old_transport(lines: &mut Lines, workload: &WorkloadPlan) {
    let connections = u64::from(workload.old_pool_connections);
    if connections == 0 {
        return;
    }
    let pool = count(connections, "connection");
    let pause_ms = workload.old_pause_after_write_ms;
    let text = format_args!(
        "over the old transport, pools of {pool}, each kept {pause_ms} ms after a write without waiting"
    );
    lines.add("", text);
}

fn add_faults(lines: &mut Lines, plan: &Plan) {
    if let Some(most) = plan.max_faulty {
        lines.add(
            "at most",
            format_args!("{} down at once", count(u64::from(most), "validator")),
        );
    }
    for (position, byzantine) in plan.byzantine.iter().enumerate() {
        let name = if position == 0 { "Byzantine" } else { "" };
        let does = describe::strategy(byzantine.strategy);
        lines.add(name, format_args!("node-{} {does}", byzantine.validator));
        for step in &byzantine.program {
            lines.add("", format_args!("  {step}"));
        }
    }
    for (position, fault) in plan.faults.iter().enumerate() {
        lines.add(if position == 0 { "faults" } else { "" }, fault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(node: &NodeParameters) -> String {
        let mut lines = Lines {
            text: String::new(),
            colour: Colour::PLAIN,
        };
        add_limits(&mut lines, node, true);
        lines.text
    }

    #[test]
    fn limits_that_differ_from_production_are_printed() {
        assert_eq!(limits(&NodeParameters::default()), "");
        assert_eq!(
            limits(&Plan::example().node),
            "  consensus  min_round_delay_ms 20, leader_timeout_ms 200, gc_depth_rounds 50\n  \
             delivery   window_blocks 8, recovery_batch_commits 3, watermark_poll_ms 50, write_timeout_ms 1000\n  \
             rpc        timeout_ms 1000\n"
        );
    }

    #[test]
    fn many_limits_take_several_lines() {
        let mut node = NodeParameters::default();
        for limit in LIMITS {
            (limit.set)(&mut node, *limit.range.end());
        }
        let text = limits(&node);
        for limit in LIMITS {
            let part = format!(" {} {}", limit.key, limit.range.end());
            assert!(text.contains(&part), "{part} in\n{text}");
        }
        let widest = text.lines().map(str::len).max();
        assert!(widest <= Some(LIMITS_WIDTH + 14), "{text}");
    }
}
