//! Clauses of stored blocks: what `GetBlocksRange` returns.

use super::session::{Failure, Probe, Session};
use crate::clauses::Violation;
use metanode_core::{
    executor::wire::{
        BlockData, CommittedEpochData, GetBlocksRange, RequestPayload, ResponsePayload,
    },
    types::GlobalExecIndex,
};
use prost::Message;

/// What clients match (contract §3.2).
const NOT_COMMITTED: &str = "not been committed to DB yet";
/// Blocks that are looked at one by one.
const LOOKED_AT: u64 = 5;
/// Blocks that are delivered while their state is asked for.
const BURST: u64 = 40;

impl Session {
    pub fn blocks_range(&mut self) -> Probe {
        let to = self.deliver(LOOKED_AT)?;
        let from = GlobalExecIndex(to.0 - LOOKED_AT + 1);
        let range = self.blocks(from, to)?;
        let expected = format!("blocks from {from} on");
        if !range.error.is_empty() || range.blocks.is_empty() {
            let found = format!("{} blocks, error `{}`", range.blocks.len(), range.error);
            return Err(Violation::safety(expected, found).into());
        }
        if range.count != range.blocks.len() as u64 {
            let expected = format!("count = {}", range.blocks.len());
            return Err(Violation::safety(expected, format!("count = {}", range.count)).into());
        }
        for (gei, block) in (from.0..).map(GlobalExecIndex).zip(&range.blocks) {
            let made = self.chain.made(gei);
            let wrong = difference(block, gei, made.map_or(&[], |made| &made[..]));
            if let Some(violation) = wrong {
                return Err(violation.shown_by(&block.encode_to_vec()).into());
            }
            if blake3::hash(&block.raw_block_bytes).as_bytes()[..] != block.block_hash {
                let observation = "block_hash is not the BLAKE3 hash of raw_block_bytes, which Subs of this repository check";
                self.verdicts.observe(observation.to_owned());
            }
        }
        for pair in range.blocks.windows(2) {
            if pair[1].parent_hash != pair[0].block_hash {
                let expected = format!("the hash of block {} as parent", pair[0].block_number);
                let found = super::hex(&pair[1].parent_hash);
                return Err(Violation::safety(expected, found).into());
            }
        }
        Ok(())
    }

    pub fn blocks_missing(&mut self) -> Probe {
        let next = self.watermark()?.next();
        self.is_missing(next)
    }

    /// The block is answered with the error that clients match.
    pub fn is_missing(&mut self, gei: GlobalExecIndex) -> Probe {
        let request = RequestPayload::GetBlocksRange(GetBlocksRange {
            from: gei.0,
            to: gei.0,
            skip_bytes: 0,
        });
        let answer = self.ask(request)?;
        let text = match &answer.payload {
            ResponsePayload::BlocksRange(range) if range.blocks.is_empty() => &range.error,
            ResponsePayload::Error(text) => {
                let observation = "a missing block is answered with the response `error`, not with `BlocksRange.error`";
                self.verdicts.observe(observation.to_owned());
                text
            }
            _ => return Err(answer.unexpected(format!("no block {gei}")).into()),
        };
        if text.contains(NOT_COMMITTED) {
            return Ok(());
        }
        let expected = format!("`{NOT_COMMITTED}` for block {gei}");
        Err(Violation::safety(expected, format!("`{text}`"))
            .shown_by(&answer.body)
            .into())
    }

    pub fn blocks_limit(&mut self) -> Probe {
        let base = self.chain.base().base;
        let range = self.blocks(base.next(), GlobalExecIndex(u64::MAX))?;
        let numbers = range.blocks.iter().map(|block| block.block_number);
        let expected = format!("blocks {}, {}, …", base.0 + 1, base.0 + 2);
        if range.blocks.is_empty() {
            let found = format!("no block, error `{}`", range.error);
            return Err(Violation::safety(expected, found).into());
        }
        match numbers
            .zip(base.0 + 1..)
            .find(|(found, next)| found != next)
        {
            None => Ok(()),
            Some((found, next)) => {
                let found = format!("block {found} in the place of {next}");
                Err(Violation::safety(expected, found).into())
            }
        }
    }

