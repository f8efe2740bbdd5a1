//! The parameters of a node: every limit and time, declared once with its meaning, type, default and valid range.
//!
//! [`node_parameters!`](crate::node_parameters) is that declaration. It hands itself to a macro of the caller, so that
//! other crates can derive types of their own from it; here it becomes the structs of the configuration and the tables
//! [`LIMITS`] and [`EPOCH_LIMITS`]. The unit of a number is the end of its name (`_ms`, `_bytes`, `_rounds`, …).

use crate::types::SignatureScheme;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use thiserror::Error;

/// Calls the macro `$then` with all declarations: groups of `limits`, each `key: type = default, range;`, whose values
/// a simulation may choose freely. `epochs` are numbers that say when epochs end and how many are kept; `choices` are
/// no numbers.
#[macro_export]
macro_rules! node_parameters {
    ($then:ident) => {
        $then! {
            /// Limits and times of consensus.
            consensus: ConsensusParameters {
                limits {
                    /// Between two own blocks at least this long: a committee of one would otherwise propose for ever
                    /// within one moment.
                    min_round_delay_ms: u64 = 50, 1..=3_600_000;
                    /// A round's leaders are waited for at most this long.
                    leader_timeout_ms: u64 = 250, 1..=3_600_000;
                    /// Leader slots per round; more than the committee has members are as many as it has.
                    leaders_per_round: u32 = 1, 1..=1_000;
                    /// Rounds behind the last committed leader that stay part of the DAG.
                    gc_depth_rounds: u32 = 60, 3..=10_000;
                    /// Blocks this far above the own round are not taken in; what lies between is fetched first.
                    max_rounds_ahead: u32 = 500, 1..=1_000_000;
                    /// Blocks of one author that may wait for ancestors.
                    max_suspended_per_author: u32 = 500, 1..=1_000_000;
                    /// Transactions in one own block, in sum. Blocks with more than the highest of these are invalid.
                    max_block_bytes: u32 = 524_288, 1..=4_194_304;
                    /// Missing ancestors are asked for when they have been missing this long.
                    fetch_delay_ms: u64 = 100, 1..=3_600_000;
                    /// A peer that owes an answer may be silent this long: not a byte comes from it, nor is one taken.
                    peer_timeout_ms: u64 = 2_000, 1..=3_600_000;
                    /// A peer whose block stream is silent this long, not a byte, is connected anew.
                    peer_silence_ms: u64 = 5_000, 1..=3_600_000;
                    /// Between two attempts to reach a peer, doubling up to the maximum.
                    peer_retry_min_ms: u64 = 100, 1..=3_600_000;
                    /// The maximum between two attempts to reach a peer.
                    peer_retry_max_ms: u64 = 5_000, 1..=3_600_000;
                    /// A node that is more commits behind than this fetches certified commits.
                    commit_sync_threshold: u32 = 20, 0..=1_000_000;
                    /// Commits fetched at once.
                    commit_sync_batch: u32 = 100, 1..=1_000;
                    /// Transactions that wait to be proposed.
                    pool_transactions: u32 = 20_000, 1..=10_000_000;
                }
                epochs {
                    /// An epoch that is older than this, by its start timestamp and the own clock, is to end
                    /// (contract §7).
                    epoch_duration_ms: u64 = 86_400_000, 1..=3_153_600_000_000;
                    /// Epochs before the running one whose stores are kept: for peers that were down meanwhile, and for
                    /// an executor that comes back with an older state.
                    retained_epochs: u64 = 3, 1..=1_000_000;
                }
                choices {
                    /// What blocks are signed with.
                    signatures: SignatureScheme = SignatureScheme::Ed25519;
                }
            }
            /// Limits and times of the block stream (contract §2, §5).
            delivery: DeliveryParameters {
                limits {
                    /// Blocks in memory that are not durable in the executor, written or not.
                    window_blocks: u32 = 500, 1..=1_000_000;
                    /// Commits read from the store at once.
                    recovery_batch_commits: u32 = 250, 1..=1_000_000;
                    /// Between two questions for the watermark while something is outstanding and the window is not
                    /// full; a full one asks on demand.
                    watermark_poll_ms: u64 = 500, 1..=3_600_000;
                    /// The executor must take a frame within this time.
                    write_timeout_ms: u64 = 10_000, 1..=3_600_000;
                    /// Between two attempts to connect, doubling up to the maximum.
                    reconnect_min_ms: u64 = 500, 1..=3_600_000;
                    /// The maximum between two attempts to connect.
                    reconnect_max_ms: u64 = 5_000, 1..=3_600_000;
                }
            }
            /// Limits and times of the executor RPC (contract §2).
            rpc: RpcParameters {
                limits {
                    /// For a whole exchange; afterwards the connection is dropped.
                    timeout_ms: u64 = 10_000, 1..=3_600_000;
                    /// Attempts to connect in one exchange.
                    connect_attempts: u32 = 3, 1..=1_000;
                    /// Between two attempts to connect.
                    connect_retry_ms: u64 = 100, 1..=3_600_000;
                    /// Idle connections that are kept.
                    pool_size: u32 = 4, 0..=1_000;
                    /// Between two rounds of questions at start, doubling up to the maximum.
                    start_retry_min_ms: u64 = 500, 1..=3_600_000;
                    /// The maximum between two rounds of questions at start.
                    start_retry_max_ms: u64 = 5_000, 1..=3_600_000;
                }
            }
        }
    };
}

/// One number of a `P`, for code that walks all of them.
#[derive(Debug)]
pub struct Limit<P: 'static> {
    /// The table of the file that it is in.
    pub group: &'static str,
    /// Its name there, which ends with its unit.
    pub key: &'static str,
    /// What it may be.
    pub range: RangeInclusive<u64>,
    pub get: fn(&P) -> u64,
    /// A number that its type cannot hold changes nothing.
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
/// If it is outside.
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
                    #[doc = concat!("\n\n`", stringify!($default), "` by default, `", stringify!($range), "` is valid.")]
                    pub $key: $type,
                )*
                $($(
                    $(#[$epoch_meaning])*
                    #[doc = concat!(
                        "\n\n`", stringify!($epoch_default), "` by default, `", stringify!($epoch_range), "` is valid."
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

        /// Every number that a simulation may choose freely, in the order of the declarations.
        #[allow(clippy::useless_conversion)] // some of the numbers are u64
        pub static LIMITS: &[Limit<NodeParameters>] = &[$($(Limit {
            group: stringify!($group),
            key: stringify!($key),
            range: $range,
            get: |node| node.$group.$key.into(),
            set: |node, number| node.$group.$key = number.try_into().unwrap_or(node.$group.$key),
        },)*)*];

        /// The numbers that say when epochs end and how many are kept.
        #[allow(clippy::useless_conversion)]
        pub static EPOCH_LIMITS: &[Limit<NodeParameters>] = &[$($($(Limit {
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
