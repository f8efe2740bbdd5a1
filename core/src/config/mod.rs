//! The configuration of a node (TOML, contract §2).
//!
//! | module | contains |
//! |---|---|
//! | `parameters` | every limit and time, with its default and its valid range |
//! | `document` | checks before deserialization |
//! | `sections` | files for several nodes |
//! | `keys` | secret keys |
//! | [`key_file`] | the file that holds them, readable by its owner only |
//! | `origins` | the lines of a file that keys come from |
//! | `watermark_source` | which number of the executor is W |

mod document;
pub mod key_file;
mod keys;
mod origins;
mod parameters;
mod sections;
#[cfg(test)]
mod tests;
mod watermark_source;

pub use keys::KeySeed;
pub use origins::Origins;
pub use parameters::{
    ConsensusParameters, DeliveryParameters, IngestParameters, LIMITS, Limit, NodeParameters,
    OutOfRange, PeerParameters, RpcParameters, within,
};
pub use watermark_source::WatermarkSource;

use crate::types::{Address, Authority, KeyPair, NetworkKeyPair, Stake};
use document::DocumentError;
use key_file::KeysError;
use serde::{Deserialize, Serialize};
use std::{
    net::SocketAddr,
    num::NonZeroU16,
    path::{Path, PathBuf},
};
use thiserror::Error;
use toml::de::DeTable;

/// Configuration of one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Number of this node, from 0. Only determines defaults: socket paths, and that node 0 delivers.
    pub node_index: u16,
    /// Only determines defaults: the path of the executor RPC, and who delivers.
    #[serde(default)]
    pub topology: Topology,
    /// Directory of the stores.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    /// Seed of this node's protocol key.
    pub protocol_key_seed: KeySeed,
    /// Seeds of earlier and future protocol keys of this node: in each epoch it signs with the key that the committee
    /// contains.
    #[serde(default)]
    pub further_protocol_key_seeds: Vec<KeySeed>,
    /// Seed of this node's network key, which proves to peers who it is.
    pub network_key_seed: KeySeed,
    /// Seeds of earlier and future network keys of this node, as for the protocol key.
    #[serde(default)]
    pub further_network_key_seeds: Vec<KeySeed>,
    /// Listen address of consensus P2P.
    pub p2p_listen_address: SocketAddr,
    /// Address of the block stream.
    #[serde(default)]
    pub executor_send_socket_path: Option<Address>,
    /// Address of the executor RPC.
    #[serde(default)]
    pub executor_receive_socket_path: Option<Address>,
    /// Address at which clients send transactions.
    #[serde(default)]
    pub transaction_socket_path: Option<Address>,
    /// Address of the transport that the transaction socket replaced, for comparison. Default: none.
    #[serde(default)]
    pub old_transport_listen_address: Option<SocketAddr>,
    /// Address at which metrics are served over HTTP, without encryption or authentication: for local use. Default: none.
    #[serde(default)]
    pub metrics_listen_address: Option<SocketAddr>,
    /// Whether the node may deliver blocks. Default: node 0 only, in `master-per-node` every node.
    #[serde(default)]
    pub executor_commit_enabled: Option<bool>,
    /// RPC addresses of the executors of other validators, which are asked for epoch and block (contract §10.1). One that
    /// occurs twice is asked once.
    #[serde(default)]
    pub peer_go_master_sockets: Vec<Address>,
    /// TCP port at which the executor of this node answers peers. The node does not use it: it tells the operator.
    #[serde(default)]
    pub peer_rpc_port: Option<NonZeroU16>,
    /// Runs a committee of this node alone, whatever validators the executor returns.
    #[serde(default)]
    pub single_node: bool,
    /// All nodes are on this machine: network health checks are skipped, among them the questions to peers.
    #[serde(default)]
    pub localhost_testing: bool,
    /// Behaviour at start if the executor does not answer (contract §6.2).
    #[serde(default)]
    pub start_policy: StartPolicy,
    #[serde(default)]
    pub consensus: ConsensusParameters,
    #[serde(default)]
    pub peers: PeerParameters,
    #[serde(default)]
    pub delivery: DeliveryParameters,
    #[serde(default)]
    pub ingest: IngestParameters,
    #[serde(default)]
    pub rpc: RpcParameters,
}

/// How many executors a network has (contract §1). Chooses defaults only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// One, to which node 0 delivers.
    #[default]
    SingleMaster,
    /// One per node.
    MasterPerNode,
}

/// Behaviour of a start without an answer from the executor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartPolicy {
    /// Retry for ever.
    #[default]
    Wait,
    /// At a start, take W as the base of the newest epoch in the store, in epoch 0 as 0: all its commits are delivered again.
    /// Only safe with an executor that drops blocks it already has. Without an epoch in the store as `Wait`.
    AssumeGenesis,
}

