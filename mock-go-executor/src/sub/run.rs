//! A Sub from its start to its end: forms batches, sends them over its workers, and sends what it has before it stops.

use super::{
    config::SubConfig,
    follower::Follower,
    local,
    pool::{self, Incoming},
    senders::Senders,
};
use crate::config::ConfigError;
use bytes::Bytes;
use metanode_core::{
    deadline::timeout,
    env::{Env, SubEvent},
    executor::bind::{BindError, bind_replacing_stale},
    store::StoreError,
    tasks::Tasks,
    types::Address,
};
use std::{future::Future, time::Duration};
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// Why a Sub ended.
#[derive(Debug, Error)]
pub enum SubError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot listen for clients: {0}")]
    Bind(#[from] BindError),
    #[error(
        "the store of the followed state failed: {0}. If it is damaged, remove it: the Sub follows again from block 1"
    )]
    Store(#[from] StoreError),
}

/// Runs a Sub until `shutdown` completes; then it sends what it has, for a limited time. `transactions`: each encoded;
/// who sends one waits while the Sub has too many.
///
/// # Errors
/// If the socket for clients cannot be bound, or the disk fails. A metanode or a Master that does not answer is waited
/// for.
pub async fn run(
    env: Env,
    config: SubConfig,
    transactions: mpsc::Receiver<Bytes>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), SubError> {
    env.emit(SubEvent::Started);
    let result = run_until(&env, &config, transactions, shutdown).await;
    env.emit(match &result {
        Ok(()) => SubEvent::Stopped,
        Err(error) => SubEvent::Failed {
            reason: error.to_string(),
        },
    });
    result
}

async fn run_until(
    env: &Env,
    config: &SubConfig,
    transactions: mpsc::Receiver<Bytes>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), SubError> {
    let SubConfig {
        listen_address,
        limits,
        follow,
        ..
    } = config;
    let follower = match follow {
        Some(follow) => Some(Follower::open(env.clone(), follow.clone())?),
        None => None,
    };
    let listener = match listen_address {
        Some(address) => Some(bind_replacing_stale(env.network.as_ref(), address).await?),
        None => None,
    };
    let tasks = Tasks::new(env.monitor.clone());
    let Senders {
        batches,
        tasks: workers,
    } = Senders::start(env, config, &tasks);
    let (stop, stopping) = oneshot::channel();
    let incoming = Incoming {
        transactions,
        stopping,
        is_closed: false,
    };
    let forming = tasks.spawn(pool::form(limits.clone(), incoming, batches.clone()));
    let following = follower.map(|follower| tasks.spawn(follower.run()));
    let frame_time = Duration::from_millis(limits.reply_timeout_ms);
    let mut failed = None;
    {
        let serve_clients = async {
            match &listener {
                Some(listener) => local::serve(listener.as_ref(), &batches, frame_time).await,
                None => std::future::pending().await,
            }
        };
        let following_fails = async {
            match following {
                // A panic of a task has ended the process.
                Some(following) => following.await.ok().and_then(Result::err),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = shutdown => {}
            never = serve_clients => match never {},
            error = following_fails => failed = error,
        }
    }
    if let Some(Address::Unix(path)) = listen_address
        && let Err(error) = env.network.unlink(path)
    {
        tracing::warn!(%error, "the socket's file could not be removed");
    }
    // Closes the queue: workers end when they have sent the rest.
    drop((stop, batches));
    let patience = Duration::from_millis(limits.drain_timeout_ms);
    if timeout(patience, drained(forming, workers)).await.is_none() {
        tracing::warn!("stops although the metanode has not answered all batches");
    }
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

/// Returns when all tasks have ended.
async fn drained(forming: JoinHandle<()>, workers: Vec<JoinHandle<()>>) {
    // A panic of a task has ended the process.
    let _ = forming.await;
    for worker in workers {
        let _ = worker.await;
    }
}
