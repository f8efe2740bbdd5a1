//! The parameters of a node: every limit and time, declared once with documentation, type, default and valid range.
//!
//! [`node_parameters!`](crate::node_parameters) is that declaration. It passes itself to a macro of the caller, so that
//! other crates can derive types of their own from it; here it becomes the structs of the configuration and the tables
//! [`LIMITS`] and [`EPOCH_LIMITS`]. The suffix of a name is its unit (`_ms`, `_bytes`, `_rounds`, …).

use super::WatermarkSource;
use crate::types::{Encryption, SignatureScheme};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use thiserror::Error;

/// Calls the macro `$then` with all declarations. `limits` are numbers that a simulation may choose freely, each
/// `key: type = default, range;`. `epochs` are numbers about the duration and retention of epochs; `choices` are
/// enumerations.
#[macro_export]
macro_rules! node_parameters {
    ($then:ident) => {
        $then! {
            /// Limits and times of consensus.
            consensus: ConsensusParameters {
                limits {
                    /// Minimum time between two own blocks. Without it a committee of one would propose in an endless
                    /// loop.
                    min_round_delay_ms: u64 = 50, 1..=3_600_000;
                    /// Maximum time to wait for the leaders of a round.
                    leader_timeout_ms: u64 = 250, 1..=3_600_000;
                    /// Leader slots per round, at most as many as the committee has authorities.
                    leaders_per_round: u32 = 1, 1..=1_000;
                    /// Rounds below the last committed leader that stay in the DAG.
                    gc_depth_rounds: u32 = 60, 3..=10_000;
                    /// Blocks of rounds this far above the own round are not accepted; the rounds between are fetched
                    /// first.
                    max_rounds_ahead: u32 = 500, 1..=1_000_000;
                    /// Size of the suspended blocks from one peer, which wait for ancestors. One block is suspended
                    /// whatever its size.
                    max_suspended_bytes: u32 = 8_388_608, 65_536..=1_000_000_000;
                    /// Total size of the transactions in one own block. A block above the valid range is invalid.
                    max_block_bytes: u32 = 524_288, 1..=4_194_304;
                    /// Size of the transactions of one commit, each with 16 bytes more. What does not fit is left to
                    /// later commits. With it a commit is a frame that an executor accepts.
                    max_commit_bytes: u32 = 60_000_000, 1..=66_000_000;
                    /// Time for which an ancestor must be missing before it is requested.
                    fetch_delay_ms: u64 = 100, 1..=3_600_000;
                    /// Timeout of a request to a peer: the time in which no byte is received from or sent to it.
                    peer_timeout_ms: u64 = 2_000, 1..=3_600_000;
                    /// A block subscription without a byte for this time is replaced. A peer that sends no greeting
                    /// within it, or takes no byte of an answer for as long, is disconnected.
                    peer_silence_ms: u64 = 5_000, 1..=3_600_000;
                    /// Delay between two attempts to connect to a peer, doubling up to the maximum.
                    peer_retry_min_ms: u64 = 100, 1..=3_600_000;
                    /// Maximum delay between two attempts to connect to a peer.
                    peer_retry_max_ms: u64 = 5_000, 1..=3_600_000;
                    /// A node that is more commits behind than this fetches certified commits.
                    commit_sync_threshold: u32 = 20, 0..=1_000_000;
                    /// Commits per request of commit sync.
                    commit_sync_batch: u32 = 100, 1..=1_000;
                }
                epochs {
                    /// Duration of an epoch, by its start timestamp and the own clock. Afterwards the node marks its
                    /// blocks with *end of epoch* (contract §7).
                    epoch_duration_ms: u64 = 86_400_000, 2..=3_153_600_000_000;
                    /// Granularity of the start timestamps of epochs, the same for all nodes of a chain. That of the executor:
                    /// deployed ones keep seconds. An epoch lasts at least twice as long.
                    epoch_start_granularity_ms: u32 = 1_000, 1..=3_600_000;
                    /// Epochs before the current one whose stores are kept, for peers that were down and for an
                    /// executor that is restored from a backup.
                    retained_epochs: u64 = 3, 1..=1_000_000;
                }
                choices {
                    /// Signature scheme of blocks.
                    signatures: SignatureScheme = SignatureScheme::Ed25519;
                    /// How connections between nodes are encrypted, the same for all nodes of a chain.
                    encryption: Encryption = Encryption::Noise;
                }
            }
            /// Questions to the executors of peers, and limits of connections from other nodes (contract §10).
            peers: PeerParameters {
                limits {
                    /// Pause between two rounds of questions. One round lasts at most as long as an exchange of the RPC.
                    poll_ms: u64 = 10_000, 1..=3_600_000;
                    /// Connections whose callers have not proven who they are. One more replaces the oldest of them.
                    max_pending_connections: u32 = 512, 1..=100_000;
                    /// Connections of one member for the same purpose. One more replaces the oldest of them.
                    max_connections_per_member: u32 = 4, 2..=1_000;
                    /// Connections of all others together.
                    max_guests: u32 = 64, 1..=100_000;
                    /// Time after which a guest gives its place to another one, if there is none left.
                    guest_patience_ms: u64 = 10_000, 1..=3_600_000;
                    /// Bytes that one member gets per second.
                    member_bytes_per_second: u32 = 134_217_728, 65_536..=1_000_000_000;
                    /// Bytes that all guests together get per second.
                    guest_bytes_per_second: u32 = 16_777_216, 65_536..=1_000_000_000;
                }
            }
            /// Limits and times of the block stream (contract §2, §5).
            delivery: DeliveryParameters {
                limits {
                    /// Capacity of the window: blocks in memory that are not durable in the executor, written or not.
                    window_blocks: u32 = 500, 1..=1_000_000;
                    /// Commits per read from the store.
                    recovery_batch_commits: u32 = 250, 1..=1_000_000;
                    /// Interval between two queries for W while blocks are outstanding; shorter while the window is
                    /// full.
                    watermark_poll_ms: u64 = 500, 1..=3_600_000;
                    /// Timeout of writing a frame: the time in which the executor takes no byte of it.
                    write_timeout_ms: u64 = 10_000, 1..=3_600_000;
                    /// Delay between two attempts to connect, doubling up to the maximum.
                    reconnect_min_ms: u64 = 500, 1..=3_600_000;
                    /// Maximum delay between two attempts to connect.
                    reconnect_max_ms: u64 = 5_000, 1..=3_600_000;
                    /// Time for which W stands still, while the executor has everything that fits into the window, until
                    /// that is told; again whenever it has doubled.
                    standstill_ms: u64 = 30_000, 1..=3_600_000;
                }
            }
            /// Limits and times of the transaction socket and its journal (contract §8).
            ingest: IngestParameters {
                limits {
                    /// Size of the transactions that are taken and not executed, each with 128 bytes more. Beyond it
                    /// batches are refused. One transaction is taken whatever its size.
                    max_journal_bytes: u32 = 67_108_864, 65_536..=1_000_000_000;
                    /// Size of the frames above 64 KiB that are being received or stored, of all clients together. Smaller
                    /// ones are not counted: there are at most two per client, and 1 024 in all that wait to be stored.
                    max_buffered_bytes: u32 = 67_108_864, 10_485_760..=1_000_000_000;
                    /// Clients that are connected at the same time.
                    max_connections: u32 = 1_024, 1..=100_000;
                    /// Frames of one client that are not answered. More stay in its socket.
                    max_frames_in_flight: u32 = 16, 1..=1_000;
                    /// Time in which the length of a frame that has begun, and then its body, must arrive; in which there
                    /// must be memory for it; and in which a client must take a reply.
                    frame_timeout_ms: u64 = 10_000, 1..=3_600_000;
                }
            }
            /// Limits and times of the executor RPC (contract §2).
            rpc: RpcParameters {
                limits {
                    /// Timeout of a whole exchange, after which the connection is dropped.
                    timeout_ms: u64 = 10_000, 1..=3_600_000;
                    /// Attempts to connect per exchange.
                    connect_attempts: u32 = 3, 1..=1_000;
                    /// Delay between two attempts to connect.
                    connect_retry_ms: u64 = 100, 1..=3_600_000;
                    /// Maximum number of idle connections.
                    pool_size: u32 = 4, 0..=1_000;
                    /// Delay between two attempts to query the executor at start, doubling up to the maximum.
                    start_retry_min_ms: u64 = 500, 1..=3_600_000;
                    /// Maximum delay between two attempts to query the executor at start.
                    start_retry_max_ms: u64 = 5_000, 1..=3_600_000;
                }
                choices {
                    /// Which number of the executor is W.
                    watermark_source: WatermarkSource = WatermarkSource::LastBlockNumber;
                }
            }
        }
    };
}

