//! Each strategy of a Byzantine validator: its effect is visible, and honest nodes agree and make progress.

#![cfg(madsim)]

use metanode_core::env::{Event, NodeEvent};
use metanode_sim::{
    faults::{Fault, PlannedFault, ProcessFault, Trigger},
    plan::{ByzantinePlan, ByzantineStrategy, Plan, Topology},
    run::{Outcome, RunOptions, Verdict, run},
    trace::{ProcessId, What, WorldEvent},
};

/// The last of four validators is Byzantine; the run passes.
fn passes(strategy: ByzantineStrategy, topology: Topology, faults: Vec<PlannedFault>) -> Outcome {
    let mut plan = Plan::example();
    plan.duration_ms = 8_000;
    plan.topology = topology;
    if topology == Topology::SingleMaster {
        plan.executors.truncate(1);
    }
    plan.node.consensus.gc_depth_rounds = 10;
    plan.max_faulty = Some(0);
    plan.byzantine = vec![ByzantinePlan {
        validator: 3,
        strategy,
        program: vec![],
    }];
    plan.faults = faults;
    let outcome = run(plan, &RunOptions::KEEP_ALL);
    assert_eq!(
        (outcome.verdict, &outcome.violations[..], &outcome.panic),
        (Verdict::Passed, &[][..], &None),
        "{strategy:?}"
    );
    outcome
}

/// Runs the strategy in both topologies. At least `least` events of honest nodes must match in each.
fn has_effect(
    strategy: ByzantineStrategy,
    least: usize,
    matches_effect: impl Fn(&NodeEvent) -> bool,
) {
    for topology in [Topology::MasterPerNode, Topology::SingleMaster] {
        let outcome = passes(strategy, topology, vec![]);
        let seen = events(&outcome)
            .filter(|event| matches_effect(event))
            .count();
        assert!(seen >= least, "{strategy:?} in {topology:?}: {seen}");
        let least = outcome.nodes[..3].iter().map(|node| node.last_commit.0);
        // Progress is slower with a quarter of the leaders missing, but does not stop.
        assert!(least.clone().all(|commits| commits >= 20), "{strategy:?}");
    }
}

fn events(outcome: &Outcome) -> impl Iterator<Item = &NodeEvent> {
    outcome
        .entries
        .iter()
        .filter_map(|entry| match &entry.what {
            What::Process(Event::Node(event)) => Some(event),
            _ => None,
        })
}

fn rejected(event: &NodeEvent, because: &str) -> bool {
    matches!(event, NodeEvent::Rejected { reason, .. } if reason.contains(because))
}

#[test]
fn equivocation_is_detected() {
    has_effect(ByzantineStrategy::Equivocating, 10, |event| {
        matches!(event, NodeEvent::Equivocation { .. })
    });
}

#[test]
fn a_silent_validator_does_not_delay_a_start() {
    let outcome = passes(ByzantineStrategy::Silent, Topology::MasterPerNode, vec![]);
    for n in 0..3 {
        let when = |happens: fn(&NodeEvent) -> bool| {
            let mut entries = outcome.entries.iter();
            let first = entries.find(|entry| match &entry.what {
                What::Process(Event::Node(event)) => {
                    entry.process == ProcessId::Node(n) && happens(event)
                }
                _ => false,
            });
            first.expect("it happens").at
        };
        let ready = when(|event| matches!(event, NodeEvent::Ready));
        let proposed = when(|event| matches!(event, NodeEvent::Proposed { .. }));
        let after_ms = proposed.since(ready).as_ms();
        assert!(after_ms < 1_000, "node-{n}: {after_ms} ms");
    }
}

#[test]
fn withheld_blocks_are_fetched_from_others() {
    has_effect(ByzantineStrategy::Withholding, 10, |event| {
        matches!(event, NodeEvent::AncestorsFetched { .. })
    });
}

#[test]
fn invalid_blocks_are_rejected_for_each_reason() {
    for because in [
        "do not decode",
        "not among the",
        "expected epoch",
        "genesis",
        "more than one ancestor",
        "own previous block",
        "not of a lower round",
        "votes for",
        "of another author",
    ] {
        has_effect(ByzantineStrategy::Invalid, 1, |event| {
            rejected(event, because)
        });
    }
}

#[test]
fn forged_signatures_are_rejected() {
    has_effect(ByzantineStrategy::Forging, 10, |event| {
        rejected(event, "does not verify")
    });
}

#[test]
fn ancestors_that_do_not_exist_stay_missing() {
    has_effect(ByzantineStrategy::Lying, 10, |event| {
        matches!(event, NodeEvent::AncestorsMissing { .. })
    });
    has_effect(ByzantineStrategy::Lying, 1, |event| {
        rejected(event, "stake in the previous round")
    });
}

#[test]
fn flooding_is_tolerated() {
    has_effect(ByzantineStrategy::Flooding, 100, |event| {
        matches!(event, NodeEvent::Equivocation { .. })
    });
}

#[test]
fn leaders_of_a_silent_validator_are_skipped() {
    has_effect(ByzantineStrategy::Silent, 5, |event| {
        matches!(event, NodeEvent::LeaderSkipped { .. })
    });
    let outcome = passes(ByzantineStrategy::Silent, Topology::MasterPerNode, vec![]);
    let of_it = outcome.entries.iter().filter(|entry| {
        let did = matches!(entry.what, What::Process(_));
        did && entry.process == ProcessId::Node(3)
    });
    assert_eq!(of_it.count(), 0, "a Byzantine validator has no node");
    let turned = What::World(WorldEvent::TurnedByzantine {
        strategy: ByzantineStrategy::Silent,
    });
    assert!(outcome.entries.iter().any(|entry| entry.what == turned));
    assert_eq!(outcome.executors[3].last_block_number.0, 0);
}

#[test]
fn a_byzantine_validator_may_be_killed_and_restarted() {
    let kill = PlannedFault {
        trigger: Trigger::at_ms(1_000),
        fault: Fault::Process(ProcessFault::Kill {
            processes: vec![ProcessId::Node(3)],
            down_ms: Some(500),
        }),
    };
    let outcome = passes(
        ByzantineStrategy::Equivocating,
        Topology::MasterPerNode,
        vec![kill],
    );
    assert_eq!(outcome.nodes[3].starts, 2);
    let twins = outcome.entries.iter().filter(|entry| {
        let seen = matches!(
            entry.what,
            What::Process(Event::Node(NodeEvent::Equivocation { .. }))
        );
        seen && entry.at.as_ms() > 2_000
    });
    assert!(twins.count() > 0, "it equivocates after its second start");
}
