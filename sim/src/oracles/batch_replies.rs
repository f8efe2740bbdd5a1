//! RPC on the transaction socket (contract §8): one reply to each frame, that says what the contract allows.
//!
//! Input: frames and replies of all clients, also of such that send no frames.
//!
//! Violations: a reply that is none of the contract, or that promises what was not sent; more than one reply beyond the
//! complete frames of a connection (the last one says why it is closed); a transaction that a block can carry is refused for
//! good.
//!
//! No violation: fewer replies than frames (LIVE judges that), a refusal that may be temporary.

use super::{Invariant, Oracle, Violation};
use crate::{
    trace::{Entry, ProcessId, What},
    witness::Fact,
};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct BatchReplies {
    /// The last complete frame of each connection, with its number.
    connections: BTreeMap<u64, (u64, Entry)>,
}

impl BatchReplies {
    fn answered(
        &self,
        connection: u64,
        number: u64,
        for_good: bool,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        let last = self.connections.get(&connection);
        let frames = last.map_or(0, |(frames, _)| *frames);
        if number > frames + 1 {
            let message = format!(
                "reply {number} was sent for {frames} frames: expected one more at most, which ends the connection"
            );
            return Err(broken(entry, "answered-too-often", message, last));
        }
        if for_good {
            let message =
                "a transaction that a block can carry was refused with retry:false".to_owned();
            return Err(broken(entry, "refused-for-good", message, last));
        }
        Ok(())
    }
}

fn broken(
    entry: &Entry,
    clause: &'static str,
    message: String,
    last: Option<&(u64, Entry)>,
) -> Box<Violation> {
    let earlier = last.map(|(_, frame)| frame.clone());
    Violation::by(entry, Invariant::Rpc, clause, message, earlier)
}

impl Oracle for BatchReplies {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match &entry.what {
            What::Seen(Fact::BatchSent {
                connection, number, ..
            }) => {
                self.connections
                    .insert(*connection, (*number, entry.clone()));
                Ok(())
            }
            What::Seen(Fact::BatchAnswered {
                connection,
                number,
                for_good,
                ..
            }) => self.answered(*connection, *number, *for_good, entry),
            What::Seen(Fact::Malformed { connection, reason })
                if matches!(entry.process, ProcessId::Node(_)) =>
            {
                let Some(last) = self.connections.get(connection) else {
                    return Ok(());
                };
                let message = format!("expected a reply of the contract, found {reason}");
                Err(broken(entry, "no-reply", message, Some(last)))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oracles::testing::judge_facts, trace::SimTime};

    fn seen(process: ProcessId, fact: Fact) -> Entry {
        Entry {
            at: SimTime::default(),
            process,
            what: What::Seen(fact),
        }
    }

    fn sent(number: u64) -> Entry {
        let fact = Fact::BatchSent {
            connection: 1,
            number,
            transactions: 1,
            bytes: 9,
        };
        seen(ProcessId::Sub(0), fact)
    }

    fn answered(number: u64, for_good: bool) -> Entry {
        let fact = Fact::BatchAnswered {
            connection: 1,
            number,
            success: false,
            for_good,
            taken: [].into(),
            bytes: 9,
        };
        seen(ProcessId::Node(0), fact)
    }

    fn clause(trace: &[Entry]) -> Option<&'static str> {
        judge_facts(BatchReplies::default(), trace).map(|violation| violation.clause)
    }

    #[test]
    fn one_reply_to_each_frame_and_one_at_the_end() {
        let replies = |last| -> Vec<_> { (1..=last).map(|n| answered(n, false)).collect() };
        let frames = [sent(1), sent(2)];
        assert_eq!(clause(&[&frames[..], &replies(3)].concat()), None);
        let found = clause(&[&frames[..], &replies(4)].concat());
        assert_eq!(found, Some("answered-too-often"));
        assert_eq!(clause(&replies(1)), None, "no frame at all");
        assert_eq!(clause(&replies(2)), Some("answered-too-often"));
    }

    #[test]
    fn what_can_be_proposed_is_not_refused_for_good() {
        assert_eq!(clause(&[sent(1), answered(1, false)]), None);
        assert_eq!(
            clause(&[sent(1), answered(1, true)]),
            Some("refused-for-good")
        );
    }

    #[test]
    fn a_reply_is_one_of_the_contract() {
        let malformed = |process| {
            let reason = "nonsense".to_owned();
            seen(
                process,
                Fact::Malformed {
                    connection: 1,
                    reason,
                },
            )
        };
        let by_node = malformed(ProcessId::Node(0));
        assert_eq!(clause(&[sent(1), by_node.clone()]), Some("no-reply"));
        assert_eq!(clause(&[by_node]), None, "another channel");
        assert_eq!(clause(&[sent(1), malformed(ProcessId::World)]), None);
    }
}
