//! The chain of a Go Master that keeps everything in memory: blocks, epochs, and its answers to requests. Pure.
//!
//! Executes nothing: the state root covers the blocks.

use bytes::Bytes;
use metanode_core::{
    executor::wire::{
        AdvanceEpoch, AdvanceEpochResponse, BlockData, BlocksRange, CommittedEpochData,
        CurrentEpoch, EpochBoundaryData, EpochStartTimestamp, GetBlocksRange, LastBlockNumber,
        Request, RequestPayload, ResponsePayload, ValidatorInfo, ValidatorInfoList,
    },
    types::{Epoch, EpochBase, GlobalExecIndex, TimestampMs},
};
use serde::Deserialize;

/// Bytes of blocks in one answer.
const ANSWER_BYTES: usize = 5 << 20;

/// Epoch 0, and the validators of all epochs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Genesis {
    /// When epoch 0 began, in milliseconds since the Unix epoch.
    pub epoch_timestamp_ms: u64,
    pub validators: Vec<ValidatorInfo>,
}

/// A block that was taken.
#[derive(Clone, Debug)]
struct Stored {
    body: Bytes,
    hash: [u8; 32],
    root: [u8; 32],
    epoch: u64,
    timestamp_ms: u64,
}

/// Where an epoch began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Start {
    boundary: u64,
    timestamp_ms: u64,
}

/// What becomes of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Executed,
    /// It was executed before.
    Known,
    /// It is not the next block of the current epoch.
    Refused,
}

/// The chain so far.
#[derive(Clone, Debug)]
pub struct MemoryChain {
    validators: Vec<ValidatorInfo>,
    /// The start of each epoch.
    starts: Vec<Start>,
    blocks: Vec<Stored>,
}

impl MemoryChain {
    #[must_use]
    pub fn new(genesis: Genesis) -> Self {
        let start = Start {
            boundary: 0,
            timestamp_ms: genesis.epoch_timestamp_ms,
        };
        Self {
            validators: genesis.validators,
            starts: vec![start],
            blocks: vec![],
        }
    }

    /// The last block that was executed.
    #[must_use]
    pub const fn executed(&self) -> GlobalExecIndex {
        GlobalExecIndex(self.blocks.len() as u64)
    }

    /// The current epoch.
    #[must_use]
    pub fn base(&self) -> EpochBase {
        EpochBase {
            epoch: Epoch(self.starts.len() as u64 - 1),
            base: GlobalExecIndex(self.current().boundary),
        }
    }

    fn current(&self) -> Start {
        *self.starts.last().expect("epoch 0 has begun")
    }

    /// The content of an executed block.
    #[must_use]
    pub fn body(&self, gei: GlobalExecIndex) -> Option<&Bytes> {
        self.stored(gei.0).map(|block| &block.body)
    }

    /// When the last block was made, or the current epoch began.
    #[must_use]
    pub fn last_timestamp(&self) -> TimestampMs {
        let block = self.blocks.last().map_or(0, |block| block.timestamp_ms);
        TimestampMs(block.max(self.current().timestamp_ms))
    }

    fn stored(&self, gei: u64) -> Option<&Stored> {
        let position = usize::try_from(gei.checked_sub(1)?).ok()?;
        self.blocks.get(position)
    }

    /// Takes a block if it is the next one.
    pub fn execute(&mut self, block: &CommittedEpochData, body: Bytes) -> Taken {
        let (gei, executed) = (block.global_exec_index, self.executed().0);
        if gei <= executed {
            return Taken::Known;
        }
        if gei != executed + 1 || block.epoch != self.base().epoch.0 {
            return Taken::Refused;
        }
        let before = self.blocks.last().map_or([0; 32], |last| last.root);
        let stored = Stored {
            hash: *blake3::hash(&body).as_bytes(),
            root: *blake3::keyed_hash(&before, &body).as_bytes(),
            body,
            epoch: block.epoch,
            timestamp_ms: block.commit_timestamp_ms,
        };
        self.blocks.push(stored);
        Taken::Executed
    }

    /// Answers a request while W is `watermark`.
    pub fn answer(&mut self, request: &Request, watermark: GlobalExecIndex) -> ResponsePayload {
        let asked = request.payload.as_ref();
        let answer = asked.ok_or_else(|| "the request is unknown".to_owned());
        let answer = answer.and_then(|payload| self.try_answer(payload, watermark.0));
        answer.unwrap_or_else(ResponsePayload::Error)
    }

