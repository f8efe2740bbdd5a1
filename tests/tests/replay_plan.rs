//! The table of contract §6.3: what a node replays after a start, for every row and on both sides of every boundary
//! value.
//!
//! The snapshot states the behaviour of nodes: a change of it is a change of the protocol.

use metanode_core::{
    delivery::{ExecutorView, StoreView, replay_plan},
    types::{CommitIndex, Epoch, EpochBase, GlobalExecIndex},
};
use std::fmt::Write;

/// An epoch whose GEIs do not fit into 32 bits.
const HIGH_BASE: u64 = 5_000_000_000;

/// Epoch E of the node with base B and last stored commit C, and epoch and W of the executor.
struct Situation {
    epoch: u64,
    base: u64,
    last_commit: u32,
    executor_epoch: u64,
    watermark: u64,
}

/// The executor is in the epoch of the node; W takes the values around B and around the last stored commit.
fn same_epoch(epoch: u64, base: u64, last_commit: u32) -> impl Iterator<Item = Situation> {
    let tip = base + u64::from(last_commit);
    let edges = [base, tip].into_iter().flat_map(|edge| {
        let below = edge.checked_sub(1);
        below.into_iter().chain([edge, edge + 1])
    });
    let mut watermarks: Vec<u64> = edges.chain([0, tip + 100]).collect();
    watermarks.sort_unstable();
    watermarks.dedup();
    watermarks.into_iter().map(move |watermark| Situation {
        epoch,
        base,
        last_commit,
        executor_epoch: epoch,
        watermark,
    })
}

/// The executor is in another epoch; W does not matter.
fn other_epoch(executor_epoch: u64, watermark: u64) -> Situation {
    Situation {
        epoch: 3,
        base: HIGH_BASE,
        last_commit: 10,
        executor_epoch,
        watermark,
    }
}

/// W is too far above the base for any commit index.
fn of_another_chain(epoch: u64, base: u64) -> impl Iterator<Item = Situation> {
    let last = base + u64::from(u32::MAX);
    [last, last + 1, u64::MAX]
        .map(|watermark| Situation {
            epoch,
            base,
            last_commit: 10,
            executor_epoch: epoch,
            watermark,
        })
        .into_iter()
}

/// The situation and its plan on one line.
fn line(situation: &Situation) -> String {
    let Situation {
        epoch,
        base,
        last_commit,
        executor_epoch,
        watermark,
    } = *situation;
    let store = StoreView {
        base: EpochBase {
            epoch: Epoch(epoch),
            base: GlobalExecIndex(base),
        },
        last_commit: CommitIndex(last_commit),
    };
    let executor = ExecutorView {
        epoch: Epoch(executor_epoch),
        watermark: GlobalExecIndex(watermark),
    };
    let plan = match replay_plan(store, executor) {
        Ok(plan) => plan.to_string(),
        Err(e) => format!("error: {e}"),
    };
    format!("{epoch} {base:>10} {last_commit:>2} │ {executor_epoch} {watermark:>20} │ {plan}")
}

#[test]
fn every_situation_has_its_plan() {
    let groups: [(&str, Vec<Situation>); 8] = [
        (
            "the first epoch, nothing stored",
            same_epoch(0, 0, 0).collect(),
        ),
        ("the first epoch", same_epoch(0, 0, 10).collect()),
        (
            "a later epoch, nothing stored",
            same_epoch(2, 100, 0).collect(),
        ),
        ("a later epoch", same_epoch(2, 100, 10).collect()),
        ("GEIs above 32 bits", same_epoch(3, HIGH_BASE, 10).collect()),
        (
            "the executor is behind",
            vec![
                other_epoch(2, HIGH_BASE - 1),
                other_epoch(2, HIGH_BASE),
                other_epoch(0, 0),
            ],
        ),
        (
            "the executor is ahead",
            vec![
                other_epoch(4, HIGH_BASE + 10),
                other_epoch(4, HIGH_BASE + 25),
                other_epoch(9, u64::MAX),
            ],
        ),
        (
            "W is not of this chain",
            of_another_chain(0, 0)
                .chain(of_another_chain(3, HIGH_BASE))
                .collect(),
        ),
    ];
    let mut table = String::from("E          B  C │ E                    W │ plan\n");
    for (name, situations) in groups {
        writeln!(table, "\n{name}").expect("strings take everything");
        for situation in situations {
            writeln!(table, "{}", line(&situation)).expect("strings take everything");
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn the_example_of_the_contract_replays_8_to_10() {
    let example = Situation {
        epoch: 0,
        base: 0,
        last_commit: 10,
        executor_epoch: 0,
        watermark: 7,
    };
    assert!(line(&example).ends_with("epoch 0: replay commits 8..=10"));
}
