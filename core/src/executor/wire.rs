//! The protobuf messages of contract §3. Field numbers are fixed: deployed Go programs decode these bytes.
//!
//! Written by hand so that no `protoc` is needed. Only here are indexes plain integers; senders and receivers convert
//! from and to the types of [`crate::types`].

use crate::env::RpcKind;
use bytes::Bytes;
use prost::{Message, Oneof};
use serde::{Deserialize, Serialize};

/// One transaction of a delivered block.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TransactionExe {
    /// The **raw transaction bytes**; the name is historical.
    #[prost(bytes = "bytes", tag = "1")]
    pub digest: Bytes,
    /// The worker that batched the transaction.
    #[prost(uint32, tag = "2")]
    pub worker_id: u32,
}

/// The transactions of one commit, in execution order.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CommittedBlock {
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// The commit index.
    #[prost(uint64, tag = "2")]
    pub height: u64,
    #[prost(message, repeated, tag = "3")]
    pub transactions: Vec<TransactionExe>,
}

/// One frame of the block stream: one commit, which may be empty.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CommittedEpochData {
    #[prost(message, repeated, tag = "1")]
    pub blocks: Vec<CommittedBlock>,
    /// The GEI, the executor's block number.
    #[prost(uint64, tag = "2")]
    pub global_exec_index: u64,
    #[prost(uint32, tag = "3")]
    pub commit_index: u32,
    #[prost(uint64, tag = "4")]
    pub epoch: u64,
    /// Milliseconds since the Unix epoch, a function of the DAG alone.
    #[prost(uint64, tag = "5")]
    pub commit_timestamp_ms: u64,
    #[prost(uint32, tag = "6")]
    pub leader_author_index: u32,
    /// The leader's account, 20 bytes.
    #[prost(bytes = "bytes", tag = "7")]
    pub leader_address: Bytes,
}

/// One request of the executor RPC.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Request {
    /// `None` for a request that this version does not know.
    #[prost(oneof = "RequestPayload", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 21")]
    pub payload: Option<RequestPayload>,
}

/// The kind of a request, with its arguments.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum RequestPayload {
    /// Part of the protocol, but answered with an error.
    #[prost(message, tag = "1")]
    Block(BlockRequest),
    /// Part of the protocol, but answered with an error.
    #[prost(message, tag = "2")]
    Status(StatusRequest),
    /// The committee of the current epoch.
    #[prost(message, tag = "3")]
    GetActiveValidators(GetActiveValidators),
    #[prost(message, tag = "4")]
    GetValidatorsAtBlock(GetValidatorsAtBlock),
    /// The durable watermark W.
    #[prost(message, tag = "5")]
    GetLastBlockNumber(GetLastBlockNumber),
    #[prost(message, tag = "6")]
    GetCurrentEpoch(GetCurrentEpoch),
    #[prost(message, tag = "7")]
    GetEpochStartTimestamp(GetEpochStartTimestamp),
    #[prost(message, tag = "8")]
    AdvanceEpoch(AdvanceEpoch),
    #[prost(message, tag = "9")]
    GetEpochBoundaryData(GetEpochBoundaryData),
    #[prost(message, tag = "21")]
    GetBlocksRange(GetBlocksRange),
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct BlockRequest {}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct StatusRequest {}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct GetActiveValidators {}

/// The committee of the epoch that contains this block.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct GetValidatorsAtBlock {
    #[prost(uint64, tag = "1")]
    pub block_number: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct GetLastBlockNumber {}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct GetCurrentEpoch {}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct GetEpochStartTimestamp {
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
}

/// Ends the epoch before `new_epoch` (contract §7.3). Idempotent.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct AdvanceEpoch {
    #[prost(uint64, tag = "1")]
    pub new_epoch: u64,
    /// Timestamp of the boundary commit, in whole seconds.
    #[prost(uint64, tag = "2")]
    pub epoch_start_timestamp_ms: u64,
    /// GEI of the boundary commit.
    #[prost(uint64, tag = "3")]
    pub boundary_block: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct GetEpochBoundaryData {
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
}

/// Durable blocks by number, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct GetBlocksRange {
    #[prost(uint64, tag = "1")]
    pub from: u64,
    #[prost(uint64, tag = "2")]
    pub to: u64,
    /// Bytes of the first block's content to leave out at its beginning, because the requester has them: a block may be
    /// larger than a frame (contract §3.1).
    #[prost(uint64, tag = "3")]
    pub skip_bytes: u64,
}

/// One response of the executor RPC. The n-th on a connection answers the n-th request.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Response {
    /// `None` for a response that this version does not know.
    #[prost(oneof = "ResponsePayload", tags = "2, 3, 4, 5, 6, 7, 8, 9, 21")]
    pub payload: Option<ResponsePayload>,
}

