//! The wire as Go writes it: frames that the programs in `tests/interop` printed (`golden.txt`), byte for byte. Ours encode
//! to the same bytes, and what Go wrote decodes to what was meant.

#![allow(clippy::unwrap_used)] // clippy sees tests only in functions that are marked as such

use bytes::Bytes;
use metanode_core::{
    executor::wire::{
        AdvanceEpoch, AdvanceEpochResponse, BlockData, BlocksRange, CommittedBlock,
        CommittedEpochData, CurrentEpoch, EpochBoundaryData, EpochStartTimestamp,
        GetActiveValidators, GetBlocksRange, GetCurrentEpoch, GetEpochBoundaryData,
        GetEpochStartTimestamp, GetLastBlockNumber, GetValidatorsAtBlock, LastBlockNumber, Request,
        RequestPayload, Response, ResponsePayload, TransactionExe, ValidatorInfo,
        ValidatorInfoList,
    },
    framing::{Decoder, Framing},
    types::{AccessTuple, ClientTransaction, Transaction, Transactions},
};
use prost::Message;
use std::{collections::BTreeMap, fmt::Debug};

const GOLDEN: &str = include_str!("../interop/golden.txt");

/// What Go wrote, by name.
struct Golden(BTreeMap<&'static str, Vec<u8>>);

impl Golden {
    fn read() -> Self {
        let line = |line: &'static str| {
            let (name, hex) = line.split_once(' ').unwrap();
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            (name, (0..hex.len()).step_by(2).map(byte).collect())
        };
        Self(GOLDEN.lines().map(line).collect())
    }

    fn take(&mut self, name: &str) -> Vec<u8> {
        let found = self.0.remove(name);
        found.unwrap_or_else(|| panic!("Go wrote no {name}"))
    }

    /// Asserts that Go's frame is this message, and ours the same bytes.
    fn is<M: Message + Default + PartialEq + Debug>(
        &mut self,
        name: &str,
        framing: Framing,
        message: &M,
    ) {
        let golden = self.take(name);
        assert_eq!(framing.encode(message).unwrap(), golden, "{name}");
        let mut decoder = Decoder::new(framing);
        decoder.push(&golden);
        let body = decoder.next_frame().unwrap().unwrap();
        assert_eq!(&M::decode(body).unwrap(), message, "{name}");
    }

    fn request(&mut self, name: &str, payload: RequestPayload) {
        let request = Request {
            payload: Some(payload),
        };
        self.is(&format!("request-{name}"), Framing::RPC, &request);
    }

    fn response(&mut self, name: &str, payload: ResponsePayload) {
        let response = Response {
            payload: Some(payload),
        };
        self.is(&format!("response-{name}"), Framing::RPC, &response);
    }
}

fn repeated(value: u8, count: usize) -> Bytes {
    vec![value; count].into()
}

fn transaction() -> ClientTransaction {
    ClientTransaction {
        to_address: repeated(1, 20),
        amount: vec![1, 0].into(),
        max_gas: 4,
        max_gas_price: 5,
        max_time_use: 6,
        data: repeated(7, 200),
        related_addresses: vec![repeated(8, 20), repeated(9, 20)],
        last_device_key: repeated(10, 32),
        new_device_key: repeated(11, 32),
        sign: repeated(12, 96),
        nonce: vec![0, 0, 0, 13].into(),
        from_address: repeated(14, 20),
        read_only: true,
        chain_id: 1 << 40,
        r#type: 16,
        r: repeated(17, 32),
        s: repeated(18, 32),
        v: vec![19].into(),
        gas_tip_cap: vec![20].into(),
        gas_fee_cap: vec![21].into(),
        access_list: vec![AccessTuple {
            address: repeated(31, 20),
            storage_keys: vec![repeated(32, 32), repeated(33, 32)],
        }],
    }
}

fn block() -> CommittedEpochData {
    CommittedEpochData {
        blocks: vec![CommittedBlock {
            epoch: 2,
            height: 3,
            transactions: vec![
                TransactionExe {
                    digest: repeated(1, 300),
                    worker_id: 0,
                },
                TransactionExe {
                    digest: Bytes::new(),
                    worker_id: 1 << 31,
                },
            ],
        }],
        global_exec_index: u64::MAX,
        commit_index: u32::MAX,
        epoch: 2,
        commit_timestamp_ms: 1_700_000_000_123,
        leader_author_index: 300,
        leader_address: repeated(9, 20),
    }
}

fn validator() -> ValidatorInfo {
    ValidatorInfo {
        address: "0x01".into(),
        stake: "2".into(),
        authority_key: "Aw==".into(),
        protocol_key: "BA==".into(),
        network_key: "BQ==".into(),
        name: "six".into(),
        description: "seven".into(),
        website: "eight".into(),
        image: "nine".into(),
        commission_rate: 10,
        min_self_delegation: "11".into(),
        accumulated_rewards_per_share: "12".into(),
        p2p_address: "/ip4/127.0.0.1/tcp/13".into(),
    }
}

