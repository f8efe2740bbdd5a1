//! RPC: *a reply is used only by the request that caused it.*
//!
//! Replies have no id; on a connection the n-th reply belongs to the n-th request (contract §2).
//!
//! Input: requests and replies on the wire. What a process then does with a reply is judged by TRUTH, WIRE and EPOCH.
//!
//! Violations: a request on a connection on which the reply to an earlier one was not read, so that its late reply would
//! answer another; a reply of a kind that does not answer the request of its number, or with other blocks; more replies than
//! requests; a request of a Sub other than for blocks (contract §11.3).
//!
//! No violation: a request that is never answered; an error as the answer to any request.

use super::{Invariant, Oracle, Violation};
use crate::{
    plan::Plan,
    trace::{Entry, ProcessId, What},
    witness::{Fact, Reply, Request, SentBlock},
};
use metanode_core::types::GlobalExecIndex;
use std::collections::BTreeMap;

pub(super) struct Rpc {
    /// What asks for W.
    asks: Request,
    connections: BTreeMap<u64, Connection>,
}

/// A connection with its last request.
struct Connection {
    number: u64,
    request: Request,
    read: bool,
    last: Entry,
}

/// Whether these are blocks of the range, from its beginning on.
fn are_of(blocks: &[SentBlock], from: GlobalExecIndex, to: GlobalExecIndex) -> bool {
    let mut numbers = (from.0..=to.0).map(GlobalExecIndex);
    blocks
        .iter()
        .all(|block| numbers.next() == Some(block.number))
}

/// Whether a reply of this kind answers the request.
fn answers(reply: &Reply, request: Request) -> bool {
    match reply {
        Reply::Error(_) => true,
        Reply::Validators { .. } => matches!(
            request,
            Request::GetActiveValidators | Request::GetValidatorsAtBlock { .. }
        ),
        Reply::LastBlockNumber(_) | Reply::BlockCount(_) => {
            matches!(request, Request::GetLastBlockNumber)
        }
        Reply::CurrentEpoch(_) => matches!(request, Request::GetCurrentEpoch),
        Reply::EpochStartTimestamp(_) => matches!(request, Request::GetEpochStartTimestamp { .. }),
        Reply::AdvanceEpoch { .. } => matches!(request, Request::AdvanceEpoch { .. }),
        Reply::EpochBoundaryData { .. } => matches!(request, Request::GetEpochBoundaryData { .. }),
        Reply::Blocks(blocks) => match request {
            Request::GetBlocksRange { from, to } => blocks.is_empty() || are_of(blocks, from, to),
            _ => false,
        },
        Reply::Unknown => matches!(request, Request::Unknown),
    }
}

impl Rpc {
    pub(super) const fn new(plan: &Plan) -> Self {
        Self {
            asks: plan.watermark_request(),
            connections: BTreeMap::new(),
        }
    }

    fn request_sent(
        &mut self,
        connection: u64,
        number: u64,
        request: Request,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        if matches!(entry.process, ProcessId::Sub(_))
            && !matches!(
                request,
                Request::GetBlocksRange { .. } | Request::GetLastBlockNumber
            )
            && request != self.asks
        {
            let message = format!("a Sub asks for blocks and their number only, it sent {request}");
            return Err(broken(entry, "sub-asks-more", message, None));
        }
        let sent = Connection {
            number,
            request,
            read: false,
            last: entry.clone(),
        };
        match self.connections.insert(connection, sent) {
            Some(before) if !before.read => {
                let message = format!(
                    "request {number}, {request}, was sent before the reply to request {}, {}, was read: \
                     expected the connection to be closed",
                    before.number, before.request
                );
                Err(broken(
                    entry,
                    "used-after-failure",
                    message,
                    Some(&before.last),
                ))
            }
            _ => Ok(()),
        }
    }

    fn reply_sent(
        &self,
        connection: u64,
        number: u64,
        reply: &Reply,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        // An error may also say that a request could not be read.
        if matches!(reply, Reply::Error(_)) {
            return Ok(());
        }
        match self.connections.get(&connection) {
            Some(sent) if sent.number < number => {
                let message = format!("reply {number} was sent for {} requests", sent.number);
                Err(broken(entry, "answered-twice", message, Some(&sent.last)))
            }
            Some(sent) if sent.number == number && !answers(reply, sent.request) => {
                let message = format!("{reply} does not answer request {number}, {}", sent.request);
                Err(broken(entry, "wrong-reply", message, Some(&sent.last)))
            }
            _ => Ok(()),
        }
    }
}

fn broken(
    entry: &Entry,
    clause: &'static str,
    message: String,
    earlier: Option<&Entry>,
) -> Box<Violation> {
    Violation::by(entry, Invariant::Rpc, clause, message, earlier.cloned())
}

