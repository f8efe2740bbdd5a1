//! The configuration of a node (TOML, contract §2).
//!
//! | file | is |
//! |---|---|
//! | `parameters` | every limit and time, with its default and its valid range |
//! | `document` | what is checked in the text of a file before it is read |
//! | `keys` | secrets |

mod document;
mod keys;
mod parameters;
#[cfg(test)]
mod tests;

pub use keys::KeySeed;
pub use parameters::{
    ConsensusParameters, DeliveryParameters, EPOCH_LIMITS, LIMITS, Limit, NodeParameters,
    OutOfRange, RpcParameters, within,
};

use crate::types::{Address, Authority, KeyPair, Stake};
use serde::{Deserialize, Serialize};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};
use thiserror::Error;
use toml::de::DeTable;

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
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
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
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let invalid = |offset, reason| ConfigError::Invalid {
            path: path.to_owned(),
            line: line_of(text, offset),
            reason,
        };
        let unreadable = |e: toml::de::Error| {
            let start = e.span().map_or(0, |span| span.start);
            invalid(start, e.message().to_owned())
        };
        let mut table = DeTable::parse(text).map_err(unreadable)?;
        document::check(table.get_mut()).map_err(|wrong| invalid(wrong.offset, wrong.reason))?;
        Self::deserialize(toml::Deserializer::from(table)).map_err(unreadable)
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

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

fn default_data_dir() -> PathBuf {
    PathBuf::from("metanode-data")
}
