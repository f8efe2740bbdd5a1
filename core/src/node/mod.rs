//! The node: wires the modules, in the order of contract §6 and §7. The only module that knows all others.
//!
//! It runs one epoch after another: the executor's current epoch, or an earlier one of which the executor lacks blocks.
//! So a first start, a restart during an epoch change, an executor that was restored from a backup and a normal epoch
//! change take the same path.

mod bug_switches;
mod epochs;
mod journal_watermark;
mod run_epoch;
mod startup_query;

use crate::{
    config::NodeConfig,
    consensus::{Archive, Asked, ConsensusError, serve},
    delivery::{DeliveryError, Streams},
    env::{BoxListener, Env, NodeEvent, Quantity},
    epoch::EpochStore,
    executor::{
        ExecutorClient,
        bind::{BindError, bind_replacing_stale},
        socket_advice,
    },
    ingest::{HandedOver, Journal, Phase, Pool, Server, Transport, intake},
    peers::{
        Admission, SharedRandom,
        discovery::{Discovery, Forked, OwnProgress},
    },
    store::StoreError,
    tasks::Tasks,
    types::{Address, Chain, CommitteeError, Epoch, IndexError, KeyPair, NetworkKeyPair},
};
use std::{
    convert::Infallible,
    future::Future,
    io,
    sync::{Arc, OnceLock},
};
use thiserror::Error;

/// Why a node ended without a shutdown request.
#[derive(Debug, Error)]
pub enum NodeError {
    #[error("the executor's validators do not form a committee: {0}")]
    Validators(#[from] CommitteeError),
    #[error("executor and store are of different chains: {0}")]
    Index(#[from] IndexError),
    #[error(
        "executor and store are of different chains: expected epoch {epoch} to start with {expected}, the executor \
        returned {found}"
    )]
    OtherStart {
        epoch: Epoch,
        expected: String,
        found: String,
    },
    #[error(
        "executor and configuration are of another chain than the store: {difference} (in the store). A parameter of a \
        chain cannot change: set it back. If genesis differs, use the executor or the data directory of this chain"
    )]
    OtherChain { difference: String },
    #[error("cannot listen for consensus peers on {address}: {}", socket_advice(.source))]
    Listen { address: Address, source: io::Error },
    #[error("cannot listen for transactions: {0}")]
    Transactions(#[from] BindError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Consensus(#[from] ConsensusError),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    #[error(transparent)]
    Forked(#[from] Forked),
}

/// Runs a node until `shutdown`.
///
/// # Errors
/// Errors from which the node cannot recover. Failures of executor, peers and sockets are retried instead.
pub async fn run(
    env: Env,
    config: NodeConfig,
    shutdown: impl Future<Output = ()>,
) -> Result<(), NodeError> {
    let env = bug_switches::env(env);
    env.emit(NodeEvent::Starting);
    let transactions = config.transaction_address();
    let bound = OnceLock::new();
    let ended = tokio::select! {
        biased;
        () = shutdown => Ok(()),
        ended = async {
            let listener = bind_replacing_stale(env.network.as_ref(), &transactions).await?;
            let _ = bound.set(());
            let old = match config.old_transport_listen_address {
                Some(address) => {
                    let address = Address::Tcp(address);
                    Some(bind_replacing_stale(env.network.as_ref(), &address).await?)
                }
                None => None,
            };
            start(&env, &config, Listeners { transactions: listener, old }).await
        } => ended.map(|never| match never {}),
    };
    if let (Some(()), Address::Unix(path)) = (bound.get(), &transactions)
        && let Err(error) = env.network.unlink(path)
    {
        tracing::warn!(address = %transactions, %error, "the socket's file could not be removed");
    }
    env.emit(match &ended {
        Ok(()) => NodeEvent::Stopped,
        Err(e) => NodeEvent::Failed {
            reason: e.to_string(),
        },
    });
    ended
}

/// The state of the node that outlives an epoch.
struct Node<'a> {
    env: &'a Env,
    config: &'a NodeConfig,
    keys: Vec<KeyPair>,
    network_keys: Vec<NetworkKeyPair>,
    /// Ephemeral keys of connections.
    random: SharedRandom,
    client: Arc<ExecutorClient>,
    /// Set by the first start that the executor answers.
    chain: OnceLock<Chain>,
    /// What peers said of the time before this process began; not set before a quorum of them has answered.
    asked: Arc<OnceLock<Asked>>,
    records: EpochStore,
    archive: Arc<Archive>,
    journal: Arc<Journal>,
    streams: Arc<Streams>,
    /// For the comparison with peers.
    progress: Arc<OwnProgress>,
}

