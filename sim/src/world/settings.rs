//! From the plan to the configuration of each process: the structs that a file fills in production.

use crate::{
    addresses::{BLOCK_STREAM_PATH, P2P_PORT, PEER_RPC_PORT, RPC_PATH},
    clock::ORIGIN_MS,
    net::{HostId, Settings},
    plan::{Member, Plan, Topology},
};
use metanode_core::{
    config::{ConsensusParameters, KeySeed, NodeConfig, NodeParameters, StartPolicy},
    executor::{
        validators::{committee, format_account},
        wire::ValidatorInfo,
    },
    types::{Address, AuthorityIndex, Committee, Epoch, KeyPair},
};
use mock_go_executor::config::{CommitteeChange, ExecutorConfig, Genesis};
use std::{net::SocketAddr, time::Duration};

/// The settings of the socket kernel.
#[must_use]
pub fn network(plan: &Plan) -> Settings {
    let network = &plan.network;
    let bytes = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let latency = network.latency_ms;
    Settings {
        unix_buffer_bytes: bytes(network.unix_buffer_bytes),
        tcp_buffer_bytes: bytes(network.tcp_buffer_bytes),
        backlog: network.backlog as usize,
        latency: Duration::from_millis(latency.low)..=Duration::from_millis(latency.high),
    }
}

/// The configuration of node `index`.
#[must_use]
pub fn node(plan: &Plan, index: u16) -> NodeConfig {
    let NodeParameters {
        consensus,
        delivery,
        rpc,
    } = plan.node.clone();
    let rpc_address = match plan.topology {
        Topology::SingleMaster if index > 0 => tcp(0, PEER_RPC_PORT),
        Topology::SingleMaster | Topology::MasterPerNode => Address::Unix(RPC_PATH.into()),
    };
    NodeConfig {
        node_index: index,
        data_dir: "/data".into(),
        protocol_key_seed: KeySeed(key_seed(index, 0)),
        further_protocol_key_seeds: (1..plan.epochs.keys_of(index))
            .map(|key| KeySeed(key_seed(index, key)))
            .collect(),
        p2p_listen_address: SocketAddr::new(HostId(index).ip(), P2P_PORT),
        executor_send_socket_path: Some(Address::Unix(BLOCK_STREAM_PATH.into())),
        executor_receive_socket_path: Some(rpc_address),
        executor_commit_enabled: Some(delivers(plan, index)),
        single_node: false,
        start_policy: StartPolicy::Wait,
        consensus: ConsensusParameters {
            signatures: plan.signatures,
            // Without a duration no epoch ends.
            epoch_duration_ms: plan.epochs.duration_ms.unwrap_or(u64::MAX),
            retained_epochs: plan.epochs.retained,
            ..consensus
        },
        delivery,
        rpc,
    }
}

/// The configuration of executor `index`.
#[must_use]
pub fn executor(plan: &Plan, index: u16) -> ExecutorConfig {
    let drawn = &plan.executors[usize::from(index)];
    ExecutorConfig {
        block_stream_address: Address::Unix(BLOCK_STREAM_PATH.into()),
        rpc_address: Address::Unix(RPC_PATH.into()),
        peer_rpc_address: Some(tcp(index, PEER_RPC_PORT)),
        guard: drawn.guard,
        execute_us: [drawn.execute_us.low, drawn.execute_us.high],
        flush_every_blocks: [drawn.flush_every_blocks.low, drawn.flush_every_blocks.high],
        flush_idle_ms: 50,
        data_dir: "/data".into(),
        genesis: Genesis {
            epoch_timestamp_ms: ORIGIN_MS.saturating_sub(plan.epochs.genesis_age_ms),
            initial_balance: 1_000_000,
            validators: validators(plan, Epoch(0)),
            changes: (plan.epochs.committees.iter())
                .map(|committee| committee.from_epoch)
                .filter(|epoch| *epoch > Epoch(0))
                .map(|epoch| CommitteeChange {
                    epoch: epoch.0,
                    validators: validators(plan, epoch),
                })
                .collect(),
            ..Genesis::default()
        },
    }
}

/// The authority index of validator `index` in an epoch, its key and the committee. `None` if it is not a member.
#[must_use]
pub fn identity(
    plan: &Plan,
    index: u16,
    epoch: Epoch,
) -> Option<(AuthorityIndex, KeyPair, Committee)> {
    let members = plan.epochs.members(epoch, plan.validators);
    let member = members.iter().find(|member| member.validator == index)?;
    let keys = KeyPair::from_seed(plan.signatures, &key_seed(index, member.key));
    let committee = committee(epoch, &validators(plan, epoch)).ok()?;
    let own = committee.index_of(keys.public())?;
    Some((own, keys, committee))
}

/// The address at which the node of validator `index` listens for peers.
#[must_use]
pub fn p2p_address(index: u16) -> Address {
    tcp(index, P2P_PORT)
}

/// Whether node `index` may write to a block stream.
#[must_use]
pub fn delivers(plan: &Plan, index: u16) -> bool {
    plan.topology == Topology::MasterPerNode || index == 0
}

fn validators(plan: &Plan, epoch: Epoch) -> Vec<ValidatorInfo> {
    let members = plan.epochs.members(epoch, plan.validators);
    members
        .iter()
        .map(|member| validator(plan, member))
        .collect()
}

fn validator(plan: &Plan, member: &Member) -> ValidatorInfo {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let index = member.validator;
    let key = KeyPair::from_seed(plan.signatures, &key_seed(index, member.key)).public();
    let mut account = [0; 20];
    account.copy_from_slice(&key.0[..20]);
    ValidatorInfo {
        address: format_account(&account),
        stake: member.stake.to_string(),
        // Hashed, so that the order of the committee is not that of the hosts.
        authority_key: STANDARD.encode(blake3::hash(&key.0).as_bytes()),
        protocol_key: STANDARD.encode(key.0),
        network_key: STANDARD.encode(key.0),
        name: format!("validator-{index}"),
        p2p_address: SocketAddr::new(HostId(index).ip(), P2P_PORT).to_string(),
        ..ValidatorInfo::default()
    }
}

/// The seed of key `key` of a validator, from 0.
fn key_seed(index: u16, key: u32) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("metasim validator key");
    hasher.update(&index.to_le_bytes());
    if key > 0 {
        hasher.update(&key.to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}

fn tcp(index: u16, port: u16) -> Address {
    Address::Tcp(SocketAddr::new(HostId(index).ip(), port))
}
