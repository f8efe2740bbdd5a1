//! RPC and NOLOSS on the old transport (contract §8), of which a client writes one request per connection and reads one
//! reply. Only judged in runs whose Subs use it.
//!
//! Input: the requests and replies on the wire, and what is in journals and commits.
//!
//! RPC, violation: a reply is read on a connection on which a further request was written before. Whoever wrote that takes
//! the reply for its own.
//!
//! NOLOSS, violation at the end of a run that lasted the plan's `settle_ms` after faults ended: a transaction that its Sub
//! counts as sent, and that no commit and no journal contains. A Sub counts as sent what it has written last before faults
//! ended, was never answered, and has not written again, although the Sub has not ended since.
//!
//! No violation: what is not answered and written again, however often; what is answered, whatever the reply says, because
//! the promise of a reply is judged like that of the transaction socket.

use super::{Invariant, Oracle, Violation};
use crate::{
    model::Derived,
    plan::Plan,
    trace::{Entry, ProcessId, SimTime, What, WorldEvent},
    witness::Fact,
};
use metanode_core::types::TransactionHash;
use rustc_hash::FxHashSet;
use std::collections::BTreeMap;

/// Entries in the evidence of a violation.
const EXAMPLES: usize = 3;

/// RPC on the old transport.
#[derive(Default)]
pub(super) struct Replies {
    /// Connections with a second request.
    reused: BTreeMap<u64, Entry>,
}

impl Oracle for Replies {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match &entry.what {
            What::Seen(Fact::OldRequestSent {
                connection,
                number: 2..,
                ..
            }) => {
                self.reused
                    .entry(*connection)
                    .or_insert_with(|| entry.clone());
                Ok(())
            }
            What::Seen(Fact::OldReplyRead { connection, number }) => {
                let Some(reused) = self.reused.get(connection) else {
                    return Ok(());
                };
                let message = format!(
                    "reply {number} was read after a further request was written on the same connection: expected one \
                     request per connection, or the next one takes this reply for its own"
                );
                let earlier = Some(reused.clone());
                Err(Violation::by(
                    entry,
                    Invariant::Rpc,
                    "read-by-another",
                    message,
                    earlier,
                ))
            }
            _ => Ok(()),
        }
    }
}

/// A request: its connection, and its number there.
type RequestId = (u64, u64);

/// NOLOSS on the old transport.
pub(super) struct Sent {
    settle: SimTime,
    /// The entry that ended faults.
    settling: Option<Entry>,
    /// By transaction and Sub: the last request that contains it.
    counted: BTreeMap<(TransactionHash, u16), Counted>,
    /// Those that are not answered.
    requests: BTreeMap<RequestId, (u16, Vec<TransactionHash>)>,
    committed: FxHashSet<TransactionHash>,
    /// By node.
    journals: BTreeMap<u16, FxHashSet<TransactionHash>>,
}

struct Counted {
    request: RequestId,
    entry: Entry,
}

