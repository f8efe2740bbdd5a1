//! Every violation, and beside it what is none.

use super::*;
use crate::{
    clauses::Judged,
    stand_in::{Genesis, Taken},
};
use bytes::Bytes;
use metanode_core::executor::wire::{CommittedBlock, TransactionExe};

const GENESIS_MS: u64 = 500;

type Change<'a> = &'a dyn Fn(&mut CommittedEpochData);

fn block(gei: u64) -> CommittedEpochData {
    CommittedEpochData {
        blocks: vec![CommittedBlock {
            epoch: 0,
            height: gei,
            transactions: vec![],
        }],
        global_exec_index: gei,
        commit_index: u32::try_from(gei).unwrap(),
        epoch: 0,
        commit_timestamp_ms: GENESIS_MS + gei,
        leader_author_index: 0,
        leader_address: vec![1; 20].into(),
    }
}

/// A node and its Master, which executes what it should.
struct Pair {
    judge: Judge,
    chain: MemoryChain,
}

impl Pair {
    fn new() -> Self {
        let genesis = Genesis {
            epoch_timestamp_ms: GENESIS_MS,
            validators: vec![],
        };
        Self {
            judge: Judge::new(&genesis.validators),
            chain: MemoryChain::new(genesis),
        }
    }

    fn send(&mut self, stream: u64, block: &CommittedEpochData) -> Taken {
        let body = Bytes::from(block.encode_to_vec());
        let block = self.judge.block(stream, &body, &self.chain).unwrap();
        self.chain.execute(&block, body)
    }

    /// Blocks 1 to 3 on one connection, as the contract wants it.
    fn after_three_blocks() -> Self {
        let mut pair = Self::new();
        pair.judge.answered(GlobalExecIndex(0));
        pair.judge.opened(1);
        for gei in 1..=3 {
            assert_eq!(pair.send(1, &block(gei)), Taken::Executed);
        }
        assert_eq!(pair.broken(), Vec::<&str>::new());
        pair
    }

    fn broken(&self) -> Vec<&'static str> {
        let judgement = self.judge.judgement("");
        judgement
            .violations()
            .map(|(clause, _)| clause.id)
            .collect()
    }

    fn advance(&mut self, epoch: u64, boundary: u64, start_ms: u64, watermark: u64) {
        let request = Request::from(RequestPayload::AdvanceEpoch(AdvanceEpoch {
            new_epoch: epoch,
            epoch_start_timestamp_ms: start_ms,
            boundary_block: boundary,
        }));
        let watermark = GlobalExecIndex(watermark);
        self.judge.asked(&request, watermark, &self.chain);
        self.chain.answer(&request, watermark);
    }
}

#[test]
fn after_a_reconnect_what_is_not_durable_may_be_sent_again() {
    let mut pair = Pair::after_three_blocks();
    pair.judge.answered(GlobalExecIndex(1));
    pair.judge.opened(2);
    pair.judge.answered(GlobalExecIndex(2));
    assert_eq!(pair.send(2, &block(3)), Taken::Known);
    pair.send(2, &block(4));
    assert_eq!(pair.broken(), Vec::<&str>::new());
}

#[test]
fn each_wrong_place_of_a_block_has_its_clause() {
    let cases: [(&[u64], &str); 4] = [
        (&[4], "stream-start"),
        (&[2], "stream-known"),
        (&[3, 3], "stream-increasing"),
        (&[3, 5], "stream-gap"),
    ];
    for (sent, clause) in cases {
        let mut pair = Pair::after_three_blocks();
        pair.judge.answered(GlobalExecIndex(2));
        pair.judge.opened(2);
        for gei in sent {
            pair.send(2, &block(*gei));
        }
        assert!(
            pair.broken().contains(&clause),
            "{clause}: {:?}",
            pair.broken()
        );
    }
}

#[test]
fn a_connection_needs_a_question() {
    let mut pair = Pair::new();
    pair.judge.opened(1);
    pair.send(1, &block(1));
    assert_eq!(pair.broken(), ["stream-asks"]);
}

#[test]
fn each_wrong_content_has_its_clause() {
    let transaction = TransactionExe {
        digest: vec![7].into(),
        worker_id: 0,
    };
    let changes: [(Change<'_>, &str); 7] = [
        (&|block| block.blocks.clear(), "stream-message"),
        (&|block| block.blocks[0].height = 9, "stream-message"),
        (&|block| block.epoch = 1, "block-epoch"),
        (&|block| block.commit_index = 9, "block-epoch"),
        (&|block| block.commit_timestamp_ms = 1, "block-time"),
        (&|block| block.leader_address = Bytes::new(), "block-leader"),
        (
            &|block| block.blocks[0].transactions = vec![transaction.clone(); 2],
            "transactions-once",
        ),
    ];
    for (change, clause) in changes {
        let mut pair = Pair::after_three_blocks();
        let mut next = block(4);
        change(&mut next);
        pair.send(1, &next);
        assert!(
            pair.broken().contains(&clause),
            "{clause}: {:?}",
            pair.broken()
        );
    }
    let mut pair = Pair::after_three_blocks();
    pair.judge.answered(GlobalExecIndex(2));
    pair.judge.opened(2);
    let mut other = block(3);
    other.commit_timestamp_ms += 1;
    pair.send(2, &other);
    assert_eq!(pair.broken(), ["stream-same"]);
}

#[test]
fn an_epoch_begins_once_at_its_boundary_and_at_a_whole_second() {
    let mut pair = Pair::after_three_blocks();
    pair.advance(1, 3, 1_000, 3);
    pair.advance(1, 3, 1_000, 3);
    assert_eq!(pair.broken(), Vec::<&str>::new());
    assert_eq!(pair.chain.base().base, GlobalExecIndex(3));
    for (asked, clause) in [
        ([2, 3, 1_000, 3], "advance-boundary"),
        ([1, 2, 1_000, 3], "advance-boundary"),
        ([1, 3, 1_000, 2], "advance-boundary"),
        ([1, 3, 999, 3], "advance-start"),
        ([1, 3, 5_000, 3], "advance-start"),
        ([0, 3, 1_000, 3], "advance-again"),
    ] {
        let mut pair = Pair::after_three_blocks();
        let [epoch, boundary, start, watermark] = asked;
        pair.advance(epoch, boundary, start, watermark);
        assert_eq!(pair.broken(), [clause], "{asked:?}");
    }
}

#[test]
fn what_did_not_happen_is_not_testable() {
    let judgement = Pair::after_three_blocks()
        .judge
        .judgement("it did not happen");
    let not_testable = judgement.clauses.iter().filter_map(|judged| match judged {
        Judged {
            clause,
            verdict: Verdict::NotTestable { .. },
        } => Some(clause.id),
        _ => None,
    });
    let expected = [
        "stream-same",
        "transactions-once",
        "transactions-order",
        "rpc-frames",
        "advance-boundary",
        "advance-start",
        "advance-again",
    ];
    assert_eq!(not_testable.collect::<Vec<_>>(), expected);
}
