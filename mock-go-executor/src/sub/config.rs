//! The configuration of a Sub: a file in TOML or JSON.

use super::old_transport::OldTransport;
use crate::{
    config::{self, ConfigError},
    ledger::Funding,
};
use metanode_core::{config::RpcParameters, types::Address};
use serde::{Deserialize, Serialize};
use std::{
    net::SocketAddr,
    num::NonZeroU32,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

/// The configuration of one Sub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubConfig {
    /// Where the metanode takes transactions.
    pub transaction_socket_path: Address,
    /// Where clients on this machine send theirs, with the frames of the transaction socket. Default: nowhere.
    #[serde(default)]
    pub listen_address: Option<Address>,
    /// Address at which metrics are served over HTTP, without encryption or authentication: for local use. Default: none.
    #[serde(default)]
    pub metrics_listen_address: Option<SocketAddr>,
    /// Sends over the transport that the transaction socket replaced, for comparison: its listener is then at
    /// `transaction_socket_path`. Of the limits, those of frames in flight and fire-and-forget do not apply.
    #[serde(default)]
    pub old_transport: Option<OldTransport>,
    #[serde(default)]
    pub limits: SubLimits,
    /// The Master whose state the Sub follows. Default: none.
    #[serde(default)]
    pub follow: Option<Following>,
}

/// How a Sub follows its Master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Following {
    /// The executor RPC of the Master, best the one for peers.
    pub master_address: Address,
    /// Where the binary keeps the Sub's state; a simulated Sub has its own disk.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    /// Pause before asking again when all durable blocks are executed; up to 32 times as long if the Master cannot be read.
    #[serde(default = "default_poll_ms")]
    pub poll_ms: u64,
    /// Blocks of one request, at most.
    #[serde(default = "default_range_blocks")]
    pub range_blocks: NonZeroU32,
    #[serde(default)]
    pub rpc: RpcParameters,
    /// The state before block 1: as in the Master's genesis.
    #[serde(default)]
    pub genesis: Funding,
}

fn default_data_dir() -> PathBuf {
    PathBuf::from("sub-data")
}

const fn default_poll_ms() -> u64 {
    100
}

const fn default_range_blocks() -> NonZeroU32 {
    number(500)
}

const fn number(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

/// Limits and times of a Sub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SubLimits {
    /// Batches that wait for a worker. Beyond it, who has another one waits.
    pub queue_batches: NonZeroU32,
    /// Bytes of the batches that wait or are not answered. Beyond it, who has another one waits.
    pub max_buffered_bytes: NonZeroU32,
    /// Connections to the metanode.
    pub workers: NonZeroU32,
    /// Frames of one connection that are not answered. With 1 a worker waits for each reply.
    pub max_frames_in_flight: NonZeroU32,
    /// Replies are read and counted only: what the metanode refuses is not sent again.
    pub fire_and_forget: bool,
    /// Transactions of a batch, and the time for which one waits for others.
    pub batch_transactions: NonZeroU32,
    pub batch_delay_ms: u64,
    /// Time after which an unanswered frame is sent again, on another connection; and for a frame of a local client to arrive.
    pub reply_timeout_ms: u64,
    /// Pause after a failed connection or a refusal, doubling up to the maximum.
    pub retry_min_ms: u64,
    pub retry_max_ms: u64,
    /// Time in which a Sub that is asked to stop sends what it has.
    pub drain_timeout_ms: u64,
}

impl Default for SubLimits {
    fn default() -> Self {
        Self {
            queue_batches: number(1_000),
            max_buffered_bytes: number(256 << 20),
            workers: number(10),
            max_frames_in_flight: number(1),
            fire_and_forget: false,
            batch_transactions: number(100),
            batch_delay_ms: 10,
            reply_timeout_ms: 10_000,
            retry_min_ms: 100,
            retry_max_ms: 5_000,
            drain_timeout_ms: 10_000,
        }
    }
}