impl Sent {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            settle: SimTime::from_ms(plan.settle_ms),
            settling: None,
            counted: BTreeMap::new(),
            requests: BTreeMap::new(),
            committed: FxHashSet::default(),
            journals: BTreeMap::new(),
        }
    }

    fn written(&mut self, sub: u16, request: RequestId, all: &[TransactionHash], entry: &Entry) {
        for hash in all {
            if !self.committed.contains(hash) {
                let entry = entry.clone();
                self.counted
                    .insert((*hash, sub), Counted { request, entry });
            }
        }
        self.requests.insert(request, (sub, all.to_vec()));
    }

    fn answered(&mut self, request: RequestId) {
        let Some((sub, transactions)) = self.requests.remove(&request) else {
            return;
        };
        for hash in transactions {
            let key = (hash, sub);
            if (self.counted.get(&key)).is_some_and(|counted| counted.request == request) {
                self.counted.remove(&key);
            }
        }
    }

    fn committed(&mut self, hash: TransactionHash) {
        self.committed.insert(hash);
        let by_all = (hash, u16::MIN)..=(hash, u16::MAX);
        self.counted.extract_if(by_all, |_, _| true).for_each(drop);
    }

    /// What is lost unless it turns up.
    fn lost(&self) -> impl Iterator<Item = (&TransactionHash, u16, &Counted)> {
        let ended = self.settling.as_ref().map(|ended| ended.at);
        let in_time = move |counted: &Counted| ended.is_some_and(|at| counted.entry.at <= at);
        let in_a_journal = |hash| self.journals.values().any(|of| of.contains(hash));
        self.counted
            .iter()
            .filter(move |((hash, _), counted)| in_time(counted) && !in_a_journal(hash))
            .map(|((hash, sub), counted)| (hash, *sub, counted))
    }

    fn violation(&self, sub: u16, faults_ended: &Entry, end: SimTime) -> Box<Violation> {
        let mut lost: Vec<_> = self.lost().filter(|(_, of, _)| *of == sub).collect();
        lost.sort_by_key(|(_, _, counted)| counted.entry.at);
        let example = lost.first().map_or_else(String::new, |(hash, _, counted)| {
            let (connection, number) = counted.request;
            format!("{hash}, in request {number} of connection {connection}")
        });
        let entries = lost.iter().map(|(_, _, counted)| counted.entry.clone());
        let mut evidence: Vec<Entry> = entries.take(EXAMPLES).collect();
        evidence.push(faults_ended.clone());
        Box::new(Violation {
            invariant: Invariant::Noloss,
            clause: "sent-and-lost",
            at: end,
            process: ProcessId::Sub(sub),
            message: format!(
                "expected what the Sub wrote before faults ended, and did not write again, to be answered or executed \
                 within {} ms after; of sub-{sub} no journal and no commit has {} transactions, the first of them {example}",
                self.settle.as_ms(),
                lost.len()
            ),
            evidence,
        })
    }
}

impl Oracle for Sent {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match (entry.process, &entry.what) {
            (
                ProcessId::Sub(sub),
                What::Seen(Fact::OldRequestSent {
                    connection,
                    number,
                    transactions,
                    ..
                }),
            ) => self.written(sub, (*connection, *number), transactions, entry),
            (
                _,
                What::Seen(Fact::BatchAnswered {
                    connection, number, ..
                }),
            ) => self.answered((*connection, *number)),
            (
                ProcessId::Sub(sub),
                What::World(WorldEvent::Killed | WorldEvent::Exited | WorldEvent::PowerLost { .. }),
            ) => self.counted.retain(|(_, of), _| *of != sub),
            (_, What::Derived(Derived::Commit { transactions, .. })) => {
                for (hash, _) in transactions.iter() {
                    self.committed(*hash);
                }
            }
            (ProcessId::Node(n), What::Seen(Fact::JournalWritten { transactions, .. })) => {
                self.journals.entry(n).or_default().extend(transactions);
            }
            (ProcessId::Node(n), What::Seen(Fact::JournalFound { transactions })) => {
                let found = transactions.iter().copied().collect();
                self.journals.insert(n, found);
            }
            (_, What::World(WorldEvent::FaultsEnded)) => self.settling = Some(entry.clone()),
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, end: SimTime) -> Result<(), Box<Violation>> {
        match (&self.settling, self.lost().next()) {
            (Some(ended), Some((_, sub, _))) if end.since(ended.at) >= self.settle => {
                Err(self.violation(sub, ended, end))
            }
            _ => Ok(()),
        }
    }

    fn is_satisfied(&self) -> bool {
        self.lost().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::{facts::seen, testing::judge},
        trace::testing::{node, stored, taken, transaction, world_event},
        witness::hash,
    };
    use std::sync::Arc;

    const SUB: ProcessId = ProcessId::Sub(0);

    /// Request `number` of connection `connection` with the transaction of block `of`.
    fn sends(at_ms: u64, connection: u64, number: u64, of: u64) -> Entry {
        let fact = Fact::OldRequestSent {
            connection,
            number,
            transactions: vec![hash(&transaction(of))],
            bytes: 8,
        };
        seen(at_ms, SUB, fact)
    }