#[test]
fn transactions_and_their_hashes_are_those_of_go() {
    let mut golden = Golden::read();
    let first = transaction().encode_to_vec();
    assert_eq!(first, golden.take("transaction"));
    let small = ClientTransaction {
        from_address: repeated(14, 20),
        ..ClientTransaction::default()
    };
    let transactions = Transactions {
        transactions: vec![first.clone().into(), small.encode_to_vec().into()],
    };
    golden.is("transactions", Framing::TRANSACTIONS, &transactions);
    let hash = Transaction(first.into()).hash();
    assert_eq!(hash.0[..], golden.take("transaction-hash"));
}

#[test]
fn blocks_are_those_of_go() {
    let mut golden = Golden::read();
    golden.is("block", Framing::BLOCK_STREAM, &block());
    let empty = CommittedEpochData {
        blocks: vec![CommittedBlock {
            epoch: 0,
            height: 1,
            transactions: vec![],
        }],
        global_exec_index: 1,
        commit_index: 1,
        ..CommittedEpochData::default()
    };
    golden.is("block-without-transactions", Framing::BLOCK_STREAM, &empty);
}

#[test]
fn requests_are_those_of_go() {
    use RequestPayload as Payload;
    let mut golden = Golden::read();
    golden.request(
        "active-validators",
        Payload::GetActiveValidators(GetActiveValidators {}),
    );
    golden.request(
        "validators-at-block",
        Payload::GetValidatorsAtBlock(GetValidatorsAtBlock { block_number: 7 }),
    );
    golden.request(
        "last-block-number",
        Payload::GetLastBlockNumber(GetLastBlockNumber {}),
    );
    golden.request(
        "current-epoch",
        Payload::GetCurrentEpoch(GetCurrentEpoch {}),
    );
    golden.request(
        "epoch-start-timestamp",
        Payload::GetEpochStartTimestamp(GetEpochStartTimestamp { epoch: 8 }),
    );
    let advance = AdvanceEpoch {
        new_epoch: 9,
        epoch_start_timestamp_ms: 1_700_000_000_000,
        boundary_block: 10,
    };
    golden.request("advance-epoch", Payload::AdvanceEpoch(advance));
    golden.request(
        "epoch-boundary-data",
        Payload::GetEpochBoundaryData(GetEpochBoundaryData { epoch: 11 }),
    );
    let range = GetBlocksRange {
        from: 12,
        to: 13,
        skip_bytes: 14,
    };
    golden.request("blocks-range", Payload::GetBlocksRange(range));
}

#[test]
fn responses_are_those_of_go() {
    use ResponsePayload as Payload;
    let mut golden = Golden::read();
    let other = ValidatorInfo {
        name: "other".into(),
        ..ValidatorInfo::default()
    };
    let list = ValidatorInfoList {
        validators: vec![validator(), other],
        epoch_timestamp_ms: 14,
        last_global_exec_index: 15,
    };
    golden.response("validators", Payload::ValidatorInfoList(list));
    let error = "block 3 has not been committed to DB yet".to_owned();
    golden.response("error", Payload::Error(error));
    for (name, last_block_number) in [("last-block-number", 16), ("last-block-number-0", 0)] {
        let number = LastBlockNumber { last_block_number };
        golden.response(name, Payload::LastBlockNumber(number));
    }
    golden.response(
        "current-epoch",
        Payload::CurrentEpoch(CurrentEpoch { epoch: 17 }),
    );
    let start = EpochStartTimestamp { timestamp_ms: 18 };
    golden.response("epoch-start-timestamp", Payload::EpochStartTimestamp(start));
    let advanced = AdvanceEpochResponse {
        new_epoch: 19,
        epoch_start_timestamp_ms: 20,
    };
    golden.response("advance-epoch", Payload::AdvanceEpoch(advanced));
    let data = EpochBoundaryData {
        epoch: 21,
        epoch_start_timestamp_ms: 22,
        boundary_block: 23,
        validators: vec![validator()],
    };
    golden.response("epoch-boundary-data", Payload::EpochBoundaryData(data));
    let block = BlockData {
        block_number: 24,
        block_hash: repeated(25, 32),
        epoch: 26,
        timestamp_ms: 27,
        parent_hash: repeated(28, 32),
        state_root: repeated(29, 32),
        transactions_root: repeated(30, 32),
        receipts_root: repeated(31, 32),
        gas_used: 32,
        gas_limit: 33,
        extra_data: vec![34].into(),
        raw_block_bytes: block().encode_to_vec().into(),
        backup_data: vec![35].into(),
    };
    let range = BlocksRange {
        blocks: vec![block],
        count: 1,
        error: String::new(),
    };
    golden.response("blocks-range", Payload::BlocksRange(range));
}

#[test]
fn every_frame_of_go_is_compared() {
    let source = include_str!("golden_frames.rs");
    for name in Golden::read().0.keys() {
        let kind = name
            .split_once('-')
            .map_or(*name, |(kind, rest)| match kind {
                "request" | "response" => rest,
                _ => name,
            });
        assert!(source.contains(&format!("\"{kind}\"")), "{name}");
    }
}
