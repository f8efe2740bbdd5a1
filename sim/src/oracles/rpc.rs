//! RPC: *a reply is used only by the request that caused it.*
//!
//! Replies have no id; on a connection the n-th reply belongs to the n-th request (contract §2).
//!
//! Violations: a reply with another number is used; a request is answered that was not sent, or was answered before;
//! requests of a connection are not numbered 1, 2, 3, …; a connection is used after an exchange on it failed; a node
//! begins an epoch with a watermark that no executor has reported since the node started or began the previous epoch.
//!
//! No violation: a request that is never answered; connection numbers that start again in the next incarnation.

use super::{Invariant, Oracle, Violation};
use crate::trace::{Entry, ProcessId, What, WorldEvent};
use metanode_core::{
    env::{Event, ExecutorEvent, NodeEvent},
    types::GlobalExecIndex,
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(super) struct Rpc {
    /// The connections of each node's incarnation.
    nodes: BTreeMap<u16, BTreeMap<u64, Connection>>,
    /// The watermarks that executors reported since each node started or began its last epoch.
    asking: BTreeMap<u16, (Entry, BTreeSet<GlobalExecIndex>)>,
}

#[derive(Default)]
struct Connection {
    sent: u64,
    answered: u64,
    failed: bool,
    /// The last entry of the connection.
    last: Option<Entry>,
}

impl Connection {
    /// Applies the next step. Returns the violated clause and a message if it is wrong.
    fn step(&mut self, event: &NodeEvent) -> Option<(&'static str, String)> {
        match event {
            NodeEvent::RpcSent { connection, .. } | NodeEvent::RpcAnswered { connection, .. }
                if self.failed =>
            {
                return Some((
                    "used-after-failure",
                    format!(
                        "connection {connection} was used after an exchange on it failed: expected it to be closed"
                    ),
                ));
            }
            NodeEvent::RpcSent {
                connection,
                request,
                ..
            } => {
                if *request != self.sent + 1 {
                    return Some((
                        "request-out-of-order",
                        format!(
                            "expected request {} of connection {connection} next, {request} was sent",
                            self.sent + 1
                        ),
                    ));
                }
                self.sent = *request;
            }
            NodeEvent::RpcAnswered {
                connection,
                request,
                reply,
                ..
            } => {
                if reply != request {
                    return Some((
                        "wrong-reply",
                        format!(
                            "expected reply {request} of connection {connection} for request {request}, \
                         reply {reply} was used"
                        ),
                    ));
                }
                if !(self.answered + 1..=self.sent).contains(request) {
                    return Some((
                        "answered-twice",
                        format!(
                            "request {request} of connection {connection} was answered, but {} were sent and the \
                         last one answered is {}",
                            self.sent, self.answered
                        ),
                    ));
                }
                self.answered = *request;
            }
            NodeEvent::RpcFailed { .. } => self.failed = true,
            _ => {}
        }
        None
    }
}

impl Oracle for Rpc {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        if let What::Process(Event::Executor(ExecutorEvent::Reported { watermark })) = &entry.what {
            for (_, said) in self.asking.values_mut() {
                said.insert(*watermark);
            }
        }
        let ProcessId::Node(n) = entry.process else {
            return Ok(());
        };
        match &entry.what {
            What::World(WorldEvent::Started { .. }) => {
                self.nodes.remove(&n);
                self.asking.insert(n, (entry.clone(), BTreeSet::new()));
            }
            What::Process(Event::Node(NodeEvent::ExecutorQueried { watermark, .. })) => {
                let asked_from_now = (entry.clone(), BTreeSet::new());
                if let Some((since, said)) = self.asking.insert(n, asked_from_now)
                    && !said.contains(watermark)
                {
                    let message = format!(
                        "expected a watermark that an executor has reported since the node last asked or started, took {watermark}"
                    );
                    return Err(Violation::by(
                        entry,
                        Invariant::Rpc,
                        "watermark-nobody-reported",
                        message,
                        [since],
                    ));
                }
            }
            What::Process(Event::Node(
                event @ (NodeEvent::RpcSent { connection, .. }
                | NodeEvent::RpcAnswered { connection, .. }
                | NodeEvent::RpcFailed { connection, .. }),
            )) => {
                let connections = self.nodes.entry(n).or_default();
                let connection = connections.entry(*connection).or_default();
                if let Some((clause, message)) = connection.step(event) {
                    let earlier = connection.last.take();
                    return Err(Violation::by(
                        entry,
                        Invariant::Rpc,
                        clause,
                        message,
                        earlier,
                    ));
                }
                connection.last = Some(entry.clone());
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracles::testing::judge,
        trace::testing::{executor, gei, node, node_events, reported, world_event},
    };
    use metanode_core::{env::RpcKind, types::Epoch};

    const KIND: RpcKind = RpcKind::GetLastBlockNumber;

    fn sent(request: u64) -> NodeEvent {
        NodeEvent::RpcSent {
            connection: 1,
            request,
            kind: KIND,
        }
    }

    fn answered(request: u64, reply: u64) -> NodeEvent {
        NodeEvent::RpcAnswered {
            connection: 1,
            request,
            reply,
            kind: KIND,
        }
    }

    fn failed() -> NodeEvent {
        NodeEvent::RpcFailed {
            connection: 1,
            kind: KIND,
            reason: "timed out".to_owned(),
        }
    }

    fn verdict(events: Vec<NodeEvent>) -> Option<Box<Violation>> {
        judge(Rpc::default(), &node_events(events))
    }

    #[test]
    fn a_late_reply_does_not_answer_the_next_request() {
        let violation = verdict(vec![sent(1), sent(2), answered(2, 1)]).unwrap();
        assert_eq!(
            violation.evidence,
            node_events(vec![sent(2), answered(2, 1)])
        );
        assert!(violation.message.contains("reply 1 was used"));
        assert_eq!(
            verdict(vec![sent(1), answered(1, 1), sent(2), answered(2, 2)]),
            None
        );
    }

    #[test]
    fn a_request_is_answered_once_and_only_after_it_was_sent() {
        assert!(verdict(vec![sent(1), answered(1, 1), answered(1, 1)]).is_some());
        assert!(verdict(vec![sent(1), answered(2, 2)]).is_some());
    }

    #[test]
    fn requests_are_numbered_without_gaps() {
        assert!(verdict(vec![sent(2)]).is_some());
        assert!(verdict(vec![sent(1), sent(1)]).is_some());
    }

    #[test]
    fn a_connection_is_not_used_after_a_failed_exchange() {
        assert!(verdict(vec![sent(1), failed(), answered(1, 1)]).is_some());
        assert!(verdict(vec![sent(1), failed(), sent(2)]).is_some());
        assert_eq!(verdict(vec![failed(), failed()]), None);
    }

    #[test]
    fn an_epoch_begins_with_a_watermark_reported_since_the_last_query() {
        let start = || world_event(0, ProcessId::Node(0), WorldEvent::Started { start: 2 });
        let queried = |watermark| {
            let epoch = Epoch(0);
            let watermark = gei(watermark);
            node(2, 0, NodeEvent::ExecutorQueried { epoch, watermark })
        };
        let reported_seven = executor(1, 0, reported(7));
        assert_eq!(
            judge(
                Rpc::default(),
                &[start(), reported_seven.clone(), queried(7)]
            ),
            None
        );
        let assumed = judge(
            Rpc::default(),
            &[start(), reported_seven.clone(), queried(0)],
        )
        .unwrap();
        assert_eq!(assumed.evidence, [start(), queried(0)]);
        let remembered = [reported_seven.clone(), start(), queried(7)];
        assert!(
            judge(Rpc::default(), &remembered).is_some(),
            "reported before the start"
        );
        let twice = [
            vec![start(), reported_seven.clone(), queried(7)],
            vec![queried(7)],
        ]
        .concat();
        assert!(
            judge(Rpc::default(), &twice).is_some(),
            "reported before the previous query"
        );
        let asked_again = [
            vec![start(), reported_seven.clone(), queried(7)],
            vec![reported_seven, queried(7)],
        ]
        .concat();
        assert_eq!(judge(Rpc::default(), &asked_again), None);
    }

    #[test]
    fn connection_numbers_start_again_in_the_next_incarnation() {
        let mut entries = node_events(vec![sent(1), failed()]);
        entries.push(world_event(
            1,
            ProcessId::Node(0),
            WorldEvent::Started { start: 2 },
        ));
        entries.extend(node_events(vec![sent(1), answered(1, 1)]));
        assert_eq!(judge(Rpc::default(), &entries), None);
    }
}
