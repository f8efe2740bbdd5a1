//! The harness under test: promises of the contract are taken out of the node one at a time, and an oracle must notice
//! within 200 seeds of the ordinary scenarios. With nothing taken out the same seeds pass.
#![cfg(madsim)]

use metanode_core::bugs::KnownBug;
use metanode_sim::oracles::Invariant;
use metasim::{catalog, museum};
use std::sync::Arc;

const SEEDS: u64 = 200;

fn ordinary() -> Vec<Arc<catalog::Named>> {
    let suite = catalog::suite("ci").and_then(|suite| suite.scenarios());
    suite.unwrap_or_else(|e| panic!("{e}"))
}

/// Searches for a bug, which one of these oracles must find, or what a scenario expects besides. No run on the way
/// may fail without it.
fn noticed(bug: KnownBug, by: &[Invariant]) {
    let search = museum::search(&ordinary(), bug, 0..SEEDS);
    assert_eq!(search.failing_anyway, []);
    let oracle = search.oracle();
    assert!(
        oracle.is_some_and(|oracle| oracle == Invariant::Expect || by.contains(&oracle)),
        "{} in {} seeds: {oracle:?}",
        bug.name(),
        search.runs
    );
}

#[test]
fn commits_that_are_delivered_before_they_are_synced() {
    noticed(KnownBug::HandedOnBeforeSynced, &[Invariant::Durable]);
}

#[test]
fn a_sender_that_does_not_go_back_to_the_durable_watermark() {
    let by = [Invariant::Wire, Invariant::Gap0, Invariant::Live];
    noticed(KnownBug::SentIsRemembered, &by);
}

#[test]
fn an_rpc_connection_that_survives_its_timeout() {
    noticed(KnownBug::LateReplyAnswersNextRequest, &[Invariant::Rpc]);
}

#[test]
fn proposals_under_pressure() {
    noticed(KnownBug::PressureStopsAtTheWindow, &[Invariant::Backp]);
}

#[test]
fn a_start_that_does_not_wait_for_its_executor() {
    let by = [Invariant::Rpc, Invariant::Wire, Invariant::Exec1];
    noticed(KnownBug::QueryFailureReadsAsGenesis, &by);
}
