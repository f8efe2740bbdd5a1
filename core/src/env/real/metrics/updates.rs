//! What an event changes in metrics. Pure; [`super::registry`] applies it.

use super::declared::{Metric, Program};
use crate::{
    env::{BlockRefusal, Event, ExecutorEvent, NodeEvent, PeerEvent, RpcKind, SubEvent},
    types::{ChangeStep, Standing},
};
use smallvec::{SmallVec, smallvec};
use std::time::Duration;

/// A change of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Update {
    /// A gauge has this value.
    Set(Metric, u64),
    /// A counter grows.
    Add(Metric, u64),
    /// The counter of a label's value grows by one.
    Count(Metric, &'static str),
    /// A duration, of a label's value.
    Observe(Metric, &'static str, Duration),
    /// Proposals are paused from now on, or no longer.
    Pause(bool),
}

pub(super) type Updates = SmallVec<[Update; 4]>;

/// Every value of a label with which a metric is exported from the beginning.
pub(super) const fn labels(metric: Metric) -> &'static [&'static str] {
    match metric {
        Metric::RpcDuration | Metric::RpcFailures => &[
            "GetActiveValidators",
            "GetValidatorsAtBlock",
            "GetLastBlockNumber",
            "GetCurrentEpoch",
            "GetEpochStartTimestamp",
            "AdvanceEpoch",
            "GetEpochBoundaryData",
            "GetBlocksRange",
        ],
        Metric::RefusedBlocks => &[
            "duplicate",
            "gap",
            "no_room_to_wait",
            "wrong_epoch",
            "malformed",
        ],
        _ => &[],
    }
}

const fn label(kind: RpcKind) -> &'static str {
    match kind {
        RpcKind::GetActiveValidators => "GetActiveValidators",
        RpcKind::GetValidatorsAtBlock => "GetValidatorsAtBlock",
        RpcKind::GetLastBlockNumber => "GetLastBlockNumber",
        RpcKind::GetCurrentEpoch => "GetCurrentEpoch",
        RpcKind::GetEpochStartTimestamp => "GetEpochStartTimestamp",
        RpcKind::AdvanceEpoch => "AdvanceEpoch",
        RpcKind::GetEpochBoundaryData => "GetEpochBoundaryData",
        RpcKind::GetBlocksRange => "GetBlocksRange",
        RpcKind::Unknown => "unknown",
    }
}

/// What an event changes in the metrics of a process. `duration`: of the exchange that it ends.
pub(super) fn updates(event: &Event, program: Program, duration: Option<Duration>) -> Updates {
    match (event, program) {
        (Event::Node(event), Program::Node) => of_node(event, duration),
        (Event::Executor(event), Program::Executor) => of_executor(event),
        (Event::Executor(event), Program::Sub) => of_followed_state(event),
        (Event::Sub(event), Program::Sub) => of_sub(event),
        // A Sub asks its Master; its exchanges have no metrics.
        _ => smallvec![],
    }
}

fn of_node(event: &NodeEvent, duration: Option<Duration>) -> Updates {
    use NodeEvent as E;
    use Update::{Add, Count, Observe, Pause, Set};
    match event {
        E::ExecutorQueried { watermark, .. }
        | E::GenesisAssumed { watermark, .. }
        | E::WatermarkLearned { watermark } => smallvec![Set(Metric::DurableGei, watermark.0)],
        E::EpochOpened { base, .. } => smallvec![
            Set(Metric::Epoch, base.epoch.0),
            Set(Metric::EpochBaseGei, base.base.0),
            Set(Metric::CommitIndex, 0),
            Set(Metric::EpochChangeStep, 0),
            // A new window is empty.
            Pause(false),
        ],
        E::Recovered { last_commit, .. } => {
            smallvec![Set(Metric::CommitIndex, last_commit.0.into())]
        }
        E::ChangeRecorded { step, .. } => {
            let step = match step {
                ChangeStep::Running => 0,
                ChangeStep::BoundaryCommitted(_) => 1,
                ChangeStep::Drained(_) => 2,
                ChangeStep::Advanced(_) => 3,
            };
            smallvec![Set(Metric::EpochChangeStep, step)]
        }
        E::Proposed {
            transactions,
            payload_bytes,
            ..
        } => smallvec![
            Add(Metric::ProposedBlocks, 1),
            Add(Metric::ProposedTransactions, (*transactions).into()),
            Add(Metric::ProposedBytes, (*payload_bytes).into()),
        ],
        E::CommitStored { commit, .. } => smallvec![
            Add(Metric::Commits, 1),
            Set(Metric::CommitIndex, commit.index.0.into()),
        ],
        E::LeaderSkipped { .. } => smallvec![Add(Metric::LeadersSkipped, 1)],
        E::Rejected { .. } => smallvec![Add(Metric::Rejected, 1)],
        E::Equivocation { .. } => smallvec![Add(Metric::Equivocations, 1)],
        E::StreamConnected { .. } => smallvec![Add(Metric::StreamConnects, 1)],
        E::StreamLost { .. } => smallvec![Add(Metric::StreamLosses, 1)],
        E::FrameWritten { .. } => smallvec![Add(Metric::StreamBlocks, 1)],
        E::Rewound { .. } => smallvec![Add(Metric::Rewinds, 1)],
        E::ProposalsPaused { .. } => smallvec![Pause(true)],
        E::ProposalsResumed { .. } => smallvec![Pause(false)],
        E::RpcAnswered { kind, .. } => {
            let observed = |duration| Observe(Metric::RpcDuration, label(*kind), duration);
            duration.map(observed).into_iter().collect()
        }
        E::RpcFailed { kind, .. } => smallvec![Count(Metric::RpcFailures, label(*kind))],
        E::Peers(event) => of_peers(event),
        _ => smallvec![],
    }
}

