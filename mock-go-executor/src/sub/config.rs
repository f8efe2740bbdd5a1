//! The configuration of a Sub: a TOML file.

use crate::config::ConfigError;
use metanode_core::types::Address;
use serde::{Deserialize, Serialize};
use std::{num::NonZeroU32, path::Path};

/// The configuration of one Sub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubConfig {
    /// Where the metanode takes transactions.
    pub transaction_socket_path: Address,
    /// Where clients on this machine send theirs, with the frames of the transaction socket. Default: nowhere.
    #[serde(default)]
    pub listen_address: Option<Address>,
    #[serde(default)]
    pub limits: SubLimits,
}

/// Limits and times of a Sub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SubLimits {
    /// Batches that wait for a worker. Beyond it, who has another one waits.
    pub queue_batches: NonZeroU32,
    /// Connections to the metanode.
    pub workers: NonZeroU32,
    /// Frames of one connection that are not answered. With 1 a worker waits for each reply.
    pub max_frames_in_flight: NonZeroU32,
    /// Replies are read and counted only: what the metanode refuses is not sent again.
    pub fire_and_forget: bool,
    /// Transactions of a batch, and the time for which one waits for others.
    pub batch_transactions: NonZeroU32,
    pub batch_delay_ms: u64,
    /// Time after which an unanswered frame is sent again, on another connection.
    pub reply_timeout_ms: u64,
    /// Pause after a failed connection or a refusal, doubling up to the maximum.
    pub retry_min_ms: u64,
    pub retry_max_ms: u64,
    /// Time in which a Sub that is asked to stop sends what it has.
    pub drain_timeout_ms: u64,
}

impl Default for SubLimits {
    fn default() -> Self {
        const fn number(number: u32) -> NonZeroU32 {
            match NonZeroU32::new(number) {
                Some(number) => number,
                None => NonZeroU32::MIN,
            }
        }
        Self {
            queue_batches: number(1_000),
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
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.display().to_string(),
            source,
        })?;
        toml::from_str(&text).map_err(|source| ConfigError::Syntax {
            path: path.display().to_string(),
            source,
        })
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
        let all: SubConfig = toml::from_str(&uncommented).unwrap();
        let config: SubConfig = toml::from_str(EXAMPLE).unwrap();
        assert_eq!(all, config);
        assert_eq!(config.limits, SubLimits::default());
        let keys = uncommented.matches(" = ").count();
        assert_eq!(keys, 2 + 10, "a key is missing");
    }
}
