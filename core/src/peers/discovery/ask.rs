//! The questions to the executor of one peer. Each round has connections of its own, so that nothing of an earlier one is
//! taken for an answer of this one.

use crate::config::RpcParameters;
use crate::{
    deadline,
    env::{Env, Event, EventSink},
    executor::{ExecutorClient, RpcError, wire::GetBlocksRange},
    types::{Address, ChainPosition, GlobalExecIndex, StateRoot},
};
use std::{sync::Arc, time::Duration};
use thiserror::Error;

/// Why a peer has no answer.
#[derive(Debug, Error)]
pub(super) enum NoAnswer {
    #[error(transparent)]
    Rpc(#[from] RpcError),
    #[error(
        "it did not answer all questions within {timeout_ms} ms: rpc.timeout_ms allows no more"
    )]
    TooLate { timeout_ms: u64 },
    #[error("expected block {asked} with a state root of 32 bytes, it sent {found}")]
    OtherBlock {
        asked: GlobalExecIndex,
        found: String,
    },
}

/// Asks one peer.
pub(super) struct Peer {
    client: ExecutorClient,
    timeout_ms: u64,
}

/// Exchanges with peers are not those with the own executor: the round reports them.
struct Unreported;

impl EventSink for Unreported {
    fn emit(&self, _: Event) {}
}

impl Peer {
    pub fn new(env: &Env, address: Address, rpc: &RpcParameters) -> Self {
        let env = Env {
            events: Arc::new(Unreported),
            ..env.clone()
        };
        Self {
            timeout_ms: rpc.timeout_ms,
            client: ExecutorClient::new(env, address, rpc.clone()),
        }
    }

    /// Its epoch, then its last block: whatever changes in between, it is at least there.
    pub async fn position(&self) -> Result<ChainPosition, NoAnswer> {
        self.in_time(async {
            let epoch = self.client.current_epoch().await?;
            let block = self.client.watermark().await?;
            Ok(ChainPosition { epoch, block })
        })
        .await
    }

    /// Its state root after a block.
    pub async fn root(&self, block: GlobalExecIndex) -> Result<StateRoot, NoAnswer> {
        self.in_time(root(&self.client, block)).await
    }

    async fn in_time<T>(
        &self,
        asking: impl Future<Output = Result<T, NoAnswer>>,
    ) -> Result<T, NoAnswer> {
        let timeout_ms = self.timeout_ms;
        let asked = deadline::timeout(Duration::from_millis(timeout_ms), asking).await;
        asked.unwrap_or(Err(NoAnswer::TooLate { timeout_ms }))
    }
}

/// The state root of an executor after a block.
pub(super) async fn root(
    client: &ExecutorClient,
    block: GlobalExecIndex,
) -> Result<StateRoot, NoAnswer> {
    let range = GetBlocksRange {
        from: block.0,
        to: block.0,
        skip_bytes: 0,
    };
    let reply = client.blocks_range(range).await?;
    let of_block = reply.blocks.iter().find(|it| it.block_number == block.0);
    let root = of_block.and_then(|it| <[u8; 32]>::try_from(&it.state_root[..]).ok());
    root.map(StateRoot).ok_or_else(|| NoAnswer::OtherBlock {
        asked: block,
        found: match (&reply.error[..], &reply.blocks[..]) {
            ("", blocks) => format!("{} blocks without it", blocks.len()),
            (error, _) => format!("the error: {error}"),
        },
    })
}
