//! Each kind of decision is altered by one node alone, and by all nodes alike; both are caught.
#![cfg(madsim)]

use metanode_core::bugs::KnownBug;
use metanode_sim::run::{RunOptions, Verdict, run};
use metasim::catalog;

/// Seeds in which the bug must show.
const SEEDS: u64 = 20;

/// Runs with the bug until one fails. Returns the violated invariant, or that a process panicked.
fn caught(bug: KnownBug, buggy_validators: &[u16]) -> Option<String> {
    let named = catalog::scenario("swarm_epochs").unwrap_or_else(|e| panic!("{e}"));
    (0..SEEDS).find_map(|seed| {
        let mut plan =
            named
                .scenario
                .draw("swarm_epochs", seed, metanode_sim::plan::Backend::Memory);
        plan.bugs = vec![bug];
        plan.buggy_validators = buggy_validators.to_vec();
        let outcome = run(plan, &RunOptions { keep_entries: 1 });
        match outcome.verdict {
            Verdict::Passed | Verdict::NotFound => None,
            Verdict::Panicked => Some("assertion".to_owned()),
            Verdict::SafetyViolated | Verdict::LivenessViolated => {
                Some(outcome.violations[0].invariant.to_string())
            }
        }
    })
}

#[test]
fn an_altered_decision_is_caught_alone_and_alike() {
    for bug in [
        KnownBug::LeadersInAnotherOrder,
        KnownBug::SubDagByAuthor,
        KnownBug::BlocksLeftOut,
        KnownBug::TimestampOfTheLeader,
        KnownBug::TimeGoesBack,
        KnownBug::CommitteeByProtocolKey,
        KnownBug::BoundaryAtOneThird,
        KnownBug::TransactionsUnsorted,
        KnownBug::TransactionDeliveredTwice,
    ] {
        let alike = caught(bug, &[]);
        assert!(alike.is_some(), "{} on all nodes", bug.name());
        let alone = caught(bug, &[1]);
        assert!(alone.is_some(), "{} on node-1", bug.name());
    }
}
