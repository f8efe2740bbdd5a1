//! The executor RPC (contract §3): requests of one connection are answered strictly in order.
//!
//! Everything that a reply says about the chain is durable (invariant DURABLE), including the start of an epoch.

use crate::{
    block_count::BlockCount,
    block_range::{self, RangeError},
    bug_switches,
    config::ExecutorConfig,
    controls::{Lie, Replies, SharedControls},
    disk::Disk,
    epochs::{Advance, AdvanceRefused, EpochStart, Epochs},
    error_texts::not_durable,
    lies,
    manners::BlockNumber,
    serve::serve_each,
};
use metanode_core::{
    env::{BoxStream, CrashPoint, Env, ExecutorEvent, Listener, RpcKind},
    executor::wire::{
        AdvanceEpoch, AdvanceEpochResponse, CurrentEpoch, EpochBoundaryData, EpochStartTimestamp,
        LastBlockNumber, Request, RequestPayload, Response, ResponsePayload, ValidatorInfo,
        ValidatorInfoList,
    },
    framing::{Decoder, FrameError, Framing, ReadError, read_frame, write_frame},
    store::StoreError,
    types::{Epoch, GlobalExecIndex, TimestampMs},
};
use prost::Message;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;
use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use thiserror::Error;
use tokio::sync::watch;

/// The state from which requests are answered.
pub struct Rpc<'a> {
    pub env: &'a Env,
    /// Draws the order of lists.
    pub order: Mutex<ChaCha8Rng>,
    pub config: &'a ExecutorConfig,
    pub disk: Disk,
    pub epochs: &'a watch::Sender<Epochs>,
    /// The durable watermark.
    pub watermark: watch::Receiver<GlobalExecIndex>,
    /// The blocks that have a number, where empty ones have none.
    pub block_count: Mutex<BlockCount>,
    /// The highest watermark in any reply.
    pub reported: &'a AtomicU64,
    pub controls: &'a SharedControls,
}

/// Who sends the requests of a listener.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Requester {
    /// A node that delivers to this executor or follows it.
    Node,
    /// A node of another host, over TCP. It may ask for epochs and blocks, and change nothing.
    Peer,
}

