//! States that a suite should reach sometimes, counted over a run.

use crate::{
    trace::{Entry, ProcessId, What, WorldEvent},
    witness::Fact,
};
use metanode_core::{
    env::{CommitOrigin, Event, ExecutorEvent, NodeEvent, PeerEvent},
    types::{ChangeStep, Epoch, GlobalExecIndex, ReplayPlan, Standing, Support, UnknownBecause},
};
use std::collections::{BTreeMap, BTreeSet};

macro_rules! probes {
    ($($name:ident = $text:literal,)*) => {
        /// A state that a suite should reach.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Probe { $($name,)* }

        impl Probe {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name in reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

probes! {
    ReplayNothing = "replay: nothing",
    ReplaySome = "replay: some commits",
    ReplayFetchOnly = "replay: executor ahead of the store",
    ReplayPreviousTail = "replay: tail of the epoch before",
    ReplayResumesChange = "replay: epoch change resumed",
    ReplayJoinsEpoch = "replay: executor's epoch joined",
    WaitedForExecutor = "start waited for the executor",
    ProposalsPaused = "window full, proposals paused",
    Rewound = "watermark fell, sender rewound",
    StreamLost = "block stream lost",
    Repeated = "executor got a block again",
    CommitIndirect = "leader committed by a later one",
    CommitCertified = "commit fetched with a quorum's votes",
    LeaderSkipped = "leader skipped",
    CommitFull = "commit full, blocks left to later ones",
    AncestorsMissing = "block waited for an ancestor",
    AncestorsFetched = "ancestor fetched from a peer",
    OwnBlockRecovered = "own round learned above genesis",
    WritesLost = "power loss took unsynced writes",
    TornWriteDropped = "start over a torn write",
    RpcFailed = "RPC failed",
    BlocksRepaired = "damaged block fetched again",
    CommitRepaired = "damaged commit fetched again",
    LogCut = "log ended before a damaged commit",
    DiskFailed = "process ended because its disk failed",
    DiskRestored = "older backup put back",
    DiskCopied = "disk of another executor taken over",
    TooManyDown = "fault left out",
    Rejected = "something received was not believed",
    OtherChainRefused = "a peer of another chain was refused",
    EquivocationSeen = "two blocks of one author for one round seen",
    EpochChanged = "epoch changed",
    ChangeAfterRestart = "change recorded after a restart",
    FollowsWithoutVote = "node follows without a vote",
    Requeued = "own block left out, transactions proposed again",
    EpochRemoved = "store of an old epoch removed",
    SubFollows = "a Sub made blocks durable",
    BlockInParts = "a Sub got a block in parts",
    BatchRefused = "a batch was refused",
    BlockParked = "executor kept a block above a gap",
    WatermarkStands = "watermark stood still, which was told",
    PeerAhead = "executor behind a peer's, which was told",
    CatchingUp = "time until an executor has caught up was told",
    HistoryMissing = "commits that no peer keeps were waited for",
    PeerSilent = "a peer without blocks was told",
    PeerHeardAgain = "blocks of a peer that was silent were told",
    NoPeerAnswered = "no peer answered, standing unknown",
    ClaimWithoutSupport = "peer's claim without support",
    OwnCommitsSupport = "peer's claim supported by own commits",
    RootsDiffer = "peer told another state root",
}

/// Counts of reached states.
#[derive(Clone, Debug)]
pub struct Probes {
    counts: [u64; Probe::ALL.len()],
    /// Processes with a torn write on their disk.
    torn: BTreeSet<ProcessId>,
    /// The last executed block of each executor.
    executed: BTreeMap<ProcessId, GlobalExecIndex>,
    /// The epoch out of which each node's incarnation has begun to change.
    changing: BTreeMap<ProcessId, Epoch>,
}

impl Default for Probes {
    fn default() -> Self {
        Self {
            counts: [0; Probe::ALL.len()],
            torn: BTreeSet::new(),
            executed: BTreeMap::new(),
            changing: BTreeMap::new(),
        }
    }
}

impl Probes {
    /// All probes with their counts, including those never reached.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        Probe::ALL
            .iter()
            .map(|probe| (probe.name().to_owned(), self.counts[*probe as usize]))
            .collect()
    }

    pub(crate) fn observe(&mut self, entry: &Entry) {
        if let Some(probe) = reached(&entry.what) {
            self.counts[probe as usize] += 1;
        }
        match &entry.what {
            What::Seen(Fact::Durable { .. }) if matches!(entry.process, ProcessId::Sub(_)) => {
                self.counts[Probe::SubFollows as usize] += 1;
            }
            What::World(WorldEvent::Started { .. }) => {
                self.changing.remove(&entry.process);
            }
            What::Process(Event::Node(NodeEvent::ChangeRecorded { epoch, step })) => {
                let begun = self.changing.insert(entry.process, *epoch);
                let begins = matches!(step, ChangeStep::BoundaryCommitted(_));
                if begun != Some(*epoch) && !begins {
                    self.counts[Probe::ChangeAfterRestart as usize] += 1;
                }
            }
            What::World(WorldEvent::PowerLost { torn_writes, .. }) if *torn_writes > 0 => {
                self.torn.insert(entry.process);
            }
            What::Process(
                Event::Node(NodeEvent::Recovered { .. })
                | Event::Executor(ExecutorEvent::Started { .. }),
            ) if self.torn.remove(&entry.process) => {
                self.counts[Probe::TornWriteDropped as usize] += 1;
            }
            _ => {}
        }
        if let What::Process(Event::Executor(event)) = &entry.what {
            self.follow(entry.process, event);
        }
    }

    fn follow(&mut self, executor: ProcessId, event: &ExecutorEvent) {
        match event {
            ExecutorEvent::Started { watermark: gei, .. } | ExecutorEvent::Executed { gei, .. } => {
                self.executed.insert(executor, *gei);
            }
            ExecutorEvent::Received { gei, .. } if self.executed.get(&executor) >= Some(gei) => {
                self.counts[Probe::Repeated as usize] += 1;
            }
            _ => {}
        }
    }
}

fn reached(what: &What) -> Option<Probe> {
    Some(match what {
        What::World(WorldEvent::PowerLost { lost_writes, .. }) if *lost_writes > 0 => {
            Probe::WritesLost
        }
        What::World(WorldEvent::DiskRestored {
            copied_from: Some(_),
            ..
        }) => Probe::DiskCopied,
        What::World(WorldEvent::DiskRestored { .. }) => Probe::DiskRestored,
        What::World(WorldEvent::FaultSkipped { .. }) => Probe::TooManyDown,
        What::Seen(Fact::BatchAnswered { success: false, .. }) => Probe::BatchRefused,
        What::Seen(Fact::ReplySent { reply, .. }) if reply.is_part_of_a_block() => {
            Probe::BlockInParts
        }
        What::Seen(Fact::CommitStored { commit, .. })
            if !commit.blocks.contains(&commit.leader) =>
        {
            Probe::CommitFull
        }
        What::Process(Event::Executor(ExecutorEvent::Parked { .. })) => Probe::BlockParked,
        What::Process(Event::Node(event)) => return of_node(event),
        _ => return None,
    })
}

fn of_node(event: &NodeEvent) -> Option<Probe> {
    Some(match event {
        NodeEvent::ReplayPlanned(ReplayPlan::Replay { from, to, .. }) if from > to => {
            Probe::ReplayNothing
        }
        NodeEvent::ReplayPlanned(ReplayPlan::Replay { .. }) => Probe::ReplaySome,
        NodeEvent::ReplayPlanned(ReplayPlan::FetchOnly { .. }) => Probe::ReplayFetchOnly,
        NodeEvent::ReplayPlanned(ReplayPlan::PreviousTail { .. }) => Probe::ReplayPreviousTail,
        NodeEvent::ReplayPlanned(ReplayPlan::ResumeEpochChange { .. }) => {
            Probe::ReplayResumesChange
        }
        NodeEvent::ReplayPlanned(ReplayPlan::JoinEpoch { .. }) => Probe::ReplayJoinsEpoch,
        NodeEvent::ChangeRecorded {
            step: ChangeStep::Advanced(_),
            ..
        } => Probe::EpochChanged,
        NodeEvent::EpochOpened { own: None, .. } => Probe::FollowsWithoutVote,
        NodeEvent::Requeued { .. } => Probe::Requeued,
        NodeEvent::EpochRemoved { .. } => Probe::EpochRemoved,
        NodeEvent::Waiting { .. } => Probe::WaitedForExecutor,
        NodeEvent::ProposalsPaused { .. } => Probe::ProposalsPaused,
        NodeEvent::Rewound { .. } => Probe::Rewound,
        NodeEvent::WatermarkStands { .. } => Probe::WatermarkStands,
        NodeEvent::Peers(event) => return of_peers(event),
        NodeEvent::StreamLost { .. } => Probe::StreamLost,
        NodeEvent::CommitStored {
            origin: CommitOrigin::Indirect,
            ..
        } => Probe::CommitIndirect,
        NodeEvent::CommitStored {
            origin: CommitOrigin::Certified,
            ..
        } => Probe::CommitCertified,
        NodeEvent::LeaderSkipped { .. } => Probe::LeaderSkipped,
        NodeEvent::AncestorsMissing { .. } => Probe::AncestorsMissing,
        NodeEvent::HistoryMissing { .. } => Probe::HistoryMissing,
        NodeEvent::PeerSilent { .. } => Probe::PeerSilent,
        NodeEvent::PeerHeardAgain { .. } => Probe::PeerHeardAgain,
        NodeEvent::AncestorsFetched { .. } => Probe::AncestorsFetched,
        NodeEvent::LastProposedRoundLearned { round } if round.0 > 0 => Probe::OwnBlockRecovered,
        NodeEvent::RpcFailed { .. } => Probe::RpcFailed,
        NodeEvent::BlocksRepaired { .. } => Probe::BlocksRepaired,
        NodeEvent::CommitRepaired { .. } => Probe::CommitRepaired,
        NodeEvent::LogCut { .. } => Probe::LogCut,
        NodeEvent::Failed { .. } => Probe::DiskFailed,
        NodeEvent::Rejected { .. } => Probe::Rejected,
        NodeEvent::PeerOfOtherChain { .. } => Probe::OtherChainRefused,
        NodeEvent::Equivocation { .. } => Probe::EquivocationSeen,
        _ => return None,
    })
}

fn of_peers(event: &PeerEvent) -> Option<Probe> {
    Some(match event {
        PeerEvent::RootsDiffer { .. } => Probe::RootsDiffer,
        PeerEvent::CatchingUp { .. } => Probe::CatchingUp,
        PeerEvent::Compared { standing, best, .. } => match (standing, best) {
            (Standing::Unknown(UnknownBecause::NoAnswer), _) => Probe::NoPeerAnswered,
            (Standing::Unknown(UnknownBecause::NoSupport), _) => Probe::ClaimWithoutSupport,
            (Standing::Behind(_), _) => Probe::PeerAhead,
            (_, Some(best)) if best.support == Support::OwnCommits => Probe::OwnCommitsSupport,
            _ => return None,
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::testing::{
        advanced, boundary_committed, drained, follows, node, opened, world_event,
    };

    fn count(entries: &[Entry], probe: Probe) -> u64 {
        let mut probes = Probes::default();
        for entry in entries {
            probes.observe(entry);
        }
        probes.counts()[probe.name()]
    }

    #[test]
    fn a_change_that_another_incarnation_began_is_counted_once() {
        let process = ProcessId::Node(0);
        let restarted = world_event(2, process, WorldEvent::Started { start: 2 });
        let mut trace = vec![
            node(0, 0, opened(0, 0)),
            node(1, 0, boundary_committed(0, 5)),
            node(3, 0, drained(0, 5)),
            node(4, 0, advanced(0, 5)),
        ];
        assert_eq!(count(&trace, Probe::ChangeAfterRestart), 0);
        assert_eq!(count(&trace, Probe::EpochChanged), 1);
        trace.insert(2, restarted);
        assert_eq!(count(&trace, Probe::ChangeAfterRestart), 1);
    }

    #[test]
    fn a_node_that_is_not_a_member_follows() {
        let trace = [node(0, 0, opened(0, 0)), node(1, 0, follows(1, 5))];
        assert_eq!(count(&trace, Probe::FollowsWithoutVote), 1);
    }
}