    fn try_answer(
        &mut self,
        asked: &RequestPayload,
        watermark: u64,
    ) -> Result<ResponsePayload, String> {
        let current = self.base().epoch.0;
        Ok(match asked {
            RequestPayload::Block(_) | RequestPayload::Status(_) => {
                return Err("the request is not served".to_owned());
            }
            RequestPayload::GetActiveValidators(_) => self.validators(current, watermark)?,
            RequestPayload::GetValidatorsAtBlock(at) if at.block_number > watermark => {
                return Err(missing(at.block_number));
            }
            RequestPayload::GetValidatorsAtBlock(at) => {
                let epoch = self.epoch_of(at.block_number);
                self.validators(epoch, watermark)?
            }
            RequestPayload::GetLastBlockNumber(_) => {
                ResponsePayload::LastBlockNumber(LastBlockNumber {
                    last_block_number: watermark,
                })
            }
            RequestPayload::GetCurrentEpoch(_) => {
                ResponsePayload::CurrentEpoch(CurrentEpoch { epoch: current })
            }
            RequestPayload::GetEpochStartTimestamp(of) => {
                ResponsePayload::EpochStartTimestamp(EpochStartTimestamp {
                    timestamp_ms: self.start_of(of.epoch)?.timestamp_ms,
                })
            }
            RequestPayload::GetEpochBoundaryData(of) => {
                let start = self.start_of(of.epoch)?;
                ResponsePayload::EpochBoundaryData(EpochBoundaryData {
                    epoch: of.epoch,
                    epoch_start_timestamp_ms: start.timestamp_ms,
                    boundary_block: start.boundary,
                    validators: self.validators.clone(),
                })
            }
            RequestPayload::AdvanceEpoch(asked) => self.advance(*asked, watermark)?,
            RequestPayload::GetBlocksRange(asked) => {
                ResponsePayload::BlocksRange(self.range(*asked, watermark)?)
            }
        })
    }

    fn start_of(&self, epoch: u64) -> Result<Start, String> {
        let position = usize::try_from(epoch).ok();
        let start = position.and_then(|position| self.starts.get(position));
        start
            .copied()
            .ok_or_else(|| format!("epoch {epoch} has not begun"))
    }

    fn epoch_of(&self, gei: u64) -> u64 {
        let begun = self.starts.partition_point(|start| start.boundary < gei);
        begun.saturating_sub(1) as u64
    }

    fn validators(&self, epoch: u64, watermark: u64) -> Result<ResponsePayload, String> {
        Ok(ResponsePayload::ValidatorInfoList(ValidatorInfoList {
            validators: self.validators.clone(),
            epoch_timestamp_ms: self.start_of(epoch)?.timestamp_ms,
            last_global_exec_index: watermark,
        }))
    }

    fn advance(&mut self, asked: AdvanceEpoch, watermark: u64) -> Result<ResponsePayload, String> {
        let AdvanceEpoch {
            new_epoch,
            epoch_start_timestamp_ms,
            boundary_block,
        } = asked;
        let start = Start {
            boundary: boundary_block,
            timestamp_ms: epoch_start_timestamp_ms,
        };
        let current = self.base().epoch.0;
        match self.start_of(new_epoch) {
            Ok(known) if known == start && new_epoch == current => {}
            Ok(_) => return Err(format!("epoch {new_epoch} began otherwise")),
            Err(_) if new_epoch != current + 1 => {
                return Err(format!("epoch {new_epoch} is not the next one"));
            }
            Err(_) if epoch_start_timestamp_ms == 0 => {
                return Err("expected a start timestamp".to_owned());
            }
            Err(_) if boundary_block != watermark || boundary_block != self.executed().0 => {
                return Err(format!(
                    "block {boundary_block} is not the last durable one"
                ));
            }
            Err(_) => self.starts.push(start),
        }
        Ok(ResponsePayload::AdvanceEpoch(AdvanceEpochResponse {
            new_epoch,
            epoch_start_timestamp_ms,
        }))
    }

    fn range(&self, asked: GetBlocksRange, watermark: u64) -> Result<BlocksRange, String> {
        let GetBlocksRange {
            from,
            to,
            skip_bytes,
        } = asked;
        if from == 0 || from > to || skip_bytes > 0 {
            return Err(format!("{from} to {to} is no range"));
        }
        let (mut blocks, mut bytes) = (vec![], 0);
        for gei in from..=to.min(watermark) {
            let Some(block) = self.stored(gei) else {
                break;
            };
            bytes += block.body.len();
            if !blocks.is_empty() && bytes > ANSWER_BYTES {
                break;
            }
            blocks.push(self.block_data(gei, block));
        }
        let error = match blocks.as_slice() {
            [] => missing(from),
            _ => String::new(),
        };
        Ok(BlocksRange {
            count: blocks.len() as u64,
            blocks,
            error,
        })
    }

    fn block_data(&self, gei: u64, block: &Stored) -> BlockData {
        let parent = self.stored(gei - 1).map_or([0; 32], |parent| parent.hash);
        let bytes = |digest: &[u8; 32]| Bytes::copy_from_slice(digest);
        BlockData {
            block_number: gei,
            block_hash: bytes(&block.hash),
            epoch: block.epoch,
            timestamp_ms: block.timestamp_ms,
            parent_hash: bytes(&parent),
            state_root: bytes(&block.root),
            raw_block_bytes: block.body.clone(),
            ..BlockData::default()
        }
    }
}

fn missing(gei: u64) -> String {
    format!("block {gei} has not been committed to DB yet")
}
