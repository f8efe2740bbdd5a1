//! Epoch changes of whole clusters: the steps after every interruption, and the state after many changes.
#![cfg(madsim)]

use metanode_core::{
    env::{CrashPoint, Event, ExecutorEvent, NodeEvent},
    types::{ChangeStep, Epoch, GlobalExecIndex},
};
use metanode_sim::{
    faults::{Fault, PlannedFault, ProcessFault, Reached, Trigger},
    plan::{ByzantinePlan, ByzantineStrategy, EpochPlan, Plan, Topology},
    run::{Outcome, RunOptions, Verdict, run},
    trace::{ProcessId, What, WorldEvent},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

const NODE: ProcessId = ProcessId::Node(0);
const EXECUTOR: ProcessId = ProcessId::Executor(0);

fn passed(plan: Plan) -> Outcome {
    let outcome = run(plan, &RunOptions::KEEP_ALL);
    assert_eq!(
        outcome.verdict,
        Verdict::Passed,
        "{:?} {:?}",
        outcome.violations,
        outcome.panic
    );
    outcome
}

/// A run with one epoch change, interrupted by this fault.
fn change(fault: Option<PlannedFault>) -> Outcome {
    let mut plan = Plan::example();
    plan.topology = Topology::SingleMaster;
    plan.executors.truncate(1);
    plan.duration_ms = 4_000;
    plan.epochs.duration_ms = Some(2_000);
    plan.faults.extend(fault);
    passed(plan)
}

/// What node 0 and its executor do in the first change, without numbers, which depend on time.
fn log(outcome: &Outcome) -> String {
    let mut lines = String::new();
    for entry in &outcome.entries {
        let text = match &entry.what {
            What::World(WorldEvent::Started { start: 2.. }) => "starts again",
            What::World(WorldEvent::Killed) => "is killed",
            What::World(WorldEvent::PowerLost { .. }) => "loses power",
            What::Process(Event::Node(NodeEvent::ChangeRecorded { epoch, step }))
                if *epoch == Epoch(0) =>
            {
                match step {
                    ChangeStep::Running => "records: it runs",
                    ChangeStep::BoundaryCommitted(_) => "records: boundary committed",
                    ChangeStep::Drained(_) => "records: executor drained",
                    ChangeStep::Advanced(_) => "records: executor advanced",
                }
            }
            What::Process(Event::Node(NodeEvent::EpochOpened { base, .. })) => match base.epoch.0 {
                0 => "opens epoch 0",
                1 => "opens epoch 1",
                _ => continue,
            },
            What::Process(Event::Executor(ExecutorEvent::EpochEntered { epoch, .. }))
                if *epoch == Epoch(1) =>
            {
                "enters epoch 1"
            }
            _ => continue,
        };
        if [NODE, EXECUTOR].contains(&entry.process) {
            let _ = writeln!(lines, "    {} {text}", entry.process);
        }
    }
    lines
}

#[test]
fn after_every_interruption_the_change_resumes_at_the_right_step() {
    let kill = |processes: &[ProcessId]| {
        Fault::Process(ProcessFault::Kill {
            processes: processes.to_vec(),
            down_ms: Some(300),
        })
    };
    let power_loss = Fault::Process(ProcessFault::PowerLoss {
        hosts: vec![0],
        torn: false,
        down_ms: Some(300),
    });
    let at_node = [
        (CrashPoint::NodeChangeRecorded, 1..=3),
        (CrashPoint::NodeExecutorAdvanced, 1..=1),
        // The first occurrence is the start in epoch 0.
        (CrashPoint::NodeBoundaryDataLearned, 2..=2),
        (CrashPoint::NodeEpochOpened, 2..=2),
    ];
    let at_executor = [(CrashPoint::ExecutorEpochSaved, 1..=1)];
    let at_node = at_node.map(|(point, times)| (NODE, point, times));
    let at_executor = at_executor.map(|(point, times)| (EXECUTOR, point, times));
    let mut table = format!("nothing\n{}", log(&change(None)));
    for (process, point, times) in at_node.into_iter().chain(at_executor) {
        for times in times {
            for (who, fault) in [
                ("the node is killed", kill(&[NODE])),
                ("the executor is killed", kill(&[EXECUTOR])),
                ("both are killed", kill(&[NODE, EXECUTOR])),
                ("the host loses power", power_loss.clone()),
            ] {
                let trigger = Trigger {
                    reached: Some(Reached {
                        process,
                        point,
                        times,
                    }),
                    ..Trigger::default()
                };
                let outcome = change(Some(PlannedFault { trigger, fault }));
                let _ = write!(table, "\n{point} ({times}): {who}\n{}", log(&outcome));
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn thirty_epochs_are_one_chain_and_old_stores_are_removed() {
    let mut plan = Plan::example();
    plan.duration_ms = 20_000;
    plan.epochs = EpochPlan {
        genesis_age_ms: 0,
        duration_ms: Some(200),
        retained: 2,
        committees: vec![],
        ..EpochPlan::default()
    };
    let most_stores = usize::try_from(plan.epochs.retained).expect("it is small") + 2;
    let outcome = passed(plan);

    let mut kept: BTreeMap<ProcessId, BTreeSet<Epoch>> = BTreeMap::new();
    let mut executed: BTreeMap<ProcessId, (Epoch, GlobalExecIndex)> = BTreeMap::new();
    let mut starts = BTreeSet::new();
    for entry in &outcome.entries {
        match &entry.what {
            What::Process(Event::Node(NodeEvent::EpochOpened {
                base,
                start_timestamp_ms,
                committee,
                ..
            })) => {
                starts.insert((base.epoch, base.base, *start_timestamp_ms, *committee));
                let kept = kept.entry(entry.process).or_default();
                kept.insert(base.epoch);
                assert!(
                    kept.len() <= most_stores,
                    "{} keeps {kept:?}",
                    entry.process
                );
            }
            What::Process(Event::Node(NodeEvent::EpochRemoved { epoch })) => {
                kept.entry(entry.process).or_default().remove(epoch);
            }
            What::Process(Event::Executor(ExecutorEvent::Executed { gei, epoch, .. })) => {
                let last = executed.insert(entry.process, (*epoch, *gei));
                let (last_epoch, last) = last.unwrap_or_default();
                assert_eq!(*gei, last.next());
                assert!(*epoch >= last_epoch);
            }
            _ => {}
        }
    }
    assert_eq!(executed.len(), 4);
    for (process, (epoch, _)) in executed {
        assert!(epoch >= Epoch(30), "{process} is in epoch {epoch}");
    }
    let epochs: BTreeSet<_> = starts.iter().map(|(epoch, ..)| epoch).collect();
    assert_eq!(
        epochs.len(),
        starts.len(),
        "one start per epoch: {starts:?}"
    );
}

#[test]
fn a_byzantine_validator_equivocates_in_every_epoch() {
    let mut plan = Plan::example();
    plan.epochs.duration_ms = Some(1_500);
    plan.byzantine = vec![ByzantinePlan {
        validator: 3,
        strategy: ByzantineStrategy::Equivocating,
        program: vec![],
    }];
    let outcome = passed(plan);
    let mut epoch = Epoch(0);
    let mut equivocated_in = BTreeSet::new();
    for entry in outcome.entries.iter().filter(|entry| entry.process == NODE) {
        match &entry.what {
            What::Process(Event::Node(NodeEvent::EpochOpened { base, .. })) => epoch = base.epoch,
            What::Process(Event::Node(NodeEvent::Equivocation { .. })) => {
                equivocated_in.insert(epoch);
            }
            _ => {}
        }
    }
    assert!(epoch > Epoch(2), "{epoch}");
    let all: BTreeSet<_> = (0..epoch.0).map(Epoch).collect();
    assert!(
        equivocated_in.is_superset(&all),
        "{equivocated_in:?} of {all:?}"
    );
}