    /// Whatever W is answered while blocks are executed: its block can be read at once.
    pub fn watermark_state(&mut self) -> Probe {
        let watermark = self.watermark()?;
        let goal = GlobalExecIndex(watermark.0 + BURST);
        let mut stream = self.stream()?;
        for gei in watermark.0 + 1..=goal.0 {
            let frame = self.frame(GlobalExecIndex(gei))?;
            self.write(&mut stream, &frame)?;
            let answered = self.watermark()?;
            self.is_there(answered)?;
        }
        self.reaches(&mut stream, goal)?;
        self.is_there(goal)
    }

    /// The block can be read.
    pub fn is_there(&mut self, gei: GlobalExecIndex) -> Probe {
        if gei == GlobalExecIndex(0) {
            return Ok(());
        }
        let range = self.blocks(gei, gei)?;
        match range.blocks.first().map(|block| block.block_number) {
            Some(number) if number == gei.0 => Ok(()),
            _ => {
                let expected = format!("block {gei}, because W = {gei} was answered");
                let found = format!("{} blocks, error `{}`", range.blocks.len(), range.error);
                Err(Failure::from(Violation::safety(expected, found)))
            }
        }
    }
}

/// What is wrong with a stored block that was delivered as `made`.
fn difference(block: &BlockData, gei: GlobalExecIndex, made: &[u8]) -> Option<Violation> {
    let wrong = |expected: String, found: String| Some(Violation::safety(expected, found));
    if block.block_number != gei.0 {
        let expected = format!("block_number = {gei}");
        return wrong(expected, format!("{}", block.block_number));
    }
    if block.raw_block_bytes != made {
        let expected = format!("raw_block_bytes {}", super::hex(made));
        return wrong(expected, super::hex(&block.raw_block_bytes));
    }
    let content = CommittedEpochData::decode(made).unwrap_or_default();
    let (epoch, timestamp) = (content.epoch, content.commit_timestamp_ms);
    if (block.epoch, block.timestamp_ms) != (epoch, timestamp) {
        let expected = format!("epoch = {epoch}, timestamp_ms = {timestamp}");
        let found = format!(
            "epoch = {}, timestamp_ms = {}",
            block.epoch, block.timestamp_ms
        );
        return wrong(expected, found);
    }
    let digests = [
        ("block_hash", &block.block_hash),
        ("parent_hash", &block.parent_hash),
        ("state_root", &block.state_root),
    ];
    let short = digests.into_iter().find(|(_, digest)| digest.len() != 32)?;
    wrong(format!("{} of 32 bytes", short.0), super::hex(short.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn each_field_of_a_stored_block_is_compared() {
        let content = CommittedEpochData {
            epoch: 2,
            commit_timestamp_ms: 9,
            global_exec_index: 7,
            ..CommittedEpochData::default()
        };
        let made = content.encode_to_vec();
        let digest = Bytes::from_static(&[1; 32]);
        let good = BlockData {
            block_number: 7,
            epoch: 2,
            timestamp_ms: 9,
            block_hash: digest.clone(),
            parent_hash: digest.clone(),
            state_root: digest,
            raw_block_bytes: made.clone().into(),
            ..BlockData::default()
        };
        let judged = |change: fn(&mut BlockData)| {
            let mut block = good.clone();
            change(&mut block);
            difference(&block, GlobalExecIndex(7), &made).map(|violation| violation.expected)
        };
        assert_eq!(judged(|_| {}), None);
        for (change, named) in [
            (
                (|block: &mut BlockData| block.block_number = 8) as fn(&mut BlockData),
                "block_number",
            ),
            (|block| block.epoch = 1, "epoch"),
            (|block| block.timestamp_ms = 1, "timestamp_ms"),
            (
                |block| block.raw_block_bytes = Bytes::new(),
                "raw_block_bytes",
            ),
            (|block| block.block_hash = Bytes::new(), "block_hash"),
            (|block| block.parent_hash = Bytes::new(), "parent_hash"),
            (|block| block.state_root = Bytes::new(), "state_root"),
        ] {
            let found = judged(change).unwrap_or_default();
            assert!(found.contains(named), "{named}: {found}");
        }
    }
}
