//! The configuration of a node (TOML, contract §2), with every limit and time and its default.

use crate::types::{Address, Authority, KeyPair, SignatureScheme, Stake};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, path::PathBuf};
use thiserror::Error;

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Number of this node, from 0. Decides defaults only: which paths it uses, and that node 0 delivers.
    pub node_index: u16,
    /// Where the stores live.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    /// 32 bytes in hexadecimal, the secret of this node's protocol key.
    pub protocol_key_seed: KeySeed,
    /// More keys of this node, former ones and those to come: in each epoch it signs with the one that the committee
    /// names.
    #[serde(default)]
    pub further_protocol_key_seeds: Vec<KeySeed>,
    /// Where consensus peers connect.
    pub p2p_listen_address: SocketAddr,
    /// The block stream.
    #[serde(default)]
    pub executor_send_socket_path: Option<Address>,
    /// The executor RPC.
    #[serde(default)]
    pub executor_receive_socket_path: Option<Address>,
    /// May deliver blocks. Default: node 0 only.
    #[serde(default)]
    pub executor_commit_enabled: Option<bool>,
    /// May query state.
    #[serde(default = "default_true")]
    pub executor_read_enabled: bool,
    /// The executor RPC of peers, asked for their epoch and height.
    #[serde(default)]
    pub peer_go_master_sockets: Vec<Address>,
    /// Where this node's executor serves its peers' queries.
    #[serde(default)]
    pub peer_rpc_port: Option<u16>,
    /// Runs a committee of this node alone, whoever else the executor names.
    #[serde(default)]
    pub single_node: bool,
    /// What to do at start when the executor cannot be reached (contract §6.2).
    #[serde(default)]
    pub start_policy: StartPolicy,
    #[serde(default)]
    pub consensus: ConsensusParameters,
    #[serde(default)]
    pub delivery: DeliveryParameters,
    #[serde(default)]
    pub rpc: RpcParameters,
}

/// What a node does at start without an answer from its executor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartPolicy {
    /// Wait and ask again, for ever.
    #[default]
    Wait,
    /// Take W as 0 when the epoch is known but W is not: everything is delivered again. Only safe with an executor
    /// that drops what it has.
    AssumeGenesis,
}

/// Limits and times of consensus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConsensusParameters {
    pub signatures: SignatureScheme,
    /// Between two own blocks at least this long.
    pub min_round_delay_ms: u64,
    /// A round's leaders are waited for at most this long.
    pub leader_timeout_ms: u64,
    /// Leader slots per round, at least 1.
    pub leaders_per_round: u32,
    /// Rounds behind the last committed leader that stay part of the DAG. At least 3.
    pub gc_depth_rounds: u32,
    /// Blocks this far above the own round are not taken in; what lies between is fetched first.
    pub max_rounds_ahead: u32,
    /// Blocks of one author that may wait for ancestors.
    pub max_suspended_per_author: usize,
    /// Transactions in one own block, in sum.
    pub max_block_bytes: usize,
    /// Missing ancestors are asked for when they have been missing this long.
    pub fetch_delay_ms: u64,
    /// A peer that owes an answer may be silent this long: not a byte comes from it, nor is one taken.
    pub peer_timeout_ms: u64,
    /// A peer whose block stream is silent this long, not a byte, is connected anew.
    pub peer_silence_ms: u64,
    /// Between two attempts to reach a peer, doubling up to the maximum.
    pub peer_retry_min_ms: u64,
    pub peer_retry_max_ms: u64,
    /// A node that is more commits behind than this fetches certified commits.
    pub commit_sync_threshold: u32,
    /// Commits fetched at once.
    pub commit_sync_batch: u32,
    /// Transactions that wait to be proposed.
    pub pool_transactions: usize,
    /// An epoch that is older than this, by its start timestamp and the own clock, is to end (contract §7).
    pub epoch_duration_ms: u64,
    /// Epochs before the running one whose stores are kept: for peers that were down meanwhile, and for an executor
    /// that comes back with an older state. At least 1.
    pub retained_epochs: u64,
}

impl Default for ConsensusParameters {
    fn default() -> Self {
        Self {
            signatures: SignatureScheme::Ed25519,
            min_round_delay_ms: 50,
            leader_timeout_ms: 250,
            leaders_per_round: 1,
            gc_depth_rounds: 60,
            max_rounds_ahead: 500,
            max_suspended_per_author: 500,
            max_block_bytes: 512 * 1024,
            fetch_delay_ms: 100,
            peer_timeout_ms: 2_000,
            peer_silence_ms: 5_000,
            peer_retry_min_ms: 100,
            peer_retry_max_ms: 5_000,
            commit_sync_threshold: 20,
            commit_sync_batch: 100,
            pool_transactions: 20_000,
            epoch_duration_ms: 24 * 60 * 60 * 1_000,
            retained_epochs: 3,
        }
    }
}

