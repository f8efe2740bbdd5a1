//! LIVE, of clients: *a batch is answered, whatever the answer* (contract §8: never silence).
//!
//! Judged by frames and replies on the transaction sockets, once faults have ended: a frame that has waited for a reply for
//! [`ANSWERED_MS`] when the reply comes, when the connection ends, or when the run does.
//!
//! No violation: frames of connections that carried a large one, which may wait for memory; silence while faults last, or if
//! the run ends before the time is up; a node that closes a connection sooner, because that is how it ends, too.

use super::{Invariant, Oracle, Violation};
use crate::{
    plan::Plan,
    trace::{Entry, SimTime, What, WorldEvent},
    witness::Fact,
};
use std::collections::{BTreeMap, VecDeque};

/// Within this time a node that runs answers, also one that writes its journal.
const ANSWERED_MS: u64 = 5_000;

/// Frames above it need memory that all connections share (contract §8.4).
const LARGE_BYTES: u64 = 64 * 1024;

pub(super) struct Clients {
    settle_ms: u64,
    connections: BTreeMap<u64, Connection>,
    ended: Option<SimTime>,
}

#[derive(Default)]
struct Connection {
    /// The frames that are not answered, oldest first.
    unanswered: VecDeque<Entry>,
    has_large: bool,
}

impl Clients {
    pub(super) const fn new(plan: &Plan) -> Self {
        Self {
            settle_ms: plan.settle_ms,
            connections: BTreeMap::new(),
            ended: None,
        }
    }

    /// A violation if this frame has waited too long.
    fn judge(&self, sent: Option<&Entry>, now: SimTime) -> Result<(), Box<Violation>> {
        let (Some(sent), Some(ended)) = (sent, self.ended) else {
            return Ok(());
        };
        if now.since(sent.at.max(ended)).as_ms() <= ANSWERED_MS {
            return Ok(());
        }
        Err(Box::new(Violation {
            invariant: Invariant::Live,
            clause: "batch-not-answered",
            at: now,
            process: sent.process,
            message: format!(
                "expected a reply of any kind within {ANSWERED_MS} ms on a connection that is open, found none"
            ),
            evidence: vec![sent.clone()],
        }))
    }

    /// The frame that has waited longest.
    fn oldest(&self) -> Option<&Entry> {
        let judged = self.connections.values().filter(|it| !it.has_large);
        let waiting = judged.filter_map(|connection| connection.unanswered.front());
        waiting.min_by_key(|entry| entry.at)
    }
}

impl Oracle for Clients {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match &entry.what {
            What::Seen(Fact::BatchSent {
                connection, bytes, ..
            }) => {
                let connection = self.connections.entry(*connection).or_default();
                connection.has_large |= *bytes > LARGE_BYTES;
                connection.unanswered.push_back(entry.clone());
                Ok(())
            }
            What::Seen(Fact::BatchAnswered { connection, .. }) => {
                let open = self.connections.get_mut(connection);
                let open = open.filter(|connection| !connection.has_large);
                let sent = open.and_then(|connection| connection.unanswered.pop_front());
                self.judge(sent.as_ref(), entry.at)
            }
            What::Seen(Fact::BatchesAbandoned { connection, .. }) => {
                let closed = self.connections.remove(connection);
                let closed = closed.filter(|connection| !connection.has_large);
                let sent = closed.and_then(|mut connection| connection.unanswered.pop_front());
                self.judge(sent.as_ref(), entry.at)
            }
            What::World(WorldEvent::FaultsEnded) => {
                self.ended = Some(entry.at);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, end: SimTime) -> Result<(), Box<Violation>> {
        match self.ended {
            Some(ended) if end.since(ended).as_ms() >= self.settle_ms => {
                self.judge(self.oldest(), end)
            }
            _ => Ok(()),
        }
    }

    fn is_satisfied(&self) -> bool {
        // What was sent after faults have ended may be under way.
        let ended = self.ended.unwrap_or_default();
        self.oldest().is_none_or(|sent| sent.at > ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::testing::judge_facts,
        trace::{ProcessId, testing::world_event},
    };

    fn seen(at_ms: u64, fact: Fact) -> Entry {
        Entry {
            at: SimTime::from_ms(at_ms),
            process: ProcessId::Sub(0),
            what: What::Seen(fact),
        }
    }

    fn sent(at_ms: u64, connection: u64) -> Entry {
        let fact = Fact::BatchSent {
            connection,
            number: 1,
            transactions: 0,
            bytes: 0,
        };
        seen(at_ms, fact)
    }

    fn answered(at_ms: u64, connection: u64) -> Entry {
        let fact = Fact::BatchAnswered {
            connection,
            number: 1,
            success: false,
            for_good: false,
            taken: [].into(),
            bytes: 0,
        };
        seen(at_ms, fact)
    }

    /// Faults end at 1 s.
    fn verdict(batches: Vec<Entry>) -> Option<&'static str> {
        let plan = Plan::example();
        let world = |at_ms, event| world_event(at_ms, ProcessId::World, event);
        let mut trace = batches;
        trace.push(world(1_000, WorldEvent::FaultsEnded));
        trace.sort_by_key(|entry| entry.at);
        trace.push(world(1_000 + plan.settle_ms, WorldEvent::Resumed));
        judge_facts(Clients::new(&plan), &trace).map(|violation| violation.clause)
    }

    #[test]
    fn a_batch_without_a_reply_is_found() {
        let found = Some("batch-not-answered");
        assert_eq!(verdict(vec![sent(500, 1)]), found);
        assert_eq!(
            verdict(vec![sent(2_000, 1), sent(2_001, 1), answered(2_002, 1)]),
            found
        );
        assert_eq!(verdict(vec![sent(500, 1), answered(600, 2)]), found);
    }

    #[test]
    fn a_reply_in_time_and_the_end_of_the_connection_pass() {
        assert_eq!(verdict(vec![sent(500, 1), answered(5_900, 1)]), None);
        assert_eq!(verdict(vec![sent(500, 1), answered(900, 1)]), None);
        let late = vec![sent(500, 1), answered(6_100, 1)];
        assert_eq!(verdict(late), Some("batch-not-answered"));
        let abandoned = || Fact::BatchesAbandoned {
            connection: 1,
            bytes: 0,
        };
        assert_eq!(verdict(vec![sent(500, 1), seen(600, abandoned())]), None);
        let given_up = verdict(vec![sent(2_000, 1), seen(12_000, abandoned())]);
        assert_eq!(given_up, Some("batch-not-answered"));
        assert_eq!(verdict(vec![sent(20_500, 1)]), None, "it may be under way");
    }
}