/// Why a request is answered with `error`.
#[derive(Debug, Error)]
enum Refusal {
    #[error("epoch {asked} has not begun, the current one is {current}")]
    NotBegun { asked: u64, current: u64 },
    #[error(transparent)]
    Advance(#[from] AdvanceRefused),
    #[error("{}", not_durable(*asked, *watermark))]
    NotDurable {
        asked: u64,
        watermark: GlobalExecIndex,
    },
    #[error(transparent)]
    Range(#[from] RangeError),
    #[error("{0} is not served by this executor")]
    NotServed(&'static str),
    #[error(
        "{kind:?} is for the nodes of this executor, not for peers: expected it on the Unix socket; peers are answered \
        GetCurrentEpoch, GetLastBlockNumber, GetEpochBoundaryData, GetEpochStartTimestamp and GetBlocksRange"
    )]
    NotForPeers { kind: RpcKind },
    #[error("this executor refuses all requests at the moment")]
    Unwilling,
    #[error("the request has a payload that this executor does not know")]
    Unknown,
    #[error(transparent)]
    NotStored(StoreError),
}

/// Why a connection is closed.
#[derive(Debug, Error)]
enum Closed {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("a frame of {bytes} bytes is not a request: {source}")]
    Undecodable {
        bytes: usize,
        source: prost::DecodeError,
    },
    #[error("the response cannot be sent: {0}")]
    Unsendable(#[from] FrameError),
    #[error("the response cannot be written: {0}")]
    Write(#[source] io::Error),
    #[error("the start of an epoch cannot be stored: {0}")]
    NotStored(#[source] StoreError),
}

impl Rpc<'_> {
    /// Serves all connections of `listener`, until a write of the disk fails. What is on the disk is then unknown, and
    /// only the next start reads it.
    pub async fn serve(&self, listener: &dyn Listener, requester: Requester) -> StoreError {
        serve_each(listener, |stream| self.serve_connection(stream, requester)).await
    }

    async fn serve_connection(
        &self,
        mut stream: BoxStream,
        requester: Requester,
    ) -> Result<(), StoreError> {
        let Err(closed) = self.exchange(&mut stream, requester).await else {
            return Ok(());
        };
        tracing::warn!(target: "[EXECUTOR-REQ]", error = %closed, "closing an RPC connection");
        match closed {
            Closed::NotStored(error) => return Err(error),
            Closed::Read(ReadError::Io(_)) | Closed::Write(_) => {}
            _ => {
                let reason = Response::from(ResponsePayload::Error(closed.to_string()));
                // The requester may be gone.
                let _ = self.reply(&mut stream, reason).await;
            }
        }
        Ok(())
    }

    /// Answers one request after the other until the requester ends the connection.
    async fn exchange(&self, stream: &mut BoxStream, requester: Requester) -> Result<(), Closed> {
        let mut decoder = Decoder::new(Framing::RPC);
        while let Some(body) = read_frame(stream, &mut decoder).await? {
            let bytes = body.len();
            let request =
                Request::decode(body).map_err(|source| Closed::Undecodable { bytes, source })?;
            let answer = match self.controls.now().replies {
                Some(Replies::Refused) => Err(Refusal::Unwilling),
                None | Some(Replies::Late { .. } | Replies::Silent | Replies::Lost) => {
                    self.answer(&request, requester)
                }
            };
            let answer = match answer {
                Err(Refusal::NotStored(error)) => return Err(Closed::NotStored(error)),
                answer => answer,
            };
            if matches!(answer, Ok(ResponsePayload::AdvanceEpoch(_))) {
                self.env.reach(CrashPoint::ExecutorEpochSaved).await;
            }
            let refused = |refusal: Refusal| ResponsePayload::Error(refusal.to_string());
            self.env.reach(CrashPoint::ExecutorBeforeReply).await;
            let now = self.controls.now();
            let lie = now.lie.filter(|_| requester == Requester::Peer);
            if now.replies == Some(Replies::Lost) || lie == Some(Lie::Silence) {
                // Until the requester gives up.
                while read_frame(stream, &mut decoder).await?.is_some() {}
                return Ok(());
            }
            self.delay().await;
            let answer = answer.unwrap_or_else(refused);
            self.answer_truly_or(lie, stream, answer).await?;
            let kind = request.kind();
            self.env.emit(ExecutorEvent::Replied { kind });
        }
        Ok(())
    }

    /// Writes the answer, or what a peer hears instead.
    async fn answer_truly_or(
        &self,
        lie: Option<Lie>,
        stream: &mut BoxStream,
        answer: ResponsePayload,
    ) -> Result<(), Closed> {
        match lie {
            None => self.reply(stream, answer.into()).await,
            Some(Lie::Garbage) => write_frame(stream, &lies::garbage())
                .await
                .map_err(Closed::Write),
            Some(lie) => {
                if let Lie::Slow { ms } = lie {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
                // What it says so is not reported: no watermark of this executor.
                let frame = Framing::RPC.encode(&Response::from(lies::told(lie, answer)))?;
                write_frame(stream, &frame).await.map_err(Closed::Write)
            }
        }
    }

    /// Delays a reply as the controls demand.
    async fn delay(&self) {
        match self.controls.now().replies {
            None | Some(Replies::Refused | Replies::Lost) => {}
            Some(Replies::Late { ms }) => tokio::time::sleep(Duration::from_millis(ms)).await,
            Some(Replies::Silent) => loop {
                // Registered before the check, so that no change is missed.
                let changed = self.controls.changed.notified();
                if self.controls.now().replies != Some(Replies::Silent) {
                    return;
                }
                changed.await;
            },
        }
    }

    async fn reply(&self, stream: &mut BoxStream, response: Response) -> Result<(), Closed> {
        let frame = Framing::RPC.encode(&response)?;
        let is_gei = self.config.manners.block_number == BlockNumber::Gei;
        let watermark = match response.payload {
            Some(ResponsePayload::LastBlockNumber(answer)) if is_gei => {
                Some(answer.last_block_number)
            }
            Some(ResponsePayload::ValidatorInfoList(answer)) => Some(answer.last_global_exec_index),
            _ => None,
        };
        if let Some(watermark) = watermark.map(GlobalExecIndex) {
            self.reported.fetch_max(watermark.0, Ordering::Relaxed);
            self.env.emit(ExecutorEvent::Reported { watermark });
        }
        write_frame(stream, &frame).await.map_err(Closed::Write)
    }

    /// The validators of an epoch, in another order each time: the executor keeps them in a map.
    fn validators_of(&self, epoch: u64) -> Vec<ValidatorInfo> {
        let mut validators = self.config.genesis.validators_of(epoch);
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        validators.sort_by_cached_key(|_| order.next_u64());
        validators
    }

    fn answer(&self, request: &Request, requester: Requester) -> Result<ResponsePayload, Refusal> {
        let watermark = *self.watermark.borrow();
        let payload = request.payload.as_ref().ok_or(Refusal::Unknown)?;
        if requester == Requester::Peer && !self.is_for_peers(payload) {
            let kind = request.kind();
            return Err(Refusal::NotForPeers { kind });
        }
        let epochs = self.epochs.borrow();
        let current = epochs.current();
        let start_of = |epoch| {
            epochs.start_of(epoch).ok_or(Refusal::NotBegun {
                asked: epoch,
                current,
            })
        };
        let committee = |epoch| {
            Ok::<_, Refusal>(ResponsePayload::ValidatorInfoList(ValidatorInfoList {
                validators: self.validators_of(epoch),
                epoch_timestamp_ms: start_of(epoch)?.timestamp_ms,
                last_global_exec_index: watermark.0,
            }))
        };
        Ok(match payload {
            RequestPayload::GetActiveValidators(_) => committee(current)?,
            RequestPayload::GetValidatorsAtBlock(at) if at.block_number <= watermark.0 => {
                committee(epochs.epoch_of(GlobalExecIndex(at.block_number)))?
            }
            RequestPayload::GetValidatorsAtBlock(at) => {
                let asked = at.block_number;
                return Err(Refusal::NotDurable { asked, watermark });
            }
            RequestPayload::GetLastBlockNumber(_) => {
                ResponsePayload::LastBlockNumber(LastBlockNumber {
                    last_block_number: self.last_block_number(watermark)?,
                })
            }
            RequestPayload::GetCurrentEpoch(_) => {
                ResponsePayload::CurrentEpoch(CurrentEpoch { epoch: current })
            }
            RequestPayload::GetEpochStartTimestamp(of) => {
                ResponsePayload::EpochStartTimestamp(EpochStartTimestamp {
                    timestamp_ms: start_of(of.epoch)?.timestamp_ms,
                })
            }
            RequestPayload::GetEpochBoundaryData(of) => {
                let start = start_of(of.epoch)?;
                ResponsePayload::EpochBoundaryData(EpochBoundaryData {
                    epoch: of.epoch,
                    epoch_start_timestamp_ms: start.timestamp_ms,
                    boundary_block: start.boundary.0,
                    validators: self.validators_of(of.epoch),
                })
            }
            RequestPayload::GetBlocksRange(range) => {
                let bytes = usize::try_from(self.config.range_reply_bytes).unwrap_or(usize::MAX);
                let reply = block_range::reply(&self.disk, *range, watermark, bytes)?;
                ResponsePayload::BlocksRange(reply)
            }
            RequestPayload::AdvanceEpoch(asked) => {
                drop(epochs);
                return self.advance(asked, watermark);
            }
            RequestPayload::Block(_) => return Err(Refusal::NotServed("BlockRequest")),
            RequestPayload::Status(_) => return Err(Refusal::NotServed("StatusRequest")),
        })
    }

    /// Whether peers may ask this: what an epoch and blocks are, and nothing that changes anything. Where blocks and GEIs are
    /// counted apart, the list of validators is the only place that says W.
    fn is_for_peers(&self, payload: &RequestPayload) -> bool {
        match payload {
            RequestPayload::GetCurrentEpoch(_)
            | RequestPayload::GetLastBlockNumber(_)
            | RequestPayload::GetEpochBoundaryData(_)
            | RequestPayload::GetEpochStartTimestamp(_)
            | RequestPayload::GetBlocksRange(_) => true,
            RequestPayload::GetActiveValidators(_) => {
                self.config.manners.block_number == BlockNumber::NonEmptyBlocks
            }
            RequestPayload::AdvanceEpoch(_) => !bug_switches::refuses_peers(),
            RequestPayload::GetValidatorsAtBlock(_)
            | RequestPayload::Block(_)
            | RequestPayload::Status(_) => false,
        }
    }

    fn last_block_number(&self, watermark: GlobalExecIndex) -> Result<u64, Refusal> {
        match self.config.manners.block_number {
            BlockNumber::Gei => Ok(watermark.0),
            BlockNumber::NonEmptyBlocks => {
                let count = self.block_count.lock();
                let mut count = count.unwrap_or_else(PoisonError::into_inner);
                count.at(watermark, &self.disk).map_err(Refusal::NotStored)
            }
        }
    }

    /// Enters the epoch if it may begin. Its start is durable before the reply.
    fn advance(
        &self,
        asked: &AdvanceEpoch,
        watermark: GlobalExecIndex,
    ) -> Result<ResponsePayload, Refusal> {
        let allowed = self.epochs.borrow().judge(asked, watermark)?;
        if let Advance::Enter(start) = allowed {
            let entered = self.enter(asked.new_epoch, start);
            entered.map_err(Refusal::NotStored)?;
        }
        Ok(ResponsePayload::AdvanceEpoch(AdvanceEpochResponse {
            new_epoch: asked.new_epoch,
            epoch_start_timestamp_ms: asked.epoch_start_timestamp_ms,
        }))
    }

    fn enter(&self, epoch: u64, start: EpochStart) -> Result<(), StoreError> {
        self.disk.save_epoch(epoch, start)?;
        self.epochs.send_modify(|epochs| epochs.enter(start));
        self.env.emit(ExecutorEvent::EpochEntered {
            epoch: Epoch(epoch),
            boundary: start.boundary,
            start_timestamp_ms: TimestampMs(start.timestamp_ms),
        });
        Ok(())
    }
}
