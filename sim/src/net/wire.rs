//! The state that all connections share: rules, links, timers and taps.

use super::link::Links;
use super::rule::{ConnectionId, Judgement, RuleId, Rules, Segment, Side};
use super::timer::Timers;
use std::time::Instant;

/// Gets every segment with its bytes (none for an end) when it is sent, before the rules. Called while the kernel is
/// locked: it must not call the kernel.
pub type Tap = Box<dyn FnMut(&Segment<'_>, &[u8]) + Send>;

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
    pub taps: Vec<Tap>,
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

    /// Passes a segment to the taps.
    pub fn show(&mut self, segment: &Segment<'_>, bytes: &[u8]) {
        for tap in &mut self.taps {
            tap(segment, bytes);
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