/// The kind of a response, with its result.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum ResponsePayload {
    #[prost(message, tag = "2")]
    ValidatorInfoList(ValidatorInfoList),
    #[prost(message, tag = "3")]
    ServerStatus(ServerStatus),
    /// An error message.
    #[prost(string, tag = "4")]
    Error(String),
    #[prost(message, tag = "5")]
    LastBlockNumber(LastBlockNumber),
    #[prost(message, tag = "6")]
    CurrentEpoch(CurrentEpoch),
    #[prost(message, tag = "7")]
    EpochStartTimestamp(EpochStartTimestamp),
    #[prost(message, tag = "8")]
    AdvanceEpoch(AdvanceEpochResponse),
    #[prost(message, tag = "9")]
    EpochBoundaryData(EpochBoundaryData),
    #[prost(message, tag = "21")]
    BlocksRange(BlocksRange),
}

/// One validator in the state of the executor. Also a table of the executor's configuration.
#[derive(Clone, PartialEq, Eq, Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ValidatorInfo {
    /// The 20-byte account in hex, with or without `0x`.
    #[prost(string, tag = "1")]
    pub address: String,
    /// A decimal number.
    #[prost(string, tag = "2")]
    pub stake: String,
    /// Base64; the bytes define the order of the committee.
    #[prost(string, tag = "3")]
    pub authority_key: String,
    /// Base64 of the 32-byte key that signs blocks.
    #[prost(string, tag = "4")]
    pub protocol_key: String,
    /// Base64 of the key that identifies the worker's libp2p peer.
    #[prost(string, tag = "5")]
    pub network_key: String,
    #[prost(string, tag = "6")]
    pub name: String,
    #[prost(string, tag = "7")]
    pub description: String,
    #[prost(string, tag = "8")]
    pub website: String,
    #[prost(string, tag = "9")]
    pub image: String,
    /// Hundredths of a percent.
    #[prost(uint64, tag = "10")]
    pub commission_rate: u64,
    /// A decimal number.
    #[prost(string, tag = "11")]
    pub min_self_delegation: String,
    /// A decimal number.
    #[prost(string, tag = "12")]
    pub accumulated_rewards_per_share: String,
    /// Address of its consensus P2P, `IP:PORT`.
    #[prost(string, tag = "13")]
    pub p2p_address: String,
}

/// A committee, with the watermark at the time of the answer.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ValidatorInfoList {
    #[prost(message, repeated, tag = "1")]
    pub validators: Vec<ValidatorInfo>,
    /// Start timestamp of the committee's epoch.
    #[prost(uint64, tag = "2")]
    pub epoch_timestamp_ms: u64,
    /// The durable watermark.
    #[prost(uint64, tag = "3")]
    pub last_global_exec_index: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub struct ServerStatus {
    #[prost(string, tag = "1")]
    pub status_message: String,
    #[prost(uint64, tag = "2")]
    pub uptime_seconds: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct LastBlockNumber {
    /// The durable watermark W, 0 before the first block.
    #[prost(uint64, tag = "1")]
    pub last_block_number: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct CurrentEpoch {
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct EpochStartTimestamp {
    #[prost(uint64, tag = "1")]
    pub timestamp_ms: u64,
}

/// The executor's epoch after an [`AdvanceEpoch`].
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct AdvanceEpochResponse {
    #[prost(uint64, tag = "1")]
    pub new_epoch: u64,
    #[prost(uint64, tag = "2")]
    pub epoch_start_timestamp_ms: u64,
}

/// The data with which a node starts in an epoch.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EpochBoundaryData {
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    #[prost(uint64, tag = "2")]
    pub epoch_start_timestamp_ms: u64,
    /// The epoch's base: GEI of the last commit of the previous epoch.
    #[prost(uint64, tag = "3")]
    pub boundary_block: u64,
    #[prost(message, repeated, tag = "4")]
    pub validators: Vec<ValidatorInfo>,
}

/// A prefix of the requested range, limited by the size of a frame.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BlocksRange {
    #[prost(message, repeated, tag = "1")]
    pub blocks: Vec<BlockData>,
    /// The number of blocks.
    #[prost(uint64, tag = "2")]
    pub count: u64,
    /// Why there is none; empty otherwise. For a block that is not durable yet it contains
    /// `not been committed to DB yet`.
    #[prost(string, tag = "3")]
    pub error: String,
}

/// A durable block with what its execution led to.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct BlockData {
    /// The GEI.
    #[prost(uint64, tag = "1")]
    pub block_number: u64,
    /// Of the whole content. 32 bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub block_hash: Bytes,
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    #[prost(uint64, tag = "4")]
    pub timestamp_ms: u64,
    /// The hash of the block before, zeros for the first one.
    #[prost(bytes = "bytes", tag = "5")]
    pub parent_hash: Bytes,
    /// After the block.
    #[prost(bytes = "bytes", tag = "6")]
    pub state_root: Bytes,
    #[prost(bytes = "bytes", tag = "7")]
    pub transactions_root: Bytes,
    #[prost(bytes = "bytes", tag = "8")]
    pub receipts_root: Bytes,
    #[prost(uint64, tag = "9")]
    pub gas_used: u64,
    #[prost(uint64, tag = "10")]
    pub gas_limit: u64,
    #[prost(bytes = "bytes", tag = "11")]
    pub extra_data: Bytes,
    /// The content, a [`CommittedEpochData`] as it was delivered, or the next part of it.
    #[prost(bytes = "bytes", tag = "12")]
    pub raw_block_bytes: Bytes,
    #[prost(bytes = "bytes", tag = "13")]
    pub backup_data: Bytes,
}

