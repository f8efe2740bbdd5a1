//! The state that all connections share: rules, links, timers and taps.

use super::link::Links;
use super::rule::{ConnectionId, Judgement, Route, RuleId, Rules, Segment, Side};
use super::timer::Timers;
use std::time::Instant;

/// Observes all connections. Called while the kernel is locked: it must not call the kernel.
pub trait Tap: Send {
    /// A connection was opened; nobody has accepted it yet.
    fn opened(&mut self, connection: ConnectionId, route: &Route) {
        let _ = (connection, route);
    }

    /// A segment is sent, with its bytes (none for an end), before the rules.
    fn sent(&mut self, segment: &Segment<'_>, bytes: &[u8]);

    /// `reader` has read bytes; `total_bytes` since the connection was opened.
    fn read(&mut self, connection: ConnectionId, route: &Route, reader: Side, total_bytes: u64) {
        let _ = (connection, route, reader, total_bytes);
    }

    /// Both ends are closed: nothing more happens on this connection.
    fn closed(&mut self, connection: ConnectionId) {
        let _ = connection;
    }
}

/// Counters of one kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections that reached a listener.
    pub connections: u64,
    /// Writes that accepted at least one byte.
    pub chunks: u64,
    /// Bytes accepted by writes.
    pub bytes: u64,
}

/// What happens to a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives at this time, which may be now.
    Arrives(Instant),
    Held(RuleId),
    Dies {
        after_bytes: usize,
    },
}

pub(super) struct Wire {
    pub rules: Rules,
    pub links: Links,
    pub timers: Timers<(ConnectionId, Side)>,
    pub taps: Vec<Box<dyn Tap>>,
    pub stats: Stats,
}

impl Wire {
    /// Calls the rules after `after`, and draws the latency of the link.
    pub fn fate(&mut self, segment: &Segment<'_>, after: RuleId) -> Fate {
        match self.rules.judge(segment, after) {
            Judgement::Deliver { delay } => {
                let latency = self.links.draw(segment.from(), segment.to());
                Fate::Arrives(self.timers.now() + latency + delay)
            }
            Judgement::Hold(rule) => Fate::Held(rule),
            Judgement::Reset { after_bytes } => Fate::Dies { after_bytes },
        }
    }

    /// Tells the taps that a connection was opened.
    pub fn opened(&mut self, connection: ConnectionId, route: &Route) {
        for tap in &mut self.taps {
            tap.opened(connection, route);
        }
    }

    /// Passes a segment to the taps.
    pub fn show(&mut self, segment: &Segment<'_>, bytes: &[u8]) {
        for tap in &mut self.taps {
            tap.sent(segment, bytes);
        }
    }

    /// Tells the taps what an end has read.
    pub fn show_read(
        &mut self,
        connection: ConnectionId,
        route: &Route,
        reader: Side,
        total_bytes: u64,
    ) {
        for tap in &mut self.taps {
            tap.read(connection, route, reader, total_bytes);
        }
    }

    /// Tells the taps that a connection is over.
    pub fn show_closed(&mut self, connection: ConnectionId) {
        for tap in &mut self.taps {
            tap.closed(connection);
        }
    }

    /// Schedules a delivery of what `sender` has in flight at `at`. If that is now, it waits for something before it
    /// that is already scheduled.
    pub fn schedule(&mut self, connection: ConnectionId, sender: Side, at: Instant) {
        if at > self.timers.now() {
            self.timers.set(at, (connection, sender));
        }
    }
}
