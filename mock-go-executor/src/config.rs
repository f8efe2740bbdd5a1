//! The executor's configuration: a file in TOML, or in JSON with the names of the Go side, checked as a whole before anything
//! starts.

use crate::{
    guard::Guard,
    ledger::{AccountAddress, DEFAULT_BALANCE, Funding},
    manners::Manners,
};
use metanode_core::{
    executor::{validators, wire::ValidatorInfo},
    framing::Framing,
    types::{Address, Authority, Epoch},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU16,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// Bytes of blocks in one reply. Leaves room for the rest of the reply.
const REPLY_BYTES: RangeInclusive<u64> = 64..=Framing::RPC.limit_bytes as u64 - 1_024;

/// The configuration of one executor. Ranges are `[low, high]`, both ends included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecutorConfig {
    /// Where metanodes deliver blocks. Go calls it `rust_go_receive_socket_path`.
    #[serde(alias = "rust_go_receive_socket_path")]
    pub block_stream_address: Address,
    /// Where the metanode of the same validator sends requests. Go calls it `rust_go_send_socket_path`.
    #[serde(alias = "rust_go_send_socket_path")]
    pub rpc_address: Address,
    /// The same RPC for peers. Default: none.
    #[serde(default)]
    pub peer_rpc_address: Option<Address>,
    /// The port of it on all addresses of the machine, instead.
    #[serde(default)]
    pub peer_rpc_port: Option<NonZeroU16>,
    /// Address at which metrics are served over HTTP, without encryption or authentication: for local use. Default: none.
    #[serde(default)]
    pub metrics_listen_address: Option<SocketAddr>,
    /// What to do with a block that is not the next. Default: `strict`.
    #[serde(default)]
    pub guard: Guard,
    /// Duration of a block's execution, drawn per block. Default: none.
    #[serde(default)]
    pub execute_us: [u64; 2],
    /// Blocks between two durable watermarks, drawn per flush. Default: every block.
    #[serde(default = "every_block")]
    pub flush_every_blocks: [u64; 2],
    /// Executed blocks become durable after this long without a new one. Default: 50 ms.
    #[serde(default = "default_flush_idle_ms")]
    pub flush_idle_ms: u64,
    /// Bytes of blocks in one reply to `GetBlocksRange`, at most; of a larger block it has a part. Default: 5 MiB.
    #[serde(default = "default_range_reply_bytes")]
    pub range_reply_bytes: u64,
    /// Granularity of the start timestamps of epochs, which are rounded down to it. Default: 1, every millisecond. Deployed
    /// executors keep seconds: 1000.
    #[serde(default = "every_ms")]
    pub epoch_start_granularity_ms: u32,
    /// How this executor differs from the contract, as deployed ones do. Default: not at all.
    #[serde(default)]
    pub manners: Manners,
    /// Where the binary keeps its stores; a simulated executor has its host's disk.
    #[serde(default = "default_data_dir")]
    pub data_dir: PathBuf,
    pub genesis: Genesis,
}

/// Epoch 0, and the committees of later epochs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// When epoch 0 began, in milliseconds since the Unix epoch.
    pub epoch_timestamp_ms: u64,
    /// Balance of an account before its first transaction. Default: 1 000 000.
    #[serde(default = "default_balance")]
    pub initial_balance: u64,
    /// Accounts that start with another balance.
    #[serde(default)]
    pub accounts: BTreeMap<AccountAddress, u64>,
    /// The committee.
    pub validators: Vec<ValidatorInfo>,
    /// Registrations that cannot be members, as anybody can send them: nodes must leave them out. They are listed together
    /// with the validators.
    #[serde(default)]
    pub unusable_validators: Vec<ValidatorInfo>,
    /// Committees of later epochs, in the order of their epochs. Each stays until the next change.
    #[serde(default)]
    pub changes: Vec<CommitteeChange>,
}

/// The validators from an epoch on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitteeChange {
    pub epoch: u64,
    pub validators: Vec<ValidatorInfo>,
    /// As in [`Genesis`].
    #[serde(default)]
    pub unusable_validators: Vec<ValidatorInfo>,
}

const fn every_block() -> [u64; 2] {
    [1, 1]
}

const fn every_ms() -> u32 {
    1
}

const fn default_flush_idle_ms() -> u64 {
    50
}

const fn default_range_reply_bytes() -> u64 {
    5 << 20
}

fn default_data_dir() -> PathBuf {
    PathBuf::from("executor-data")
}

const fn default_balance() -> u64 {
    DEFAULT_BALANCE
}

/// A configuration that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("{path} cannot be read: {source}")]
    Unreadable { path: String, source: io::Error },
    #[error("{path}: {source}")]
    Syntax {
        path: String,
        source: toml::de::Error,
    },
    #[error("{path}: {source}")]
    Json {
        path: String,
        source: serde_json::Error,
    },
    #[error("{path}: `{key}` is {found}: expected {expected}")]
    Value {
        /// The file, or another origin of the configuration.
        path: String,
        key: &'static str,
        found: String,
        expected: &'static str,
    },
}

