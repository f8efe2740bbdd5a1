//! The data directories of a network that has ended.

use super::{
    chaos::Target,
    layout::{INITIAL_BALANCE, Layout},
};
use metanode_core::{
    config::NodeConfig,
    store::{RocksOptions, RocksStores, StoreFactory},
    types::TimestampMs,
};
use metanode_sim::{data_dirs::DataDirs, model::Genesis, trace::ProcessId, witness::Member};

/// All of them, with the chain that they are of.
pub fn data_dirs(layout: &Layout) -> DataDirs {
    let targets = layout.targets();
    let executors = targets.filter_map(|target| {
        let id = match target {
            Target::Node(_) => return None,
            Target::Executor(n) => ProcessId::Executor(u16::try_from(n).ok()?),
            Target::Sub(n) => ProcessId::Sub(u16::try_from(n).ok()?),
        };
        Some((id, stores(layout, target)))
    });
    DataDirs {
        genesis: genesis(layout),
        nodes: (0..layout.size.nodes)
            .map(|n| stores(layout, Target::Node(n)))
            .collect(),
        executors: executors.collect(),
    }
}

fn stores(layout: &Layout, target: Target) -> Box<dyn StoreFactory> {
    Box::new(RocksStores::new(
        layout.kept(target),
        RocksOptions::default(),
    ))
}

/// All nodes have the same parameters of the chain.
fn genesis(layout: &Layout) -> Genesis {
    let parameters = &layout.nodes[0].consensus;
    let members: Vec<_> = layout.nodes.iter().map(member).collect();
    Genesis {
        scheme: parameters.signatures,
        gc_depth_rounds: parameters.gc_depth_rounds,
        leaders_per_round: parameters.leaders_per_round,
        max_commit_bytes: parameters.max_commit_bytes,
        epoch_start_granularity_ms: parameters.epoch_start_granularity_ms,
        start_ms: TimestampMs(layout.genesis_ms),
        initial_balance: INITIAL_BALANCE.into(),
        members: Box::new(move |_| members.clone()),
    }
}

fn member(node: &NodeConfig) -> Member {
    let authority = node.authority();
    Member {
        authority_key: authority.authority_key,
        protocol_key: authority.protocol_key.0,
        stake: authority.stake.0,
        address: authority.address.to_vec(),
    }
}
