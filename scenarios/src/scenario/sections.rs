//! The sections of a scenario file but its faults: what they may say, their defaults, and what a seed makes of them.

use super::{
    peers::Peers,
    target::{Roster, Selector, Target},
};
use crate::sampling::{Range, Sampled, Sampler};
use metanode_sim::plan::{self, ExecutorPlan, Guard, NetworkPlan, NodePlan, WorkloadPlan};
use serde::{Deserialize, Serialize};

/// `[topology]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Topology {
    pub delivery: Delivery,
    pub validators: Sampled<u16>,
}

/// Who delivers; `either` alternates from seed to seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    SingleMaster,
    MasterPerNode,
    Either,
}

impl Default for Topology {
    fn default() -> Self {
        Self {
            delivery: Delivery::Either,
            validators: Sampled::fixed(4),
        }
    }
}

impl Delivery {
    pub(super) const fn of_seed(self, seed: u64) -> plan::Topology {
        match (self, seed % 2) {
            (Self::SingleMaster, _) | (Self::Either, 1) => plan::Topology::SingleMaster,
            (Self::MasterPerNode | Self::Either, _) => plan::Topology::MasterPerNode,
        }
    }
}

impl Topology {
    /// Those who are there whatever the seed.
    pub(super) const fn smallest_roster(&self, changes: bool) -> Roster {
        let validators = self.validators.low;
        Roster {
            validators,
            executors: match self.delivery {
                Delivery::MasterPerNode => validators,
                Delivery::SingleMaster | Delivery::Either => 1,
            },
            changes,
        }
    }

    /// Executors of the largest run.
    pub(super) const fn most_executors(&self) -> u16 {
        match self.delivery {
            Delivery::SingleMaster => 1,
            Delivery::MasterPerNode | Delivery::Either => self.validators.high,
        }
    }

    /// Fewer than four validators tolerate no fault at all.
    pub(super) fn least_values(&self) -> [(&'static str, u64, u64); 1] {
        [("topology.validators", self.validators.low.into(), 4)]
    }
}

/// `[network]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Network {
    /// One-way, drawn by each chunk.
    pub latency_ms: Range,
    pub unix_buffer_bytes: Sampled<u64>,
    pub tcp_buffer_bytes: Sampled<u64>,
    /// Connections that may wait for one listener's `accept`.
    pub backlog: Sampled<u32>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            latency_ms: (5, 40).into(),
            unix_buffer_bytes: (1_024, 32_768).into(),
            tcp_buffer_bytes: (8_192, 131_072).into(),
            backlog: Sampled::fixed(128),
        }
    }
}

impl Network {
    pub(super) fn draw(&self, sampler: &Sampler) -> NetworkPlan {
        NetworkPlan {
            latency_ms: sampler.span("network.latency_ms", self.latency_ms),
            unix_buffer_bytes: sampler.draw("network.unix_buffer_bytes", self.unix_buffer_bytes),
            tcp_buffer_bytes: sampler.draw("network.tcp_buffer_bytes", self.tcp_buffer_bytes),
            backlog: sampler.draw("network.backlog", self.backlog),
        }
    }

    pub(super) fn least_values(&self) -> [(&'static str, u64, u64); 3] {
        [
            ("network.backlog", self.backlog.low.into(), 1),
            ("network.unix_buffer_bytes", self.unix_buffer_bytes.low, 1),
            ("network.tcp_buffer_bytes", self.tcp_buffer_bytes.low, 1),
        ]
    }
}

/// `[node]`: the limits of every node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    pub window_blocks: Sampled<u32>,
    pub recovery_batch_commits: Sampled<u32>,
    pub min_round_delay_ms: Sampled<u64>,
    pub leader_timeout_ms: Sampled<u64>,
    pub leaders_per_round: Sampled<u32>,
    pub gc_depth_rounds: Sampled<u32>,
    pub watermark_poll_ms: Sampled<u64>,
    pub rpc_timeout_ms: Sampled<u64>,
    pub write_timeout_ms: Sampled<u64>,
    pub peers: Peers,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            window_blocks: (8, 64).into(),
            recovery_batch_commits: (1, 8).into(),
            min_round_delay_ms: (20, 60).into(),
            leader_timeout_ms: (200, 500).into(),
            leaders_per_round: (1, 2).into(),
            gc_depth_rounds: (20, 60).into(),
            watermark_poll_ms: (20, 200).into(),
            rpc_timeout_ms: (500, 3_000).into(),
            write_timeout_ms: (500, 3_000).into(),
            peers: Peers::default(),
        }
    }
}

impl Node {
    pub(super) fn draw(&self, sampler: &Sampler) -> NodePlan {
        NodePlan {
            window_blocks: sampler.draw("node.window_blocks", self.window_blocks),
            recovery_batch_commits: sampler
                .draw("node.recovery_batch_commits", self.recovery_batch_commits),
            min_round_delay_ms: sampler.draw("node.min_round_delay_ms", self.min_round_delay_ms),
            leader_timeout_ms: sampler.draw("node.leader_timeout_ms", self.leader_timeout_ms),
            leaders_per_round: sampler.draw("node.leaders_per_round", self.leaders_per_round),
            gc_depth_rounds: sampler.draw("node.gc_depth_rounds", self.gc_depth_rounds),
            watermark_poll_ms: sampler.draw("node.watermark_poll_ms", self.watermark_poll_ms),
            rpc_timeout_ms: sampler.draw("node.rpc_timeout_ms", self.rpc_timeout_ms),
            write_timeout_ms: sampler.draw("node.write_timeout_ms", self.write_timeout_ms),
            peers: self.peers.draw(sampler),
        }
    }