/// Where clients send transactions.
struct Listeners {
    transactions: BoxListener,
    /// Of the transport before.
    old: Option<BoxListener>,
}

async fn start(
    env: &Env,
    config: &NodeConfig,
    listeners: Listeners,
) -> Result<Infallible, NodeError> {
    let limit_bytes = config.ingest.max_journal_bytes as usize;
    let journal = Arc::new(Journal::open(env.stores.as_ref(), limit_bytes)?);
    measure(env, &journal, limit_bytes);
    let rpc = (config.rpc_address(), config.rpc.clone());
    let node = Node {
        keys: config.keys(),
        network_keys: config.network_keys(),
        random: SharedRandom::new(env.entropy.stream("peers/ephemeral-keys")),
        client: Arc::new(ExecutorClient::new(env.clone(), rpc.0, rpc.1)),
        chain: OnceLock::new(),
        asked: Arc::default(),
        records: EpochStore::open(env.stores.as_ref())?,
        archive: Arc::default(),
        journal: journal.clone(),
        streams: Arc::default(),
        progress: Arc::default(),
        env,
        config,
    };
    if let Some(newest) = node.records.all()?.pop() {
        let epoch = newest.start.base.epoch;
        journal.enter(match node.role(newest.start).1 {
            Some(_) => Phase::Queueing,
            None => Phase::NoSeat(epoch),
        });
    }
    // Before the executor is queried: peers may need the stored epochs even if the executor does not answer.
    node.open_retained_epochs()?;
    let address = Address::Tcp(config.p2p_listen_address);
    let listener = env.network.listen(&address).await;
    let listener = listener.map_err(|source| NodeError::Listen { address, source })?;
    let tasks = Tasks::new(env.monitor.clone());
    let parameters = config.consensus.clone();
    let (intake, submitted) = intake();
    tasks.spawn(serve(
        env.clone(),
        node.archive.clone(),
        parameters,
        Admission::new(config.peers.clone()),
        HandedOver::new(&intake, &config.ingest),
        listener,
    ));
    let server = Server::new(env.monitor.clone(), intake, config.ingest.clone());
    server.measure(env);
    // Also while the executor does not answer: what is taken is proposed later.
    let Listeners { transactions, old } = listeners;
    tasks.spawn(server.clone().serve(transactions, Transport::Frames));
    if let Some(old) = old {
        tasks.spawn(server.serve(old, Transport::OneRequest));
    }
    let mut storing = tasks.spawn(submitted.store(env.clone(), journal.clone()));
    // Also while the own executor does not answer: the operator sees how far the others are.
    let (progress, client) = (node.progress.clone(), node.client.clone());
    let discovery = Discovery::configured(env, config, progress, client);
    let discovering = async {
        match discovery {
            Some(discovery) => joined(tasks.spawn(discovery.run()).await),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        ended = &mut storing => Ok(joined(ended)?),
        forked = discovering => Err(forked.into()),
        ended = node.run_epochs(Pool::new(journal)) => ended,
    }
}

/// Lets metrics read the journal.
fn measure(env: &Env, journal: &Arc<Journal>, limit_bytes: usize) {
    let held = journal.clone();
    env.measure(Quantity::JournalTransactions, move || held.held().0 as u64);
    let held = journal.clone();
    env.measure(Quantity::JournalBytes, move || held.held().1 as u64);
    env.measure(Quantity::JournalBytesLimit, move || limit_bytes as u64);
}

/// The result of a task. Panics if the task panicked; it cannot have been aborted while it is awaited.
fn joined<T>(ended: Result<T, tokio::task::JoinError>) -> T {
    match ended {
        Ok(value) => value,
        Err(e) => panic!("a task of the node ended without a result: {e}"),
    }
}

impl Node<'_> {
    async fn run_epochs(&self, mut pool: Pool) -> Result<Infallible, NodeError> {
        let mut is_first = true;
        loop {
            let executor = self.ask_executor(is_first).await?;
            self.announce(&executor)?;
            let entered = self.enter(executor.start.clone(), !is_first).await?;
            // The executor is of this chain.
            self.journal.executed(executor.watermark);
            is_first = false;
            pool = self.run_epoch(entered, &executor, pool).await?;
        }
    }
}
