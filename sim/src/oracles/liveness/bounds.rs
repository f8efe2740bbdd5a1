//! What the plan allows in the worst case: how long a round, a block and a reaction take, and so which rates are demanded.

use super::Liveness;
use crate::trace::SimTime;
use metanode_core::types::GlobalExecIndex;

/// Computing, queueing and fetching in one round.
const ROUND_SLACK_MS: u64 = 50;

/// An executor without further blocks flushes, and the node learns it.
const ACKNOWLEDGED_MS: u64 = 100;

/// The shortest measurement.
pub(super) const MEASURED_MS: u64 = 1_000;

impl Liveness {
    /// The longest time of a round.
    pub(super) const fn round_ms(&self) -> u64 {
        let consensus = &self.plan.node.consensus;
        let latency_ms = self.plan.network.latency_ms.high;
        consensus.min_round_delay_ms + consensus.leader_timeout_ms + 2 * latency_ms + ROUND_SLACK_MS
    }

    /// The longest time between two commits.
    pub(super) fn commit_ms(&self) -> u64 {
        let executors = self.plan.executors.iter();
        let slowest_us = executors.map(|executor| executor.execute_us.high).max();
        let delivery = &self.plan.node.delivery;
        let latency_ms = self.plan.network.latency_ms.high;
        let window_ms = delivery.watermark_poll_ms + 2 * latency_ms + ACKNOWLEDGED_MS;
        let per_block_ms = window_ms.div_ceil(u64::from(delivery.window_blocks));
        self.round_ms()
            .max(slowest_us.unwrap_or(0).div_ceil(1000) + per_block_ms)
    }

    /// The time within which a node that is free to propose does so, and a due epoch ends.
    pub(super) const fn reaction_ms(&self) -> u64 {
        20 * self.round_ms()
    }
}

#[derive(Clone)]
pub(super) struct Measurement {
    pub(super) since: SimTime,
    pub(super) commits: u64,
    /// Transactions that nodes accepted in its first half.
    pub(super) offered: u64,
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
            && self.executed >= demanded.min(self.offered / 4)
    }
}
