//! The executor RPC as a client that must be answered: one connection, one deadline per exchange.

use crate::{
    clauses::Violation,
    live::{LiveError, LiveSocket},
};
use bytes::Bytes;
use metanode_core::{
    executor::wire::{Request, RequestPayload, Response, ResponsePayload},
    framing::{Decoder, Framing},
    types::Address,
};
use prost::Message;
use std::time::Duration;

/// An answer with the body of its frame.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub body: Bytes,
    pub payload: ResponsePayload,
}

impl Answer {
    pub fn kind(&self) -> &'static str {
        kind_of(&self.payload)
    }

    /// The answer is not of the kind of this request.
    pub fn unexpected(&self, expected: impl Into<String>) -> Violation {
        let found = match &self.payload {
            ResponsePayload::Error(text) => format!("error: {text}"),
            _ => self.kind().to_owned(),
        };
        Violation::safety(expected, found).shown_by(&self.body)
    }
}

/// The name of a response in the contract.
pub(super) const fn kind_of(payload: &ResponsePayload) -> &'static str {
    match payload {
        ResponsePayload::ValidatorInfoList(_) => "ValidatorInfoList",
        ResponsePayload::ServerStatus(_) => "ServerStatus",
        ResponsePayload::Error(_) => "error",
        ResponsePayload::LastBlockNumber(_) => "LastBlockNumber",
        ResponsePayload::CurrentEpoch(_) => "CurrentEpoch",
        ResponsePayload::EpochStartTimestamp(_) => "EpochStartTimestamp",
        ResponsePayload::AdvanceEpoch(_) => "AdvanceEpoch",
        ResponsePayload::EpochBoundaryData(_) => "EpochBoundaryData",
        ResponsePayload::BlocksRange(_) => "BlocksRange",
    }
}

/// The response that this request has if nothing is wrong with it.
pub(super) const fn kind_for(request: &RequestPayload) -> &'static str {
    match request {
        RequestPayload::Block(_) | RequestPayload::Status(_) => "error",
        RequestPayload::GetActiveValidators(_) | RequestPayload::GetValidatorsAtBlock(_) => {
            "ValidatorInfoList"
        }
        RequestPayload::GetLastBlockNumber(_) => "LastBlockNumber",
        RequestPayload::GetCurrentEpoch(_) => "CurrentEpoch",
        RequestPayload::GetEpochStartTimestamp(_) => "EpochStartTimestamp",
        RequestPayload::AdvanceEpoch(_) => "AdvanceEpoch",
        RequestPayload::GetEpochBoundaryData(_) => "EpochBoundaryData",
        RequestPayload::GetBlocksRange(_) => "BlocksRange",
    }
}

/// The frame of a request.
pub(super) fn frame_of(payload: RequestPayload) -> Vec<u8> {
    frame_of_body(&Request::from(payload).encode_to_vec())
}

/// The frame of a body.
pub(super) fn frame_of_body(body: &[u8]) -> Vec<u8> {
    let frame = Framing::RPC.encode_body(body);
    frame
        .expect("requests made here are within the limit")
        .to_vec()
}

/// What a conversation that failed says about a clause.
pub(super) fn violation(expected: &str, error: &LiveError) -> Violation {
    match error {
        LiveError::Timeout(_) | LiveError::Connect { .. } => {
            Violation::no_progress(expected, error.to_string())
        }
        LiveError::Closed | LiveError::Frame(_) | LiveError::Io(_) => {
            Violation::safety(expected, error.to_string())
        }
    }
}

/// Numbers from here on are those of a broken executor, such as a -1.
const TOO_LARGE: u64 = 1 << 62;

/// The largest index, epoch or time of an answer.
fn largest(payload: &ResponsePayload) -> u64 {
    let all = match payload {
        ResponsePayload::LastBlockNumber(last) => vec![last.last_block_number],
        ResponsePayload::CurrentEpoch(current) => vec![current.epoch],
        ResponsePayload::EpochStartTimestamp(start) => vec![start.timestamp_ms],
        ResponsePayload::AdvanceEpoch(entered) => {
            vec![entered.new_epoch, entered.epoch_start_timestamp_ms]
        }
        ResponsePayload::EpochBoundaryData(data) => {
            vec![
                data.epoch,
                data.epoch_start_timestamp_ms,
                data.boundary_block,
            ]
        }
        ResponsePayload::ValidatorInfoList(list) => {
            vec![list.epoch_timestamp_ms, list.last_global_exec_index]
        }
        ResponsePayload::BlocksRange(range) => {
            let blocks = range.blocks.iter();
            blocks
                .flat_map(|block| [block.block_number, block.epoch, block.timestamp_ms])
                .collect()
        }
        _ => vec![],
    };
    all.into_iter().max().unwrap_or(0)
}

/// One connection.
pub(super) struct Connection {
    socket: LiveSocket,
    decoder: Decoder,
    timeout: Duration,
}

impl Connection {
    pub fn open(address: &Address, timeout: Duration) -> Result<Self, LiveError> {
        Ok(Self {
            socket: LiveSocket::connect(address, timeout)?,
            decoder: Decoder::new(Framing::RPC),
            timeout,
        })
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), LiveError> {
        self.socket.write(bytes, self.timeout)
    }

    /// The next answer; `to` says to what.
    pub fn answer(&mut self, to: &str) -> Result<Answer, Violation> {
        let expected = format!("a response to {to}");
        let body = self.socket.read_frame(&mut self.decoder, self.timeout);
        let body = body.map_err(|error| violation(&expected, &error))?;
        let response = Response::decode(body.clone());
        let payload = match response {
            Ok(response) => response.payload,
            Err(error) => {
                return Err(Violation::safety(expected, error.to_string()).shown_by(&body));
            }
        };
        match payload {
            Some(payload) if largest(&payload) < TOO_LARGE => Ok(Answer { body, payload }),
            Some(payload) => {
                let expected = format!("{expected}, with numbers below 2^62");
                Err(Violation::safety(expected, largest(&payload).to_string()).shown_by(&body))
            }
            None => {
                let found = "a response without a payload of the contract";
                Err(Violation::safety(expected, found).shown_by(&body))
            }
        }
    }

    /// Waits until the executor closes the connection. It may say why before.
    pub fn is_closed(&mut self, after: &str) -> Result<(), Violation> {
        let expected = format!("the connection is closed after {after}");
        loop {
            let body = match self.socket.read_frame(&mut self.decoder, self.timeout) {
                Ok(body) => body,
                Err(LiveError::Timeout(timeout)) => {
                    let found = format!("it is open after {timeout:?}");
                    return Err(Violation::safety(expected, found));
                }
                Err(_) => return Ok(()),
            };
            match Response::decode(body.clone()).map(|response| response.payload) {
                Ok(Some(ResponsePayload::Error(_))) => {}
                _ => {
                    let found = "an answer that is no error";
                    return Err(Violation::safety(expected, found).shown_by(&body));
                }
            }
        }
    }
}
