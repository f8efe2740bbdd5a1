//! The chains of executors, read over their RPC and compared block by block.

use crate::live::{LiveError, LiveSocket};
use metanode_core::{
    executor::wire::{
        BlockData, CommittedEpochData, GetBlocksRange, Request, RequestPayload, Response,
        ResponsePayload,
    },
    framing::{Decoder, Framing},
    types::Address,
};
use prost::Message;
use std::{collections::BTreeSet, path::PathBuf, time::Duration};

const TIMEOUT: Duration = Duration::from_secs(10);
/// Blocks of one request.
const RANGE: u64 = 500;

/// What an executor says a block is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    hash: Vec<u8>,
    state_root: Vec<u8>,
}

/// The chains of all executors.
pub struct Chains {
    rpcs: Vec<PathBuf>,
    /// The next block of each.
    next: Vec<u64>,
    /// Blocks from 1 on, as the first executor that had them says.
    blocks: Vec<Said>,
    /// Transactions that somebody was promised and no block has.
    pub missing: BTreeSet<Vec<u8>>,
    /// A promised transaction that the chain has.
    pub executed: u64,
    /// Which executor contradicts another one, and where.
    pub fork: Option<String>,
}

impl Chains {
    pub fn new(rpcs: Vec<PathBuf>, promised: BTreeSet<Vec<u8>>) -> Self {
        Self {
            next: vec![1; rpcs.len()],
            rpcs,
            blocks: vec![],
            missing: promised,
            executed: 0,
            fork: None,
        }
    }

    /// The last block that all have, as far as it is read.
    pub fn common(&self) -> u64 {
        self.next.iter().min().map_or(0, |next| next - 1)
    }

    /// Reads what is new. An executor that does not answer is asked again by the next call.
    pub fn read(&mut self) {
        for executor in 0..self.rpcs.len() {
            while let Ok(blocks) = self.range(executor)
                && !blocks.is_empty()
            {
                for block in blocks {
                    self.block(executor, block);
                    if self.fork.is_some() {
                        return;
                    }
                }
            }
        }
    }

    fn range(&self, executor: usize) -> Result<Vec<BlockData>, LiveError> {
        let from = self.next[executor];
        let address = Address::Unix(self.rpcs[executor].clone());
        let mut socket = LiveSocket::connect(&address, TIMEOUT)?;
        let range = GetBlocksRange {
            from,
            to: from + RANGE - 1,
            skip_bytes: 0,
        };
        let request = Request {
            payload: Some(RequestPayload::GetBlocksRange(range)),
        };
        socket.write(&Framing::RPC.encode(&request)?, TIMEOUT)?;
        let reply = socket.read_frame(&mut Decoder::new(Framing::RPC), TIMEOUT)?;
        let response = Response::decode(reply).map_err(|e| LiveError::Io(e.into()))?;
        match response.payload {
            Some(ResponsePayload::BlocksRange(range)) => Ok(range.blocks),
            _ => Ok(vec![]),
        }
    }

    fn block(&mut self, executor: usize, block: BlockData) {
        let number = self.next[executor];
        if block.block_number != number {
            self.fork = Some(format!(
                "executor-{executor} answers block {} where {number} was expected",
                block.block_number
            ));
            return;
        }
        self.next[executor] += 1;
        let said = Said {
            hash: block.block_hash.to_vec(),
            state_root: block.state_root.to_vec(),
        };
        let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
        match self.blocks.get(index) {
            Some(first) if *first != said => {
                self.fork = Some(format!(
                    "executor-{executor} has another block {number} or another state after it than the executors before it"
                ));
            }
            Some(_) => {}
            None => {
                self.blocks.push(said);
                self.executed(block);
            }
        }
    }

    /// Strikes what the block contains off the list of what is missing.
    fn executed(&mut self, block: BlockData) {
        let Ok(data) = CommittedEpochData::decode(block.raw_block_bytes) else {
            self.fork = Some(format!("block {} does not decode", block.block_number));
            return;
        };
        let blocks = data.blocks.into_iter();
        for transaction in blocks.flat_map(|block| block.transactions) {
            if self.missing.remove(&transaction.digest[..]) {
                self.executed += 1;
            }
        }
    }
}