/// Reads the text of the file `path`: JSON if its name ends in `.json`, otherwise TOML.
///
/// # Errors
/// With file, line and key of what is wrong.
pub(crate) fn read<T: DeserializeOwned>(text: &str, path: &str) -> Result<T, ConfigError> {
    let path = path.to_owned();
    let extension = Path::new(&path).extension();
    if extension.is_some_and(|extension| extension.eq_ignore_ascii_case("json")) {
        return serde_json::from_str(text).map_err(|source| ConfigError::Json { path, source });
    }
    toml::from_str(text).map_err(|source| ConfigError::Syntax { path, source })
}

impl ExecutorConfig {
    /// Where peers ask: the configured address, or the configured port on all addresses of the machine.
    #[must_use]
    pub fn peers_listen_address(&self) -> Option<Address> {
        let port = self.peer_rpc_port.map(NonZeroU16::get);
        let of_port = port.map(|port| Address::Tcp((Ipv4Addr::UNSPECIFIED, port).into()));
        self.peer_rpc_address.clone().or(of_port)
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// With file, line and key of what is wrong, and what was expected instead.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.display().to_string(),
            source,
        })?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Parses and checks `text`, which came from the file `path`.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn parse(text: &str, path: &str) -> Result<Self, ConfigError> {
        let config: Self = read(text, path)?;
        config.check(path)?;
        Ok(config)
    }

    /// Checks what the types do not. Errors name `origin`.
    ///
    /// # Errors
    /// The first key whose value cannot be used.
    pub fn check(&self, origin: &str) -> Result<(), ConfigError> {
        let value = |key, found: String, expected| ConfigError::Value {
            path: origin.to_owned(),
            key,
            found,
            expected,
        };
        let ordered = |[low, high]: [u64; 2]| low <= high;
        if !ordered(self.execute_us) {
            let found = format!("{:?}", self.execute_us);
            return Err(value("execute_us", found, "[low, high] with low <= high"));
        }
        if !ordered(self.flush_every_blocks) || self.flush_every_blocks[0] == 0 {
            let found = format!("{:?}", self.flush_every_blocks);
            let expected = "[low, high] with 1 <= low <= high";
            return Err(value("flush_every_blocks", found, expected));
        }
        if !REPLY_BYTES.contains(&self.range_reply_bytes) {
            let found = self.range_reply_bytes.to_string();
            return Err(value("range_reply_bytes", found, "64 to 10484736"));
        }
        if let (Some(_), Some(port)) = (&self.peer_rpc_address, self.peer_rpc_port) {
            let expected = "no port beside peer_rpc_address, which has one";
            return Err(value("peer_rpc_port", port.to_string(), expected));
        }
        let peers = self.peers_listen_address();
        let addresses = [
            ("block_stream_address", Some(&self.block_stream_address)),
            ("rpc_address", Some(&self.rpc_address)),
            ("peer_rpc_address", peers.as_ref()),
        ];
        for (i, (key, address)) in addresses.iter().enumerate().skip(1) {
            if address.is_some() && addresses[..i].iter().any(|(_, other)| other == address) {
                let found = address.map(ToString::to_string).unwrap_or_default();
                return Err(value(key, found, "an address of its own"));
            }
        }
        let committee = |key, epoch, validators: &[ValidatorInfo]| {
            let wrong = |error: String| {
                value(
                    key,
                    format!("no committee ({error})"),
                    "at least one validator, each with keys, stake and address",
                )
            };
            for validator in validators {
                Authority::try_from(validator).map_err(|error| wrong(error.to_string()))?;
            }
            let (_, left_out) = validators::committee(epoch, validators)
                .map_err(|error| wrong(error.to_string()))?;
            (left_out.first()).map_or(Ok(()), |error| Err(wrong(error.to_string())))
        };
        committee("genesis.validators", Epoch(0), &self.genesis.validators)?;
        let mut last = 0;
        for change in &self.genesis.changes {
            if change.epoch <= last {
                let found = format!("epoch {} after epoch {last}", change.epoch);
                return Err(value(
                    "genesis.changes",
                    found,
                    "ascending epochs from 1 on",
                ));
            }
            last = change.epoch;
            committee("genesis.changes", Epoch(last), &change.validators)?;
        }
        Ok(())
    }
}

impl Genesis {
    /// All registered validators of an epoch.
    #[must_use]
    pub fn validators_of(&self, epoch: u64) -> Vec<ValidatorInfo> {
        let begun = self.changes.partition_point(|change| change.epoch <= epoch);
        let (usable, unusable) = match begun.checked_sub(1).and_then(|last| self.changes.get(last))
        {
            Some(change) => (&change.validators, &change.unusable_validators),
            None => (&self.validators, &self.unusable_validators),
        };
        [&usable[..], unusable].concat()
    }

