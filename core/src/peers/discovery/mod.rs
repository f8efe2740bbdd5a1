//! Peer discovery (contract §10.1 to §10.3, §10.5): asks the executors of peers for epoch and block, at the start and then
//! periodically, and says where the own executor stands.
//!
//! | module | contains |
//! |---|---|
//! | `compare` | from the answers to the best peer and the standing (pure) |
//! | `fork` | whether other state roots than the own one prove a fork (pure) |
//! | `own` | how far the own executor and the own commits are |
//! | `pace` | how fast the own executor comes closer to the best peer (pure) |
//! | `ask` | the questions to one peer |
//! | `round` | one round of questions to all peers |
//!
//! The standing decides nothing: what a node that is behind adopts is certified by a quorum (contract §10.4), whatever peers
//! say here. The exception is a fork, on which the node stops.

mod ask;
mod bug_switches;
mod compare;
mod fork;
mod own;
mod pace;
mod round;

pub use fork::Forked;
pub(crate) use own::{OwnProgress, Watermark};

use crate::{
    config::{NodeConfig, PeerParameters, RpcParameters},
    env::{Env, PeerEvent},
    executor::ExecutorClient,
    types::Address,
};
use round::Rounds;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Asks peers. What it needs to know of its own executor comes from [`OwnProgress`].
pub(crate) struct Discovery {
    env: Env,
    /// Without repetitions.
    addresses: Vec<Address>,
    rpc: RpcParameters,
    parameters: PeerParameters,
    own: Arc<OwnProgress>,
    /// Of the own executor.
    client: Arc<ExecutorClient>,
}

impl Discovery {
    /// The discovery of a configuration. `None` if there is nobody to ask, or nobody shall be asked, which the log says.
    #[must_use]
    pub fn configured(
        env: &Env,
        config: &NodeConfig,
        own: Arc<OwnProgress>,
        client: Arc<ExecutorClient>,
    ) -> Option<Self> {
        if let Some(port) = config.peer_rpc_port {
            tracing::info!(target: "[PEER EPOCH]", port, "the executor of this node answers peers at this TCP port");
        }
        let mut seen = BTreeSet::new();
        let addresses: Vec<_> = (config.peer_go_master_sockets.iter())
            .filter(|address| seen.insert(*address))
            .take(usize::from(u16::MAX))
            .cloned()
            .collect();
        if addresses.is_empty() {
            return None;
        }
        let reason = match (config.localhost_testing, config.single_node) {
            (true, _) => {
                "all nodes are on this machine (LOCALHOST_TESTING=1, or localhost_testing)"
            }
            (false, true) => "this node is the whole committee (SINGLE_NODE=1, or single_node)",
            (false, false) => {
                return Some(Self {
                    env: env.clone(),
                    addresses,
                    rpc: RpcParameters {
                        // For the two questions of one round.
                        pool_size: 1,
                        ..config.rpc.clone()
                    },
                    parameters: config.peers.clone(),
                    own,
                    client,
                });
            }
        };
        env.emit(PeerEvent::Skipped {
            peers: u16::try_from(addresses.len()).unwrap_or(u16::MAX),
            reason: reason.to_owned(),
        });
        None
    }

    /// Asks for ever.
    ///
    /// # Errors
    /// If the own executor has another state than an honest peer: what the node would deliver further is worthless.
    pub async fn run(self) -> Forked {
        let mut rounds = Rounds::default();
        loop {
            if let Err(forked) = self.round(&mut rounds).await {
                return forked;
            }
            tokio::time::sleep(Duration::from_millis(self.parameters.poll_ms)).await;
        }
    }
}
