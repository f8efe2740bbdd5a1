//! From the plan to the configuration of each process: the structs that a file fills in production.

use crate::{
    addresses::{
        BLOCK_STREAM_PATH, OLD_TRANSPORT_PORT, P2P_PORT, PEER_RPC_PORT, RPC_PATH, TRANSACTIONS_PATH,
    },
    clock::ORIGIN_MS,
    model::Genesis,
    net::{HostId, Settings},
    plan::{
        Member, Plan, Topology, Unusable, account, authority_key, key_seed, network_key_seed,
        network_keys, public_key,
    },
    witness,
};
use metanode_core::{
    config::{ConsensusParameters, KeySeed, NodeConfig, NodeParameters, RpcParameters},
    executor::{
        validators::{committee, format_account},
        wire::ValidatorInfo,
    },
    types::{
        Address, AuthorityIndex, Chain, Committee, Epoch, GenesisDigest, KeyPair, NetworkKeyPair,
        TimestampMs,
    },
};
use mock_go_executor::{
    Funding,
    config::{self, CommitteeChange, ExecutorConfig},
    sub::{
        SubConfig,
        config::{Following, SubLimits},
        old_transport::{HandBack, OldTransport},
    },
};
use std::{
    net::SocketAddr,
    num::{NonZeroU16, NonZeroU32},
    time::Duration,
};

/// The balance of every account before its first transaction.
pub(super) const INITIAL_BALANCE: u64 = 1_000_000;

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

/// The configuration of node `index` for this start of it, 1 being the first.
#[must_use]
pub fn node(plan: &Plan, index: u16, start: u32) -> NodeConfig {
    let NodeParameters {
        consensus,
        peers,
        delivery,
        ingest,
        rpc,
    } = plan.node_of(index, start);
    let rpc_address = match plan.topology {
        Topology::SingleMaster if index > 0 => tcp(0, PEER_RPC_PORT),
        Topology::SingleMaster | Topology::MasterPerNode => Address::Unix(RPC_PATH.into()),
    };
    NodeConfig {
        node_index: index,
        topology: plan.topology,
        data_dir: "/data".into(),
        protocol_key_seed: KeySeed(key_seed(index, 0)),
        further_protocol_key_seeds: (1..plan.epochs.keys_of(index))
            .map(|key| KeySeed(key_seed(index, key)))
            .collect(),
        network_key_seed: KeySeed(network_key_seed(index, 0)),
        further_network_key_seeds: (1..plan.epochs.keys_of(index))
            .map(|key| KeySeed(network_key_seed(index, key)))
            .collect(),
        p2p_listen_address: SocketAddr::new(HostId(index).ip(), P2P_PORT),
        executor_send_socket_path: Some(Address::Unix(BLOCK_STREAM_PATH.into())),
        executor_receive_socket_path: Some(rpc_address),
        transaction_socket_path: Some(Address::Unix(TRANSACTIONS_PATH.into())),
        old_transport_listen_address: (plan.workload.old_pool_connections > 0)
            .then(|| SocketAddr::new(HostId(index).ip(), OLD_TRANSPORT_PORT)),
        metrics_listen_address: None,
        executor_commit_enabled: None,
        peer_go_master_sockets: (plan.peers_of(index).into_iter())
            .map(|peer| tcp(peer, PEER_RPC_PORT))
            .collect(),
        peer_rpc_port: NonZeroU16::new(PEER_RPC_PORT),
        single_node: false,
        localhost_testing: false,
        start_policy: plan.start_policy,
        consensus: ConsensusParameters {
            signatures: plan.signatures,
            encryption: plan.encryption,
            // Without a duration no epoch ends.
            epoch_duration_ms: plan.epochs.duration_ms.unwrap_or(u64::MAX),
            epoch_start_granularity_ms: plan.epochs.start_granularity_ms,
            retained_epochs: plan.epochs.retained_by(index),
            ..consensus
        },
        peers,
        delivery,
        ingest,
        rpc: RpcParameters {
            watermark_source: plan.watermark_source,
            ..rpc
        },
    }
}

