//! The reader of a Sub: executes the durable blocks of its Master, and keeps a state of its own (contract §11.3). It only
//! asks; the Master cannot be changed by it.

use super::{
    chain_link::{Mismatch, Next, Part, Tip},
    config::Following,
};
use crate::{bug_switches, chain::Chain};
use metanode_core::{
    backoff::Backoff,
    env::{Env, Quantity, SubEvent},
    executor::{ExecutorClient, RpcError, wire::GetBlocksRange},
    store::StoreError,
    types::GlobalExecIndex,
};
use std::{
    cmp::Ordering,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use thiserror::Error;

pub(super) struct Follower {
    env: Env,
    config: Following,
    client: ExecutorClient,
    chain: Chain,
    tip: Tip,
    /// The last durable block of the Master, when it was last asked.
    master: GlobalExecIndex,
    /// What it answered then, for metrics.
    last_answer: Arc<AtomicU64>,
    part: Part,
}

/// What came of a request.
enum Progress {
    Executed,
    /// If its Master's disk is damaged, no block comes of all parts.
    PartOfABlock,
}

/// Why nothing was executed.
#[derive(Debug, Error)]
enum Pause {
    #[error("all durable blocks are executed")]
    AtTip,
    #[error(
        "the Master's last durable block is {master}, this Sub has executed {own}: it waits for the Master to execute that \
        again. If the Master is of another chain, correct `follow.master_address`, or remove `follow.data_dir`"
    )]
    MasterBehind {
        own: GlobalExecIndex,
        master: GlobalExecIndex,
    },
    #[error(transparent)]
    NoReply(#[from] RpcError),
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    #[error("the Master gives no blocks: {0}")]
    Refused(String),
    #[error(
        "the state after block {gei} has root {own}, that of the Master has root {master}: one of both executed another \
        chain, or executed it otherwise. If `follow.genesis` is not that of the Master, correct it and remove \
        `follow.data_dir`"
    )]
    Diverged {
        gei: GlobalExecIndex,
        own: String,
        master: String,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Follower {
    /// Opens the Sub's state.
    ///
    /// # Errors
    /// If the disk fails or is damaged.
    pub fn open(env: Env, config: Following) -> Result<Self, StoreError> {
        let chain = Chain::open(env.clone(), config.genesis.clone())?;
        let height = chain.expected().prev();
        let hash = match height {
            GlobalExecIndex(0) => [0; 32],
            _ => chain.disk().header(height)?.hash,
        };
        let client = ExecutorClient::new(
            env.clone(),
            config.master_address.clone(),
            config.rpc.clone(),
        );
        let last_answer = Arc::new(AtomicU64::new(height.0));
        let read = last_answer.clone();
        env.measure(Quantity::MasterBlock, move || read.load(Relaxed));
        Ok(Self {
            env,
            config,
            client,
            chain,
            tip: Tip { height, hash },
            master: GlobalExecIndex(0),
            last_answer,
            part: Part::default(),
        })
    }

    /// Executes what becomes durable in the Master. A state that differs from the Master's is never stored, and nothing is
    /// executed after it until the next start.
    ///
    /// # Errors
    /// If the disk fails. A Master that does not answer, or has lost blocks, is waited for.
    pub async fn run(mut self) -> Result<Infallible, StoreError> {
        let poll_ms = self.config.poll_ms;
        let mut backoff = Backoff::new(poll_ms, poll_ms.saturating_mul(32));
        loop {
            match self.proceed().await {
                Ok(Progress::Executed) => backoff.reset(),
                Ok(Progress::PartOfABlock) => {}
                Err(Pause::AtTip) => {
                    backoff.reset();
                    tokio::time::sleep(Duration::from_millis(poll_ms)).await;
                }
                Err(Pause::Store(error)) => return Err(error),
                Err(diverged @ Pause::Diverged { .. }) => {
                    let reason = diverged.to_string();
                    self.env.emit(SubEvent::Diverged { reason });
                    std::future::pending().await
                }
                Err(pause) => {
                    if let Pause::NoReply(RpcError::Refused { .. }) = pause {
                        // Whatever the Master has now, it has no further part of this.
                        self.part = Part::default();
                    }
                    let reason = pause.to_string();
                    self.env.emit(SubEvent::FollowFailed { reason });
                    tokio::time::sleep(backoff.pause()).await;
                }
            }
        }
    }

    /// Asks for blocks if the Master has more, executes what comes and makes it durable.
    async fn proceed(&mut self) -> Result<Progress, Pause> {
        let own = self.tip.height;
        if self.master <= own {
            self.master = self.client.watermark().await?;
            self.last_answer.store(self.master.0, Relaxed);
        }
        match self.master.cmp(&own) {
            Ordering::Less => {
                let master = self.master;
                return Err(Pause::MasterBehind { own, master });
            }
            Ordering::Equal => return Err(Pause::AtTip),
            Ordering::Greater => {}
        }
        let from = own.next();
        let more = u64::from(self.config.range_blocks.get() - 1);
        let range = GetBlocksRange {
            from: from.0,
            to: from.0.saturating_add(more),
            skip_bytes: bug_switches::skipped(self.part.len()),
        };
        let reply = self.client.blocks_range(range).await?;
        if reply.blocks.is_empty() {
            self.master = own; // it has lost blocks, if it had more
            return Err(Pause::Refused(reply.error));
        }
        let mut executed = Ok(Progress::PartOfABlock);
        for data in reply.blocks {
            executed = match self.part.add(self.tip, data) {
                Ok(Some(next)) => self.execute(next).await,
                Ok(None) => break,
                Err(mismatch) => Err(mismatch.into()),
            };
            if executed.is_err() {
                break;
            }
        }
        if !matches!(executed, Err(Pause::Diverged { .. })) {
            self.chain.flush().await?;
        }
        executed
    }

    async fn execute(&mut self, next: Next) -> Result<Progress, Pause> {
        let Next {
            block,
            hash,
            state_root,
        } = next;
        let gei = block.gei();
        self.chain.execute(block).await;
        let own = self.chain.state_root();
        if own[..] != state_root {
            return Err(Pause::Diverged {
                gei,
                own: first_bytes(&own),
                master: first_bytes(&state_root),
            });
        }
        self.tip = Tip { height: gei, hash };
        Ok(Progress::Executed)
    }
}

fn first_bytes(root: &[u8]) -> String {
    format!("{:02x?}", &root[..root.len().min(8)])
}
