//! WIRE: *nothing ≤ the watermark known to the sender is written to a block stream, and each connection carries
//! strictly increasing GEI.*
//!
//! Input: frames on block streams, and the replies about W that their sender has read. A frame is seen when it is
//! completely written, so a reply may be read while it is being written. The sender must therefore respect the reply
//! that it had read before the *previous* frame of the connection was written. For the first frame that is the first
//! reply to a request that the node sent after it had connected (contract §5): without one it must not write.
//!
//! Violations: bytes that are no frames; a frame at or below that watermark; a frame that is not above the previous one
//! of the connection; a skipped GEI that is not durable; a first frame before W was queried on the connection.
//!
//! No violation: a repetition of frames above the watermark on a new connection; skipped GEIs that have become durable;
//! a lower start after the watermark fell; with the start policy `assume-genesis`, a first frame although W was not
//! answered.

use super::{Invariant, Oracle, Violation};
use crate::{
    plan::Plan,
    trace::{Entry, ProcessId, What, WorldEvent},
    witness::{Fact, Request},
};
use metanode_core::{config::StartPolicy, types::GlobalExecIndex};
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct Wire {
    start_policy: StartPolicy,
    /// What asks for W.
    asks: Request,
    nodes: BTreeMap<u16, Sender>,
    /// Connections to block streams.
    streams: BTreeSet<u64>,
}

/// The knowledge and the connections of the sender of one incarnation.
#[derive(Default)]
struct Sender {
    known: Option<Known>,
    streams: BTreeMap<u64, Stream>,
    /// Requests for W without an answer, with the block streams that were open when they were sent.
    requests: BTreeMap<(u64, u64), Vec<u64>>,
}

/// A reported watermark with the entry of its reply.
#[derive(Clone)]
struct Known {
    watermark: GlobalExecIndex,
    learned: Entry,
}

struct Stream {
    /// The first reply to a request that was sent after the connection.
    asked: Option<Known>,
    /// The lowest and the highest watermark that was read since.
    since: Option<(GlobalExecIndex, GlobalExecIndex)>,
    /// The lowest GEI that may come next.
    next: Option<GlobalExecIndex>,
    /// The last frame, or the entry of the connection.
    last: Entry,
    /// The watermark that was known at that entry.
    floor: Option<Known>,
}

impl Sender {
    fn request_sent(&mut self, connection: u64, number: u64) {
        let open = self.streams.keys().copied().collect();
        self.requests.insert((connection, number), open);
    }

    fn reply_read(
        &mut self,
        connection: u64,
        number: u64,
        watermark: GlobalExecIndex,
        entry: &Entry,
    ) {
        let known = Known {
            watermark,
            learned: entry.clone(),
        };
        for open in self
            .requests
            .remove(&(connection, number))
            .unwrap_or_default()
        {
            if let Some(stream) = self.streams.get_mut(&open) {
                stream.asked.get_or_insert_with(|| known.clone());
            }
        }
        for stream in self
            .streams
            .values_mut()
            .filter(|stream| stream.asked.is_some())
        {
            let (low, high) = stream.since.unwrap_or((watermark, watermark));
            stream.since = Some((low.min(watermark), high.max(watermark)));
        }
        self.known = Some(known);
    }

    fn frame_sent(
        &mut self,
        connection: u64,
        gei: GlobalExecIndex,
        start_policy: StartPolicy,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        let Some(stream) = self.streams.get_mut(&connection) else {
            let message =
                format!("GEI {gei} was written to connection {connection}, which was never opened");
            return Err(broken(entry, "unknown-connection", message, vec![]));
        };
        match stream.next {
            None => stream.first_frame(gei, start_policy, entry)?,
            Some(next) => stream.next_frame(next, gei, self.known.as_ref(), entry)?,
        }
        stream.next = Some(gei.next());
        stream.last = entry.clone();
        stream.floor.clone_from(&self.known);
        Ok(())
    }
}

impl Wire {
    pub(super) fn new(plan: &Plan) -> Self {
        Self::of(plan.start_policy, plan.watermark_request())
    }

    /// `asks` is the request by which nodes learn W.
    pub(super) const fn of(start_policy: StartPolicy, asks: Request) -> Self {
        Self {
            start_policy,
            asks,
            nodes: BTreeMap::new(),
            streams: BTreeSet::new(),
        }
    }
}

impl Stream {
    /// W was not answered: the stream starts after what is known of it.
    fn assumed_first_frame(
        &self,
        gei: GlobalExecIndex,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        // Without any answer it starts where TRUTH says.
        let Some(floor) = &self.floor else {
            return Ok(());
        };
        let expected = floor.watermark.next();
        if gei == expected {
            return Ok(());
        }
        let message = format!("expected GEI {expected} first without an answer, {gei} was written");
        let clause = "assumed-otherwise";
        Err(broken(entry, clause, message, vec![self.last.clone()]))
    }

