//! WIRE: *nothing ≤ the watermark known to the sender is written to a block stream, and each connection carries
//! strictly increasing GEI.*
//!
//! A frame is reported when it is completely written, so a watermark may be learned while it is being written. The
//! sender must therefore respect the watermark that this incarnation of the node had learned before the *previous*
//! frame of the connection was written (for the first frame: before the connection was established).
//!
//! Violations: an executor that cannot decode its block stream; a frame at or below that watermark; a frame that is not
//! above the previous one of the connection, or is below the connection's start; a skipped GEI that is not durable; a
//! frame on a connection that was never established.
//!
//! No violation: a repetition of frames above the watermark on a new connection; skipped GEIs that have become durable;
//! a lower start after the watermark fell.

use super::{Invariant, Oracle, Violation};
use crate::trace::{Entry, ProcessId, What, WorldEvent};
use metanode_core::{
    env::{Event, ExecutorEvent, NodeEvent},
    types::GlobalExecIndex,
};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Wire {
    nodes: BTreeMap<u16, Sender>,
}

/// The knowledge and the connections of the sender of one incarnation.
#[derive(Default)]
struct Sender {
    known: Option<Known>,
    streams: BTreeMap<u64, Stream>,
}

/// A learned watermark with its entry.
#[derive(Clone)]
struct Known {
    watermark: GlobalExecIndex,
    learned: Entry,
}

struct Stream {
    /// The lowest GEI that may come next.
    next: GlobalExecIndex,
    /// The last frame, or the entry of the connection.
    last: Entry,
    /// The watermark that was known at that entry.
    floor: Option<Known>,
}

impl Sender {
    fn write(
        &mut self,
        connection: u64,
        gei: GlobalExecIndex,
        entry: &Entry,
    ) -> Result<(), Box<Violation>> {
        let broken = |clause, message: String, earlier: Vec<Entry>| {
            Err(Violation::by(
                entry,
                Invariant::Wire,
                clause,
                message,
                earlier,
            ))
        };
        let Some(stream) = self.streams.get_mut(&connection) else {
            return broken(
                "unknown-connection",
                format!(
                    "GEI {gei} was written to connection {connection}, which was never established"
                ),
                vec![],
            );
        };
        let next = stream.next;
        if gei < next {
            return broken(
                "gei-repeated",
                format!(
                    "expected GEI {next} or above on connection {connection}, {gei} was written"
                ),
                vec![stream.last.clone()],
            );
        }
        if let Some(floor) = stream.floor.as_ref().filter(|floor| gei <= floor.watermark) {
            return broken(
                "below-watermark",
                format!(
                    "GEI {gei} was written although {} was known to be durable",
                    floor.watermark
                ),
                vec![floor.learned.clone(), stream.last.clone()],
            );
        }
        let step_is_durable = [&stream.floor, &self.known]
            .into_iter()
            .flatten()
            .any(|known| gei <= known.watermark.next());
        if gei > next && !step_is_durable {
            let known = self.known.as_ref();
            let watermark = known.map_or(GlobalExecIndex(0), |known| known.watermark);
            return broken(
                "gei-skipped",
                format!(
                    "expected GEI {next} on connection {connection}, {gei} was written \
                     although only {watermark} is known to be durable"
                ),
                known
                    .map(|known| known.learned.clone())
                    .into_iter()
                    .chain([stream.last.clone()])
                    .collect(),
            );
        }
        stream.next = gei.next();
        stream.last = entry.clone();
        stream.floor.clone_from(&self.known);
        Ok(())
    }
}