fn of_peers(event: &PeerEvent) -> Updates {
    use Update::Set;
    let PeerEvent::Compared {
        standing,
        answered,
        best,
        ..
    } = event
    else {
        return smallvec![];
    };
    let standing = match standing {
        Standing::Unknown(_) => 0,
        Standing::InSync => 1,
        Standing::Behind(_) => 2,
    };
    let mut updates = smallvec![
        Set(Metric::PeerStanding, standing),
        Set(Metric::PeersAnswered, (*answered).into()),
    ];
    if let Some(best) = best {
        updates.push(Set(Metric::BestPeerEpoch, best.position.epoch.0));
        updates.push(Set(Metric::BestPeerBlock, best.position.block.0));
    }
    updates
}

fn of_executor(event: &ExecutorEvent) -> Updates {
    use ExecutorEvent as E;
    use Update::{Add, Count, Set};
    match event {
        E::Started { watermark, .. } => smallvec![
            Set(Metric::DurableBlock, watermark.0),
            Set(Metric::ExecutedBlock, watermark.0),
        ],
        E::Durable { watermark } => smallvec![Set(Metric::DurableBlock, watermark.0)],
        E::EpochEntered { epoch, .. } => smallvec![Set(Metric::ExecutorEpoch, epoch.0)],
        E::Received { .. } => smallvec![Add(Metric::ReceivedBlocks, 1)],
        E::Executed {
            gei,
            applied,
            skipped,
            ..
        } => smallvec![
            Set(Metric::ExecutedBlock, gei.0),
            Add(Metric::ExecutedBlocks, 1),
            Add(Metric::AppliedTransactions, applied.len() as u64),
            Add(Metric::SkippedTransactions, (*skipped).into()),
        ],
        E::Refused { reason, .. } => {
            smallvec![Count(Metric::RefusedBlocks, refusal(reason))]
        }
        E::Malformed { .. } => smallvec![Count(Metric::RefusedBlocks, "malformed")],
        E::StreamAccepted { .. } => smallvec![Add(Metric::StreamsAccepted, 1)],
        E::StreamClosed { .. } => smallvec![Add(Metric::StreamsClosed, 1)],
        E::Parked { .. }
        | E::Reported { .. }
        | E::Replied { .. }
        | E::Stopped
        | E::Failed { .. } => smallvec![],
    }
}

const fn refusal(reason: &BlockRefusal) -> &'static str {
    match reason {
        BlockRefusal::Duplicate { .. } => "duplicate",
        BlockRefusal::Gap { .. } => "gap",
        BlockRefusal::NoRoomToWait { .. } => "no_room_to_wait",
        BlockRefusal::WrongEpoch { .. } => "wrong_epoch",
    }
}

/// A Sub keeps a state as an executor does.
fn of_followed_state(event: &ExecutorEvent) -> Updates {
    match event {
        ExecutorEvent::Started { watermark, .. } | ExecutorEvent::Durable { watermark } => {
            smallvec![Update::Set(Metric::FollowedBlock, watermark.0)]
        }
        _ => smallvec![],
    }
}

