//! LIVE, of clients: *a batch is answered, whatever the answer* (contract §8: never silence).
//!
//! Judged by frames and replies on the transaction sockets, at the end of the run, once faults have ended: a batch on an open
//! connection that is not answered for [`ANSWERED_MS`].
//!
//! No violation: a batch whose connection ends; silence while faults last, or if the run ends before the time is up; a Sub or
//! node that stays down.

use super::{Invariant, Oracle, Violation};
use crate::{
    plan::Plan,
    trace::{Entry, SimTime, What, WorldEvent},
    witness::Fact,
};
use std::collections::{BTreeMap, VecDeque};

/// Within this time a node that runs answers, also one that has no memory for the frame yet or writes its journal.
const ANSWERED_MS: u64 = 5_000;

pub(super) struct Clients {
    settle_ms: u64,
    /// The frames that are not answered, oldest first, by connection.
    unanswered: BTreeMap<u64, VecDeque<Entry>>,
    ended: Option<SimTime>,
}

impl Clients {
    pub(super) const fn new(plan: &Plan) -> Self {
        Self {
            settle_ms: plan.settle_ms,
            unanswered: BTreeMap::new(),
            ended: None,
        }
    }

    /// The frame that has waited longest.
    fn oldest(&self) -> Option<&Entry> {
        let waiting = self.unanswered.values().filter_map(VecDeque::front);
        waiting.min_by_key(|entry| entry.at)
    }
}

impl Oracle for Clients {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match &entry.what {
            What::Seen(Fact::BatchSent { connection, .. }) => {
                let waiting = self.unanswered.entry(*connection).or_default();
                waiting.push_back(entry.clone());
            }
            What::Seen(Fact::BatchAnswered { connection, .. }) => {
                if let Some(waiting) = self.unanswered.get_mut(connection) {
                    waiting.pop_front();
                }
            }
            What::Seen(Fact::BatchesAbandoned { connection, .. }) => {
                self.unanswered.remove(connection);
            }
            What::World(WorldEvent::FaultsEnded) => self.ended = Some(entry.at),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, end: SimTime) -> Result<(), Box<Violation>> {
        let Some(ended) = self.ended else {
            return Ok(());
        };
        let is_over = end.since(ended).as_ms() >= self.settle_ms;
        match self.oldest() {
            Some(sent) if is_over && end.since(sent.at.max(ended)).as_ms() > ANSWERED_MS => {
                Err(Box::new(Violation {
                    invariant: Invariant::Live,
                    clause: "batch-not-answered",
                    at: end,
                    process: sent.process,
                    message: format!(
                        "expected a reply of any kind within {ANSWERED_MS} ms on a connection that is open, found none"
                    ),
                    evidence: vec![sent.clone()],
                }))
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
    fn a_late_reply_and_the_end_of_the_connection_pass() {
        assert_eq!(verdict(vec![sent(500, 1), answered(9_000, 1)]), None);
        let abandoned = Fact::BatchesAbandoned {
            connection: 1,
            bytes: 0,
        };
        assert_eq!(verdict(vec![sent(500, 1), seen(600, abandoned)]), None);
        assert_eq!(verdict(vec![sent(20_500, 1)]), None, "it may be under way");
    }
}
