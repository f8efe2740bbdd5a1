//! An executor from its start to its end: opens the chain, binds the sockets, serves until shutdown.

use crate::{
    chain::Chain,
    config::{ConfigError, ExecutorConfig},
    controls::{Controls, SharedControls},
    epochs::Epochs,
    rpc::{Requester, Rpc},
    stream,
};
use metanode_core::{
    env::{BoxListener, Env, ExecutorEvent},
    executor::bind::{BindError, bind_replacing_stale},
    store::StoreError,
    types::Address,
};
use std::{
    future::Future,
    pin::pin,
    sync::{Mutex, atomic::AtomicU64},
};
use thiserror::Error;
use tokio::sync::watch;

/// Why an executor ended.
#[derive(Debug, Error)]
pub enum ExecutorError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    #[error("a socket cannot be opened: {0}")]
    Bind(#[from] BindError),
}

/// Runs an executor until `shutdown` completes, then makes the executed blocks durable and removes the sockets.
///
/// # Errors
/// If the configuration cannot be used, a socket cannot be bound, or the disk fails. A misbehaving sender is not an
/// error of the executor.
pub async fn run(
    env: Env,
    config: ExecutorConfig,
    controls: watch::Receiver<Controls>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ExecutorError> {
    let mut sockets = Sockets::new(&env);
    let result = run_until(&env, &config, &mut sockets, controls, shutdown).await;
    sockets.remove();
    env.emit(match &result {
        Ok(()) => ExecutorEvent::Stopped,
        Err(error) => ExecutorEvent::Failed {
            reason: error.to_string(),
        },
    });
    result
}

async fn run_until<'a>(
    env: &'a Env,
    config: &'a ExecutorConfig,
    sockets: &mut Sockets<'a>,
    controls: watch::Receiver<Controls>,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ExecutorError> {
    config.check("the configuration")?;
    let chain = Chain::open(env.clone(), config.genesis.funding())?;
    let mut chain = chain.reporting(config.manners.reports);
    let block_stream = sockets.bind(&config.block_stream_address).await?;
    let own_rpc = sockets.bind(&config.rpc_address).await?;
    let peer_rpc = match &config.peers_listen_address() {
        Some(address) => Some(sockets.bind(address).await?),
        None => None,
    };

    let begun = chain.disk().epochs()?;
    let controls = SharedControls::new(controls);
    let epochs = watch::Sender::new(Epochs::new(
        config.genesis.epoch_timestamp_ms,
        begun,
        config.epoch_start_granularity_ms,
    ));
    let reported = AtomicU64::new(0);
    let rpc = Rpc {
        env,
        order: Mutex::new(env.entropy.stream("executor/lists")),
        config,
        disk: chain.disk(),
        epochs: &epochs,
        watermark: chain.watermark(),
        block_count: Mutex::default(),
        reported: &reported,
        controls: &controls,
    };
    let serve_peers = async {
        match &peer_rpc {
            Some(listener) => rpc.serve(listener.as_ref(), Requester::Peer).await,
            None => std::future::pending().await,
        }
    };
    let blocks = stream::serve_blocks(
        env,
        config,
        block_stream.as_ref(),
        &mut chain,
        epochs.subscribe(),
        &reported,
        &controls,
    );
    tokio::select! {
        biased;
        () = pin!(shutdown) => {}
        never = controls.announce() => match never {},
        result = blocks => match result? {},
        error = rpc.serve(own_rpc.as_ref(), Requester::Node) => return Err(error.into()),
        error = serve_peers => return Err(error.into()),
    }
    chain.flush().await?;
    Ok(())
}

/// The Unix sockets that this process bound. Their files are removed when it ends by itself; those of a killed process
/// remain.
struct Sockets<'a> {
    env: &'a Env,
    bound: Vec<Address>,
}

impl<'a> Sockets<'a> {
    const fn new(env: &'a Env) -> Self {
        Self { env, bound: vec![] }
    }

    async fn bind(&mut self, address: &Address) -> Result<BoxListener, BindError> {
        let listener = bind_replacing_stale(self.env.network.as_ref(), address).await?;
        self.bound.push(address.clone());
        Ok(listener)
    }

    fn remove(self) {
        for address in self.bound {
            if let Address::Unix(path) = &address
                && let Err(error) = self.env.network.unlink(path)
            {
                tracing::warn!(%address, %error, "the socket's file could not be removed");
            }
        }
    }
}