fn of_sub(event: &SubEvent) -> Updates {
    use SubEvent as E;
    use Update::Add;
    match event {
        E::Connected => smallvec![Add(Metric::SubConnects, 1)],
        E::Disconnected { .. } => smallvec![Add(Metric::SubLosses, 1)],
        E::Refused { transactions, .. } => {
            smallvec![Add(Metric::RefusedTransactions, (*transactions).into())]
        }
        E::FollowFailed { .. } => smallvec![Add(Metric::FollowFailures, 1)],
        E::Diverged { .. } | E::Started | E::Stopped | E::Failed { .. } => smallvec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{CommitDigest, CommitIndex, CommitRef, Epoch, EpochBase, GlobalExecIndex};
    use crate::{
        env::CommitOrigin,
        types::{BlockRef, Round},
    };

    const NODE: Program = Program::Node;
    const GEI: GlobalExecIndex = GlobalExecIndex(8);

    fn of(event: impl Into<Event>, program: Program) -> Vec<Update> {
        let duration = Some(Duration::from_millis(3));
        updates(&event.into(), program, duration).to_vec()
    }

    #[test]
    fn a_commit_moves_the_index_and_an_epoch_starts_it_again() {
        let commit = CommitRef {
            index: CommitIndex(7),
            digest: CommitDigest::default(),
        };
        let stored = NodeEvent::CommitStored {
            epoch: Epoch(1),
            commit,
            gei: GEI,
            leader: BlockRef::first_of_round(Round(9)),
            blocks: 4,
            origin: CommitOrigin::Direct,
        };
        let expected = [
            Update::Add(Metric::Commits, 1),
            Update::Set(Metric::CommitIndex, 7),
        ];
        assert_eq!(of(stored, NODE), expected);
        let opened = NodeEvent::EpochOpened {
            base: EpochBase {
                epoch: Epoch(2),
                base: GEI,
            },
            start_timestamp_ms: crate::types::TimestampMs(0),
            committee: crate::types::CommitteeDigest::default(),
            own: None,
        };
        let opened = of(opened, NODE);
        for expected in [
            Update::Set(Metric::Epoch, 2),
            Update::Set(Metric::EpochBaseGei, 8),
            Update::Set(Metric::CommitIndex, 0),
            Update::Pause(false),
        ] {
            assert!(opened.contains(&expected), "{expected:?}");
        }
    }

    #[test]
    fn exchanges_are_measured_if_they_are_answered_and_counted_if_not() {
        let (connection, kind) = (1, RpcKind::GetLastBlockNumber);
        let answered = NodeEvent::RpcAnswered {
            connection,
            request: 1,
            reply: 1,
            kind,
        };
        let failed = NodeEvent::RpcFailed {
            connection,
            kind,
            reason: String::new(),
        };
        let took = Duration::from_millis(3);
        assert_eq!(
            of(answered.clone(), NODE),
            [Update::Observe(
                Metric::RpcDuration,
                "GetLastBlockNumber",
                took
            )]
        );
        assert_eq!(
            of(failed, NODE),
            [Update::Count(Metric::RpcFailures, "GetLastBlockNumber")]
        );
        assert_eq!(of(answered, Program::Sub), []);
    }

    #[test]
    fn refused_blocks_are_told_apart() {
        let (sent, expected) = (Epoch(1), Epoch(0));
        for (reason, label) in [
            (BlockRefusal::Duplicate { expected: GEI }, "duplicate"),
            (BlockRefusal::Gap { expected: GEI }, "gap"),
            (
                BlockRefusal::NoRoomToWait { expected: GEI },
                "no_room_to_wait",
            ),
            (BlockRefusal::WrongEpoch { sent, expected }, "wrong_epoch"),
        ] {
            let refused = ExecutorEvent::Refused { gei: GEI, reason };
            let expected = [Update::Count(Metric::RefusedBlocks, label)];
            assert_eq!(of(refused, Program::Executor), expected);
            assert!(labels(Metric::RefusedBlocks).contains(&label));
        }
    }

    #[test]
    fn what_an_executor_makes_durable_is_what_a_sub_follows() {
        let durable = || ExecutorEvent::Durable { watermark: GEI };
        assert_eq!(
            of(durable(), Program::Executor),
            [Update::Set(Metric::DurableBlock, 8)]
        );
        assert_eq!(
            of(durable(), Program::Sub),
            [Update::Set(Metric::FollowedBlock, 8)]
        );
    }

    #[test]
    fn w_comes_from_every_answer_of_the_executor() {
        let queried = NodeEvent::ExecutorQueried {
            epoch: Epoch(0),
            watermark: GEI,
        };
        let learned = NodeEvent::WatermarkLearned { watermark: GEI };
        for event in [queried, learned] {
            assert_eq!(of(event, NODE), [Update::Set(Metric::DurableGei, 8)]);
        }
    }
}
