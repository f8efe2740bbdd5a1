//! `[network]`, `[workload]`, `[followers]` and the tables of `[node]`: every limit of a run. Keys, types and valid ranges come from
//! the declarations ([`metanode_core::node_parameters!`], [`metanode_sim::world_limits!`]); the ranges from which a
//! seed draws by default are declared here.

use crate::{
    sampling::{Range, Sampled, Sampler},
    source::{InputError, Source},
};
use metanode_core::config::{self, within};
use metanode_sim::plan::{self, NodeParameters};
use serde::{Deserialize, Serialize};

/// One section per declared group, with the name of the planned group.
macro_rules! sections {
    ($(
        $(#[$about:meta])*
        $group:ident: $Group:ident {
            $(spans { $($(#[$span_meaning:meta])* $span:ident = $simplest_span:expr;)* })?
            limits { $($(#[$meaning:meta])* $key:ident: $type:ty = $default:expr, $range:expr;)* }
            $(epochs { $($epochs:tt)* })?
            $(choices { $($choices:tt)* })?
        }
    )*) => {$(
        $(#[$about])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $Group {
            $($($(#[$span_meaning])* pub $span: Range,)*)?
            $($(#[$meaning])* pub $key: Sampled<$type>,)*
        }

        impl $Group {
            #[allow(clippy::needless_update)] // some groups have more than limits
            pub(super) fn draw(&self, sampler: &Sampler) -> plan::$Group {
                let label = |key| stream_label(stringify!($group), key);
                plan::$Group {
                    $($($span: sampler.span(&label(stringify!($span)), self.$span),)*)?
                    $($key: sampler.draw(&label(stringify!($key)), self.$key),)*
                    ..plan::$Group::default()
                }
            }

            /// The section from which every seed draws these limits.
            pub(super) fn fixed(drawn: &plan::$Group) -> Self {
                Self {
                    $($($span: drawn.$span.into(),)*)?
                    $($key: Sampled::fixed(drawn.$key),)*
                }
            }

            /// Checks that every limit that can be drawn is valid. `section` is the path of the section in the file.
            pub(super) fn check(&self, source: &Source<'_>, section: &str) -> Result<(), InputError> {
                $(
                    for end in [self.$key.low, self.$key.high] {
                        let key = concat!(".", stringify!($key));
                        within(end.into(), &$range)
                            .map_err(|e| source.error(&format!("{section}{key}"), e.to_string()))?;
                    }
                )*
                Ok(())
            }
        }
    )*};
}

metanode_core::node_parameters!(sections);
metanode_sim::world_limits!(sections);

/// The label of the random stream of a limit. Labels are fixed, although some sections have been renamed: another label
/// would change what existing seeds draw.
fn stream_label(group: &str, key: &str) -> String {
    match (group, key) {
        ("network" | "workload" | "followers", _) => format!("{group}.{key}"),
        ("rpc", _) => format!("node.rpc_{key}"),
        ("peers", _) => format!("node.peers_{key}"),
        (
            "consensus",
            "commit_sync_threshold"
            | "commit_sync_batch"
            | "max_block_bytes"
            | "peer_timeout_ms"
            | "peer_silence_ms",
        ) => format!("node.peers.{key}"),
        (_, _) => format!("node.{key}"),
    }
}

/// `[node]`: the limits of every node, with the tables and keys of its configuration file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    pub consensus: ConsensusParameters,
    pub peers: PeerParameters,
    pub delivery: DeliveryParameters,
    pub ingest: IngestParameters,
    pub rpc: RpcParameters,
}

impl Node {
    pub(super) fn draw(&self, sampler: &Sampler) -> NodeParameters {
        NodeParameters {
            consensus: self.consensus.draw(sampler),
            peers: self.peers.draw(sampler),
            delivery: self.delivery.draw(sampler),
            ingest: self.ingest.draw(sampler),
            rpc: self.rpc.draw(sampler),
        }
    }

    /// The section from which every seed draws these limits.
    pub(super) fn fixed(drawn: &NodeParameters) -> Self {
        let NodeParameters {
            consensus,
            peers,
            delivery,
            ingest,
            rpc,
        } = drawn;
        Self {
            consensus: ConsensusParameters::fixed(consensus),
            peers: PeerParameters::fixed(peers),
            delivery: DeliveryParameters::fixed(delivery),
            ingest: IngestParameters::fixed(ingest),
            rpc: RpcParameters::fixed(rpc),
        }
    }

    pub(super) fn check(&self, source: &Source<'_>) -> Result<(), InputError> {
        self.consensus.check(source, "node.consensus")?;
        self.peers.check(source, "node.peers")?;
        self.delivery.check(source, "node.delivery")?;
        self.ingest.check(source, "node.ingest")?;
        self.rpc.check(source, "node.rpc")
    }
}

impl Default for ConsensusParameters {
    fn default() -> Self {
        let production = Self::fixed(&config::ConsensusParameters::default());
        Self {
            min_round_delay_ms: (20, 60).into(),
            leader_timeout_ms: (200, 500).into(),
            leaders_per_round: (1, 2).into(),
            gc_depth_rounds: (20, 60).into(),
            max_rounds_ahead: production.max_rounds_ahead,
            max_suspended_bytes: production.max_suspended_bytes,
            max_block_bytes: production.max_block_bytes,
            max_commit_bytes: production.max_commit_bytes,
            fetch_delay_ms: production.fetch_delay_ms,
            peer_timeout_ms: production.peer_timeout_ms,
            peer_silence_ms: production.peer_silence_ms,
            peer_retry_min_ms: production.peer_retry_min_ms,
            peer_retry_max_ms: production.peer_retry_max_ms,
            commit_sync_threshold: production.commit_sync_threshold,
            commit_sync_batch: production.commit_sync_batch,
        }
    }
}

impl Default for DeliveryParameters {
    fn default() -> Self {
        let production = Self::fixed(&config::DeliveryParameters::default());
        Self {
            window_blocks: (8, 64).into(),
            recovery_batch_commits: (1, 8).into(),
            watermark_poll_ms: (20, 200).into(),
            write_timeout_ms: (500, 3_000).into(),
            reconnect_min_ms: production.reconnect_min_ms,
            reconnect_max_ms: production.reconnect_max_ms,
            standstill_ms: production.standstill_ms,
        }
    }
}

impl Default for PeerParameters {
    fn default() -> Self {
        let production = Self::fixed(&config::PeerParameters::default());
        Self {
            poll_ms: (200, 2_000).into(),
            max_pending_connections: (16, 128).into(),
            max_connections_per_member: (2, 4).into(),
            max_guests: (8, 64).into(),
            guest_patience_ms: (500, 10_000).into(),
            member_bytes_per_second: production.member_bytes_per_second,
            guest_bytes_per_second: (262_144, 16_777_216).into(),
        }
    }
}

impl Default for IngestParameters {
    fn default() -> Self {
        Self::fixed(&config::IngestParameters::default())
    }
}

impl Default for RpcParameters {
    fn default() -> Self {
        let production = Self::fixed(&config::RpcParameters::default());
        Self {
            timeout_ms: (500, 3_000).into(),
            connect_attempts: production.connect_attempts,
            connect_retry_ms: production.connect_retry_ms,
            pool_size: production.pool_size,
            start_retry_min_ms: production.start_retry_min_ms,
            start_retry_max_ms: production.start_retry_max_ms,
        }
    }
}

impl Default for NetworkPlan {
    fn default() -> Self {
        let simplest = Self::fixed(&plan::NetworkPlan::default());
        Self {
            latency_ms: (5, 40).into(),
            unix_buffer_bytes: (1_024, 32_768).into(),
            tcp_buffer_bytes: (8_192, 131_072).into(),
            backlog: simplest.backlog,
        }
    }
}

impl Default for WorkloadPlan {
    fn default() -> Self {
        Self {
            transactions_per_second: (20, 200).into(),
            accounts: (4, 32).into(),
            ..Self::fixed(&plan::WorkloadPlan::default())
        }
    }
}

impl Default for FollowerPlan {
    fn default() -> Self {
        Self::fixed(&plan::FollowerPlan::default())
    }
}