/// The configuration of the Sub of validator `index`.
#[must_use]
pub fn sub(plan: &Plan, index: u16) -> SubConfig {
    let Plan {
        workload,
        followers,
        ..
    } = plan;
    let positive = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    let follow = NonZeroU32::new(followers.range_blocks).map(|range_blocks| Following {
        master_address: tcp(master(plan, index), PEER_RPC_PORT),
        data_dir: "/data".into(),
        poll_ms: followers.poll_ms,
        range_blocks,
        rpc: RpcParameters {
            watermark_source: plan.watermark_source,
            ..plan.node.rpc.clone()
        },
        genesis: Funding {
            initial_balance: INITIAL_BALANCE,
            ..Funding::default()
        },
    });
    let old_transport =
        NonZeroU32::new(workload.old_pool_connections).map(|pool_connections| OldTransport {
            pool_connections,
            hand_back: HandBack::AfterExchange,
            pause_after_write_ms: workload.old_pause_after_write_ms,
        });
    SubConfig {
        transaction_socket_path: match old_transport {
            Some(_) => tcp(index, OLD_TRANSPORT_PORT),
            None => Address::Unix(TRANSACTIONS_PATH.into()),
        },
        listen_address: None,
        metrics_listen_address: None,
        old_transport,
        limits: SubLimits {
            queue_batches: positive(workload.queue_batches),
            max_buffered_bytes: positive(workload.buffered_bytes),
            workers: positive(workload.workers),
            max_frames_in_flight: positive(workload.frames_in_flight),
            batch_transactions: positive(workload.batch_transactions),
            batch_delay_ms: workload.batch_delay_ms,
            retry_min_ms: 200,
            retry_max_ms: 2_000,
            ..SubLimits::default()
        },
        follow,
    }
}

/// The executor of validator `index`, or the only one.
const fn master(plan: &Plan, index: u16) -> u16 {
    match plan.topology {
        Topology::SingleMaster => 0,
        Topology::MasterPerNode => index,
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
        peer_rpc_port: None,
        metrics_listen_address: None,
        guard: drawn.guard,
        execute_us: [drawn.execute_us.low, drawn.execute_us.high],
        flush_every_blocks: [drawn.flush_every_blocks.low, drawn.flush_every_blocks.high],
        flush_idle_ms: 50,
        range_reply_bytes: plan.followers.range_reply_bytes,
        epoch_start_granularity_ms: plan.epochs.start_granularity_ms,
        manners: plan.manners.clone(),
        data_dir: "/data".into(),
        genesis: config::Genesis {
            epoch_timestamp_ms: ORIGIN_MS.saturating_sub(plan.epochs.genesis_age_ms),
            initial_balance: INITIAL_BALANCE,
            validators: validators(plan, Epoch(0)),
            changes: (plan.epochs.committees.iter())
                .map(|committee| committee.from_epoch)
                .filter(|epoch| *epoch > Epoch(0))
                .map(|epoch| CommitteeChange {
                    epoch: epoch.0,
                    validators: validators(plan, epoch),
                    unusable_validators: unusable_validators(plan, epoch),
                })
                .collect(),
            unusable_validators: unusable_validators(plan, Epoch(0)),
            ..config::Genesis::default()
        },
    }
}

/// The chain of a plan, for the reference model.
#[must_use]
pub fn genesis(plan: &Plan) -> Genesis {
    let plan = plan.clone();
    Genesis {
        scheme: plan.signatures,
        gc_depth_rounds: plan.node.consensus.gc_depth_rounds,
        leaders_per_round: plan.node.consensus.leaders_per_round,
        max_commit_bytes: plan.node.consensus.max_commit_bytes,
        epoch_start_granularity_ms: plan.epochs.start_granularity_ms,
        start_ms: TimestampMs(ORIGIN_MS.saturating_sub(plan.epochs.genesis_age_ms)),
        initial_balance: u128::from(INITIAL_BALANCE),
        members: Box::new(move |epoch| {
            let members = plan.epochs.members(epoch, plan.validators);
            let member = |member: &Member| {
                let key = public_key(&plan, member);
                witness::Member {
                    authority_key: authority_key(&key).to_vec(),
                    protocol_key: key.0,
                    stake: member.stake,
                    address: account(&key).to_vec(),
                }
            };
            members.iter().map(member).collect()
        }),
    }
}

/// The identity of the chain of a plan, as its nodes compute it. That of no chain if epoch 0 has no committee.
#[must_use]
pub fn chain(plan: &Plan) -> Chain {
    let committee = committee(Epoch(0), &validators(plan, Epoch(0)));
    let started = TimestampMs(ORIGIN_MS.saturating_sub(plan.epochs.genesis_age_ms));
    let genesis = committee.map(|(committee, _)| GenesisDigest::of_start(started, &committee));
    Chain {
        genesis: genesis.unwrap_or_default(),
        gc_depth_rounds: plan.node.consensus.gc_depth_rounds,
        leaders_per_round: plan.node.consensus.leaders_per_round,
        max_commit_bytes: plan.node.consensus.max_commit_bytes,
        epoch_start_granularity_ms: plan.epochs.start_granularity_ms,
    }
}

