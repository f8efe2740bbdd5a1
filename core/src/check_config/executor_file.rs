//! The configuration of an executor, as far as it has to agree with that of a node: sockets and genesis. Whatever else it has
//! is for the executor to judge.

use super::{
    committee::Genesis,
    finding::{Finding, Judgement},
};
use crate::{
    config::{ConfigError, NodeConfig},
    executor::wire::ValidatorInfo,
    types::Address,
};
use serde::Deserialize;
use std::{fs, path::Path};

/// What is read of the file.
#[derive(Deserialize)]
struct Content {
    #[serde(alias = "rust_go_receive_socket_path")]
    block_stream_address: Option<Address>,
    #[serde(alias = "rust_go_send_socket_path")]
    rpc_address: Option<Address>,
    genesis: GenesisTable,
}

#[derive(Deserialize)]
struct GenesisTable {
    validators: Vec<ValidatorInfo>,
}

/// An executor's configuration.
pub(super) struct ExecutorFile {
    origin: String,
    text: String,
    content: Content,
}

impl ExecutorFile {
    /// Reads JSON if the name ends in `.json`, otherwise TOML.
    ///
    /// # Errors
    /// If it cannot be read, or has no genesis with validators.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(text, path)
    }

    fn parse(text: String, path: &Path) -> Result<Self, ConfigError> {
        let invalid = |line, reason| ConfigError::Invalid {
            path: path.to_owned(),
            line,
            reason,
        };
        let extension = path.extension();
        let is_json = extension.is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let content = match is_json {
            true => serde_json::from_str(&text).map_err(|e| invalid(e.line(), e.to_string())),
            false => toml::from_str(&text).map_err(|e: toml::de::Error| {
                let start = e.span().map_or(0, |span| span.start);
                let line = text[..start].matches('\n').count() + 1;
                invalid(line, e.message().to_owned())
            }),
        };
        Ok(Self {
            content: content?,
            origin: path.display().to_string(),
            text,
        })
    }

    pub fn genesis(&self) -> Genesis {
        let validators = self.content.genesis.validators.clone();
        Genesis::of_file(self.origin.clone(), self.text.clone(), validators)
    }

    /// Whether this executor has the sockets that the node uses.
    pub fn sockets(&self, config: &NodeConfig) -> Vec<Finding> {
        let Content {
            block_stream_address,
            rpc_address,
            ..
        } = &self.content;
        let stream = (config.delivers()).then(|| config.block_stream_address());
        let pairs = [
            (
                block_stream_address,
                stream,
                "rust_go_receive_socket_path",
                "block_stream_address",
            ),
            (
                rpc_address,
                Some(config.rpc_address()),
                "rust_go_send_socket_path",
                "rpc_address",
            ),
        ];
        let judged = pairs.into_iter().filter_map(|(found, used, go, own)| {
            let (found, used) = (found.as_ref()?, used?);
            let lines = |key| origin_of(&self.origin, &self.text, key, "");
            let origin = match self.text.contains(go) {
                true => lines(go),
                false => lines(own),
            };
            Some(agree(found, &used).at(origin))
        });
        judged.collect()
    }
}

fn agree(found: &Address, used: &Address) -> Judgement {
    match found == used {
        true => Judgement::ok(format!("{found}, as the node has it")),
        false => Judgement::warning(format!(
            "{found}, the node uses {used}: right only if this is the file of another executor"
        )),
    }
}

/// The place of a key with this value, with its line if there is a text.
pub(super) fn origin_of(origin: &str, text: &str, key: &str, value: &str) -> String {
    let is_there = |line: &str| line.contains(key) && line.contains(value);
    match text.lines().position(is_there) {
        Some(line) => format!("{origin}:{}: {key}", line + 1),
        None => format!("{origin}: {key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_with_its_line() {
        for (name, text, expected) in [
            ("a.json", "{\n  \"genesis\": 3\n}", "a.json:2: invalid type"),
            (
                "a.toml",
                "\n[genesis]\nvalidators = 3\n",
                "a.toml:3: invalid type",
            ),
            ("a.json", "{}", "a.json:1: missing field `genesis`"),
        ] {
            let error = ExecutorFile::parse(text.to_owned(), Path::new(name))
                .err()
                .unwrap();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }

    #[test]
    fn sockets_are_compared_under_both_names() {
        let node = "node_index = 0\np2p_listen_address = \"127.0.0.1:9000\"\nprotocol_key_seed = \
                    \"0101010101010101010101010101010101010101010101010101010101010101\"\nnetwork_key_seed = \
                    \"0202020202020202020202020202020202020202020202020202020202020202\"";
        let node = NodeConfig::parse(node, Path::new("node.toml")).unwrap();
        let go = r#"{
  "rust_go_receive_socket_path": "/tmp/executor0.sock",
  "rust_go_send_socket_path": "/tmp/rust-go.sock_2",
  "genesis": { "validators": [] }
}"#;
        let own = "block_stream_address = \"/tmp/executor0.sock\"\nrpc_address = \"/tmp/rust-go.sock_2\"\n\
                   [genesis]\nvalidators = []";
        for (name, text, ok, warning) in [
            (
                "a.json",
                go,
                "ok       a.json:2: rust_go_receive_socket_path: ",
                "warning  a.json:3: rust_go_send_socket_path: ",
            ),
            (
                "a.toml",
                own,
                "ok       a.toml:1: block_stream_address: ",
                "warning  a.toml:2: rpc_address: ",
            ),
        ] {
            let file = ExecutorFile::parse(text.to_owned(), Path::new(name)).unwrap();
            let findings = file.sockets(&node);
            let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
            assert!(lines[0].starts_with(ok), "{lines:?}");
            assert!(lines[1].starts_with(warning), "{lines:?}");
            assert_eq!(lines.len(), 2);
        }
    }
}
