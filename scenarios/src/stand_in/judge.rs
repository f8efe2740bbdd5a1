//! What a node does, judged by what it was answered. Pure: events in, verdicts out.

use super::{clause, memory_chain::MemoryChain};
use crate::clauses::{Clause, Judgement, Verdict, Verdicts, Violation};
use metanode_core::{
    executor::{
        validators,
        wire::{AdvanceEpoch, CommittedEpochData, Request, RequestPayload, ValidatorInfo},
    },
    types::{AuthorityIndex, Committee, EpochBase, GlobalExecIndex, Transaction},
};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

const WHOLE_SECONDS_MS: u64 = 1_000;

/// A connection of the block stream.
#[derive(Debug, Default)]
struct Stream {
    /// The last W that was answered before it was opened, and all that were answered since.
    answers: Vec<GlobalExecIndex>,
    /// The last one before it was opened; 0 if none was.
    known: GlobalExecIndex,
    /// Whether W was asked for since the previous connection had its last block.
    asked: bool,
    previous: Option<GlobalExecIndex>,
}

/// Collects what the node does.
#[derive(Debug)]
pub(super) struct Judge {
    verdicts: Verdicts,
    committee: Option<Committee>,
    streams: BTreeMap<u64, Stream>,
    /// The last W that was answered.
    answered: Option<GlobalExecIndex>,
    /// Whether W was answered since the last block arrived.
    asked_since_block: bool,
}

impl Judge {
    pub fn new(validators: &[ValidatorInfo]) -> Self {
        let committee = validators::committee(EpochBase::GENESIS.epoch, validators);
        let mut verdicts = Verdicts::default();
        let why = "the wire does not show which transactions come from which block of the sub-DAG";
        verdicts.add(
            clause::TRANSACTIONS_ORDER,
            Verdict::NotTestable {
                why: why.to_owned(),
            },
        );
        Self {
            verdicts,
            committee: committee.ok().map(|(committee, _)| committee),
            streams: BTreeMap::new(),
            answered: None,
            asked_since_block: false,
        }
    }

    pub fn judgement(&self, why_not: &str) -> Judgement {
        self.verdicts.judgement(clause::ALL, why_not)
    }

    /// Adds a verdict: held, or broken as `violation` says.
    fn check(&mut self, clause: Clause, held: bool, violation: impl FnOnce() -> Violation) {
        let verdict = match held {
            true => Verdict::Held,
            false => Verdict::Broken(violation()),
        };
        self.verdicts.add(clause, verdict);
    }

    /// The node opened a connection to the block stream.
    pub fn opened(&mut self, stream: u64) {
        let opened = Stream {
            answers: self.answered.into_iter().collect(),
            known: self.answered.unwrap_or_default(),
            asked: self.asked_since_block,
            previous: None,
        };
        self.streams.insert(stream, opened);
    }

    pub fn closed(&mut self, stream: u64) {
        self.streams.remove(&stream);
    }

    /// The node was told W.
    pub fn answered(&mut self, watermark: GlobalExecIndex) {
        self.answered = Some(watermark);
        self.asked_since_block = true;
        for stream in self.streams.values_mut() {
            if stream.answers.last() != Some(&watermark) {
                stream.answers.push(watermark);
            }
            stream.asked = true;
        }
    }

    /// The block stream carries an invalid frame.
    pub fn no_frame(&mut self, error: &str) {
        self.check(clause::STREAM_FRAMES, false, || {
            Violation::safety("a frame", error)
        });
    }

    /// A block arrived. `None` if it does not decode.
    pub fn block(
        &mut self,
        stream: u64,
        body: &[u8],
        chain: &MemoryChain,
    ) -> Option<CommittedEpochData> {
        self.verdicts.add(clause::STREAM_FRAMES, Verdict::Held);
        let decoded = CommittedEpochData::decode(body);
        let found = match &decoded {
            Ok(block) => content_error(block),
            Err(error) => Some(error.to_string()),
        };
        self.check(clause::STREAM_MESSAGE, found.is_none(), || {
            let expected = "a CommittedEpochData with one CommittedBlock of its commit";
            Violation::safety(expected, found.unwrap_or_default()).shown_by(body)
        });
        let block = decoded.ok()?;
        self.position(stream, GlobalExecIndex(block.global_exec_index), body);
        self.content(&block, body, chain);
        Some(block)
    }