impl SubConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// With file, line and key of what is wrong, and what was expected instead.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: origin.clone(),
            source,
        })?;
        Self::parse(&text, &origin)
    }

    fn parse(text: &str, origin: &str) -> Result<Self, ConfigError> {
        let config: Self = config::read(text, origin)?;
        let value = |key, found: String, expected| ConfigError::Value {
            path: origin.to_owned(),
            key,
            found,
            expected,
        };
        for (key, found, range, expected) in config.numbers() {
            if !range.contains(&found) {
                return Err(value(key, found.to_string(), expected));
            }
        }
        match &config.transaction_socket_path {
            unix @ Address::Unix(_) if config.old_transport.is_some() => Err(value(
                "transaction_socket_path",
                unix.to_string(),
                "IP:PORT, the node's `old_transport_listen_address`, because of the section `[old_transport]`",
            )),
            _ => Ok(config),
        }
    }

    /// Every number with its key, its range, and the range in words.
    fn numbers(&self) -> Vec<(&'static str, u64, RangeInclusive<u64>, &'static str)> {
        let up_to =
            |key, number: NonZeroU32, most, text| (key, number.get().into(), 1..=most, text);
        let ms = |key, number| (key, number, 1..=3_600_000, "1 to 3600000, an hour");
        let limits = &self.limits;
        let mut numbers = vec![
            up_to(
                "limits.queue_batches",
                limits.queue_batches,
                1_000_000,
                "1 to 1000000",
            ),
            up_to(
                "limits.max_buffered_bytes",
                limits.max_buffered_bytes,
                1 << 30,
                "1 to 1073741824, a GiB",
            ),
            up_to("limits.workers", limits.workers, 1_000, "1 to 1000"),
            up_to(
                "limits.max_frames_in_flight",
                limits.max_frames_in_flight,
                10_000,
                "1 to 10000",
            ),
            up_to(
                "limits.batch_transactions",
                limits.batch_transactions,
                65_536,
                "1 to 65536",
            ),
            ms("limits.batch_delay_ms", limits.batch_delay_ms),
            ms("limits.reply_timeout_ms", limits.reply_timeout_ms),
            ms("limits.retry_min_ms", limits.retry_min_ms),
            ms("limits.retry_max_ms", limits.retry_max_ms),
            ms("limits.drain_timeout_ms", limits.drain_timeout_ms),
        ];
        if let Some(follow) = &self.follow {
            numbers.extend([
                up_to(
                    "follow.range_blocks",
                    follow.range_blocks,
                    100_000,
                    "1 to 100000",
                ),
                ms("follow.poll_ms", follow.poll_ms),
                ms("follow.rpc.timeout_ms", follow.rpc.timeout_ms),
                ms("follow.rpc.connect_retry_ms", follow.rpc.connect_retry_ms),
            ]);
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../sub.example.toml");

    #[test]
    fn the_example_shows_the_defaults() {
        let uncommented: String = EXAMPLE
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(setting) if setting.split(' ').nth(1) == Some("=") => setting,
                _ => line,
            })
            .map(|line| format!("{line}\n"))
            .collect();
        let all = SubConfig::parse(&uncommented, "").unwrap();
        let config = SubConfig::parse(EXAMPLE, "").unwrap();
        assert_eq!(all, config);
        assert_eq!(config.limits, SubLimits::default());
        let settings = uncommented.lines().filter(|line| !line.starts_with('#'));
        let keys = settings.filter(|line| line.contains(" = ")).count();
        assert_eq!(keys, 3 + 11 + 4 + 2, "a key is missing");
    }

    #[test]
    fn a_value_that_cannot_be_used_is_named() {
        let error = |good: &str, bad: &str| {
            assert!(EXAMPLE.contains(good));
            let text = EXAMPLE.replace(good, bad);
            SubConfig::parse(&text, "sub.toml").unwrap_err().to_string()
        };
        let workers = error("# workers = 10", "workers = 1_001");
        let poll = error("# poll_ms = 100", "poll_ms = 0");
        let unix = error(
            "[limits]",
            "[old_transport]\npool_connections = 1\n[limits]",
        );
        for (error, parts) in [
            (workers, ["sub.toml", "limits.workers", "1001", "1 to 1000"]),
            (poll, ["sub.toml", "follow.poll_ms", "is 0", "1 to 3600000"]),
            (
                unix,
                [
                    "sub.toml",
                    "transaction_socket_path",
                    "metanode-tx",
                    "IP:PORT",
                ],
            ),
        ] {
            for part in parts {
                assert!(error.contains(part), "`{part}` is not in: {error}");
            }
        }
    }
}
