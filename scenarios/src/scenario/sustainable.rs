//! What the drawn links and blocks of a swarm can carry. Permanent overload is not a fault.

use metanode_sim::plan::{
    FollowerPlan, INTERVALS_PER_SECOND, NetworkPlan, NodeParameters, Plan, Topology, WorkloadPlan,
};

/// Approximate size of a transaction in a block.
const TRANSACTION_BYTES: u64 = 130;

/// Transactions per second over all nodes that use half of the slowest connection. Every node streams its own blocks to
/// each of the others; the rest is for the rest of the blocks and for requests.
#[must_use]
fn carried_per_second(network: &NetworkPlan, validators: u16) -> u64 {
    let carried = network.carried_bytes_per_second();
    (carried * u64::from(validators) / (2 * TRANSACTION_BYTES)).max(1)
}

/// Transactions per second over all nodes that fill half of their blocks, and half of the commits, one per round at least.
fn proposed_per_second(node: &NodeParameters, network: &NetworkPlan, validators: u16) -> u64 {
    let transactions = |bytes: u32| (u64::from(bytes) / TRANSACTION_BYTES).max(1);
    let of_blocks = transactions(node.consensus.max_block_bytes) * u64::from(validators);
    let per_round = of_blocks.min(transactions(node.consensus.max_commit_bytes));
    let round_ms = node.consensus.min_round_delay_ms + 2 * network.latency_ms.high;
    (per_round * 1_000 / (2 * round_ms.max(1))).max(1)
}

/// Approximate size of a validator in the answer to a start.
const VALIDATOR_BYTES: u64 = 300;

/// The time in which an executor's largest answer to a start, the committee, has certainly arrived, with the connection on
/// which it is asked for. A timeout below it would never let a node start (contract §2: it is for a whole exchange).
pub(super) fn start_answered_in_ms(network: &NetworkPlan, validators: u16) -> u64 {
    let bytes = VALIDATOR_BYTES * u64::from(validators);
    let carried = network.carried_bytes_per_second().max(1);
    4 * network.latency_ms.high + 2 * bytes * 1_000 / carried
}

/// The workload with at most the rate that links and blocks can carry, and bursts from which the nodes recover.
#[must_use]
pub(super) fn workload(plan: &Plan) -> WorkloadPlan {
    let (network, validators, workload) = (&plan.network, plan.validators, plan.workload.clone());
    // Clients send to all nodes alike, so the slowest counts.
    let (carried, _) = plan.extremes(|node| {
        let carried = carried_per_second(network, validators);
        carried.min(proposed_per_second(node, network, validators))
    });
    // In percent of the transactions that are counted: the others come on top.
    let sent = 100
        + u64::from(workload.conflicting_percent)
        + u64::from(workload.duplicated_percent)
        + u64::from(workload.resubmitted_percent);
    // Half of it is for bursts.
    let steady = (carried * 100 / (2 * sent)).max(1);
    let rate = workload.transactions_per_second.min(steady);
    let bursts_per_100_s =
        u64::from(workload.burst_percent) * INTERVALS_PER_SECOND.min(rate.max(1));
    let burst = steady * 100 / bursts_per_100_s.max(1);
    WorkloadPlan {
        transactions_per_second: rate,
        burst_transactions: workload
            .burst_transactions
            .min(u32::try_from(burst).unwrap_or(u32::MAX)),
        ..workload
    }
}

/// Followers with replies that arrive within the timeout of an exchange, and that are not so small that a large block
/// takes longer than all else.
#[must_use]
pub(super) fn followers(plan: &Plan) -> FollowerPlan {
    const PARTS_PER_EXCHANGE: u64 = 16;
    let exchange_ms = plan.node.rpc.timeout_ms;
    let travelling_ms = exchange_ms.saturating_sub(4 * plan.network.latency_ms.high);
    // Half of what the link carries meanwhile: faults slow it down.
    let most = plan.network.carried_bytes_per_second() * travelling_ms / 2_000;
    let most = most.clamp(64, 10_484_736);
    let least = (most / PARTS_PER_EXCHANGE).max(64);
    FollowerPlan {
        range_reply_bytes: plan.followers.range_reply_bytes.clamp(least, most),
        ..plan.followers.clone()
    }
}

/// The time in which an executor without further blocks flushes, and its node learns it.
const ACKNOWLEDGED_MS: u64 = 100;

/// The least time between rounds. The commits of two rounds' time pass through the window of a single Master in that time:
/// only its own node waits for it, so a small window would be overloaded by the others for ever.
#[must_use]
pub(super) fn min_round_delay_ms(plan: &Plan) -> u64 {
    let (delivery, consensus) = (&plan.node.delivery, &plan.node.consensus);
    let window_ms = delivery.watermark_poll_ms + ACKNOWLEDGED_MS;
    let leaders = u64::from(consensus.leaders_per_round);
    let least_ms = window_ms * leaders / (2 * u64::from(delivery.window_blocks.max(1)));
    match plan.topology {
        Topology::SingleMaster => least_ms.max(consensus.min_round_delay_ms),
        Topology::MasterPerNode => consensus.min_round_delay_ms,
    }
}
