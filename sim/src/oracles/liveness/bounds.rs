//! What the plan allows in the worst case: how long a round, a block and a reaction take, and so which rates are demanded.

use crate::{plan::Plan, trace::SimTime};
use metanode_core::types::{GlobalExecIndex, TransactionHash};
use rustc_hash::FxHashSet;

/// Computing, queueing and fetching in one round.
const ROUND_SLACK_MS: u64 = 50;

/// An executor without further blocks flushes, and the node learns it.
const ACKNOWLEDGED_MS: u64 = 100;

/// The shortest measurement.
pub(super) const MEASURED_MS: u64 = 1_000;

/// The bounds of one plan, for the slowest of its nodes.
pub(super) struct Bounds {
    /// The longest time between two commits.
    pub commit_ms: u64,
    /// The time within which a node that is free to propose does so, and a due epoch ends.
    pub reaction_ms: u64,
    /// The time within which a start proposes, once nothing is missing: it may be between two attempts (START judges
    /// the pause).
    pub start_ms: u64,
}

impl Bounds {
    pub(super) fn of(plan: &Plan) -> Self {
        let latency_ms = plan.network.latency_ms.high;
        let (_, waited_ms) = plan
            .extremes(|node| node.consensus.min_round_delay_ms + node.consensus.leader_timeout_ms);
        let round_ms = waited_ms + 2 * latency_ms + ROUND_SLACK_MS;
        let executors = plan.executors.iter();
        let slowest_us = executors.map(|executor| executor.execute_us.high).max();
        let (_, per_block_ms) = plan.extremes(|node| {
            let delivery = &node.delivery;
            let window_ms = delivery.watermark_poll_ms + 2 * latency_ms + ACKNOWLEDGED_MS;
            window_ms.div_ceil(u64::from(delivery.window_blocks))
        });
        let (_, retry_ms) = plan.extremes(|node| node.rpc.start_retry_max_ms);
        let reaction_ms = 20 * round_ms;
        Self {
            commit_ms: round_ms.max(slowest_us.unwrap_or(0).div_ceil(1000) + per_block_ms),
            reaction_ms,
            start_ms: retry_ms + reaction_ms,
        }
    }
}

#[derive(Clone)]
pub(super) struct Measurement {
    pub(super) since: SimTime,
    pub(super) commits: u64,
    /// Transactions that nodes took in its first half.
    pub(super) offered: FxHashSet<TransactionHash>,
    pub(super) executed: u64,
    /// The last block of which the transactions were counted.
    pub(super) counted: GlobalExecIndex,
}

impl Measurement {
    /// Commits that must have been made by now.
    pub(super) const fn demanded(&self, elapsed_ms: u64, commit_ms: u64) -> u64 {
        elapsed_ms.div_ceil(4 * commit_ms)
    }

    pub(super) fn suffice(&self, elapsed_ms: u64, commit_ms: u64) -> bool {
        let demanded = self.demanded(elapsed_ms, commit_ms);
        elapsed_ms >= MEASURED_MS
            && self.commits >= demanded
            && self.executed >= demanded.min(self.offered.len() as u64 / 4)
    }
}