    fn reads(connection: u64) -> Entry {
        let number = 1;
        seen(9, SUB, Fact::OldReplyRead { connection, number })
    }

    /// The node answers request 1 of this connection.
    fn answers(at_ms: u64, connection: u64) -> Entry {
        let fact = Fact::BatchAnswered {
            connection,
            number: 1,
            success: false,
            for_good: false,
            taken: Arc::new([]),
            bytes: 8,
        };
        seen(at_ms, ProcessId::Node(0), fact)
    }

    #[test]
    fn a_reply_is_read_before_the_connection_is_used_again() {
        let clause = |trace: &[Entry]| judge(Replies::default(), trace).map(|it| it.clause);
        let one_each = [sends(1, 1, 1, 7), reads(1), sends(2, 2, 1, 8), reads(2)];
        assert_eq!(clause(&one_each), None);
        let unread = [sends(1, 1, 1, 7), sends(2, 1, 2, 8)];
        assert_eq!(clause(&unread), None, "nobody has read a wrong reply");
        let by_another = [&unread[..], &[reads(1)]].concat();
        assert_eq!(clause(&by_another), Some("read-by-another"));
    }

    /// Faults end at 10 s, and 20 s are given.
    fn lost(entries: Vec<Entry>) -> Option<Box<Violation>> {
        let ended = world_event(10_000, ProcessId::World, WorldEvent::FaultsEnded);
        let end = world_event(30_000, ProcessId::World, WorldEvent::FaultsEnded);
        let mut trace = [entries, vec![ended]].concat();
        trace.sort_by_key(|entry| entry.at);
        let mut oracle = Sent::new(&Plan::example());
        for entry in &trace {
            oracle.observe(entry).unwrap();
        }
        oracle.finish(end.at).err()
    }

    #[test]
    fn what_a_sub_counts_as_sent_is_lost_if_nobody_has_it() {
        let violation = lost(vec![sends(1_000, 1, 1, 6), sends(2_000, 1, 2, 7)]).unwrap();
        assert_eq!(
            (violation.clause, violation.process),
            ("sent-and-lost", SUB)
        );
        assert!(violation.message.contains("has 2 transactions"));

        let sent = || sends(1_000, 1, 1, 7);
        assert!(lost(vec![sent()]).is_some());
        assert!(lost(vec![sent(), answers(1_100, 1)]).is_none(), "answered");
        assert!(
            lost(vec![sent(), answers(1_100, 2)]).is_some(),
            "another was"
        );
        assert!(
            lost(vec![sent(), sends(11_000, 2, 1, 7)]).is_none(),
            "written again"
        );
        let killed = |at_ms| world_event(at_ms, SUB, WorldEvent::Killed);
        assert!(lost(vec![sent(), killed(1_200)]).is_none(), "the Sub died");
        assert!(
            lost(vec![killed(900), sent()]).is_some(),
            "it died before that"
        );
    }

    #[test]
    fn what_is_in_a_journal_or_a_commit_is_not_lost() {
        let sent = || sends(1_000, 1, 1, 7);
        let journaled = Fact::JournalWritten {
            transactions: vec![hash(&transaction(7))],
            durability: crate::witness::Durability::Synced,
        };
        let journaled = seen(1_100, ProcessId::Node(0), journaled);
        let forgotten = Fact::JournalFound {
            transactions: vec![],
        };
        let forgotten = seen(1_200, ProcessId::Node(0), forgotten);
        assert!(lost(vec![sent(), journaled.clone()]).is_none());
        assert!(lost(vec![sent(), journaled, forgotten]).is_some());
        let committed = crate::oracles::truthful::with_facts(&[
            node(0, 1, crate::trace::testing::opened(0, 0)),
            taken(5_000, 1, 7),
            node(6_000, 2, stored(7)),
        ]);
        assert!(lost([vec![sent()], committed].concat()).is_none());
    }
}
