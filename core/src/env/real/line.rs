//! The log line of an event: target, level and fields. Pure; [`super::log`] writes it.
//!
//! Levels: `error` ends the process, `warn` may need an operator, `info` is a change of the process's state, `debug`
//! occurs once per block or request, `trace` several times.

use crate::{
    env::{Event, ExecutorEvent, NodeEvent, PeerEvent, SubEvent},
    types::{ChainPosition, CommitIndex, Epoch, GlobalExecIndex, ReplayPlan, Standing},
};
use tracing::Level;

/// What a node does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Starting,
    /// It has been ready: what begins again belongs to a change of the epoch.
    Running,
}

impl Phase {
    /// The phase after an event.
    pub const fn after(self, event: &Event) -> Self {
        match event {
            Event::Node(NodeEvent::Starting) => Self::Starting,
            Event::Node(NodeEvent::Ready) => Self::Running,
            _ => self,
        }
    }
}

/// The subject of a line, contract §11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    /// `[STARTUP]`
    Startup,
    /// `[EXECUTOR-REQ]`
    ExecutorRequest,
    /// `[SEQUENTIAL-BUFFER]`
    SequentialBuffer,
    /// Blocks, commits and peers of the node.
    Consensus,
    /// `[EPOCH TRANSITION]`
    EpochTransition,
    /// `[PEER EPOCH]`
    PeerEpoch,
    /// The executor's side of the block stream.
    Execution,
    /// A Sub's side of the transaction socket.
    Transactions,
}

/// Target, level and fields of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub topic: Topic,
    pub level: Level,
    pub fields: Fields,
}

/// The fields of a line, in this order. Those without a value are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub epoch: Option<Epoch>,
    /// W of the executor at a start, or at the change to another epoch.
    pub last_global_exec_index: Option<GlobalExecIndex>,
    /// Delivery continues after this commit of the epoch.
    pub replay_after_commit_index: Option<CommitIndex>,
    /// Number of stored commits that are not delivered again, because they are durable in the executor.
    pub skipped: Option<u64>,
    /// Number of stored commits that are delivered.
    pub replayed: Option<u64>,
    /// The block, so that one block can be found in the logs of all processes.
    pub gei: Option<GlobalExecIndex>,
}

impl Line {
    pub fn of(event: &Event, phase: Phase) -> Self {
        match event {
            Event::Node(event) => of_node(event, phase),
            Event::Executor(event) => of_executor(event),
            Event::Sub(event) => of_sub(event),
            Event::Crashed(_) => line(Topic::Startup, Level::ERROR),
        }
    }

    const fn about(mut self, gei: GlobalExecIndex) -> Self {
        self.fields.gei = Some(gei);
        self
    }

    const fn in_epoch(mut self, epoch: Epoch) -> Self {
        self.fields.epoch = Some(epoch);
        self
    }

    const fn durable_at(mut self, watermark: GlobalExecIndex) -> Self {
        self.fields.last_global_exec_index = Some(watermark);
        self.about(watermark)
    }

    fn with_plan(mut self, plan: &ReplayPlan) -> Self {
        let fields = &mut self.fields;
        fields.epoch = Some(plan.epoch());
        match *plan {
            ReplayPlan::Replay { from, to, .. } => {
                let after = from.prev();
                fields.replay_after_commit_index = Some(after);
                fields.skipped = Some(after.0.into());
                fields.replayed = Some(to.0.saturating_sub(after.0).into());
            }
            ReplayPlan::FetchOnly { from, to, .. } => {
                fields.replay_after_commit_index = Some(to);
                fields.skipped = Some(from.prev().0.into());
                fields.replayed = Some(0);
            }
            ReplayPlan::PreviousTail { from, to, .. } => {
                fields.replayed = Some(to.next().0.saturating_sub(from.0));
            }
            ReplayPlan::ResumeEpochChange { .. } | ReplayPlan::JoinEpoch { .. } => {}
        }
        self
    }
}

const fn line(topic: Topic, level: Level) -> Line {
    Line {
        topic,
        level,
        fields: Fields {
            epoch: None,
            last_global_exec_index: None,
            replay_after_commit_index: None,
            skipped: None,
            replayed: None,
            gei: None,
        },
    }
}