    pub(super) fn least_values(&self) -> [(&'static str, u64, u64); 9] {
        [
            ("node.window_blocks", self.window_blocks.low.into(), 1),
            (
                "node.recovery_batch_commits",
                self.recovery_batch_commits.low.into(),
                1,
            ),
            ("node.min_round_delay_ms", self.min_round_delay_ms.low, 1),
            ("node.leader_timeout_ms", self.leader_timeout_ms.low, 1),
            (
                "node.leaders_per_round",
                self.leaders_per_round.low.into(),
                1,
            ),
            ("node.gc_depth_rounds", self.gc_depth_rounds.low.into(), 1),
            ("node.watermark_poll_ms", self.watermark_poll_ms.low, 1),
            ("node.rpc_timeout_ms", self.rpc_timeout_ms.low, 1),
            ("node.write_timeout_ms", self.write_timeout_ms.low, 1),
        ]
    }
}

/// `[executor]`: all executors, each drawn for itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Executor {
    pub guard: Guard,
    /// Drawn by each block.
    pub execute_us: Range,
    /// Blocks between two durable watermarks, drawn by each flush.
    pub flush_every_blocks: Range,
    /// `[executor.odd]`: one that differs.
    pub odd: Option<OddExecutor>,
    /// `[[executor.each]]`: instead of all this, one entry for each executor.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<OneExecutor>,
}

/// One entry of `[[executor.each]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneExecutor {
    pub guard: Guard,
    pub execute_us: Range,
    pub flush_every_blocks: Range,
}

/// What differs in one executor; the rest is as in `[executor]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OddExecutor {
    pub which: Target,
    pub guard: Option<Guard>,
    pub execute_us: Option<Range>,
    pub flush_every_blocks: Option<Range>,
}

impl Default for Executor {
    fn default() -> Self {
        Self {
            guard: Guard::Strict,
            execute_us: (100, 5_000).into(),
            flush_every_blocks: (1, 6).into(),
            odd: None,
            each: vec![],
        }
    }
}

impl Executor {
    pub(super) fn draw(&self, sampler: &Sampler, roster: Roster) -> Vec<ExecutorPlan> {
        let odd = self.odd.as_ref().map(|odd| match odd.which.which {
            Selector::Number(number) => (number, odd),
            _ => {
                let all = Sampled {
                    low: 0,
                    high: roster.executors - 1,
                };
                (sampler.draw("executor.odd.which", all), odd)
            }
        });
        let plan = |number| {
            let odd = odd
                .filter(|(which, _)| *which == number)
                .map(|(_, odd)| odd);
            if let Some(one) = self.each.get(usize::from(number)) {
                return one.draw(sampler, number);
            }
            let execute_us = odd.and_then(|o| o.execute_us).unwrap_or(self.execute_us);
            let flush = odd
                .and_then(|o| o.flush_every_blocks)
                .unwrap_or(self.flush_every_blocks);
            let one = OneExecutor {
                guard: odd.and_then(|o| o.guard).unwrap_or(self.guard),
                execute_us,
                flush_every_blocks: flush,
            };
            one.draw(sampler, number)
        };
        (0..roster.executors).map(plan).collect()
    }

    pub(super) fn least_values(&self) -> Vec<(&'static str, u64, u64)> {
        let mut values = vec![(
            "executor.flush_every_blocks",
            self.flush_every_blocks.low(),
            1,
        )];
        if let Some(flush) = self.odd.as_ref().and_then(|odd| odd.flush_every_blocks) {
            values.push(("executor.odd.flush_every_blocks", flush.low(), 1));
        }
        let each = self.each.iter().map(|one| one.flush_every_blocks.low());
        values.extend(each.map(|low| ("executor.each", low, 1)));
        values
    }
}

impl OneExecutor {
    fn draw(&self, sampler: &Sampler, number: u16) -> ExecutorPlan {
        let span = |key, range| sampler.span(&format!("executor.{number}.{key}"), range);
        ExecutorPlan {
            guard: self.guard,
            execute_us: span("execute_us", self.execute_us),
            flush_every_blocks: span("flush_every_blocks", self.flush_every_blocks),
        }
    }
}

/// `[workload]`: what clients send.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    /// Over all nodes; 0 leaves every commit empty.
    pub transactions_per_second: Sampled<u64>,
    pub accounts: Sampled<u32>,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            transactions_per_second: (20, 200).into(),
            accounts: (4, 32).into(),
        }
    }
}

impl Workload {
    pub(super) fn draw(&self, sampler: &Sampler) -> WorkloadPlan {
        WorkloadPlan {
            transactions_per_second: sampler.draw(
                "workload.transactions_per_second",
                self.transactions_per_second,
            ),
            accounts: sampler.draw("workload.accounts", self.accounts),
        }
    }

    pub(super) fn least_values(&self) -> [(&'static str, u64, u64); 1] {
        [("workload.accounts", self.accounts.low.into(), 1)]
    }
}
