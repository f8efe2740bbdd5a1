//! The node: wires the rooms, in the order of contract §6. The only room that knows them all.

use crate::{
    config::{NodeConfig, StartPolicy},
    consensus::{Consensus, ConsensusError, ConsensusSetup, recover_log},
    delivery::{
        CommitLog, Delivery, DeliveryError, DeliverySetup, ExecutorView, ReplayPlan, StoreView,
        replay_plan,
    },
    env::{Address, CrashPoint, Env, NodeEvent},
    executor::{
        ExecutorClient, RpcError, socket_advice,
        validators::{ValidatorError, committee},
        wire::EpochBoundaryData,
    },
    ingest::Pool,
    museum::{self, Exhibit},
    store::{ConsensusStore, StoreError},
    tasks::Tasks,
    types::{
        AuthorityIndex, CommitIndex, Committee, Epoch, EpochBase, GlobalExecIndex, IndexError,
        KeyPair,
    },
};
use std::{future::Future, io, sync::Arc, time::Duration};
use thiserror::Error;
use tokio::sync::watch;

/// Why a node ended although nobody asked it to.
#[derive(Debug, Error)]
pub enum NodeError {
    #[error("the executor's validators are no committee: {0}")]
    Validators(#[from] ValidatorError),
    #[error("executor and store are not of one chain: {0}")]
    Index(#[from] IndexError),
    #[error("cannot listen for consensus peers on {address}: {}", socket_advice(.source))]
    Listen { address: Address, source: io::Error },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Consensus(#[from] ConsensusError),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
}

/// What the executor says at start.
struct ExecutorState {
    base: EpochBase,
    watermark: GlobalExecIndex,
    committee: Arc<Committee>,
}

/// Runs a node until `shutdown`.
///
/// # Errors
/// What it could not survive. Executors, peers and sockets that fail are waited for instead.
pub async fn run(
    env: Env,
    config: NodeConfig,
    pool: Pool,
    shutdown: impl Future<Output = ()>,
) -> Result<(), NodeError> {
    env.emit(NodeEvent::Starting);
    let ended = tokio::select! {
        biased;
        () = shutdown => Ok(()),
        ended = start(&env, &config, pool) => ended,
    };
    env.emit(match &ended {
        Ok(()) => NodeEvent::Stopped,
        Err(e) => NodeEvent::Failed {
            reason: e.to_string(),
        },
    });
    ended
}

async fn start(env: &Env, config: &NodeConfig, pool: Pool) -> Result<(), NodeError> {
    let client = Arc::new(ExecutorClient::new(
        env.clone(),
        config.rpc_address(),
        config.rpc.clone(),
    ));
    let executor = ask_executor(env, config, &client).await?;
    env.emit(NodeEvent::ExecutorQueried {
        epoch: executor.base.epoch,
        watermark: executor.watermark,
    });
    env.reach(CrashPoint::NodeWatermarkQueried).await;

    let ExecutorState {
        base,
        watermark,
        committee,
    } = executor;
    let store = Arc::new(ConsensusStore::open(env.stores.as_ref(), base.epoch)?);
    let recovered = recover_log(&store, config.consensus.gc_depth_rounds)?;
    if let Some(index) = recovered.damaged {
        env.emit(NodeEvent::LogCut { index });
    }
    let last_commit = recovered.intact.last();
    let last_commit = last_commit.map_or(CommitIndex(0), |c| c.index);
    let plan = replay_plan(
        StoreView { base, last_commit },
        ExecutorView {
            epoch: base.epoch,
            watermark,
        },
    )?;
    env.emit(NodeEvent::ReplayPlanned(plan));
    env.reach(CrashPoint::NodeReplayPlanned).await;
    if let Some(reason) = not_served(&plan) {
        return wait_for_ever(env, reason).await;
    }
    let keys = KeyPair::from_seed(config.consensus.signatures, &config.protocol_key_seed.0);
    let Some(own) = committee.index_of(keys.public()) else {
        return wait_for_ever(env, "this node's key is not in the committee".to_owned()).await;
    };
    let (committee, own) = if config.single_node {
        (Arc::new(committee.alone(own)), AuthorityIndex(0))
    } else {
        (committee, own)
    };

    // The consumer stands before recovery produces anything.
    let log = Arc::new(CommitLog::new(store.clone(), last_commit));
    let delivery = config.delivers().then(|| {
        Arc::new(Delivery::new(DeliverySetup {
            env: env.clone(),
            parameters: config.delivery.clone(),
            stream_address: config.block_stream_address(),
            client,
            log: log.clone(),
            base,
            committee: committee.clone(),
            watermark: delivered(watermark, base, last_commit),
        }))
    });
    let address = Address::Tcp(config.p2p_listen_address);
    let listener = env
        .network
        .listen(&address)
        .await
        .map_err(|source| NodeError::Listen { address, source })?;
    let consensus = Consensus::recover(ConsensusSetup {
        env: env.clone(),
        own,
        keys,
        committee,
        base,
        parameters: config.consensus.clone(),
        store,
        log,
        pool,
        pressure: delivery
            .as_ref()
            .map_or_else(|| watch::Sender::new(false).subscribe(), |d| d.pressure()),
        listener,
    })?;
    let backlog = delivery.is_some() && watermark < base.gei(last_commit);
    if museum::shows(Exhibit::RecoveryAwaitsItsConsumer) && backlog {
        return std::future::pending().await;
    }
    env.emit(NodeEvent::Ready);
    // Each on a task of its own, ended with this one.
    let tasks = Tasks::default();
    let mut delivering = tasks.spawn(async move {
        match delivery {
            Some(delivery) => delivery.run().await,
            None => std::future::pending().await,
        }
    });
    let mut consensus = tasks.spawn(async move { consensus.run().await });
    tokio::select! {
        biased;
        ended = &mut delivering => Ok(joined(ended)?),
        ended = &mut consensus => match joined(ended)? {},
    }
}

/// What a task returned. One that panicked panics here, too; nobody else ends these tasks while they are awaited.
fn joined<T>(ended: Result<T, tokio::task::JoinError>) -> T {
    match ended {
        Ok(value) => value,
        Err(e) => panic!("a task of the node ended without a result: {e}"),
    }
}

/// Asks for epoch, W and committee until all have come (contract §6.1, §6.2).
async fn ask_executor(
    env: &Env,
    config: &NodeConfig,
    client: &ExecutorClient,
) -> Result<ExecutorState, NodeError> {
    let mut retry_ms = config.rpc.start_retry_min_ms;
    let mut attempt = 0;
    let mut failure = None;
    loop {
        attempt += 1;
        let error = match ask_executor_once(config.start_policy, client).await {
            Ok((epoch, mut watermark, boundary)) => {
                let mut base = GlobalExecIndex(boundary.boundary_block);
                if failure.is_some_and(|failure| reads_as_genesis(&failure)) {
                    watermark = GlobalExecIndex(0);
                }
                if museum::shows(Exhibit::BaseTakenFromTip) {
                    base = watermark;
                }
                return Ok(ExecutorState {
                    base: EpochBase { epoch, base },
                    watermark,
                    committee: Arc::new(committee(epoch, &boundary.validators)?),
                });
            }
            Err(e) => e,
        };
        let reason = error.to_string();
        failure = Some(error);
        env.emit(NodeEvent::Waiting { attempt, reason });
        tokio::time::sleep(Duration::from_millis(retry_ms)).await;
        retry_ms = (retry_ms * 2).min(config.rpc.start_retry_max_ms);
    }
}

async fn ask_executor_once(
    policy: StartPolicy,
    client: &ExecutorClient,
) -> Result<(Epoch, GlobalExecIndex, EpochBoundaryData), RpcError> {
    let epoch = client.current_epoch().await?;
    let boundary = client.epoch_boundary_data(epoch).await?;
    let watermark = match (client.last_block_number().await, policy) {
        (Ok(watermark), _) => watermark,
        (Err(_), StartPolicy::AssumeGenesis) => GlobalExecIndex(0),
        (Err(e), StartPolicy::Wait) => return Err(e),
    };
    Ok((epoch, watermark, boundary))
}

/// A question that failed says nothing about the executor: it is asked again.
fn reads_as_genesis(failure: &RpcError) -> bool {
    museum::shows(Exhibit::QueryFailureReadsAsGenesis)
        || museum::shows(Exhibit::StaleSocketReadsAsGenesis)
            && matches!(failure, RpcError::Connect { .. })
}

/// Delivery goes on above W, and nothing else has a say in it.
fn delivered(
    watermark: GlobalExecIndex,
    base: EpochBase,
    last_commit: CommitIndex,
) -> GlobalExecIndex {
    let stored = base.gei(last_commit);
    if museum::shows(Exhibit::ReplayAfterZero) {
        base.base
    } else if museum::shows(Exhibit::StartsAtStoreTip) {
        stored
    } else if museum::shows(Exhibit::HigherOfTwoCursors) {
        watermark.max(stored)
    } else {
        watermark
    }
}

/// Situations that this node waits out instead of guessing.
fn not_served(plan: &ReplayPlan) -> Option<String> {
    match plan {
        ReplayPlan::Replay { .. } | ReplayPlan::FetchOnly { .. } => None,
        ReplayPlan::PreviousTail { .. }
        | ReplayPlan::ResumeEpochChange { .. }
        | ReplayPlan::JoinEpoch { .. } => Some(format!("{plan}: not served by this version")),
    }
}

/// A stated wait (invariant START): the process lives, says what it waits for, and does nothing.
async fn wait_for_ever(env: &Env, reason: String) -> Result<(), NodeError> {
    env.emit(NodeEvent::Waiting { attempt: 1, reason });
    std::future::pending().await
}
