//! The limits of the world around the nodes, declared once: links, buffers, workload, followers.

use super::{Plan, Span};
use metanode_core::config::Limit;
use serde::{Deserialize, Serialize};

/// Clients send in at most so many intervals: low rates single transactions, high ones small bursts.
pub const INTERVALS_PER_SECOND: u64 = 20;

/// Calls the macro `$then` with all declarations, as [`metanode_core::node_parameters!`] does for those of a node.
/// Instead of a default each number has its simplest value, the target of shrinking. `spans` are ranges from which the
/// run draws repeatedly.
#[macro_export]
macro_rules! world_limits {
    ($then:ident) => {
        $then! {
            /// Links and buffers.
            network: NetworkPlan {
                spans {
                    /// One-way, per chunk, between different hosts.
                    latency_ms = Span { low: 1, high: 5 };
                }
                limits {
                    /// Capacity of a Unix socket in each direction.
                    unix_buffer_bytes: u64 = 4_096, 1..=1_000_000_000;
                    /// Capacity of a TCP connection in each direction.
                    tcp_buffer_bytes: u64 = 65_536, 1..=1_000_000_000;
                    /// Connections that may wait for one listener's `accept`.
                    backlog: u32 = 128, 1..=1_000_000_000;
                }
            }
            /// Transactions of clients.
            workload: WorkloadPlan {
                limits {
                    /// Distributed evenly over all nodes; with 0 all commits are empty.
                    transactions_per_second: u64 = 0, 0..=1_000_000_000;
                    /// Accounts that receive transfers.
                    accounts: u32 = 1, 1..=1_000_000_000;
                    /// Transactions with consecutive nonces of each sender.
                    chain_length: u32 = 1, 1..=1_000_000_000;
                    /// Transactions whose size is up to the largest that links carry, or one byte above the largest
                    /// that a node takes.
                    large_percent: u32 = 0, 0..=100;
                    /// Transactions without a single byte.
                    empty_percent: u32 = 0, 0..=100;
                    /// Transactions that spend more than their sender has.
                    overdrawn_percent: u32 = 0, 0..=100;
                    /// Transactions beside which another with the same nonce is sent to another node.
                    conflicting_percent: u32 = 0, 0..=100;
                    /// Transactions that are sent to two nodes at once.
                    duplicated_percent: u32 = 0, 0..=100;
                    /// Transactions that are sent again, to any node, when they may have been executed.
                    resubmitted_percent: u32 = 0, 0..=100;
                    /// Intervals in which a burst is sent, as long as faults last.
                    burst_percent: u32 = 0, 0..=100;
                    /// Transactions of one burst.
                    burst_transactions: u32 = 0, 0..=1_000_000_000;
                    /// Connections of each Sub to its node.
                    workers: u32 = 1, 1..=1_000;
                    /// Frames of one connection that are not answered.
                    frames_in_flight: u32 = 1, 1..=1_000;
                    /// Batches that wait in a Sub.
                    queue_batches: u32 = 1_000, 1..=1_000_000;
                    /// Bytes of the batches that wait in a Sub or are not answered.
                    buffered_bytes: u32 = 268_435_456, 1..=1_000_000_000;
                    /// Transactions of one batch.
                    batch_transactions: u32 = 100, 1..=65_536;
                    /// Time for which a transaction waits for others.
                    batch_delay_ms: u64 = 1, 1..=3_600_000;
                    /// Connections in the pool of each Sub, which then uses the old transport; with 0 it uses the
                    /// transaction socket.
                    old_pool_connections: u32 = 0, 0..=1_000;
                    /// Time for which a Sub that does not wait for the exchange keeps a connection after a write.
                    old_pause_after_write_ms: u64 = 0, 0..=1_000;
                }
            }
            /// Subs that follow the state of an executor.
            followers: FollowerPlan {
                limits {
                    /// Blocks that a Sub asks for at once; with 0 no Sub follows.
                    range_blocks: u32 = 0, 0..=100_000;
                    /// Bytes of blocks in one reply.
                    range_reply_bytes: u64 = 5_242_880, 64..=10_484_736;
                    /// Pause of a Sub that has executed all durable blocks.
                    poll_ms: u64 = 100, 1..=3_600_000;
                }
            }
        }
    };
}

impl NetworkPlan {
    /// What one connection carries in the worst case: a buffer per latency.
    #[must_use]
    pub fn carried_bytes_per_second(&self) -> u64 {
        self.tcp_buffer_bytes * 1_000 / self.latency_ms.high.max(1)
    }
}

macro_rules! declare {
    ($(
        $(#[$about:meta])*
        $group:ident: $Group:ident {
            $(spans { $($(#[$span_meaning:meta])* $span:ident = $simplest_span:expr;)* })?
            limits { $($(#[$meaning:meta])* $key:ident: $type:ty = $simplest:expr, $range:expr;)* }
        }
    )*) => {
        $(
            $(#[$about])*
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            #[serde(deny_unknown_fields, default)]
            pub struct $Group {
                $($($(#[$span_meaning])* pub $span: Span,)*)?
                $($(#[$meaning])* pub $key: $type,)*
            }

            /// The simplest values.
            impl Default for $Group {
                fn default() -> Self {
                    Self {
                        $($($span: $simplest_span,)*)?
                        $($key: $simplest,)*
                    }
                }
            }
        )*

        /// Every number of the world's limits, in the order of the declarations.
        #[allow(clippy::useless_conversion)] // some of the numbers are u64
        pub static WORLD_LIMITS: &[Limit<Plan>] = &[$($(Limit {
            group: stringify!($group),
            key: stringify!($key),
            range: $range,
            get: |plan| plan.$group.$key.into(),
            set: |plan, number| plan.$group.$key = number.try_into().unwrap_or(plan.$group.$key),
        },)*)*];
    };
}

world_limits!(declare);