/// A configuration that cannot be read or is invalid.
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
    /// Reads a configuration from a file, of `node` if that has a section for each.
    ///
    /// # Errors
    /// If the file cannot be read; otherwise as [`Self::parse_node`].
    pub fn load(path: &Path, node: Option<u16>) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse_node(&text, path, node)
    }

    /// Reads a configuration.
    ///
    /// # Errors
    /// As [`Self::parse_node`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::parse_node(text, path, None)
    }

    /// Reads the configuration of one node: the whole document, or what its nodes share with the section `[node_N]` of this
    /// one. Without `node` the shared `node_index` chooses the section. Keys come from the file that `key_file` names, if it
    /// does.
    ///
    /// # Errors
    /// With `path`, the line, the key and the expected value; if there are sections, and none is chosen.
    pub fn parse_node(text: &str, path: &Path, node: Option<u16>) -> Result<Self, ConfigError> {
        let invalid = |offset, reason| ConfigError::Invalid {
            path: path.to_owned(),
            line: line_of(text, offset),
            reason,
        };
        let unreadable = |e: toml::de::Error| {
            let start = e.span().map_or(0, |span| span.start);
            invalid(start, with_key(text, start, e.message()))
        };
        let wrong = |wrong: DocumentError| invalid(wrong.offset, wrong.reason);
        let table = DeTable::parse(text).map_err(unreadable)?;
        let chosen = sections::chosen(table.get_ref(), node).map_err(wrong)?;
        let index = chosen.map_or_else(String::new, |number| format!("node_index = {number}"));
        let keys;
        let mut table = table;
        if let Some(number) = chosen {
            let index = DeTable::parse(&index).map_err(unreadable)?.into_inner();
            sections::apply(table.get_mut(), number, index).map_err(wrong)?;
        }
        if let Some((file, offset)) = key_file::named(table.get_ref(), path).map_err(wrong)? {
            keys = key_file::read(&file).map_err(|reason| invalid(offset, reason))?;
            key_file::apply(table.get_mut(), &keys, &file).map_err(|error| match error {
                KeysError::InFile(error) => error,
                KeysError::InBoth(error) => wrong(error),
            })?;
        }
        document::check(table.get_mut()).map_err(wrong)?;
        Self::deserialize(toml::Deserializer::from(table)).map_err(unreadable)
    }

    /// The address of the block stream: the configured one, or the default path of this node.
    ///
    /// # Panics
    /// Never: the default is a path.
    #[must_use]
    pub fn block_stream_address(&self) -> Address {
        self.executor_send_socket_path.clone().unwrap_or_else(|| {
            Address::Unix(format!("/tmp/executor{}.sock", self.node_index).into())
        })
    }

    /// The address of the executor RPC: the configured one, or the default path of the topology (contract §2.1).
    #[must_use]
    pub fn rpc_address(&self) -> Address {
        let executor = match self.topology {
            Topology::SingleMaster => 1,
            Topology::MasterPerNode => u32::from(self.node_index) + 1,
        };
        self.executor_receive_socket_path
            .clone()
            .unwrap_or_else(|| Address::Unix(format!("/tmp/rust-go.sock_{executor}").into()))
    }

    /// The address at which clients send transactions: the configured one, or the default path of this node.
    #[must_use]
    pub fn transaction_address(&self) -> Address {
        self.transaction_socket_path.clone().unwrap_or_else(|| {
            Address::Unix(format!("/tmp/metanode-tx-{}.sock", self.node_index).into())
        })
    }

    /// All protocol keys of this node.
    #[must_use]
    pub fn keys(&self) -> Vec<KeyPair> {
        let seeds = [&self.protocol_key_seed].into_iter();
        seeds
            .chain(&self.further_protocol_key_seeds)
            .map(|seed| KeyPair::from_seed(self.consensus.signatures, &seed.0))
            .collect()
    }

    /// All network keys of this node, the current one first.
    #[must_use]
    pub fn network_keys(&self) -> Vec<NetworkKeyPair> {
        let seeds = [&self.network_key_seed].into_iter();
        seeds
            .chain(&self.further_network_key_seeds)
            .map(|seed| NetworkKeyPair::from_seed(self.consensus.encryption, &seed.0))
            .collect()
    }

    /// This node as an authority with stake 1. Authority key and account are derived from its protocol key.
    #[must_use]
    pub fn authority(&self) -> Authority {
        let keys = KeyPair::from_seed(self.consensus.signatures, &self.protocol_key_seed.0);
        let protocol_key = keys.public();
        let mut address = [0; 20];
        address.copy_from_slice(&protocol_key.0[..20]);
        Authority {
            authority_key: protocol_key.0.to_vec(),
            protocol_key,
            network_key: NetworkKeyPair::from_seed(
                self.consensus.encryption,
                &self.network_key_seed.0,
            )
            .public(),
            stake: Stake(1),
            address,
            p2p_address: self.p2p_listen_address,
            name: format!("validator-{}", self.node_index),
        }
    }

    /// Whether this node delivers.
    #[must_use]
    pub fn delivers(&self) -> bool {
        self.executor_commit_enabled.unwrap_or(match self.topology {
            Topology::SingleMaster => self.node_index == 0,
            Topology::MasterPerNode => true,
        })
    }
}

/// The reason with the key on the line at `offset`, unless it names that already.
fn with_key(text: &str, offset: usize, reason: &str) -> String {
    let line = text.lines().nth(line_of(text, offset) - 1);
    let key = line
        .and_then(|line| line.split_once('='))
        .map(|(key, _)| key.trim());
    match key {
        Some(key) if !key.is_empty() && !reason.contains(key) => format!("{key}: {reason}"),
        Some(_) | None => reason.to_owned(),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

fn default_data_dir() -> PathBuf {
    PathBuf::from("metanode-data")
}