    /// Balances of accounts before their first write.
    #[must_use]
    pub fn funding(&self) -> Funding {
        Funding {
            initial_balance: self.initial_balance,
            exceptions: self.accounts.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metanode_core::config::NodeConfig;

    const GOOD: &str = r#"
rust_go_receive_socket_path = "/tmp/executor0.sock"
rpc_address = "/tmp/rust-go.sock_1"
peer_rpc_address = "127.0.0.1:7000"
guard = "skip-low"
execute_us = [100, 200]

[genesis]
epoch_timestamp_ms = 5

[genesis.accounts]
"0x0101010101010101010101010101010101010101" = 7

[[genesis.validators]]
name = "validator-0"
address = "0x0202020202020202020202020202020202020202"
stake = "1"
authority_key = "AQ=="
protocol_key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
network_key = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
p2p_address = "127.0.0.1:9000"
"#;

    fn parse(text: &str) -> Result<ExecutorConfig, ConfigError> {
        ExecutorConfig::parse(text, "executor.toml")
    }

    #[test]
    fn missing_keys_have_their_defaults() {
        let config = parse(GOOD).unwrap();
        assert_eq!(config.guard, Guard::SkipLow);
        assert_eq!(config.flush_every_blocks, [1, 1]);
        assert_eq!(config.flush_idle_ms, 50);
        let exceptions = [(AccountAddress([1; 20]), 7)].into();
        let expected = Funding {
            initial_balance: 1_000_000,
            exceptions,
        };
        assert_eq!(config.genesis.funding(), expected);
        assert_eq!(parse(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn the_example_names_the_validator_of_the_nodes_example() {
        let executor = include_str!("../executor.example.toml");
        let executor = ExecutorConfig::parse(executor, "executor.example.toml").unwrap();
        let node = include_str!("../../core/node.example.toml");
        let node = NodeConfig::parse(node, Path::new("node.example.toml")).unwrap();
        let validator = ValidatorInfo::from(&node.authority());
        assert_eq!(executor.genesis.validators, [validator]);
        assert_eq!(executor.block_stream_address, node.block_stream_address());
        assert_eq!(executor.rpc_address, node.rpc_address());
    }

    const JSON: &str = include_str!("../executor.example.json");

    #[test]
    fn json_has_the_names_of_the_go_side() {
        let toml = include_str!("../executor.example.toml");
        let toml = ExecutorConfig::parse(toml, "executor.example.toml").unwrap();
        assert_eq!(ExecutorConfig::parse(JSON, "executor.JSON").unwrap(), toml);
        assert!(parse(JSON).is_err(), "by its name it is TOML");

        let error = |text: &str| {
            let error = ExecutorConfig::parse(text, "executor.json").unwrap_err();
            error.to_string()
        };
        let unknown = error(&JSON.replace("rust_go_send_socket", "rust_go_socket"));
        for part in [
            "executor.json",
            "line 3",
            "rust_go_socket_path",
            "rust_go_send_socket_path",
        ] {
            assert!(unknown.contains(part), "`{part}` is not in: {unknown}");
        }
        let same = error(&JSON.replace("/tmp/rust-go.sock_1", "/tmp/executor0.sock"));
        assert!(same.contains("`rpc_address`"), "{same}");
    }

    #[test]
    fn errors_name_the_place_and_the_expected_value() {
        for (good, bad, parts) in [
            (
                "guard",
                "gaurd",
                &["executor.toml", "line 5", "gaurd", "guard"][..],
            ),
            (
                "skip-low",
                "lenient",
                &["executor.toml", "line 5", "lenient", "skip-low"],
            ),
            (
                "\"127.0.0.1:7000\"",
                "\"localhost:7000\"",
                &["line 4", "localhost:7000", "tcp://IP:PORT"],
            ),
            (
                "[100, 200]",
                "[300, 200]",
                &["executor.toml", "execute_us", "[300, 200]", "low <= high"],
            ),
            (
                "[100, 200]",
                "[1, 2]\nflush_every_blocks = [0, 1]",
                &["flush_every_blocks", "1 <= low"],
            ),
            (
                "127.0.0.1:7000",
                "/tmp/executor0.sock",
                &["peer_rpc_address", "/tmp/executor0.sock", "of its own"],
            ),
            (
                "guard = \"skip-low\"",
                "peer_rpc_port = 7000",
                &["peer_rpc_port", "7000", "no port beside peer_rpc_address"],
            ),
            (
                "/tmp/rust-go.sock_1",
                "/tmp/executor0.sock",
                &["`rpc_address`", "/tmp/executor0.sock", "of its own"],
            ),
            (
                "stake = \"1\"",
                "stake = \"one\"",
                &["genesis.validators", "validator-0", "stake", "`one`"],
            ),
            (
                "\"0x0101",
                "\"0x01",
                &["executor.toml", "0x01", "20 bytes in hex"],
            ),
        ] {
            assert!(GOOD.contains(good));
            let error = parse(&GOOD.replacen(good, bad, 1)).unwrap_err().to_string();
            for part in parts {
                assert!(error.contains(part), "`{part}` is not in: {error}");
            }
        }
    }
}