impl Request {
    /// The kind of the request in events.
    #[must_use]
    pub const fn kind(&self) -> RpcKind {
        match &self.payload {
            Some(RequestPayload::GetActiveValidators(_)) => RpcKind::GetActiveValidators,
            Some(RequestPayload::GetValidatorsAtBlock(_)) => RpcKind::GetValidatorsAtBlock,
            Some(RequestPayload::GetLastBlockNumber(_)) => RpcKind::GetLastBlockNumber,
            Some(RequestPayload::GetCurrentEpoch(_)) => RpcKind::GetCurrentEpoch,
            Some(RequestPayload::GetEpochStartTimestamp(_)) => RpcKind::GetEpochStartTimestamp,
            Some(RequestPayload::AdvanceEpoch(_)) => RpcKind::AdvanceEpoch,
            Some(RequestPayload::GetEpochBoundaryData(_)) => RpcKind::GetEpochBoundaryData,
            Some(RequestPayload::GetBlocksRange(_)) => RpcKind::GetBlocksRange,
            Some(RequestPayload::Block(_) | RequestPayload::Status(_)) | None => RpcKind::Unknown,
        }
    }
}

impl From<RequestPayload> for Request {
    fn from(payload: RequestPayload) -> Self {
        Self {
            payload: Some(payload),
        }
    }
}

impl From<ResponsePayload> for Response {
    fn from(payload: ResponsePayload) -> Self {
        Self {
            payload: Some(payload),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::LIMITS, framing::Framing};

    /// Compares with the bytes that Go's encoder writes.
    #[test]
    fn field_numbers_match_the_contract() {
        let block = CommittedEpochData {
            blocks: vec![CommittedBlock {
                epoch: 1,
                height: 2,
                transactions: vec![TransactionExe {
                    digest: Bytes::from_static(b"tx"),
                    worker_id: 3,
                }],
            }],
            global_exec_index: 300,
            commit_index: 2,
            epoch: 1,
            commit_timestamp_ms: 5,
            leader_author_index: 6,
            leader_address: Bytes::from_static(&[7]),
        };
        let expected = [
            0x0a, 12, 0x08, 1, 0x10, 2, 0x1a, 6, 0x0a, 2, b't', b'x', 0x10, 3, // blocks
            0x10, 0xac, 2, 0x18, 2, 0x20, 1, 0x28, 5, 0x30, 6, 0x3a, 1, 7,
        ];
        assert_eq!(block.encode_to_vec(), expected);
        assert_eq!(CommittedEpochData::decode(&expected[..]).unwrap(), block);

        let range = Request::from(RequestPayload::GetBlocksRange(GetBlocksRange {
            from: 1,
            to: 2,
            skip_bytes: 0,
        }));
        assert_eq!(range.encode_to_vec(), [0xaa, 1, 4, 0x08, 1, 0x10, 2]);
        let watermark = Response::from(ResponsePayload::LastBlockNumber(LastBlockNumber {
            last_block_number: 0,
        }));
        assert_eq!(
            watermark.encode_to_vec(),
            [0x2a, 0],
            "a oneof with value 0 is encoded"
        );
    }

    #[test]
    fn a_request_of_a_later_version_decodes_as_unknown() {
        let later = Request::decode(&[0xf2, 1, 0][..]).unwrap();
        assert_eq!(later.kind(), RpcKind::Unknown);
        let status = Request::from(RequestPayload::Status(StatusRequest {}));
        assert_eq!(status.kind(), RpcKind::Unknown);
    }

    #[test]
    fn the_largest_commit_fits_into_a_frame() {
        // Specification §13.6.
        const OVERHEAD_BYTES: usize = 16;
        let limits = LIMITS.iter().find(|limit| limit.key == "max_commit_bytes");
        let most_bytes = usize::try_from(*limits.unwrap().range.end()).unwrap();
        for bytes in [0, 127, 128, 16_384, 2_097_152] {
            let count = most_bytes / (bytes + OVERHEAD_BYTES);
            let transaction = TransactionExe {
                digest: vec![1; bytes].into(),
                worker_id: 0,
            };
            let block = CommittedEpochData {
                blocks: vec![CommittedBlock {
                    epoch: u64::MAX,
                    height: u64::MAX,
                    transactions: vec![transaction; count],
                }],
                global_exec_index: u64::MAX,
                commit_index: u32::MAX,
                epoch: u64::MAX,
                commit_timestamp_ms: u64::MAX,
                leader_author_index: u32::MAX,
                leader_address: vec![1; 20].into(),
            };
            assert!(
                block.encoded_len() <= Framing::BLOCK_STREAM.limit_bytes,
                "{bytes}"
            );
        }
    }
}