/// Limits and times of the block stream (contract §2, §5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryParameters {
    /// Blocks in memory that are not durable in the executor, written or not.
    pub window_blocks: u32,
    /// Commits read from the store at once.
    pub recovery_batch_commits: u32,
    /// Between two questions for the watermark while something is outstanding and the window is not full; a full one
    /// asks on demand.
    pub watermark_poll_ms: u64,
    /// The executor must take a frame within this time.
    pub write_timeout_ms: u64,
    /// Between two attempts to connect, doubling from the minimum to the maximum.
    pub reconnect_min_ms: u64,
    pub reconnect_max_ms: u64,
}

impl Default for DeliveryParameters {
    fn default() -> Self {
        Self {
            window_blocks: 500,
            recovery_batch_commits: 250,
            watermark_poll_ms: 500,
            write_timeout_ms: 10_000,
            reconnect_min_ms: 500,
            reconnect_max_ms: 5_000,
        }
    }
}

/// Limits and times of the executor RPC (contract §2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RpcParameters {
    /// For a whole exchange; afterwards the connection is dropped.
    pub timeout_ms: u64,
    pub connect_attempts: u32,
    pub connect_retry_ms: u64,
    /// Idle connections that are kept.
    pub pool_size: usize,
    /// Between two rounds of questions at start, doubling from the minimum to the maximum.
    pub start_retry_min_ms: u64,
    pub start_retry_max_ms: u64,
}

impl Default for RpcParameters {
    fn default() -> Self {
        Self {
            timeout_ms: 10_000,
            connect_attempts: 3,
            connect_retry_ms: 100,
            pool_size: 4,
            start_retry_min_ms: 500,
            start_retry_max_ms: 5_000,
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("{path}: cannot be read: {source}")]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path}:{line}: {reason}")]
    Invalid {
        path: PathBuf,
        line: usize,
        reason: String,
    },
}

impl NodeConfig {
    /// Reads a configuration from a file.
    ///
    /// # Errors
    /// If the file cannot be read; otherwise as [`Self::parse`].
    pub fn load(path: &std::path::Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// With the line, the key and what was expected there. `path` is only named in them.
    pub fn parse(text: &str, path: &std::path::Path) -> Result<Self, ConfigError> {
        let invalid = |line, reason| ConfigError::Invalid {
            path: path.to_owned(),
            line,
            reason,
        };
        let config: Self = toml::from_str(text).map_err(|e| {
            let start = e.span().map_or(0, |span| span.start);
            invalid(line_of(text, start), e.message().to_owned())
        })?;
        config.check().map_err(|(key, reason)| {
            let at = text.find(key).unwrap_or(0);
            invalid(line_of(text, at), format!("{key} {reason}"))
        })?;
        Ok(config)
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        let at_least = |key, value: u64, least: u64| {
            (value >= least)
                .then_some(())
                .ok_or_else(|| (key, format!("is {value}, expected at least {least}")))
        };
        // A committee of one would propose for ever within one moment.
        at_least("min_round_delay_ms", self.consensus.min_round_delay_ms, 1)?;
        at_least("gc_depth_rounds", self.consensus.gc_depth_rounds.into(), 3)?;
        at_least(
            "leaders_per_round",
            self.consensus.leaders_per_round.into(),
            1,
        )?;
        at_least("window_blocks", self.delivery.window_blocks.into(), 1)?;
        at_least(
            "recovery_batch_commits",
            self.delivery.recovery_batch_commits.into(),
            1,
        )?;
        at_least(
            "commit_sync_batch",
            self.consensus.commit_sync_batch.into(),
            1,
        )?;
        at_least("epoch_duration_ms", self.consensus.epoch_duration_ms, 1)?;
        at_least("retained_epochs", self.consensus.retained_epochs, 1)?;
        at_least("connect_attempts", self.rpc.connect_attempts.into(), 1)
    }

    /// The block stream's address: configured, or the default path of this node.
    ///
    /// # Panics
    /// Never: the default is a path.
    #[must_use]
    pub fn block_stream_address(&self) -> Address {
        self.executor_send_socket_path.clone().unwrap_or_else(|| {
            Address::Unix(format!("/tmp/executor{}.sock", self.node_index).into())
        })
    }

    /// The executor RPC's address: configured, or the default path of a cluster with one executor.
    #[must_use]
    pub fn rpc_address(&self) -> Address {
        self.executor_receive_socket_path
            .clone()
            .unwrap_or_else(|| Address::Unix("/tmp/rust-go.sock_1".into()))
    }

    /// All keys of this node.
    #[must_use]
    pub fn keys(&self) -> Vec<KeyPair> {
        let seeds = [&self.protocol_key_seed].into_iter();
        seeds
            .chain(&self.further_protocol_key_seeds)
            .map(|seed| KeyPair::from_seed(self.consensus.signatures, &seed.0))
            .collect()
    }

    /// This node as a member of a committee, with stake 1. Authority key and account are those of its protocol key.
    #[must_use]
    pub fn authority(&self) -> Authority {
        let keys = KeyPair::from_seed(self.consensus.signatures, &self.protocol_key_seed.0);
        let protocol_key = keys.public();
        let mut address = [0; 20];
        address.copy_from_slice(&protocol_key.0[..20]);
        Authority {
            authority_key: protocol_key.0.to_vec(),
            protocol_key,
            stake: Stake(1),
            address,
            p2p_address: self.p2p_listen_address.to_string(),
            name: format!("validator-{}", self.node_index),
        }
    }

    /// Whether this node delivers.
    #[must_use]
    pub fn delivers(&self) -> bool {
        self.executor_commit_enabled.unwrap_or(self.node_index == 0)
    }
}

/// A secret in a configuration file: 64 hexadecimal digits. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeySeed(pub [u8; 32]);

impl std::fmt::Debug for KeySeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeySeed(…)")
    }
}

