//! The client of the executor RPC (contract §2): exchanges with one timeout each, on pooled connections.
//!
//! Replies carry no request id, so a connection is reused only if its last exchange succeeded. After a timeout or error
//! it is **dropped**: a late reply must never answer a later request (invariant RPC).

use super::{
    bug_switches, socket_advice,
    wire::{
        AdvanceEpoch, BlocksRange, EpochBoundaryData, GetActiveValidators, GetBlocksRange,
        GetCurrentEpoch, GetEpochBoundaryData, GetLastBlockNumber, Request, RequestPayload,
        Response, ResponsePayload,
    },
};
use crate::{
    config::{RpcParameters, WatermarkSource},
    env::{BoxStream, Env, NodeEvent, RpcKind},
    excerpt::excerpt,
    framing::{self, Decoder, FrameError, Framing, ReadError},
    types::{Address, Boundary, Epoch, GlobalExecIndex},
};
use prost::Message;
use std::{
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use thiserror::Error;

/// Why a request failed.
#[derive(Debug, Error)]
pub enum RpcError {
    #[error("cannot reach the executor at {address}: {}", socket_advice(.source))]
    Connect { address: Address, source: io::Error },
    #[error("{kind:?}: no reply from {address} within {timeout_ms} ms; the connection was dropped")]
    Timeout {
        kind: RpcKind,
        address: Address,
        timeout_ms: u64,
    },
    #[error("{kind:?}: the connection to {address} broke: {source}")]
    Broken {
        kind: RpcKind,
        address: Address,
        source: io::Error,
    },
    #[error("{kind:?}: {source}")]
    Frame { kind: RpcKind, source: FrameError },
    #[error("{kind:?}: the executor returned an error: {message}")]
    Refused { kind: RpcKind, message: String },
    #[error("{kind:?}: expected a reply to this request, found {found}")]
    Unexpected { kind: RpcKind, found: String },
}

struct Connection {
    number: u64,
    stream: BoxStream,
    decoder: Decoder,
    requests: u64,
    replies: u64,
}

/// The RPC client of one executor.
pub struct ExecutorClient {
    env: Env,
    address: Address,
    parameters: RpcParameters,
    idle: Mutex<Vec<Connection>>,
    connections: AtomicU64,
}

impl ExecutorClient {
    #[must_use]
    pub fn new(env: Env, address: Address, parameters: RpcParameters) -> Self {
        Self {
            env,
            address,
            parameters,
            idle: Mutex::default(),
            connections: AtomicU64::new(0),
        }
    }

    /// Which number of the executor is W.
    pub(crate) const fn watermark_source(&self) -> WatermarkSource {
        self.parameters.watermark_source
    }

    /// W: the highest GEI whose effects are durable in the executor, from the configured source (contract §4.4).
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn watermark(&self) -> Result<GlobalExecIndex, RpcError> {
        let (kind, request) = match bug_switches::source(self.parameters.watermark_source) {
            WatermarkSource::LastBlockNumber => (
                RpcKind::GetLastBlockNumber,
                RequestPayload::GetLastBlockNumber(GetLastBlockNumber {}),
            ),
            WatermarkSource::LastGlobalExecIndex => (
                RpcKind::GetActiveValidators,
                RequestPayload::GetActiveValidators(GetActiveValidators {}),
            ),
        };
        match (kind, self.call(request).await?) {
            (RpcKind::GetLastBlockNumber, ResponsePayload::LastBlockNumber(reply)) => {
                Ok(GlobalExecIndex(reply.last_block_number))
            }
            (RpcKind::GetActiveValidators, ResponsePayload::ValidatorInfoList(reply)) => {
                Ok(GlobalExecIndex(reply.last_global_exec_index))
            }
            (_, other) => Err(unexpected(kind, &other)),
        }
    }

    /// The executor's epoch.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn current_epoch(&self) -> Result<Epoch, RpcError> {
        match self
            .call(RequestPayload::GetCurrentEpoch(GetCurrentEpoch {}))
            .await?
        {
            ResponsePayload::CurrentEpoch(reply) => Ok(Epoch(reply.epoch)),
            other => Err(unexpected(RpcKind::GetCurrentEpoch, &other)),
        }
    }

    /// The validators, base and start time of an epoch.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn epoch_boundary_data(&self, epoch: Epoch) -> Result<EpochBoundaryData, RpcError> {
        let request = RequestPayload::GetEpochBoundaryData(GetEpochBoundaryData { epoch: epoch.0 });
        match self.call(request).await? {
            ResponsePayload::EpochBoundaryData(reply) if reply.epoch == epoch.0 => Ok(reply),
            other => Err(unexpected(RpcKind::GetEpochBoundaryData, &other)),
        }
    }

    /// Durable blocks, as many as fit into a reply.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn blocks_range(&self, range: GetBlocksRange) -> Result<BlocksRange, RpcError> {
        match self.call(RequestPayload::GetBlocksRange(range)).await? {
            ResponsePayload::BlocksRange(reply) => Ok(reply),
            other => Err(unexpected(RpcKind::GetBlocksRange, &other)),
        }
    }

    /// Sends `AdvanceEpoch` (contract §7.3), which is idempotent. Returns the executor's epoch.
    ///
    /// # Errors
    /// If there is no answer, or the answer is an error.
    pub async fn advance_epoch(&self, next: Epoch, boundary: &Boundary) -> Result<Epoch, RpcError> {
        let request = RequestPayload::AdvanceEpoch(AdvanceEpoch {
            new_epoch: next.0,
            epoch_start_timestamp_ms: boundary.timestamp_ms.0,
            boundary_block: boundary.gei.0,
        });
        match self.call(request).await? {
            ResponsePayload::AdvanceEpoch(reply) => Ok(Epoch(reply.new_epoch)),
            other => Err(unexpected(RpcKind::AdvanceEpoch, &other)),
        }
    }

    /// One exchange. If a pooled connection turns out to be closed, a second one is tried.
    ///
    /// # Errors
    /// If there is no answer, or the answer is an error.
    pub async fn call(&self, payload: RequestPayload) -> Result<ResponsePayload, RpcError> {
        let request = Request {
            payload: Some(payload),
        };
        let kind = request.kind();
        let timeout_ms = self.parameters.timeout_ms;
        let mut in_use = None;
        let exchange = tokio::time::timeout(Duration::from_millis(timeout_ms), async {
            if let Some(pooled) = self.take_idle() {
                match self.exchange(in_use.insert(pooled), &request, kind).await {
                    Err(RpcError::Broken { .. }) => {}
                    done => return done,
                }
            }
            let new = self.connect().await?;
            self.exchange(in_use.insert(new), &request, kind).await
        });
        let result = exchange.await.unwrap_or_else(|_| {
            Err(RpcError::Timeout {
                kind,
                address: self.address.clone(),
                timeout_ms,
            })
        });
        if let (Err(e @ RpcError::Timeout { .. }), Some(connection)) = (&result, &in_use) {
            // The exchange cannot emit this itself: the timeout has dropped it.
            self.env.emit(NodeEvent::RpcFailed {
                connection: connection.number,
                kind,
                reason: e.to_string(),
            });
        }
        if (result.is_ok() || bug_switches::is_reused_after(&result))
            && let Some(connection) = in_use
        {
            self.put_idle(connection);
        }
        let response = result?;
        match response.payload {
            Some(ResponsePayload::Error(message)) => {
                let message = excerpt(&message);
                Err(RpcError::Refused { kind, message })
            }
            Some(payload) => Ok(payload),
            None => Err(RpcError::Unexpected {
                kind,
                found: "an empty response".to_owned(),
            }),
        }
    }

    /// Sends the request and reads the reply. The connection may be reused only if both succeeded.
    async fn exchange(
        &self,
        connection: &mut Connection,
        request: &Request,
        kind: RpcKind,
    ) -> Result<Response, RpcError> {
        let number = connection.number;
        connection.requests += 1;
        let sent = connection.requests;
        self.env.emit(NodeEvent::RpcSent {
            connection: number,
            request: sent,
            kind,
        });
        let result = self.transfer(connection, request, kind).await;
        match &result {
            Ok(_) => {
                connection.replies += 1;
                self.env.emit(NodeEvent::RpcAnswered {
                    connection: number,
                    request: sent,
                    reply: connection.replies,
                    kind,
                });
            }
            Err(e) => self.env.emit(NodeEvent::RpcFailed {
                connection: number,
                kind,
                reason: e.to_string(),
            }),
        }
        result
    }

    async fn transfer(
        &self,
        connection: &mut Connection,
        request: &Request,
        kind: RpcKind,
    ) -> Result<Response, RpcError> {
        let broken = |source| RpcError::Broken {
            kind,
            address: self.address.clone(),
            source,
        };
        let frame = Framing::RPC
            .encode(request)
            .map_err(|source| RpcError::Frame { kind, source })?;
        framing::write_frame(&mut connection.stream, &frame)
            .await
            .map_err(broken)?;
        let body = match framing::read_frame(&mut connection.stream, &mut connection.decoder).await
        {
            Ok(Some(body)) => body,
            Ok(None) => return Err(broken(io::ErrorKind::UnexpectedEof.into())),
            Err(ReadError::Io(source)) => return Err(broken(source)),
            Err(ReadError::Frame(source)) => return Err(RpcError::Frame { kind, source }),
        };
        Response::decode(body).map_err(|e| RpcError::Unexpected {
            kind,
            found: e.to_string(),
        })
    }

    async fn connect(&self) -> Result<Connection, RpcError> {
        let mut attempt = 1;
        let stream = loop {
            match self.env.network.connect(&self.address).await {
                Ok(stream) => break stream,
                Err(source) if attempt >= self.parameters.connect_attempts => {
                    let address = self.address.clone();
                    return Err(RpcError::Connect { address, source });
                }
                Err(_) => attempt += 1,
            }
            tokio::time::sleep(Duration::from_millis(self.parameters.connect_retry_ms)).await;
        };
        Ok(Connection {
            number: self.connections.fetch_add(1, Ordering::Relaxed) + 1,
            stream,
            decoder: Decoder::new(Framing::RPC),
            requests: 0,
            replies: 0,
        })
    }

    fn take_idle(&self) -> Option<Connection> {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
    }

    fn put_idle(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.parameters.pool_size as usize {
            idle.push(connection);
        }
    }
}

fn unexpected(kind: RpcKind, found: &ResponsePayload) -> RpcError {
    let found = excerpt(&format!("{found:?}"));
    RpcError::Unexpected { kind, found }
}
