//! `metasim stand-in` in the place of the executor of a metanode.

use crate::{
    process::eventually,
    validator::{Validator, validators},
};
use metanode_core::types::{Epoch, GlobalExecIndex};
use metasim::{
    clauses::Verdict,
    stand_in::{Config, Genesis, Misbehaviour, StandIn},
};
use std::time::Duration;
use tempfile::TempDir;

const BLOCKS: u64 = 60;

fn stand_in(validator: &Validator, misbehaviour: Misbehaviour) -> StandIn {
    let executor = &validator.executor;
    let config = Config {
        block_stream: executor.block_stream_address.clone(),
        rpc: executor.rpc_address.clone(),
        genesis: Genesis {
            epoch_timestamp_ms: executor.genesis.epoch_timestamp_ms,
            validators: executor.genesis.validators.clone(),
        },
        misbehaviour,
    };
    StandIn::start(config).unwrap()
}

/// What the stand-in finds in a node that goes through some epochs, and which clauses it could not try.
async fn not_testable_with(misbehaviour: Misbehaviour) -> Vec<&'static str> {
    let root = TempDir::new().unwrap();
    let mut all = validators(root.path(), 1);
    let validator = &mut all[0];
    // A watermark that stays behind never reaches a boundary.
    let has_epochs = misbehaviour.blocks_behind == 0;
    if has_epochs {
        validator.node.consensus.epoch_duration_ms = 2_000;
    }
    let master = stand_in(validator, misbehaviour);
    let node = validator.start_node(&[]);
    eventually("blocks and epochs", async || {
        let is_there = master.executed() >= GlobalExecIndex(BLOCKS);
        (is_there && (!has_epochs || master.epoch() >= Epoch(2))).then_some(())
    })
    .await;
    node.stop().await;
    let judgement = master.finish();
    let broken: Vec<_> = judgement.violations().collect();
    assert_eq!(broken, []);
    let connections = judgement.observations.iter().find_map(|observation| {
        let (_, connections) = observation
            .strip_suffix(" connections of the block stream")?
            .rsplit_once(' ')?;
        connections.parse::<u64>().ok()
    });
    let ends = u64::from(misbehaviour.disconnects_at.is_some());
    assert!(connections > Some(ends), "{:?}", judgement.observations);
    let not_testable = judgement.clauses.iter().filter_map(|judged| {
        matches!(judged.verdict, Verdict::NotTestable { .. }).then_some(judged.clause.id)
    });
    not_testable.collect()
}

/// No client sends anything, and no request for an epoch is lost.
const QUIET: [&str; 3] = ["transactions-once", "transactions-order", "advance-again"];

#[tokio::test]
async fn a_metanode_keeps_every_clause() {
    let found = not_testable_with(Misbehaviour::default()).await;
    let expected = [&["stream-same"], &QUIET[..]].concat();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_metanode_keeps_every_clause_through_a_disconnect_and_late_answers() {
    let misbehaviour = Misbehaviour {
        answers_after: Duration::from_millis(50),
        disconnects_at: Some(GlobalExecIndex(BLOCKS / 2)),
        ..Misbehaviour::default()
    };
    let found = not_testable_with(misbehaviour).await;
    assert!(
        QUIET.iter().all(|clause| found.contains(clause)),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_metanode_keeps_every_clause_while_the_watermark_stays_behind() {
    let misbehaviour = Misbehaviour {
        blocks_behind: 5,
        disconnects_at: Some(GlobalExecIndex(BLOCKS / 2)),
        ..Misbehaviour::default()
    };
    let found = not_testable_with(misbehaviour).await;
    assert!(!found.contains(&"stream-same"), "{found:?}");
}