    /// The place of the block in its connection.
    fn position(&mut self, stream: u64, gei: GlobalExecIndex, body: &[u8]) {
        self.asked_since_block = false;
        let Some(stream) = self.streams.get_mut(&stream) else {
            return;
        };
        let (known, asked) = (stream.known, stream.asked);
        let previous = stream.previous.replace(gei);
        let follows_answer = stream.answers.iter().any(|answer| answer.next() == gei);
        let least = stream.answers.first().copied();
        // Later answers count from the last block on.
        stream.answers.retain(|answer| *answer >= gei);
        self.check(clause::STREAM_KNOWN, gei > known, || {
            let expected = format!("blocks above {known}, which was answered before");
            Violation::safety(expected, format!("block {gei}")).shown_by(body)
        });
        let Some(previous) = previous else {
            self.check(clause::STREAM_ASKS, asked, || {
                let found = format!("block {gei} without a question");
                Violation::safety("GetLastBlockNumber before the first block", found)
            });
            if let Some(least) = least {
                self.check(clause::STREAM_START, follows_answer, || {
                    let expected = format!("block {} first", least.next());
                    Violation::safety(expected, format!("block {gei}")).shown_by(body)
                });
            }
            return;
        };
        let increases = gei > previous;
        self.check(clause::STREAM_INCREASING, increases, || {
            let expected = format!("a block above {previous}");
            Violation::safety(expected, format!("block {gei}")).shown_by(body)
        });
        // What became durable meanwhile, by another connection, need not be sent.
        let is_next = !increases || gei == previous.next() || follows_answer;
        self.check(clause::STREAM_GAP, is_next, || {
            let expected = format!("block {}", previous.next());
            Violation::safety(expected, format!("block {gei}")).shown_by(body)
        });
    }

    fn content(&mut self, block: &CommittedEpochData, body: &[u8], chain: &MemoryChain) {
        let gei = GlobalExecIndex(block.global_exec_index);
        if let Some(stored) = chain.body(gei) {
            return self.check(clause::STREAM_SAME, stored[..] == *body, || {
                let expected = crate::clauses::abbreviated_hex(stored);
                Violation::safety(expected, "another content").shown_by(body)
            });
        }
        let EpochBase { epoch, base } = chain.base();
        let commit = gei.0.checked_sub(base.0);
        let is_of_epoch = block.epoch == epoch.0 && commit == Some(block.commit_index.into());
        self.check(clause::BLOCK_EPOCH, is_of_epoch, || {
            let expected = format!("block {gei} of epoch {epoch}, whose base is {base}");
            let found = format!("commit {} of epoch {}", block.commit_index, block.epoch);
            Violation::safety(expected, found).shown_by(body)
        });
        let least = chain.last_timestamp();
        let timestamp = block.commit_timestamp_ms;
        self.check(clause::BLOCK_TIME, timestamp >= least.0, || {
            let expected = format!("a timestamp of at least {least}");
            Violation::safety(expected, timestamp.to_string()).shown_by(body)
        });
        let leader = self.leader_error(block);
        self.check(clause::BLOCK_LEADER, leader.is_none(), || {
            let (expected, found) = leader.unwrap_or_default();
            Violation::safety(expected, found).shown_by(body)
        });
        let transactions = block.blocks.iter().flat_map(|inner| &inner.transactions);
        let mut hashes = BTreeSet::new();
        let twice = transactions
            .map(|transaction| Transaction(transaction.digest.clone()).hash())
            .find(|hash| !hashes.insert(*hash));
        if !hashes.is_empty() {
            self.check(clause::TRANSACTIONS_ONCE, twice.is_none(), || {
                let found = twice
                    .map(|hash| format!("{hash} twice"))
                    .unwrap_or_default();
                Violation::safety("each transaction once", found).shown_by(body)
            });
        }
    }

