//! Requests and replies of the executor RPC: the messages `Request` and `Response` of contract §3.
//!
//! As in every protobuf reader, unknown fields are skipped and the last payload of a message is valid.

use super::{
    Blocks, Member, Reply, Request,
    bcs::Malformed,
    protobuf::{Value, fields},
    sent_block::sent_block,
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use metanode_core::types::{Epoch, GlobalExecIndex, TimestampMs};

/// Decodes a request.
///
/// # Errors
/// If it is no message.
pub(super) fn request(body: Bytes) -> Result<Request, Malformed> {
    let mut request = Request::Unknown;
    for field in fields(&body) {
        let (field, Value::Bytes(payload)) = field? else {
            continue;
        };
        request = match field {
            1 | 2 => Request::Unknown,
            3 => Request::GetActiveValidators,
            4 => Request::GetValidatorsAtBlock {
                block: GlobalExecIndex(numbers::<1>(payload)?[0]),
            },
            5 => Request::GetLastBlockNumber,
            6 => Request::GetCurrentEpoch,
            7 => Request::GetEpochStartTimestamp {
                epoch: Epoch(numbers::<1>(payload)?[0]),
            },
            8 => {
                let [epoch, start, boundary] = numbers(payload)?;
                Request::AdvanceEpoch {
                    epoch: Epoch(epoch),
                    start_ms: TimestampMs(start),
                    boundary: GlobalExecIndex(boundary),
                }
            }
            9 => Request::GetEpochBoundaryData {
                epoch: Epoch(numbers::<1>(payload)?[0]),
            },
            21 => {
                let [from, to] = numbers(payload)?;
                Request::GetBlocksRange {
                    from: GlobalExecIndex(from),
                    to: GlobalExecIndex(to),
                }
            }
            _ => continue,
        };
    }
    Ok(request)
}

/// Decodes a reply.
///
/// # Errors
/// If it is no message, or a validator or block in it does not decode.
pub(super) fn reply(body: Bytes, seen: &Blocks) -> Result<Reply, Malformed> {
    let mut reply = Reply::Unknown;
    for field in fields(&body) {
        let (field, Value::Bytes(payload)) = field? else {
            continue;
        };
        reply = match field {
            2 => validators(payload)?,
            3 => Reply::Unknown,
            4 => Reply::Error(text(payload)?),
            5 => Reply::LastBlockNumber(GlobalExecIndex(numbers::<1>(payload)?[0])),
            6 => Reply::CurrentEpoch(Epoch(numbers::<1>(payload)?[0])),
            7 => Reply::EpochStartTimestamp(TimestampMs(numbers::<1>(payload)?[0])),
            8 => {
                let [epoch, start] = numbers(payload)?;
                Reply::AdvanceEpoch {
                    epoch: Epoch(epoch),
                    start_ms: TimestampMs(start),
                }
            }
            9 => boundary_data(payload)?,
            21 => blocks(&body.slice_ref(payload), seen)?,
            _ => continue,
        };
    }
    Ok(reply)
}

/// The integers in the fields 1 to `N` of a message; 0 if absent.
fn numbers<const N: usize>(message: &[u8]) -> Result<[u64; N], Malformed> {
    let mut numbers = [0; N];
    for field in fields(message) {
        let (field, value) = field?;
        if let Some((_, number)) = (1..).zip(&mut numbers).find(|(tag, _)| *tag == field) {
            *number = value.number();
        }
    }
    Ok(numbers)
}

/// The message `ValidatorInfoList`.
fn validators(message: &[u8]) -> Result<Reply, Malformed> {
    let [_, epoch_start, last_block] = numbers(message)?;
    Ok(Reply::Validators {
        validators: members(message, 1)?,
        epoch_start_ms: TimestampMs(epoch_start),
        last_block: GlobalExecIndex(last_block),
    })
}

/// The message `EpochBoundaryData`.
fn boundary_data(message: &[u8]) -> Result<Reply, Malformed> {
    let [epoch, start, boundary] = numbers(message)?;
    Ok(Reply::EpochBoundaryData {
        epoch: Epoch(epoch),
        start_ms: TimestampMs(start),
        boundary: GlobalExecIndex(boundary),
        validators: members(message, 4)?,
    })
}

/// The message `BlocksRange`.
fn blocks(message: &Bytes, seen: &Blocks) -> Result<Reply, Malformed> {
    let mut blocks = vec![];
    for field in fields(message) {
        if let (1, Value::Bytes(block)) = field? {
            blocks.push(sent_block(&message.slice_ref(block), seen)?);
        }
    }
    Ok(Reply::Blocks(blocks))
}

/// The messages `ValidatorInfo` in this field that can be members of a committee.
fn members(message: &[u8], field: u64) -> Result<Vec<Member>, Malformed> {
    let mut members = vec![];
    for found in fields(message) {
        match found? {
            (number, Value::Bytes(validator)) if number == field => {
                members.extend(member(validator).ok());
            }
            _ => {}
        }
    }
    Ok(members)
}

fn member(message: &[u8]) -> Result<Member, Malformed> {
    let [mut address, mut stake, mut authority_key, mut protocol_key] =
        [const { String::new() }; 4];
    for field in fields(message) {
        let (field, Value::Bytes(bytes)) = field? else {
            continue;
        };
        let value = match field {
            1 => &mut address,
            2 => &mut stake,
            3 => &mut authority_key,
            4 => &mut protocol_key,
            _ => continue,
        };
        *value = text(bytes)?;
    }
    let key = |text: &str| key(text).filter(|key| !key.is_empty());
    Ok(Member {
        authority_key: key(&authority_key)
            .ok_or_else(expected("the authority key", &authority_key))?,
        protocol_key: key(&protocol_key)
            .and_then(|key| key.try_into().ok())
            .ok_or_else(expected("the protocol key", &protocol_key))?,
        stake: stake
            .parse()
            .ok()
            .ok_or_else(expected("the stake", &stake))?,
        address: account(&address).ok_or_else(expected("the address", &address))?,
    })
}

fn expected(what: &str, found: &str) -> impl FnOnce() -> Malformed {
    move || format!("expected {what} of a validator, found `{found}`")
}

/// Base64, or hex after `0x`.
fn key(text: &str) -> Option<Vec<u8>> {
    let hex = text.strip_prefix("0x").and_then(hex);
    hex.or_else(|| BASE64.decode(text).ok())
}

/// 20 bytes in hex, with or without `0x`.
fn account(text: &str) -> Option<Vec<u8>> {
    let account = hex(text.strip_prefix("0x").unwrap_or(text))?;
    (account.len() == 20).then_some(account)
}

fn hex(digits: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = digits.chars().map(|digit| digit.to_digit(16)).collect();
    let (pairs, []) = digits.as_ref()?.as_chunks() else {
        return None;
    };
    let bytes = pairs
        .iter()
        .map(|[high, low]| u8::try_from(high << 4 | low).ok());
    bytes.collect()
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_vec()).map_err(|e| format!("a text that is not UTF-8: {e}"))
}
