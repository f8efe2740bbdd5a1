//! TRUTH, about peers: *what a process reports of itself is what its bytes and its disk say.*
//!
//! Judges what a node says of the executors of its peers (contract §10.1 to §10.3, §10.5) by the replies that it has read and
//! by its disk. Which position has support is computed here a second time, from the contract.
//!
//! Violations: a peer whose position is reported otherwise than its replies say, or that has answered both questions and is
//! reported as silent; an own position that is in no reply of the own executor, or stored commits that are not on the disk; a
//! best peer that is not the furthest one with support; a standing other than the answers say: *unknown* if and only if no
//! position has support, the own executor has not answered, or fewer than n-f peers have and none of them is further,
//! *behind* in a lower epoch or more than five blocks below; another state root that was told by fewer peers than reported; a
//! distance to the best peer that is not that of the comparison before.
//!
//! No violation: an own position that the node has learned and that is not its executor's last one; fewer peers with another
//! root than told it.

use super::{Invariant, Oracle, Violation};
use crate::{
    plan::Plan,
    trace::{Entry, ProcessId, What, WorldEvent},
    witness::{Fact, Reply, StateRoot},
};
use metanode_core::{
    env::{Event, NodeEvent, PeerEvent},
    types::{
        BestPeer, ChainPosition, Epoch, Gap, GlobalExecIndex, Standing, Support, UnknownBecause,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// The contract's: in the same epoch so many blocks below the best peer are in sync.
const NEAR_BLOCKS: u64 = 5;

pub(super) struct Peers {
    nodes: BTreeMap<u16, Node>,
    /// The peers of each node, in the order of its configuration.
    peers: BTreeMap<u16, Vec<u16>>,
}

/// What one node has read and stored.
#[derive(Default)]
struct Node {
    /// Of replies of the own executor to this incarnation.
    watermarks: BTreeSet<GlobalExecIndex>,
    /// In which this incarnation has found its executor.
    epochs: BTreeSet<Epoch>,
    bases: BTreeMap<Epoch, GlobalExecIndex>,
    /// The last commit on its disk, also before it was restored.
    stored: Option<ChainPosition>,
    /// By their place: what peers have answered since they were last asked.
    heard: BTreeMap<u16, Heard>,
    roots: BTreeMap<(u16, GlobalExecIndex), StateRoot>,
    /// How many blocks the node has last said it is below the best peer.
    distance: Option<u64>,
}

#[derive(Clone, Copy, Default)]
struct Heard {
    epoch: Option<Epoch>,
    block: Option<GlobalExecIndex>,
}

impl Heard {
    fn position(&self) -> Option<ChainPosition> {
        let (epoch, block) = (self.epoch?, self.block?);
        Some(ChainPosition { epoch, block })
    }
}

impl Peers {
    pub(super) fn new(plan: &Plan) -> Self {
        let peers = (0..plan.validators).map(|node| (node, plan.peers_of(node)));
        Self {
            nodes: BTreeMap::new(),
            peers: peers.collect(),
        }
    }

    fn place(&self, node: u16, peer: u16) -> Option<u16> {
        let position = self.peers.get(&node)?.iter().position(|it| *it == peer)?;
        u16::try_from(position).ok()
    }
}

impl Node {
    fn started(&mut self) {
        self.watermarks.clear();
        self.epochs.clear();
        self.heard.clear();
        self.roots.clear();
    }

    fn seen(&mut self, fact: &Fact) {
        match fact {
            Fact::ReplyRead { reply, .. } => self.watermarks.extend(reply.watermark()),
            Fact::EpochRecorded { record } => {
                self.bases.insert(record.epoch, record.base);
                // Before its first commit.
                self.stores(record.epoch, record.base);
            }
            Fact::CommitStored { commit, .. } => {
                if let Some(base) = self.bases.get(&commit.epoch) {
                    let block = GlobalExecIndex(base.0 + u64::from(commit.index.0));
                    self.stores(commit.epoch, block);
                }
            }
            _ => {}
        }
    }

    fn stores(&mut self, epoch: Epoch, block: GlobalExecIndex) {
        self.stored = self.stored.max(Some(ChainPosition { epoch, block }));
    }

    fn answered(&mut self, place: u16, reply: &Reply) {
        let heard = self.heard.entry(place).or_default();
        match reply {
            Reply::CurrentEpoch(epoch) => heard.epoch = Some(*epoch),
            Reply::Blocks(blocks) => {
                let roots = blocks.iter().map(|it| ((place, it.number), it.state_root));
                self.roots.extend(roots);
            }
            reply => heard.block = reply.watermark().or(heard.block),
        }
    }

    /// # Errors
    /// What differs, and the clause.
    fn said(&mut self, event: &PeerEvent, peers: u16) -> Result<(), (&'static str, String)> {
        match event {
            PeerEvent::Asked { .. } => {
                self.heard.clear();
                self.roots.clear();
                Ok(())
            }
            PeerEvent::Answered { peer, position, .. } => {
                let heard = self.heard.get(peer).and_then(Heard::position);
                same("peer-reported-otherwise", heard, Some(*position))
            }
            PeerEvent::Silent { peer, .. } => {
                let heard = self.heard.get(peer).and_then(Heard::position);
                same("peer-reported-silent", heard, None)
            }
            PeerEvent::Compared {
                standing,
                own,
                best,
                ..
            } => {
                let is_behind = matches!(standing, Standing::Behind(_));
                let both = own.zip(*best).filter(|_| is_behind);
                self.distance =
                    both.map(|(own, best)| best.position.block.0.saturating_sub(own.block.0));
                self.compared(event, peers)
            }
            PeerEvent::RootsDiffer {
                block,
                other,
                peers,
                ..
            } => {
                let told = self
                    .roots
                    .iter()
                    .filter(|((_, number), root)| number == block && **root == StateRoot(other.0));
                match told.count() >= usize::from(*peers) {
                    true => Ok(()),
                    false => Err(("root-not-told", format!("expected {peers} peers with it"))),
                }
            }
            PeerEvent::CatchingUp {
                remaining_blocks, ..
            } => same("distance-otherwise", self.distance, Some(*remaining_blocks)),
            PeerEvent::Skipped { .. } => Ok(()),
        }
    }

    fn compared(&self, event: &PeerEvent, peers: u16) -> Result<(), (&'static str, String)> {
        let PeerEvent::Compared {
            standing,
            answered,
            own,
            stored,
            best,
            ..
        } = event
        else {
            return Ok(());
        };
        let answers: BTreeMap<u16, ChainPosition> = (self.heard.iter())
            .filter_map(|(place, heard)| Some((*place, heard.position()?)))
            .collect();
        same("answers-miscounted", answers.len(), usize::from(*answered))?;
        let is_known = |own: &ChainPosition| {
            self.watermarks.contains(&own.block) && self.epochs.contains(&own.epoch)
        };
        if !own.as_ref().is_none_or(is_known) {
            let message = "the own position is in no reply of the own executor".to_owned();
            return Err(("own-position-in-no-reply", message));
        }
        if *stored > self.stored {
            let message = format!("the disk has commits up to {:?}", self.stored);
            return Err(("stored-otherwise", message));
        }
        let expected = best_of(&answers, *stored, peers);
        // Of several peers at one position any may be named.
        if let Some(best) = best {
            let there = answers.get(&best.peer).copied();
            same("best-peer-elsewhere", there, Some(best.position))?;
        }
        let found = best.map(|best| (best.position, is_supported(&best)));
        same("another-best-peer", expected, found)?;
        let few = answers.len() < usize::from(peers - peers / 3);
        let expected = match standing_of(expected, *own) {
            Standing::InSync if few => Standing::Unknown(UnknownBecause::FewAnswers),
            expected => expected,
        };
        same("another-standing", expected, *standing)
    }
}

fn same<T: PartialEq + std::fmt::Debug>(
    clause: &'static str,
    expected: T,
    found: T,
) -> Result<(), (&'static str, String)> {
    match expected == found {
        true => Ok(()),
        false => Err((clause, format!("expected {expected:?}, found {found:?}"))),
    }
}

const fn is_supported(best: &BestPeer) -> bool {
    !matches!(best.support, Support::Missing { .. })
}

/// The position of the best peer, and whether it has support.
fn best_of(
    answers: &BTreeMap<u16, ChainPosition>,
    stored: Option<ChainPosition>,
    peers: u16,
) -> Option<(ChainPosition, bool)> {
    let mut positions: Vec<_> = answers.values().copied().collect();
    positions.sort_unstable();
    positions.reverse();
    // The position of the (f+1)-th best: so many are there or further.
    let of_peers = positions.get(usize::from(peers / 3)).copied();
    let of_commits = positions.iter().copied().find(|it| Some(*it) <= stored);
    let supported = of_peers.max(of_commits);
    let position = supported.or(positions.first().copied())?;
    Some((position, supported.is_some()))
}

fn standing_of(best: Option<(ChainPosition, bool)>, own: Option<ChainPosition>) -> Standing {
    let Some((best, is_supported)) = best else {
        return Standing::Unknown(UnknownBecause::NoAnswer);
    };
    if !is_supported {
        return Standing::Unknown(UnknownBecause::NoSupport);
    }
    let Some(own) = own else {
        return Standing::Unknown(UnknownBecause::OwnUnknown);
    };
    match (
        best.epoch.0.checked_sub(own.epoch.0),
        best.block.0.saturating_sub(own.block.0),
    ) {
        (Some(0), blocks) if blocks > NEAR_BLOCKS => Standing::Behind(Gap::Blocks(blocks)),
        (Some(0) | None, _) => Standing::InSync,
        (Some(epochs), _) => Standing::Behind(Gap::Epochs(epochs)),
    }
}

impl Oracle for Peers {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        let ProcessId::Node(number) = entry.process else {
            return Ok(());
        };
        let peers = self.peers.get(&number).map_or(0, Vec::len);
        if peers == 0 {
            return Ok(());
        }
        let place = match &entry.what {
            What::Seen(Fact::PeerReplyRead { peer, .. }) => self.place(number, *peer),
            _ => None,
        };
        let node = self.nodes.entry(number).or_default();
        match &entry.what {
            What::World(WorldEvent::Started { .. }) => node.started(),
            What::Seen(Fact::PeerReplyRead { reply, .. }) => {
                if let Some(place) = place {
                    node.answered(place, reply);
                }
            }
            What::Seen(fact) => node.seen(fact),
            What::Process(Event::Node(event)) => match event {
                NodeEvent::ExecutorQueried { epoch, .. } => {
                    node.epochs.insert(*epoch);
                }
                NodeEvent::GenesisAssumed {
                    epoch, watermark, ..
                } => {
                    node.epochs.insert(*epoch);
                    node.watermarks.insert(*watermark);
                }
                NodeEvent::Peers(event) => {
                    let peers = u16::try_from(peers).unwrap_or(u16::MAX);
                    return node.said(event, peers).map_err(|(clause, message)| {
                        Violation::by(entry, Invariant::Truth, clause, message, None)
                    });
                }
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::{facts::seen, testing::judge_facts},
        trace::testing::node,
    };
    use std::sync::Arc;

    fn at(epoch: u64, block: u64) -> ChainPosition {
        ChainPosition {
            epoch: Epoch(epoch),
            block: GlobalExecIndex(block),
        }
    }

    fn plan() -> Plan {
        Plan {
            asks_peers: true,
            ..Plan::example()
        }
    }

    fn read(peer: u16, reply: Reply) -> Entry {
        let fact = Fact::PeerReplyRead {
            connection: 9,
            number: 1,
            peer,
            reply: Arc::new(reply),
        };
        seen(2, ProcessId::Node(0), fact)
    }

    /// A validator's executor answers node 0, which reports it: its peers are 1, 2 and 3 in this order.
    fn answers(validator: u16, position: ChainPosition) -> [Entry; 3] {
        let reported = PeerEvent::Answered {
            peer: validator - 1,
            address: String::new(),
            position,
        };
        [
            read(validator, Reply::CurrentEpoch(position.epoch)),
            read(validator, Reply::LastBlockNumber(position.block)),
            node(2, 0, NodeEvent::Peers(reported)),
        ]
    }

    /// Node 0, whose executor is at this position, asks.
    fn asks(own: ChainPosition) -> Vec<Entry> {
        let reply = Fact::ReplyRead {
            connection: 1,
            number: 1,
            reply: Arc::new(Reply::LastBlockNumber(own.block)),
        };
        let queried = NodeEvent::ExecutorQueried {
            epoch: own.epoch,
            watermark: own.block,
        };
        vec![
            seen(1, ProcessId::Node(0), reply),
            node(1, 0, queried),
            node(1, 0, NodeEvent::Peers(PeerEvent::Asked { peers: 3 })),
        ]
    }

    fn compared(
        standing: Standing,
        answered: u16,
        own: ChainPosition,
        best: Option<(u16, ChainPosition, Support)>,
    ) -> Entry {
        let best = best.map(|(peer, position, support)| BestPeer {
            peer,
            position,
            support,
        });
        let event = PeerEvent::Compared {
            standing,
            peers: 3,
            answered,
            own: Some(own),
            stored: None,
            best,
            address: String::new(),
        };
        node(3, 0, NodeEvent::Peers(event))
    }

    fn clause(entries: &[Entry]) -> Option<&'static str> {
        judge_facts(Peers::new(&plan()), entries).map(|violation| violation.clause)
    }

    /// Two executors answer node 0, whose own one is at `own`, and it draws this conclusion.
    fn concludes(
        own: ChainPosition,
        standing: Standing,
        best: (u16, ChainPosition, Support),
    ) -> Option<&'static str> {
        let mut entries = asks(own);
        entries.extend(answers(3, at(9, 9)));
        entries.extend(answers(1, at(1, 40)));
        entries.push(compared(standing, 2, own, Some(best)));
        clause(&entries)
    }

    #[test]
    fn the_standing_follows_from_what_enough_peers_said() {
        let two = Support::Peers { peers: 2 };
        let best = (0, at(1, 40), two);
        let behind = Standing::Behind(Gap::Blocks(6));
        let epoch_behind = Standing::Behind(Gap::Epochs(1));
        assert_eq!(concludes(at(1, 35), Standing::InSync, best), None);
        assert_eq!(concludes(at(1, 34), behind, best), None);
        assert_eq!(concludes(at(0, 39), epoch_behind, best), None);
        for (own, standing) in [
            (at(1, 34), Standing::InSync),
            (at(1, 35), behind),
            (at(0, 39), Standing::InSync),
            (at(1, 40), Standing::Unknown(UnknownBecause::NoAnswer)),
        ] {
            assert_eq!(concludes(own, standing, best), Some("another-standing"));
        }
        let far = Standing::Behind(Gap::Epochs(8));
        let loud = (2, at(9, 9), two);
        assert_eq!(concludes(at(1, 40), far, loud), Some("another-best-peer"));
    }

    #[test]
    fn no_answer_is_unknown_and_nothing_else() {
        let of = |standing| {
            let mut entries = asks(at(1, 40));
            entries.push(compared(standing, 0, at(1, 40), None));
            clause(&entries)
        };
        assert_eq!(of(Standing::Unknown(UnknownBecause::NoAnswer)), None);
        assert_eq!(of(Standing::InSync), Some("another-standing"));
    }

    #[test]
    fn what_peers_and_the_own_executor_did_not_say_is_found() {
        let own = at(1, 40);
        let mut other = asks(own);
        other.extend(answers(1, own));
        let last = other.len() - 1;
        other[last - 1] = read(1, Reply::LastBlockNumber(GlobalExecIndex(41)));
        assert_eq!(clause(&other), Some("peer-reported-otherwise"));
        let mut invented = asks(own);
        let unknown = Standing::Unknown(UnknownBecause::NoAnswer);
        invented.push(compared(unknown, 0, at(1, 41), None));
        assert_eq!(clause(&invented), Some("own-position-in-no-reply"));
    }
}