impl Oracle for Rpc {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        match &entry.what {
            What::Seen(
                Fact::RequestSent {
                    connection,
                    number,
                    request,
                }
                | Fact::PeerRequestSent {
                    connection,
                    number,
                    request,
                    ..
                },
            ) => self.request_sent(*connection, *number, *request, entry),
            What::Seen(Fact::ReplySent {
                connection,
                number,
                reply,
            }) => self.reply_sent(*connection, *number, reply, entry),
            What::Seen(
                Fact::ReplyRead {
                    connection, number, ..
                }
                | Fact::PeerReplyRead {
                    connection, number, ..
                },
            ) => {
                if let Some(sent) = self.connections.get_mut(connection)
                    && sent.number == *number
                {
                    sent.read = true;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oracles::testing::judge, trace::SimTime, witness::StateRoot};
    use metanode_core::types::Epoch;
    use std::sync::Arc;

    fn entry(process: ProcessId, fact: Fact) -> Entry {
        Entry {
            at: SimTime::default(),
            process,
            what: What::Seen(fact),
        }
    }

    fn sent(number: u64, request: Request) -> Entry {
        let fact = Fact::RequestSent {
            connection: 1,
            number,
            request,
        };
        entry(ProcessId::Node(0), fact)
    }

    fn replied(number: u64, reply: Reply) -> Entry {
        let fact = Fact::ReplySent {
            connection: 1,
            number,
            reply: Arc::new(reply),
        };
        entry(ProcessId::Executor(0), fact)
    }

    fn read(number: u64) -> Entry {
        let fact = Fact::ReplyRead {
            connection: 1,
            number,
            reply: Arc::new(WATERMARK),
        };
        entry(ProcessId::Node(0), fact)
    }

    const ASK: Request = Request::GetLastBlockNumber;
    const WATERMARK: Reply = Reply::LastBlockNumber(GlobalExecIndex(7));

    fn clause(trace: &[Entry]) -> Option<&'static str> {
        judge(Rpc::new(&Plan::example()), trace).map(|violation| violation.clause)
    }

    #[test]
    fn a_connection_whose_reply_was_not_read_is_not_used_again() {
        let exchange = [sent(1, ASK), replied(1, WATERMARK), read(1), sent(2, ASK)];
        assert_eq!(clause(&exchange), None);
        assert_eq!(
            clause(&[sent(1, ASK), sent(2, ASK)]),
            Some("used-after-failure")
        );
        let unread = [sent(1, ASK), replied(1, WATERMARK), sent(2, ASK)];
        assert_eq!(clause(&unread), Some("used-after-failure"));
    }

    #[test]
    fn blocks_are_those_that_were_asked_for() {
        let ask = Request::GetBlocksRange {
            from: GlobalExecIndex(3),
            to: GlobalExecIndex(4),
        };
        let blocks = |numbers: &[u64]| {
            let block = |number: &u64| SentBlock {
                number: GlobalExecIndex(*number),
                hash: [0; 32],
                parent: [0; 32],
                state_root: StateRoot([0; 32]),
                frame: None,
            };
            Reply::Blocks(numbers.iter().map(block).collect())
        };
        for right in [&[][..], &[3], &[3, 4]] {
            assert_eq!(clause(&[sent(1, ask), replied(1, blocks(right))]), None);
        }
        for wrong in [&[4][..], &[3, 3], &[3, 4, 5]] {
            let found = clause(&[sent(1, ask), replied(1, blocks(wrong))]);
            assert_eq!(found, Some("wrong-reply"), "{wrong:?}");
        }
    }

    #[test]
    fn a_sub_asks_for_blocks_and_their_number_only() {
        let by_sub = |request| Entry {
            process: ProcessId::Sub(0),
            ..sent(1, request)
        };
        let range = Request::GetBlocksRange {
            from: GlobalExecIndex(1),
            to: GlobalExecIndex(1),
        };
        assert_eq!(clause(&[by_sub(ASK)]), None);
        assert_eq!(clause(&[by_sub(range)]), None);
        let more = by_sub(Request::GetCurrentEpoch);
        assert_eq!(clause(&[more]), Some("sub-asks-more"));
    }

    #[test]
    fn a_reply_answers_the_request_of_its_number() {
        let epoch = || Reply::CurrentEpoch(Epoch(0));
        assert_eq!(
            clause(&[sent(1, ASK), replied(1, epoch())]),
            Some("wrong-reply")
        );
        let refused = Reply::Error("not now".to_owned());
        assert_eq!(clause(&[sent(1, ASK), replied(1, refused)]), None);
        let second = [sent(1, ASK), replied(1, WATERMARK), replied(2, epoch())];
        assert_eq!(clause(&second), Some("answered-twice"));
    }
}
