//! A configuration against the machine that it is for: keys, directories, addresses, sockets, and a committee that contains
//! the node (`metanode check-config`).
//!
//! Nothing is changed: addresses are bound for a moment, and what is written is removed. No connection to a block stream is
//! made, because an executor ends the stream of its node for it.
//!
//! | module | contains |
//! |---|---|
//! | `finding` | what is reported |
//! | `files` | keys, directories and socket files: what is there, and what that means (pure) |
//! | `committee` | what a committee says of this node (pure) |
//! | `executor_file` | whether an executor's configuration agrees with that of the node (pure) |
//! | `sockets` | what listens, and what that means (pure) |

mod committee;
mod executor_file;
mod files;
mod finding;
mod sockets;

pub use finding::{Finding, Level};

use crate::{
    config::{ConfigError, NodeConfig, Origins, RpcParameters},
    env::Env,
    executor::{ExecutorClient, RpcError, wire::ValidatorInfo},
    types::{Address, Epoch},
};
use executor_file::ExecutorFile;
use finding::Judgement;
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// The longest wait for an executor's answer.
const RPC_TIMEOUT_MS: u64 = 3_000;

/// What is checked.
pub struct Subject {
    path: PathBuf,
    config: NodeConfig,
    origins: Origins,
    /// The executor's configuration, which has the genesis.
    executor: Option<ExecutorFile>,
}

impl Subject {
    /// Reads the configuration of `node`, and the executor's configuration that `genesis` names.
    ///
    /// # Errors
    /// If one of them cannot be read or is invalid.
    pub fn load(
        path: &Path,
        node: Option<u16>,
        genesis: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            config: NodeConfig::parse_node(&text, path, node)?,
            origins: Origins::of(&text, path, node),
            path: path.to_owned(),
            executor: genesis.map(ExecutorFile::load).transpose()?,
        })
    }

    #[must_use]
    pub const fn config(&self) -> &NodeConfig {
        &self.config
    }

    /// Checks everything, in the order in which a node needs it.
    pub async fn check(&self, env: &Env) -> Vec<Finding> {
        let mut findings = self.check_files();
        findings.extend(self.check_listeners(env).await);
        let (of_executor, of_rpc) = self.check_executor(env).await;
        findings.extend(of_executor);
        let of_file = self.executor.as_ref().map(|file| {
            findings.extend(file.sockets(&self.config));
            file.genesis()
        });
        let lists: Vec<_> = of_rpc.iter().chain(&of_file).collect();
        findings.extend(lists.iter().rev().flat_map(|list| list.judge(&self.config)));
        match lists.first() {
            Some(list) => findings.extend(self.check_peers(env, list.others(&self.config)).await),
            None => findings.push(self.at(
                "protocol_key_seed",
                Judgement::warning(
                    "no committee was found to look for this key: start the executor, or name its configuration with --genesis",
                ),
            )),
        }
        findings.extend(self.check_peer_executors(env).await);
        findings
    }

    fn at(&self, key: &str, judgement: Judgement) -> Finding {
        judgement.at(self.origins.of_key(key))
    }

    fn check_files(&self) -> Vec<Finding> {
        let config = &self.config;
        let (key, keys) = match self.origins.has("key_file") {
            true => ("key_file", files::key_file()),
            false => ("protocol_key_seed", files::inline_keys(&self.path)),
        };
        let data_dir = files::data_dir(&config.data_dir);
        vec![self.at(key, keys), self.at("data_dir", data_dir)]
    }

    /// Where this node will listen.
    async fn check_listeners(&self, env: &Env) -> Vec<Finding> {
        let config = &self.config;
        let tcp = [
            ("p2p_listen_address", Some(config.p2p_listen_address)),
            (
                "old_transport_listen_address",
                config.old_transport_listen_address,
            ),
            ("metrics_listen_address", config.metrics_listen_address),
        ];
        let mut findings = vec![];
        for (key, address) in tcp {
            if let Some(address) = address {
                let judged = sockets::listen(env, &Address::Tcp(address)).await;
                findings.push(self.at(key, judged));
            }
        }
        let judged = match &config.transaction_address() {
            Address::Unix(path) => sockets::own_socket(env, path).await,
            tcp @ Address::Tcp(_) => sockets::listen(env, tcp).await,
        };
        findings.push(self.at("transaction_socket_path", judged));
        findings
    }

    /// The sockets of the executor, and the committee that it names if it answers.
    async fn check_executor(&self, env: &Env) -> (Vec<Finding>, Option<committee::Genesis>) {
        let config = &self.config;
        let mut findings = vec![];
        if config.delivers() {
            let judged = sockets::block_stream(&config.block_stream_address());
            findings.push(self.at("executor_send_socket_path", judged));
        }
        const RPC: &str = "executor_receive_socket_path";
        let address = config.rpc_address();
        if let Address::Unix(path) = &address
            && let Some(wrong) = files::folder_is_missing(path)
        {
            findings.push(self.at(RPC, wrong));
            return (findings, None);
        }
        match self.ask(env, &address).await {
            Ok((epoch, validators)) => {
                let text = format!("{address} answers: the executor is in {epoch}");
                findings.push(self.at(RPC, Judgement::ok(text)));
                let list = committee::Genesis::of_executor(&address, epoch, validators);
                (findings, Some(list))
            }
            Err(error) => {
                findings.push(self.at(RPC, sockets::unanswered(&error)));
                (findings, None)
            }
        }
    }

    /// The epoch of an executor and its validators.
    async fn ask(
        &self,
        env: &Env,
        address: &Address,
    ) -> Result<(Epoch, Vec<ValidatorInfo>), RpcError> {
        let client = self.client(env, address);
        let epoch = client.current_epoch().await?;
        let boundary = client.epoch_boundary_data(epoch).await?;
        Ok((epoch, boundary.validators))
    }

    fn client(&self, env: &Env, address: &Address) -> ExecutorClient {
        let configured = &self.config.rpc;
        let parameters = RpcParameters {
            timeout_ms: configured.timeout_ms.min(RPC_TIMEOUT_MS),
            ..configured.clone()
        };
        ExecutorClient::new(env.clone(), address.clone(), parameters)
    }

    /// Whether the other members are reached, all at once.
    async fn check_peers(&self, env: &Env, peers: Vec<committee::Peer>) -> Vec<Finding> {
        let wait = Duration::from_millis(self.config.consensus.peer_timeout_ms);
        let asked: Vec<_> = peers
            .into_iter()
            .map(|peer| {
                let env = env.clone();
                tokio::spawn(async move { sockets::peer(&env, &peer, wait).await })
            })
            .collect();
        let mut findings = vec![];
        for answer in asked {
            // A task that panicked has printed why.
            findings.extend(answer.await);
        }
        findings
    }

    /// Whether the executors of peers answer.
    async fn check_peer_executors(&self, env: &Env) -> Vec<Finding> {
        let mut findings = vec![];
        for address in &self.config.peer_go_master_sockets {
            let client = self.client(env, address);
            let answer = match client.current_epoch().await {
                Ok(epoch) => client.watermark().await.map(|watermark| (epoch, watermark)),
                Err(error) => Err(error),
            };
            let judged = sockets::peer_executor(address, &answer);
            findings.push(self.at("peer_go_master_sockets", judged));
        }
        findings
    }
}
