//! Messages of the node's own encoders mean what they say; other bytes give no panic.

use super::{
    Blocks, Member, Reply, Request, SentBlock, StateRoot,
    bcs::Malformed,
    delivered,
    rpc::{self, request},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use metanode_core::{
    executor::wire::{self, RequestPayload, ResponsePayload},
    types::{Epoch, GlobalExecIndex, TimestampMs},
};
use proptest::prelude::*;
use prost::Message;
use std::sync::Arc;

fn validator() -> wire::ValidatorInfo {
    wire::ValidatorInfo {
        address: format!("0x{}", "Ab".repeat(20)),
        stake: "18446744073709551615".to_owned(),
        authority_key: BASE64.encode([1; 96]),
        protocol_key: BASE64.encode([2; 32]),
        network_key: "anything".to_owned(),
        name: "a validator".to_owned(),
        commission_rate: 5,
        p2p_address: "10.0.0.1:9000".to_owned(),
        ..wire::ValidatorInfo::default()
    }
}

fn member() -> Member {
    Member {
        authority_key: vec![1; 96],
        protocol_key: [2; 32],
        stake: u64::MAX,
        address: vec![0xab; 20],
    }
}

fn reply(body: Bytes) -> Result<Reply, Malformed> {
    rpc::reply(body, &Blocks::default())
}

fn replied(payload: ResponsePayload) -> Result<Reply, Malformed> {
    reply(wire::Response::from(payload).encode_to_vec().into())
}

#[test]
fn every_request_of_the_node_is_seen_as_it_is() {
    let gei = GlobalExecIndex;
    let cases = [
        (
            RequestPayload::Block(wire::BlockRequest {}),
            Request::Unknown,
        ),
        (
            RequestPayload::Status(wire::StatusRequest {}),
            Request::Unknown,
        ),
        (
            RequestPayload::GetActiveValidators(wire::GetActiveValidators {}),
            Request::GetActiveValidators,
        ),
        (
            RequestPayload::GetValidatorsAtBlock(wire::GetValidatorsAtBlock { block_number: 7 }),
            Request::GetValidatorsAtBlock { block: gei(7) },
        ),
        (
            RequestPayload::GetLastBlockNumber(wire::GetLastBlockNumber {}),
            Request::GetLastBlockNumber,
        ),
        (
            RequestPayload::GetCurrentEpoch(wire::GetCurrentEpoch {}),
            Request::GetCurrentEpoch,
        ),
        (
            RequestPayload::GetEpochStartTimestamp(wire::GetEpochStartTimestamp { epoch: 8 }),
            Request::GetEpochStartTimestamp { epoch: Epoch(8) },
        ),
        (
            RequestPayload::AdvanceEpoch(wire::AdvanceEpoch {
                new_epoch: 1,
                epoch_start_timestamp_ms: 2,
                boundary_block: u64::MAX,
            }),
            Request::AdvanceEpoch {
                epoch: Epoch(1),
                start_ms: TimestampMs(2),
                boundary: gei(u64::MAX),
            },
        ),
        (
            RequestPayload::GetEpochBoundaryData(wire::GetEpochBoundaryData { epoch: 0 }),
            Request::GetEpochBoundaryData { epoch: Epoch(0) },
        ),
        (
            RequestPayload::GetBlocksRange(wire::GetBlocksRange {
                from: 3,
                to: 300,
                skip_bytes: 9,
            }),
            Request::GetBlocksRange {
                from: gei(3),
                to: gei(300),
            },
        ),
    ];
    for (payload, expected) in cases {
        let body = wire::Request::from(payload).encode_to_vec();
        assert_eq!(request(body.into()), Ok(expected));
    }
    assert_eq!(request(Bytes::new()), Ok(Request::Unknown));
}

#[test]
fn every_reply_of_the_executor_is_seen_as_it_is() {
    let validators = vec![validator(); 2];
    let list = ResponsePayload::ValidatorInfoList(wire::ValidatorInfoList {
        validators: validators.clone(),
        epoch_timestamp_ms: 4,
        last_global_exec_index: 5,
    });
    let expected = Reply::Validators {
        validators: vec![member(); 2],
        epoch_start_ms: TimestampMs(4),
        last_block: GlobalExecIndex(5),
    };
    assert_eq!(replied(list), Ok(expected));
    let data = ResponsePayload::EpochBoundaryData(wire::EpochBoundaryData {
        epoch: 6,
        epoch_start_timestamp_ms: 7,
        boundary_block: 8,
        validators,
    });
    let expected = Reply::EpochBoundaryData {
        epoch: Epoch(6),
        start_ms: TimestampMs(7),
        boundary: GlobalExecIndex(8),
        validators: vec![member(); 2],
    };
    assert_eq!(replied(data), Ok(expected));
    let cases = [
        (
            ResponsePayload::ServerStatus(wire::ServerStatus::default()),
            Reply::Unknown,
        ),
        (
            ResponsePayload::Error("an error".to_owned()),
            Reply::Error("an error".to_owned()),
        ),
        (
            ResponsePayload::LastBlockNumber(wire::LastBlockNumber {
                last_block_number: 0,
            }),
            Reply::LastBlockNumber(GlobalExecIndex(0)),
        ),
        (
            ResponsePayload::CurrentEpoch(wire::CurrentEpoch { epoch: 9 }),
            Reply::CurrentEpoch(Epoch(9)),
        ),
        (
            ResponsePayload::EpochStartTimestamp(wire::EpochStartTimestamp { timestamp_ms: 10 }),
            Reply::EpochStartTimestamp(TimestampMs(10)),
        ),
        (
            ResponsePayload::AdvanceEpoch(wire::AdvanceEpochResponse {
                new_epoch: 11,
                epoch_start_timestamp_ms: 12,
            }),
            Reply::AdvanceEpoch {
                epoch: Epoch(11),
                start_ms: TimestampMs(12),
            },
        ),
    ];
    for (payload, expected) in cases {
        assert_eq!(replied(payload), Ok(expected));
    }
    assert_eq!(reply(Bytes::new()), Ok(Reply::Unknown));
}

#[test]
fn blocks_of_a_range_are_delivered_blocks() {
    let block = |epoch| {
        let block = wire::CommittedEpochData {
            blocks: vec![wire::CommittedBlock {
                epoch: 1,
                height: 2,
                transactions: vec![],
            }],
            global_exec_index: 3,
            commit_index: 2,
            epoch,
            ..wire::CommittedEpochData::default()
        };
        Bytes::from(block.encode_to_vec())
    };
    let range = |hashed: &Bytes, content: Bytes, state_root: &[u8]| {
        let block = wire::BlockData {
            block_number: 3,
            block_hash: blake3::hash(hashed).as_bytes().to_vec().into(),
            parent_hash: vec![5; 32].into(),
            state_root: state_root.to_vec().into(),
            raw_block_bytes: content,
            ..wire::BlockData::default()
        };
        replied(ResponsePayload::BlocksRange(wire::BlocksRange {
            blocks: vec![block; 2],
            count: 2,
            error: String::new(),
        }))
    };
    let (right, root) = (block(1), [7; 32]);
    let expected = |frame| {
        let block = SentBlock {
            number: GlobalExecIndex(3),
            hash: *blake3::hash(&right).as_bytes(),
            parent: [5; 32],
            state_root: StateRoot(root),
            frame,
        };
        Ok(Reply::Blocks(vec![block; 2]))
    };
    let frame = Arc::new(delivered::frame(right.clone()).unwrap());
    assert_eq!(range(&right, right.clone(), &root), expected(Some(frame)));
    assert_eq!(range(&right, right.slice(1..), &root), expected(None));
    assert!(range(&right, right.clone(), &root[1..]).is_err());
    let wrong = block(2);
    assert!(range(&wrong, wrong.clone(), &root).is_err());
}

#[test]
fn a_validator_that_does_not_parse_is_no_member() {
    let cases: [fn(&mut wire::ValidatorInfo); 9] = [
        |v| v.address.clear(),
        |v| v.address = "ab".repeat(19),
        |v| v.address = "é".repeat(20),
        |v| v.address.push('0'),
        |v| v.stake = "18446744073709551616".to_owned(),
        |v| v.stake = "0x5".to_owned(),
        |v| v.authority_key.clear(),
        |v| v.protocol_key = BASE64.encode([2; 31]),
        |v| v.protocol_key = "not base64!".to_owned(),
    ];
    for spoil in cases {
        let mut validator = validator();
        spoil(&mut validator);
        let list = wire::ValidatorInfoList {
            validators: vec![validator],
            ..wire::ValidatorInfoList::default()
        };
        let reply = replied(ResponsePayload::ValidatorInfoList(list)).unwrap();
        assert!(matches!(reply, Reply::Validators { validators, .. } if validators.is_empty()));
    }
}

#[test]
fn unknown_fields_are_skipped() {
    // Field 15 in every wire type, and field 3000 of 2 bytes.
    let unknown: &[u8] = &[
        0x78, 5, 0x79, 1, 2, 3, 4, 5, 6, 7, 8, 0x7a, 1, 9, 0x7d, 1, 2, 3, 4, 0xc2, 0xbb, 1, 2, 6, 6,
    ];
    let with_unknown = |field: u8, inner: &[u8]| {
        let inner = [unknown, inner, unknown].concat();
        let length = u8::try_from(inner.len()).unwrap();
        Bytes::from([unknown, &[field, length], &inner, unknown].concat())
    };
    let block = GlobalExecIndex(7);
    let expected = Ok(Request::GetValidatorsAtBlock { block });
    assert_eq!(request(with_unknown(0x22, &[0x08, 7])), expected);
    let expected = Ok(Reply::LastBlockNumber(block));
    assert_eq!(reply(with_unknown(0x2a, &[0x08, 7])), expected);
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        random in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let list = wire::ValidatorInfoList { validators: vec![validator()], ..<_>::default() };
        let mut body = wire::Response::from(ResponsePayload::ValidatorInfoList(list)).encode_to_vec();
        for (index, byte) in changes {
            let index = index.index(body.len());
            body[index] = byte;
        }
        let _ = reply(body.into());
        let _ = reply(random.clone().into());
        let _ = request(random.into());
    }
}
