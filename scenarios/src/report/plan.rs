//! What a seed drew, on a few lines.

use super::{
    colour::Colour,
    describe::{self, span},
};
use metanode_core::types::SignatureScheme;
use metanode_sim::{
    amounts::{bytes, count, ms, us},
    plan::{Backend, Guard, PeerPlan, Plan, Span, Topology},
};
use std::fmt::Write;

/// Everything that decides the run. Ends with a line break.
#[must_use]
pub fn text(plan: &Plan, colour: Colour) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: String| {
        let _ = writeln!(out, "  {} {text}", colour.dim(format_args!("{name:<10}")));
    };
    line(
        "topology",
        format!(
            "{}, {} validators, {} signatures, {}",
            match plan.topology {
                Topology::SingleMaster => "single-master",
                Topology::MasterPerNode => "master-per-node",
            },
            plan.validators,
            match plan.signatures {
                SignatureScheme::Ed25519 => "ed25519",
                SignatureScheme::KeyedHash => "keyed-hash",
            },
            match plan.store {
                Backend::Memory => "stores in memory",
                Backend::Rocksdb => "stores on RocksDB",
            },
        ),
    );
    line(
        "time",
        format!(
            "{} with faults, then up to {} to reach the tip",
            ms(plan.duration_ms),
            ms(plan.settle_ms)
        ),
    );
    let network = &plan.network;
    line(
        "network",
        format!(
            "{} one way, buffers {} (unix) and {} (tcp), backlog {}",
            span(network.latency_ms, ms),
            bytes(network.unix_buffer_bytes),
            bytes(network.tcp_buffer_bytes),
            network.backlog
        ),
    );
    let node = &plan.node;
    line(
        "nodes",
        format!(
            "window {} blocks, recovery in batches of {}, watermark asked every {}",
            node.window_blocks,
            node.recovery_batch_commits,
            ms(node.watermark_poll_ms)
        ),
    );
    line(
        "",
        format!(
            "rounds at least {} apart, {} per round, leader timeout {}, garbage after {} rounds",
            ms(node.min_round_delay_ms),
            count(u64::from(node.leaders_per_round), "leader"),
            ms(node.leader_timeout_ms),
            node.gc_depth_rounds
        ),
    );
    line(
        "",
        format!(
            "timeouts: RPC {}, write {}",
            ms(node.rpc_timeout_ms),
            ms(node.write_timeout_ms)
        ),
    );
    let peers = &node.peers;
    if *peers != PeerPlan::default() {
        line(
            "",
            format!(
                "peers: given up after {} of silence when asked, {} when streaming",
                ms(peers.peer_timeout_ms),
                ms(peers.peer_silence_ms)
            ),
        );
        line(
            "",
            format!(
                "behind from {} on, fetching {} at once; {} in the pool, {} a block",
                count(u64::from(peers.commit_sync_threshold) + 1, "commit"),
                peers.commit_sync_batch,
                count(u64::from(peers.pool_transactions), "transaction"),
                bytes(u64::from(peers.max_block_bytes))
            ),
        );
    }
    for (number, executor) in plan.executors.iter().enumerate() {
        line(
            if number == 0 { "executors" } else { "" },
            format!(
                "{number}: {} a block, durable every {}{}",
                span(executor.execute_us, us),
                match executor.flush_every_blocks {
                    Span { low: 1, high: 1 } => "block".into(),
                    blocks => format!("{} blocks", span(blocks, |n| n.to_string())),
                },
                match executor.guard {
                    Guard::Strict => "",
                    Guard::SkipLow => ", skips repetitions quietly",
                    Guard::Naive => ", executes whatever comes",
                }
            ),
        );
    }
    let epochs = &plan.epochs;
    if let Some(duration_ms) = epochs.duration_ms {
        line(
            "epochs",
            format!("{} each, {} kept", ms(duration_ms), epochs.retained),
        );
    }
    for committee in &epochs.committees {
        let members = committee.members.iter().map(describe::member);
        let members: Vec<_> = members.collect();
        let members = members.join(", ");
        line(
            "",
            format!("from epoch {} on: {members}", committee.from_epoch),
        );
    }
    let skews: Vec<_> = plan
        .clock_skew_ms
        .iter()
        .map(|s| format!("{s:+}"))
        .collect();
    line("clocks", format!("{} ms", skews.join(", ")));
    if plan.clock_drift_ppm.iter().any(|ppm| *ppm != 0) {
        let drifts = plan.clock_drift_ppm.iter().map(|ppm| format!("{ppm:+}"));
        let drifts: Vec<_> = drifts.collect();
        line("", format!("gaining {} ppm", drifts.join(", ")));
    }
    line(
        "clients",
        format!(
            "{} transactions/s over {}",
            plan.workload.transactions_per_second,
            count(u64::from(plan.workload.accounts), "account")
        ),
    );
    if let Some(most) = plan.max_faulty {
        line(
            "at most",
            format!("{} down at once", count(u64::from(most), "validator")),
        );
    }
    for (position, byzantine) in plan.byzantine.iter().enumerate() {
        let name = if position == 0 { "Byzantine" } else { "" };
        let does = describe::strategy(byzantine.strategy);
        line(name, format!("node-{} {does}", byzantine.validator));
    }
    for (position, fault) in plan.faults.iter().enumerate() {
        let name = if position == 0 { "faults" } else { "" };
        line(name, fault.to_string());
    }
    out
}
