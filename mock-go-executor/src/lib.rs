//! A mock of the Go Master: executes delivered blocks and owns state, epochs, committees and the durable watermark, with
//! real durability steps and no virtual machine.
//!
//! | room | is |
//! |---|---|
//! | [`config`] | what an executor is told |
//! | [`stream`] | the block stream: connections in, blocks to the chain |
//! | [`epochs`] | where each epoch began, and whether the next one may begin (pure) |
//! | [`guard`] | which blocks are let in (pure) |
//! | [`ledger`] | accounts, transfers, state root (pure) |
//! | [`chain`] | executed and durable: the steps of a block and the crash points between them |
//! | [`disk`] | what is stored, and what a start makes of it |
//! | [`rpc`] | questions and their answers |
//! | [`serve`] | accepting and driving connections |
//! | [`bug_switches`] | where known bugs are switched on |

mod bug_switches;
pub mod chain;
pub mod config;
pub mod disk;
pub mod epochs;
pub mod guard;
pub mod ledger;
mod rpc;
mod serve;
mod stream;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use config::{ConfigError, ExecutorConfig, Genesis};
pub use guard::Guard;

use chain::Chain;
use epochs::Epochs;
use metanode_core::{
    env::{BoxListener, Env, ExecutorEvent},
    executor::bind::{BindError, bind_replacing_stale},
    store::StoreError,
    types::Address,
};
use rpc::Rpc;
use serde::{Deserialize, Serialize};
use std::{convert::Infallible, future::Future, pin::pin, sync::atomic::AtomicU64};
use thiserror::Error;
use tokio::sync::{Notify, watch};

/// What an executor is told besides its configuration, while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// Blocks are received but nothing is executed and nothing becomes durable. Reading goes on until the queue is
    /// full, requests are answered.
    pub stalled: bool,
    /// Block streams are accepted and nothing is read from them.
    pub reads_nothing: bool,
    /// The block stream before the newest one is read on, too: its late frames come in between.
    pub serves_both: bool,
    /// How requests are answered; at once and truthfully if there is none.
    pub replies: Option<Replies>,
}

/// How an executor answers requests when it does not answer them as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replies {
    /// Each reply comes this much later.
    Late { ms: u64 },
    /// Not at all; what was asked meanwhile is answered when this is over.
    Silent,
    /// With `error`.
    Refused,
}

/// What the executor is told, as its parts follow it. A `watch` would wake them in an order that no seed decides.
struct SharedControls {
    controls: watch::Receiver<Controls>,
    changed: Notify,
}

impl SharedControls {
    fn now(&self) -> Controls {
        *self.controls.borrow()
    }

    /// Wakes all who wait for [`Self::changed`] in the order in which they came, for ever.
    async fn announce(&self) -> Infallible {
        let mut controls = self.controls.clone();
        while controls.changed().await.is_ok() {
            self.changed.notify_waiters();
        }
        // Whoever could say something else is gone.
        std::future::pending().await
    }
}

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

/// Runs an executor until `shutdown` is ready, which makes durable what was executed and removes the sockets.
///
/// # Errors
/// If the configuration cannot be used, a socket cannot be bound, or the disk fails. A sender that misbehaves is no
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
    let mut chain = Chain::open(env.clone(), config.genesis.funding())?;
    let block_stream = sockets.bind(&config.block_stream_address).await?;
    let own_rpc = sockets.bind(&config.rpc_address).await?;
    let peer_rpc = match &config.peer_rpc_address {
        Some(address) => Some(sockets.bind(address).await?),
        None => None,
    };

    let begun = chain.disk().epochs()?;
    let controls = SharedControls {
        controls,
        changed: Notify::new(),
    };
    let epochs = watch::Sender::new(Epochs::new(config.genesis.epoch_timestamp_ms, begun));
    let told = AtomicU64::new(0);
    let rpc = Rpc {
        env,
        genesis: &config.genesis,
        disk: chain.disk(),
        epochs: &epochs,
        watermark: chain.watermark(),
        told: &told,
        controls: &controls,
    };
    let serve_peers = async {
        match &peer_rpc {
            Some(listener) => rpc.serve(listener.as_ref()).await,
            None => std::future::pending().await,
        }
    };
    let blocks = stream::serve_blocks(
        env,
        config,
        block_stream.as_ref(),
        &mut chain,
        epochs.subscribe(),
        &told,
        &controls,
    );
    tokio::select! {
        biased;
        () = pin!(shutdown) => {}
        never = controls.announce() => match never {},
        result = blocks => match result? {},
        never = rpc.serve(own_rpc.as_ref()) => match never {},
        never = serve_peers => match never {},
    }
    chain.flush().await?;
    Ok(())
}

/// The Unix sockets that this process bound. Their files go when it ends by itself, and only then: those of a killed
/// process stay behind.
struct Sockets<'a> {
    env: &'a Env,
    bound: Vec<&'a Address>,
}

impl<'a> Sockets<'a> {
    const fn new(env: &'a Env) -> Self {
        Self { env, bound: vec![] }
    }

    async fn bind(&mut self, address: &'a Address) -> Result<BoxListener, BindError> {
        let listener = bind_replacing_stale(self.env.network.as_ref(), address).await?;
        self.bound.push(address);
        Ok(listener)
    }

    fn remove(self) {
        for address in self.bound {
            if let Address::Unix(path) = address
                && let Err(error) = self.env.network.unlink(path)
            {
                tracing::warn!(%address, %error, "the socket's file could not be removed");
            }
        }
    }
}