    fn first_frame(
        &self,
        gei: GlobalExecIndex,
        start_policy: StartPolicy,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        let (Some(asked), Some((low, high))) = (&self.asked, self.since) else {
            if start_policy == StartPolicy::AssumeGenesis {
                return self.assumed_first_frame(gei, entry);
            }
            let message = format!("GEI {gei} was written before W was queried on this connection");
            let clause = "watermark-not-queried";
            return Err(broken(entry, clause, message, vec![self.last.clone()]));
        };
        let evidence = || vec![self.last.clone(), asked.learned.clone()];
        if gei <= low {
            let message = format!("GEI {gei} was written although {low} was known to be durable");
            return Err(broken(entry, "below-watermark", message, evidence()));
        }
        if gei > high.next() {
            let message = format!(
                "expected GEI {} first, {gei} was written although only {high} is known to be durable",
                high.next()
            );
            return Err(broken(entry, "gei-skipped", message, evidence()));
        }
        Ok(())
    }

    fn next_frame(
        &self,
        next: GlobalExecIndex,
        gei: GlobalExecIndex,
        known: Option<&Known>,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        if gei < next {
            let message =
                format!("expected GEI {next} or above on this connection, {gei} was written");
            let clause = "gei-repeated";
            return Err(broken(entry, clause, message, vec![self.last.clone()]));
        }
        if let Some(floor) = self.floor.as_ref().filter(|floor| gei <= floor.watermark) {
            let message = format!(
                "GEI {gei} was written although {} was known to be durable",
                floor.watermark
            );
            let evidence = vec![floor.learned.clone(), self.last.clone()];
            return Err(broken(entry, "below-watermark", message, evidence));
        }
        let step_is_durable = [self.floor.as_ref(), known]
            .into_iter()
            .flatten()
            .any(|known| gei <= known.watermark.next());
        if gei > next && !step_is_durable {
            let watermark = known.map_or(GlobalExecIndex(0), |known| known.watermark);
            let message = format!(
                "expected GEI {next} on this connection, {gei} was written although only {watermark} is known to be durable"
            );
            let learned = known.map(|known| known.learned.clone()).into_iter();
            let evidence = learned.chain([self.last.clone()]).collect();
            return Err(broken(entry, "gei-skipped", message, evidence));
        }
        Ok(())
    }
}

fn broken(
    entry: &Entry,
    clause: &'static str,
    message: String,
    earlier: Vec<Entry>,
) -> Box<Violation> {
    Violation::by(entry, Invariant::Wire, clause, message, earlier)
}

impl Oracle for Wire {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        if let (ProcessId::Sub(_), What::Seen(Fact::StreamOpened { connection })) =
            (entry.process, &entry.what)
        {
            let message = format!("a Sub opened connection {connection} to a block stream");
            return Err(broken(entry, "sub-on-a-stream", message, vec![]));
        }
        let ProcessId::Node(n) = entry.process else {
            return Ok(());
        };
        let sender = self.nodes.entry(n).or_default();
        match &entry.what {
            What::World(WorldEvent::Started { .. }) => *sender = Sender::default(),
            What::Seen(Fact::StreamOpened { connection }) => {
                self.streams.insert(*connection);
                let stream = Stream {
                    asked: None,
                    since: None,
                    next: None,
                    last: entry.clone(),
                    floor: sender.known.clone(),
                };
                sender.streams.insert(*connection, stream);
            }
            What::Seen(Fact::RequestSent {
                connection,
                number,
                request,
            }) if *request == self.asks => sender.request_sent(*connection, *number),
            What::Seen(Fact::ReplyRead {
                connection,
                number,
                reply,
            }) => {
                if let Some(watermark) = reply.watermark() {
                    sender.reply_read(*connection, *number, watermark, entry);
                }
            }
            What::Seen(Fact::FrameSent { connection, frame }) => {
                let policy = self.start_policy;
                sender.frame_sent(*connection, frame.gei, policy, entry)?;
            }
            What::Seen(Fact::Malformed { connection, reason })
                if self.streams.contains(connection) =>
            {
                let message = format!("expected whole blocks one after the other: {reason}");
                return Err(broken(entry, "malformed-frame", message, vec![]));
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
        trace::testing::{gei, learned, node, node_events, world_event, written},
    };
    use metanode_core::env::NodeEvent;

    fn connected(connection: u64) -> NodeEvent {
        NodeEvent::StreamConnected {
            connection,
            start: gei(0),
        }
    }

    fn verdict(events: Vec<NodeEvent>) -> Option<Box<Violation>> {
        judge(Wire::new(&Plan::example()), &node_events(events))
    }

    fn clause(events: Vec<NodeEvent>) -> &'static str {
        verdict(events).expect("a violation").clause
    }

