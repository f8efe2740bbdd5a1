//! The lines of a start and of an epoch change, exactly as operators see them (contract §11).

use super::events::Events;
use crate::{
    env::{EventSink, NodeEvent},
    types::{
        Boundary, ChangeStep, CommitDigest, CommitIndex, CommitRef, CommitteeDigest, Epoch,
        EpochBase, GlobalExecIndex, ReplayPlan, Round, TimestampMs,
    },
};
use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};
use tracing::subscriber::with_default;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log of these events, in text and in JSON.
fn logged(events: &[NodeEvent]) -> String {
    let lines = Lines::default();
    let writer = lines.clone();
    let format = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .without_time();
    let emit = || {
        let sink = Events::default();
        for event in events {
            sink.emit(event.clone().into());
        }
    };
    with_default(format.finish(), emit);
    lines.0.lock().unwrap().push(b'\n');
    let writer = lines.clone();
    let format = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .without_time()
        .json()
        .flatten_event(true);
    with_default(format.finish(), emit);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

/// What a node says when it enters an epoch, at a start or at a change.
fn entering(
    base: EpochBase,
    watermark: u64,
    plan: ReplayPlan,
    last_commit: CommitIndex,
) -> Vec<NodeEvent> {
    let epoch = base.epoch;
    let watermark = GlobalExecIndex(watermark);
    vec![
        NodeEvent::QueryingExecutor,
        NodeEvent::ExecutorQueried { epoch, watermark },
        NodeEvent::EpochOpened {
            base,
            start_timestamp_ms: TimestampMs(1_767_225_600_000),
            committee: CommitteeDigest::default(),
            own: None,
        },
        NodeEvent::ReplayPlanned(plan),
        NodeEvent::ConsumerCreated {
            epoch,
            start: watermark.next(),
        },
        NodeEvent::Recovered {
            last_commit,
            highest_round: Round(12),
            last_proposed_round: Round(12),
        },
        NodeEvent::Ready,
    ]
}

/// The example of contract §6.6: commits 1 to 10 are stored, the executor is durable at 7.
fn start() -> Vec<NodeEvent> {
    let epoch = Epoch(0);
    let (from, to) = (CommitIndex(8), CommitIndex(10));
    let plan = ReplayPlan::Replay { epoch, from, to };
    let mut events = vec![NodeEvent::Starting];
    events.extend(entering(EpochBase::GENESIS, 7, plan, to));
    events.push(NodeEvent::StreamConnected {
        connection: 1,
        start: GlobalExecIndex(8),
    });
    events
}

#[test]
fn a_start() {
    insta::assert_snapshot!(logged(&start()));
}

#[test]
fn an_epoch_change() {
    let boundary = Boundary {
        commit: CommitRef {
            index: CommitIndex(20),
            digest: CommitDigest::default(),
        },
        gei: GlobalExecIndex(20),
        timestamp_ms: TimestampMs(1_767_225_700_000),
    };
    let mut events = start();
    let before = events.len();
    let steps = [
        ChangeStep::BoundaryCommitted(boundary),
        ChangeStep::Drained(boundary),
        ChangeStep::Advanced(boundary),
    ];
    let epoch = Epoch(0);
    events.extend(steps.map(|step| NodeEvent::ChangeRecorded { epoch, step }));
    let base = EpochBase {
        epoch: Epoch(1),
        base: GlobalExecIndex(20),
    };
    let plan = ReplayPlan::Replay {
        epoch: Epoch(1),
        from: CommitIndex(1),
        to: CommitIndex(0),
    };
    events.extend(entering(base, 20, plan, CommitIndex(0)));
    let log = logged(&events);
    let (text, json) = log.split_once("\n\n").unwrap();
    let change = |log: &str| log.lines().skip(before).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!([change(text), change(json)].join("\n\n"));
}

#[test]
fn every_plan() {
    let (from, to) = (CommitIndex(8), CommitIndex(10));
    let epoch = Epoch(1);
    let (node, executor) = (epoch, epoch.next());
    let plans = [
        ReplayPlan::Replay { epoch, from, to },
        ReplayPlan::Replay {
            epoch,
            from: to.next(),
            to,
        },
        ReplayPlan::FetchOnly { epoch, from, to },
        ReplayPlan::PreviousTail {
            previous: epoch.prev(),
            from: GlobalExecIndex(98),
            to: GlobalExecIndex(100),
        },
        ReplayPlan::ResumeEpochChange { node, executor },
        ReplayPlan::JoinEpoch { node, executor },
    ];
    let log = logged(&plans.map(NodeEvent::ReplayPlanned));
    let (text, _) = log.split_once("\n\n").unwrap();
    insta::assert_snapshot!(text);
}