/// One numeric parameter of a `P`, for code that iterates over all of them.
#[derive(Debug)]
pub struct Limit<P: 'static> {
    /// The TOML table that contains it.
    pub group: &'static str,
    /// Its key there, which ends with its unit.
    pub key: &'static str,
    /// Valid values.
    pub range: RangeInclusive<u64>,
    pub get: fn(&P) -> u64,
    /// Sets the value. A value that the type cannot represent is ignored.
    pub set: fn(&mut P, u64),
}

/// A number outside of its valid range.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("is {found}: expected {} to {}", range.start(), range.end())]
pub struct OutOfRange {
    pub found: i128,
    pub range: RangeInclusive<u64>,
}

/// Checks a number against its valid range.
///
/// # Errors
/// If it is out of range.
pub fn within(found: i128, range: &RangeInclusive<u64>) -> Result<(), OutOfRange> {
    if (i128::from(*range.start())..=i128::from(*range.end())).contains(&found) {
        Ok(())
    } else {
        let range = range.clone();
        Err(OutOfRange { found, range })
    }
}

macro_rules! declare {
    ($(
        $(#[$about:meta])*
        $group:ident: $Parameters:ident {
            limits { $($(#[$meaning:meta])* $key:ident: $type:ty = $default:expr, $range:expr;)* }
            $(epochs {
                $($(#[$epoch_meaning:meta])*
                $epoch_key:ident: $epoch_type:ty = $epoch_default:expr, $epoch_range:expr;)*
            })?
            $(choices {
                $($(#[$choice_meaning:meta])* $choice:ident: $choice_type:ty = $choice_default:expr;)*
            })?
        }
    )*) => {
        $(
            $(#[$about])*
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(deny_unknown_fields, default)]
            pub struct $Parameters {
                $($($(#[$choice_meaning])* pub $choice: $choice_type,)*)?
                $(
                    $(#[$meaning])*
                    #[doc = concat!("\n\nDefault `", stringify!($default), "`, valid `", stringify!($range), "`.")]
                    pub $key: $type,
                )*
                $($(
                    $(#[$epoch_meaning])*
                    #[doc = concat!(
                        "\n\nDefault `", stringify!($epoch_default), "`, valid `", stringify!($epoch_range), "`."
                    )]
                    pub $epoch_key: $epoch_type,
                )*)?
            }

            impl Default for $Parameters {
                fn default() -> Self {
                    Self {
                        $($($choice: $choice_default,)*)?
                        $($key: $default,)*
                        $($($epoch_key: $epoch_default,)*)?
                    }
                }
            }
        )*

        /// All parameters of a node, by group.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct NodeParameters {
            $($(#[$about])* pub $group: $Parameters,)*
        }

        /// The numbers that a simulation may choose freely, in the order of declaration.
        #[allow(clippy::useless_conversion)] // some of the numbers are u64
        pub static LIMITS: &[Limit<NodeParameters>] = &[$($(Limit {
            group: stringify!($group),
            key: stringify!($key),
            range: $range,
            get: |node| node.$group.$key.into(),
            set: |node, number| node.$group.$key = number.try_into().unwrap_or(node.$group.$key),
        },)*)*];

        /// The numbers about the duration and retention of epochs.
        #[allow(clippy::useless_conversion)]
        pub(super) static EPOCH_LIMITS: &[Limit<NodeParameters>] = &[$($($(Limit {
            group: stringify!($group),
            key: stringify!($epoch_key),
            range: $epoch_range,
            get: |node| node.$group.$epoch_key.into(),
            set: |node, number| {
                node.$group.$epoch_key = number.try_into().unwrap_or(node.$group.$epoch_key);
            },
        },)*)?)*];
    };
}

node_parameters!(declare);