    #[test]
    fn the_first_frame_is_above_the_watermark_that_was_queried_on_the_connection() {
        assert_eq!(verdict(vec![connected(1), learned(7), written(1, 8)]), None);
        let below = vec![connected(1), learned(7), written(1, 7)];
        assert_eq!(clause(below), "below-watermark");
        let above = vec![connected(1), learned(7), written(1, 9)];
        assert_eq!(clause(above), "gei-skipped");
        let from_before = vec![learned(7), connected(1), written(1, 8)];
        assert_eq!(clause(from_before), "watermark-not-queried");
    }

    #[test]
    fn with_the_policy_to_deliver_everything_again_a_stream_starts_without_an_answer() {
        let plan = Plan {
            start_policy: StartPolicy::AssumeGenesis,
            ..Plan::example()
        };
        let clause = |events| judge(Wire::new(&plan), &node_events(events)).map(|it| it.clause);
        assert_eq!(clause(vec![connected(1), written(1, 1)]), None);
        let otherwise = Some("assumed-otherwise");
        let known = |at| vec![learned(7), connected(1), written(1, at)];
        assert_eq!(clause(known(8)), None);
        assert_eq!(clause(known(3)), otherwise);
        assert_eq!(clause(known(9)), otherwise);
        let below = vec![connected(1), learned(7), written(1, 1)];
        assert_eq!(clause(below), Some("below-watermark"));
    }

    #[test]
    fn between_two_replies_both_watermarks_may_be_meant() {
        let first = |at| vec![connected(1), learned(7), learned(9), written(1, at)];
        assert_eq!(clause(first(7)), "below-watermark");
        assert_eq!(verdict(first(8)), None);
        assert_eq!(verdict(first(10)), None);
        assert_eq!(clause(first(11)), "gei-skipped");
    }

    #[test]
    fn a_watermark_learned_while_a_frame_is_written_does_not_apply_to_it() {
        let mut events = vec![
            connected(1),
            learned(0),
            written(1, 1),
            learned(3),
            written(1, 2),
        ];
        assert_eq!(verdict(events.clone()), None);
        events.push(written(1, 3));
        assert!(
            verdict(events)
                .unwrap()
                .message
                .contains("although 3 was known")
        );
    }

    #[test]
    fn bytes_that_are_no_frames_fire_on_a_block_stream_only() {
        let malformed = |connection| Entry {
            what: What::Seen(Fact::Malformed {
                connection,
                reason: "a frame of length 0".to_owned(),
            }),
            ..node(0, 0, learned(0))
        };
        // The first connection of the world.
        let opened = node(0, 0, connected(1));
        let judged = |entry| judge(Wire::new(&Plan::example()), &[opened.clone(), entry]);
        assert!(judged(malformed(1)).is_some());
        assert_eq!(judged(malformed(2)), None);
    }

    #[test]
    fn a_connection_repeats_nothing() {
        let again = vec![connected(1), learned(0), written(1, 1), written(1, 1)];
        assert_eq!(clause(again), "gei-repeated");
    }

    #[test]
    fn only_durable_blocks_may_be_skipped() {
        let step = |watermark| {
            vec![
                connected(1),
                learned(0),
                written(1, 1),
                learned(watermark),
                written(1, 4),
            ]
        };
        assert!(verdict(step(2)).unwrap().message.contains("expected GEI 2"));
        assert_eq!(verdict(step(3)), None);
    }

    #[test]
    fn the_next_connection_may_repeat_blocks_that_are_not_durable() {
        let again = vec![
            connected(1),
            learned(0),
            written(1, 1),
            written(1, 2),
            connected(2),
            learned(1),
            written(2, 2),
            written(2, 3),
        ];
        assert_eq!(verdict(again), None);
    }

    #[test]
    fn a_fallen_watermark_is_the_known_one() {
        let fallen = vec![
            connected(1),
            learned(5),
            written(1, 6),
            connected(2),
            learned(3),
            written(2, 4),
        ];
        assert_eq!(verdict(fallen), None);
    }

    #[test]
    fn a_new_incarnation_starts_without_watermark_and_connections() {
        let mut entries = node_events(vec![connected(1), learned(5), written(1, 6)]);
        entries.push(world_event(
            1,
            ProcessId::Node(0),
            WorldEvent::Started { start: 2 },
        ));
        let unconnected = [entries.clone(), node_events(vec![written(1, 7)])].concat();
        assert_eq!(
            judge(Wire::new(&Plan::example()), &unconnected)
                .unwrap()
                .clause,
            "unknown-connection"
        );
        entries.extend(node_events(vec![connected(1), learned(4), written(1, 5)]));
        assert_eq!(judge(Wire::new(&Plan::example()), &entries), None);
    }
}