impl TryFrom<String> for KeySeed {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let mut seed = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(format!(
                "a key seed has 64 hexadecimal digits, found {} characters",
                digits.len()
            ));
        }
        for (byte, pair) in seed.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = std::str::from_utf8(pair)
                .ok()
                .and_then(|pair| u8::from_str_radix(pair, 16).ok())
                .ok_or("a key seed has hexadecimal digits only")?;
        }
        Ok(Self(seed))
    }
}

impl From<KeySeed> for String {
    fn from(seed: KeySeed) -> Self {
        seed.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

fn default_data_dir() -> PathBuf {
    PathBuf::from("metanode-data")
}

const fn default_true() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const MINIMAL: &str = "node_index = 2\np2p_listen_address = \"127.0.0.1:9000\"\nprotocol_key_seed = \"0101010101010101010101010101010101010101010101010101010101010101\"\n";

    fn parse(extra: &str) -> Result<NodeConfig, String> {
        NodeConfig::parse(&format!("{MINIMAL}{extra}"), Path::new("node.toml"))
            .map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let config = parse("").unwrap();
        assert_eq!(
            config.block_stream_address().to_string(),
            "unix:///tmp/executor2.sock"
        );
        assert_eq!(
            config.rpc_address().to_string(),
            "unix:///tmp/rust-go.sock_1"
        );
        assert!(!config.delivers() && config.executor_read_enabled);
        assert_eq!(config.delivery.window_blocks, 500);
        assert_eq!(config.rpc.timeout_ms, 10_000);
    }

    #[test]
    fn what_the_example_comments_out_are_the_defaults() {
        let text = include_str!("../node.example.toml");
        let config = NodeConfig::parse(text, Path::new("node.example.toml")).unwrap();
        let shown: String = text.lines().map(uncommented).collect();
        assert_eq!(
            NodeConfig::parse(&shown, Path::new("node.example.toml")).unwrap(),
            config
        );
        assert_eq!(config.consensus, ConsensusParameters::default());
        assert_eq!(config.delivery, DeliveryParameters::default());
        assert_eq!(config.rpc, RpcParameters::default());
    }

    /// The line with a default that is commented out in it.
    fn uncommented(line: &str) -> String {
        let setting = line.strip_prefix("# ").filter(|rest| {
            let key = rest.split_once(" = ").map_or("", |(key, _)| key);
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        });
        format!("{}\n", setting.unwrap_or(line))
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (extra, expected) in [
            ("windw = 3", "node.toml:4: unknown field `windw`"),
            (
                "[delivery]\nwindow_blocks = -1",
                "node.toml:5: invalid value: integer `-1`",
            ),
            (
                "[delivery]\nwindow_blocks = 0",
                "node.toml:5: window_blocks is 0, expected at least 1",
            ),
            (
                "executor_send_socket_path = \"tmp/x\"",
                "node.toml:4: `tmp/x` is not an address",
            ),
        ] {
            let error = parse(extra).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