fn of_node(event: &NodeEvent, phase: Phase) -> Line {
    use NodeEvent as E;
    use Topic::{Consensus, EpochTransition, ExecutorRequest, SequentialBuffer, Startup};
    // The steps by which an epoch is entered are the same at a start and at a change.
    let entering = match phase {
        Phase::Starting => Startup,
        Phase::Running => EpochTransition,
    };
    match event {
        E::Starting | E::LastProposedRoundLearned { .. } | E::Stopped => line(Startup, Level::INFO),
        E::Failed { .. } => line(Startup, Level::ERROR),

        E::QueryingExecutor | E::Recovered { .. } | E::Ready => line(entering, Level::INFO),
        E::Waiting { .. } => line(entering, Level::WARN),
        E::ExecutorQueried { epoch, watermark } => line(entering, Level::INFO)
            .in_epoch(*epoch)
            .durable_at(*watermark),
        E::GenesisAssumed {
            epoch, watermark, ..
        } => line(entering, Level::WARN)
            .in_epoch(*epoch)
            .durable_at(*watermark),
        E::ValidatorLeftOut { epoch, .. } => line(entering, Level::WARN).in_epoch(*epoch),
        E::ReplayPlanned(plan) => line(entering, Level::INFO).with_plan(plan),
        E::ConsumerCreated { epoch, start } => {
            line(entering, Level::INFO).in_epoch(*epoch).about(*start)
        }

        E::EpochOpened { base, .. } => line(EpochTransition, Level::INFO)
            .in_epoch(base.epoch)
            .about(base.base),
        E::ChangeRecorded { epoch, .. } | E::Requeued { epoch, .. } | E::EpochRemoved { epoch } => {
            line(EpochTransition, Level::INFO).in_epoch(*epoch)
        }

        E::Rejected { .. }
        | E::PeerOfOtherChain { .. }
        | E::PeerNotAuthenticated { .. }
        | E::PeerSilent { .. }
        | E::PeerDisplaced { .. }
        | E::HistoryMissing { .. }
        | E::Equivocation { .. } => line(Consensus, Level::WARN),
        E::PeerHeardAgain { .. } => line(Consensus, Level::INFO),
        E::Proposed { .. }
        | E::AncestorsMissing { .. }
        | E::AncestorsFetched { .. }
        | E::BlocksRepaired { .. }
        | E::CommitRepaired { .. }
        | E::LogCut { .. }
        | E::LeaderSkipped { .. } => line(Consensus, Level::DEBUG),
        E::CommitStored { gei, .. } => line(Consensus, Level::DEBUG).about(*gei),

        E::StreamConnected { start, .. } => line(SequentialBuffer, Level::INFO).about(*start),
        E::StreamLost { .. } | E::ProposalsPaused { .. } => line(SequentialBuffer, Level::WARN),
        E::ProposalsResumed { .. } => line(SequentialBuffer, Level::INFO),
        E::Rewound { to, .. } => line(SequentialBuffer, Level::WARN).about(*to),
        E::WatermarkStands { watermark, .. } => {
            line(SequentialBuffer, Level::WARN).about(*watermark)
        }
        E::WindowLoaded { last, .. } => line(SequentialBuffer, Level::DEBUG).about(*last),
        E::WatermarkLearned { watermark } => line(SequentialBuffer, Level::DEBUG).about(*watermark),
        E::FrameWritten { gei, .. } => line(SequentialBuffer, Level::TRACE).about(*gei),

        E::Peers(event) => of_peers(event),

        E::RpcSent { .. } => line(ExecutorRequest, Level::TRACE),
        E::RpcAnswered { .. } => line(ExecutorRequest, Level::DEBUG),
        E::RpcFailed { .. } => line(ExecutorRequest, Level::WARN),
    }
}

fn of_peers(event: &PeerEvent) -> Line {
    use PeerEvent as E;
    let of = |level| line(Topic::PeerEpoch, level);
    match event {
        E::Asked { .. } | E::Skipped { .. } => of(Level::INFO),
        E::Answered { position, .. } => of(Level::INFO)
            .in_epoch(position.epoch)
            .about(position.block),
        E::Silent { .. } => of(Level::WARN),
        E::Compared { standing, best, .. } => {
            let line = match standing {
                Standing::InSync => of(Level::INFO),
                Standing::Behind(_) | Standing::Unknown(_) => of(Level::WARN),
            };
            match best.as_ref().map(|best| best.position) {
                Some(ChainPosition { epoch, block }) => line.in_epoch(epoch).about(block),
                None => line,
            }
        }
        E::CatchingUp { .. } => of(Level::INFO),
        E::RootsDiffer { block, .. } => of(Level::ERROR).about(*block),
    }
}

const fn of_sub(event: &SubEvent) -> Line {
    use SubEvent as E;
    match event {
        E::Started | E::Stopped => line(Topic::Startup, Level::INFO),
        E::Failed { .. } => line(Topic::Startup, Level::ERROR),
        E::FollowFailed { .. } => line(Topic::Execution, Level::WARN),
        E::Diverged { .. } => line(Topic::Execution, Level::ERROR),
        E::Connected => line(Topic::Transactions, Level::INFO),
        E::Disconnected { .. } | E::Refused { .. } => line(Topic::Transactions, Level::WARN),
    }
}

