//! What all connections share between their two ends: rules, links, timers, and those who listen in.

use super::link::Links;
use super::rule::{ConnectionId, Judgement, RuleId, Rules, Segment, Side};
use super::timer::Timers;
use std::time::Instant;

/// Sees every segment when it is sent, with its bytes (none for an end), before any rule does. Called while the
/// kernel is locked: it must not call the kernel.
pub type Tap = Box<dyn FnMut(&Segment<'_>, &[u8]) + Send>;

/// Counters of one kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections that reached a listener.
    pub connections: u64,
    /// Writes that took at least one byte.
    pub chunks: u64,
    /// Bytes taken by writes.
    pub bytes: u64,
}

/// What becomes of a segment in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives then, which may be now.
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
    /// Asks the rules after `after` and the link.
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

    /// Shows a segment to those who listen in.
    pub fn show(&mut self, segment: &Segment<'_>, bytes: &[u8]) {
        for tap in &mut self.taps {
            tap(segment, bytes);
        }
    }

    /// Sees to it that what `sender` has in flight is looked after at `at`, unless that is now: then it waits for
    /// something before it, which is looked after already.
    pub fn look_after(&mut self, connection: ConnectionId, sender: Side, at: Instant) {
        if at > self.timers.now() {
            self.timers.set(at, (connection, sender));
        }
    }
}