    /// What was expected of the leader, and what was found.
    fn leader_error(&self, block: &CommittedEpochData) -> Option<(String, String)> {
        let found = crate::clauses::abbreviated_hex(&block.leader_address);
        if block.leader_address.len() != 20 {
            return Some(("a leader_address of 20 bytes".to_owned(), found));
        }
        let committee = self.committee.as_ref()?;
        let index = u16::try_from(block.leader_author_index).ok();
        let index = index.filter(|index| usize::from(*index) < committee.size());
        let Some(index) = index else {
            let expected = format!("a leader_author_index below {}", committee.size());
            return Some((expected, block.leader_author_index.to_string()));
        };
        let account = committee.authority(AuthorityIndex(index)).address;
        let expected = crate::clauses::abbreviated_hex(&account);
        (block.leader_address[..] != account).then(|| {
            (
                format!("the account {expected} of authority {index}"),
                found,
            )
        })
    }

    /// A request arrived. `None` if it does not decode.
    pub fn request(&mut self, body: &[u8]) -> Option<Request> {
        let request = Request::decode(body);
        let found = match &request {
            Ok(request) if request.payload.is_some() => None,
            Ok(_) => Some("a payload that the contract does not have".to_owned()),
            Err(error) => Some(error.to_string()),
        };
        self.check(clause::RPC_FRAMES, found.is_none(), || {
            Violation::safety("a request", found.unwrap_or_default()).shown_by(body)
        });
        request.ok()
    }

    /// The RPC carries an invalid frame.
    pub fn no_request(&mut self, error: &str) {
        self.check(clause::RPC_FRAMES, false, || {
            Violation::safety("a frame", error)
        });
    }

    /// A request is about to be answered.
    pub fn asked(&mut self, request: &Request, watermark: GlobalExecIndex, chain: &MemoryChain) {
        if let Some(RequestPayload::AdvanceEpoch(asked)) = &request.payload {
            self.advance(asked, watermark, chain, &request.encode_to_vec());
        }
    }

    fn advance(
        &mut self,
        asked: &AdvanceEpoch,
        watermark: GlobalExecIndex,
        chain: &MemoryChain,
        body: &[u8],
    ) {
        let EpochBase { epoch, base } = chain.base();
        let boundary = GlobalExecIndex(asked.boundary_block);
        if asked.new_epoch <= epoch.0 {
            let is_same = asked.new_epoch == epoch.0 && boundary == base;
            return self.check(clause::ADVANCE_AGAIN, is_same, || {
                let expected = format!("epoch {epoch} with boundary {base}, or the next one");
                let found = format!("epoch {} with boundary {boundary}", asked.new_epoch);
                Violation::safety(expected, found).shown_by(body)
            });
        }
        let executed = chain.executed();
        let is_at_boundary = asked.new_epoch == epoch.next().0
            && boundary == watermark
            && boundary == executed
            && boundary > base;
        self.check(clause::ADVANCE_BOUNDARY, is_at_boundary, || {
            let next = epoch.next();
            let expected = format!("epoch {next} after block {executed}, with W = {watermark}");
            let found = format!("epoch {} after block {boundary}", asked.new_epoch);
            Violation::safety(expected, found).shown_by(body)
        });
        let (start, last) = (asked.epoch_start_timestamp_ms, chain.last_timestamp().0);
        let is_that_second =
            start.is_multiple_of(WHOLE_SECONDS_MS) && start.abs_diff(last) < WHOLE_SECONDS_MS;
        self.check(clause::ADVANCE_START, is_that_second, || {
            let expected = format!("a whole second at {last}, the time of the boundary commit");
            Violation::safety(expected, start.to_string()).shown_by(body)
        });
    }
}

/// What is wrong with a block in itself.
fn content_error(block: &CommittedEpochData) -> Option<String> {
    let [inner] = block.blocks.as_slice() else {
        return Some(format!("{} CommittedBlocks", block.blocks.len()));
    };
    let is_same = inner.epoch == block.epoch && inner.height == u64::from(block.commit_index);
    (!is_same).then(|| {
        let (commit, epoch) = (inner.height, inner.epoch);
        format!("a CommittedBlock of commit {commit} of epoch {epoch}")
    })
}

#[cfg(test)]
mod tests;