fn of_executor(event: &ExecutorEvent) -> Line {
    use ExecutorEvent as E;
    use Topic::{Execution, ExecutorRequest, Startup};
    match event {
        E::Started { watermark, .. } => line(Startup, Level::INFO).about(*watermark),
        E::Stopped => line(Startup, Level::INFO),
        E::Failed { .. } => line(Startup, Level::ERROR),
        E::StreamAccepted { .. } | E::StreamClosed { .. } => line(Execution, Level::INFO),
        E::EpochEntered { boundary, .. } => line(Execution, Level::INFO).about(*boundary),
        E::Malformed { .. } => line(Execution, Level::WARN),
        E::Refused { gei, .. } => line(Execution, Level::WARN).about(*gei),
        E::Parked { gei, .. } => line(Execution, Level::INFO).about(*gei),
        E::Executed { gei, .. } => line(Execution, Level::DEBUG).about(*gei),
        E::Durable { watermark } => line(Execution, Level::DEBUG).about(*watermark),
        E::Received { gei, .. } => line(Execution, Level::TRACE).about(*gei),
        E::Reported { watermark } => line(ExecutorRequest, Level::TRACE).about(*watermark),
        E::Replied { .. } => line(ExecutorRequest, Level::TRACE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        env::{BlockRefusal, RpcKind},
        types::{BestPeer, Gap, Support},
    };

    /// The events that contract §11 names, with their targets and levels.
    #[test]
    fn events_have_the_targets_and_levels_of_the_contract() {
        let gei = GlobalExecIndex(8);
        let connection = 1;
        let reason = String::new;
        let kind = RpcKind::GetLastBlockNumber;
        let rpc_failed = NodeEvent::RpcFailed {
            connection,
            kind,
            reason: reason(),
        };
        let rewound = NodeEvent::Rewound {
            from: gei.next(),
            to: gei,
        };
        let waiting = NodeEvent::Waiting {
            attempt: 1,
            reason: reason(),
        };
        let connected = NodeEvent::StreamConnected {
            connection,
            start: gei,
        };
        let lost = NodeEvent::StreamLost {
            connection,
            reason: reason(),
        };
        let reason_of_block = BlockRefusal::Gap { expected: gei };
        let refused = ExecutorEvent::Refused {
            gei,
            reason: reason_of_block,
        };
        for (event, topic, level, about) in [
            (waiting.into(), Topic::Startup, Level::WARN, None),
            (NodeEvent::Ready.into(), Topic::Startup, Level::INFO, None),
            (rpc_failed.into(), Topic::ExecutorRequest, Level::WARN, None),
            (
                connected.into(),
                Topic::SequentialBuffer,
                Level::INFO,
                Some(gei),
            ),
            (lost.into(), Topic::SequentialBuffer, Level::WARN, None),
            (
                rewound.into(),
                Topic::SequentialBuffer,
                Level::WARN,
                Some(gei),
            ),
            (refused.into(), Topic::Execution, Level::WARN, Some(gei)),
        ] {
            let fields = Fields {
                gei: about,
                ..Fields::default()
            };
            let expected = Line {
                topic,
                level,
                fields,
            };
            assert_eq!(Line::of(&event, Phase::Starting), expected, "{event}");
        }
    }

    #[test]
    fn a_line_about_peers_says_where_the_best_is_and_warns_unless_in_sync() {
        let position = ChainPosition {
            epoch: Epoch(2),
            block: GlobalExecIndex(70),
        };
        let compared = |standing| PeerEvent::Compared {
            standing,
            peers: 3,
            answered: 2,
            own: Some(ChainPosition {
                epoch: Epoch(1),
                block: GlobalExecIndex(69),
            }),
            stored: None,
            best: Some(BestPeer {
                peer: 1,
                position,
                support: Support::Peers { peers: 2 },
            }),
            address: "tcp://10.0.0.2:9100".to_owned(),
        };
        let fields = Fields::default();
        let at_best = Fields {
            epoch: Some(position.epoch),
            gei: Some(position.block),
            ..fields
        };
        for (event, level, fields, text) in [
            (
                PeerEvent::Asked { peers: 3 },
                Level::INFO,
                fields,
                "asks 3 peers for epoch and block",
            ),
            (
                compared(Standing::InSync),
                Level::INFO,
                at_best,
                "is in sync: 2 of 3 peers have answered, the own executor is at epoch 1, block 69, the best is peer 1 \
                 (tcp://10.0.0.2:9100) at epoch 2, block 70: supported, 2 of the peers are there or further",
            ),
            (
                compared(Standing::Behind(Gap::Epochs(1))),
                Level::WARN,
                at_best,
                "is behind by 1 epoch: 2 of 3 peers have answered, the own executor is at epoch 1, block 69, the best \
                 is peer 1 (tcp://10.0.0.2:9100) at epoch 2, block 70: supported, 2 of the peers are there or further",
            ),
        ] {
            let expected = Line {
                topic: Topic::PeerEpoch,
                level,
                fields,
            };
            assert_eq!(event.to_string(), text);
            assert_eq!(Line::of(&event.into(), Phase::Starting), expected, "{text}");
        }
    }
}