/// A member of a committee, with its keys.
pub struct Identity {
    pub own: AuthorityIndex,
    pub keys: KeyPair,
    pub network_keys: NetworkKeyPair,
    pub committee: Committee,
}

/// What validator `index` is in an epoch. `None` if it is not a member.
#[must_use]
pub fn identity(plan: &Plan, index: u16, epoch: Epoch) -> Option<Identity> {
    let members = plan.epochs.members(epoch, plan.validators);
    let member = members.iter().find(|member| member.validator == index)?;
    let keys = KeyPair::from_seed(plan.signatures, &key_seed(index, member.key));
    let (committee, _) = committee(epoch, &validators(plan, epoch)).ok()?;
    let own = committee.index_of(keys.public())?;
    Some(Identity {
        own,
        keys,
        network_keys: network_keys(plan, member),
        committee,
    })
}

/// The address at which the node of validator `index` listens for peers.
#[must_use]
pub fn p2p_address(index: u16) -> Address {
    tcp(index, P2P_PORT)
}

fn validators(plan: &Plan, epoch: Epoch) -> Vec<ValidatorInfo> {
    let members = plan.epochs.members(epoch, plan.validators);
    members
        .iter()
        .map(|member| validator(plan, member))
        .collect()
}

/// Registrations that cannot be members. Those that take a key take it from the first member, with the largest values of
/// all other fields, so that they come after it if it has as little stake.
fn unusable_validators(plan: &Plan, epoch: Epoch) -> Vec<ValidatorInfo> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    const LAST_KEY: [u8; 96] = [0xff; 96];
    let members = plan.epochs.members(epoch, plan.validators);
    let Some(first) = members.first() else {
        return vec![];
    };
    let taken = validator(plan, first);
    let alone = ValidatorInfo {
        address: format_account(&[0xff; 20]),
        stake: "1".into(),
        authority_key: STANDARD.encode(LAST_KEY),
        protocol_key: STANDARD.encode([0xff; 32]),
        network_key: STANDARD.encode([0xff; 32]),
        name: "unusable".into(),
        ..taken.clone()
    };
    let broken = |why: &Unusable| {
        let mut info = alone.clone();
        match why {
            Unusable::Stake => info.stake = "a lot".into(),
            Unusable::NoStake => info.stake = "0".into(),
            Unusable::Key => info.protocol_key = STANDARD.encode([7; 31]),
            Unusable::NetworkKey => info.network_key = "0x07".into(),
            Unusable::Account => info.address = "0x12".into(),
            Unusable::NetworkAddress => info.p2p_address = "nowhere".into(),
            Unusable::TakenAuthorityKey => info.authority_key = taken.authority_key.clone(),
            Unusable::TakenProtocolKey => info.protocol_key = taken.protocol_key.clone(),
            Unusable::TakenNetworkKey => info.network_key = taken.network_key.clone(),
        }
        info
    };
    plan.epochs.unusable.iter().map(broken).collect()
}

/// Executors write keys and addresses in two ways; every second validator has each.
fn validator(plan: &Plan, member: &Member) -> ValidatorInfo {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let index = member.validator;
    let key = public_key(plan, member);
    let is_second = index % 2 == 1;
    let text = |key: [u8; 32]| match is_second {
        true => key
            .iter()
            .fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
        false => STANDARD.encode(key),
    };
    let ip = HostId(index).ip();
    ValidatorInfo {
        address: format_account(&account(&key)),
        stake: member.stake.to_string(),
        authority_key: text(authority_key(&key)),
        protocol_key: text(key.0),
        network_key: text(network_keys(plan, member).public().0),
        name: format!("validator-{index}"),
        p2p_address: match is_second {
            true => format!("/ip4/{ip}/tcp/{P2P_PORT}"),
            false => SocketAddr::new(ip, P2P_PORT).to_string(),
        },
        ..ValidatorInfo::default()
    }
}

fn tcp(index: u16, port: u16) -> Address {
    Address::Tcp(SocketAddr::new(HostId(index).ip(), port))
}