impl Oracle for Wire {
    fn observe(&mut self, entry: &Entry) -> Result<(), Box<Violation>> {
        if let What::Process(Event::Executor(ExecutorEvent::Malformed { connection })) = &entry.what
        {
            let message =
                format!("expected whole blocks one after the other on stream {connection}");
            return Err(Violation::by(
                entry,
                Invariant::Wire,
                "malformed-frame",
                message,
                None,
            ));
        }
        let ProcessId::Node(n) = entry.process else {
            return Ok(());
        };
        match &entry.what {
            What::World(WorldEvent::Started { .. }) => {
                self.nodes.insert(n, Sender::default());
            }
            What::Process(Event::Node(
                NodeEvent::ExecutorQueried { watermark, .. }
                | NodeEvent::WatermarkLearned { watermark },
            )) => {
                self.nodes.entry(n).or_default().known = Some(Known {
                    watermark: *watermark,
                    learned: entry.clone(),
                });
            }
            What::Process(Event::Node(NodeEvent::StreamConnected { connection, start })) => {
                let sender = self.nodes.entry(n).or_default();
                let stream = Stream {
                    next: *start,
                    last: entry.clone(),
                    floor: sender.known.clone(),
                };
                sender.streams.insert(*connection, stream);
            }
            What::Process(Event::Node(NodeEvent::FrameWritten {
                connection, gei, ..
            })) => self
                .nodes
                .entry(n)
                .or_default()
                .write(*connection, *gei, entry)?,
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
        trace::testing::{executor, gei, learned, node_events, world_event, written},
    };

    fn connected(connection: u64, start: u64) -> NodeEvent {
        NodeEvent::StreamConnected {
            connection,
            start: gei(start),
        }
    }

    fn verdict(events: Vec<NodeEvent>) -> Option<Box<Violation>> {
        judge(Wire::default(), &node_events(events))
    }

    #[test]
    fn frames_at_or_below_the_known_watermark_fire() {
        let violation = verdict(vec![learned(7), connected(1, 7), written(1, 7)]).unwrap();
        assert_eq!(
            violation.evidence,
            node_events(vec![learned(7), connected(1, 7), written(1, 7)])
        );
        assert_eq!(
            verdict(vec![learned(7), connected(1, 8), written(1, 8)]),
            None
        );
    }

    #[test]
    fn a_watermark_learned_while_a_frame_is_written_does_not_apply_to_it() {
        let mut events = vec![
            learned(0),
            connected(1, 1),
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
    fn a_malformed_frame_fires() {
        let malformed = executor(0, 0, ExecutorEvent::Malformed { connection: 1 });
        assert!(judge(Wire::default(), &[malformed]).is_some());
        let closed = ExecutorEvent::StreamClosed {
            connection: 1,
            reason: "ended in the middle of a frame".to_owned(),
        };
        assert_eq!(judge(Wire::default(), &[executor(0, 0, closed)]), None);
    }

    #[test]
    fn a_connection_repeats_nothing() {
        assert!(verdict(vec![connected(1, 1), written(1, 1), written(1, 1)]).is_some());
        assert!(verdict(vec![connected(1, 2), written(1, 1)]).is_some());
    }

    #[test]
    fn only_durable_blocks_may_be_skipped() {
        let step = |watermark| {
            vec![
                learned(0),
                connected(1, 1),
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
            learned(0),
            connected(1, 1),
            written(1, 1),
            written(1, 2),
            learned(1),
            connected(2, 2),
            written(2, 2),
            written(2, 3),
        ];
        assert_eq!(verdict(again), None);
    }

    #[test]
    fn a_fallen_watermark_is_the_known_one() {
        let fallen = vec![
            learned(5),
            connected(1, 6),
            written(1, 6),
            learned(3),
            connected(2, 4),
            written(2, 4),
        ];
        assert_eq!(verdict(fallen), None);
    }

    #[test]
    fn a_new_incarnation_starts_without_watermark_and_connections() {
        let mut entries = node_events(vec![learned(5), connected(1, 6), written(1, 6)]);
        entries.push(world_event(
            1,
            ProcessId::Node(0),
            WorldEvent::Started { start: 2 },
        ));
        let unconnected = [entries.clone(), node_events(vec![written(1, 7)])].concat();
        assert!(
            judge(Wire::default(), &unconnected)
                .unwrap()
                .message
                .contains("never established")
        );

        entries.extend(node_events(vec![
            learned(4),
            connected(1, 5),
            written(1, 5),
        ]));
        assert_eq!(judge(Wire::default(), &entries), None);
    }
}
