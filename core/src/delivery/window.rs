//! The window over the commit log: what is in memory, not yet durable in the executor, written to the socket or not.
//!
//! Pure: the loader pushes, the sender takes in order, the watermark trims. It knows no socket and no store.

use crate::types::GlobalExecIndex;
use std::collections::VecDeque;

/// Consecutive entries above the executor's watermark, at most `capacity` of them.
#[derive(Debug)]
pub struct Window<T> {
    capacity: usize,
    /// What the executor is known to hold durably; the first entry is the one after it.
    watermark: GlobalExecIndex,
    entries: VecDeque<T>,
    /// How many entries from the front were written to the current connection.
    sent: usize,
    /// No entry comes after this one.
    last: Option<GlobalExecIndex>,
    /// Counts the times everything was thrown away, which ends the connection that carried it.
    resets: u64,
}

/// What a watermark did to the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// This many entries became durable and left (0 if nothing is new).
    Trimmed(usize),
    /// The executor lost its tail: everything above the lower watermark is loaded and sent again.
    Rewound { from: GlobalExecIndex },
    /// The executor is ahead of everything that was loaded: go on behind it.
    Overtaken { from: GlobalExecIndex },
}

impl<T> Window<T> {
    /// An empty window above `watermark`. A capacity of 0 is taken as 1: a window that holds nothing delivers nothing.
    #[must_use]
    pub fn new(capacity: usize, watermark: GlobalExecIndex) -> Self {
        Self {
            capacity: capacity.max(1),
            watermark,
            entries: VecDeque::new(),
            sent: 0,
            last: None,
            resets: 0,
        }
    }

    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many more entries fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.capacity.saturating_sub(self.entries.len())
    }

    #[must_use]
    pub const fn watermark(&self) -> GlobalExecIndex {
        self.watermark
    }

    /// How often everything was thrown away. A connection belongs to one value of this.
    #[must_use]
    pub const fn resets(&self) -> u64 {
        self.resets
    }

    /// The GEI that [`Self::push`] takes next.
    #[must_use]
    pub fn next_to_load(&self) -> GlobalExecIndex {
        GlobalExecIndex(self.watermark.0 + self.entries.len() as u64).next()
    }

    /// Appends the entry of [`Self::next_to_load`]. Gives it back if the window is full or `gei` is another one,
    /// which happens when the window was reset while the entry was being read from the store.
    pub fn push(&mut self, gei: GlobalExecIndex, entry: T) -> Result<(), T> {
        if self.room() == 0 || gei != self.next_to_load() {
            return Err(entry);
        }
        self.entries.push_back(entry);
        Ok(())
    }

    /// The first entry that the current connection has not carried.
    #[must_use]
    pub fn next_to_send(&self) -> Option<(GlobalExecIndex, &T)> {
        let gei = GlobalExecIndex(self.watermark.0 + self.sent as u64).next();
        self.entries.get(self.sent).map(|entry| (gei, entry))
    }

    /// No entry comes after the one at `gei`: it is the epoch's boundary.
    pub fn end_at(&mut self, gei: GlobalExecIndex) {
        self.last = Some(gei);
    }

    /// Everything is written and nothing more can be loaded: nothing goes on before the executor is known to have more.
    #[must_use]
    pub fn is_starved(&self) -> bool {
        let is_complete = self.last.is_some_and(|last| self.next_to_load() > last);
        !self.is_empty() && (self.room() == 0 || is_complete) && self.sent == self.entries.len()
    }

    /// The entry at `gei` was written in full. Ignored if the window has moved past it meanwhile.
    pub fn mark_sent(&mut self, gei: GlobalExecIndex) {
        if self.next_to_send().is_some_and(|(next, _)| next == gei) {
            self.sent += 1;
        }
        assert!(
            self.sent <= self.entries.len(),
            "{} entries count as written, the window holds {}",
            self.sent,
            self.entries.len()
        );
    }

    /// A new connection: nothing of the window was written to it yet.
    pub fn restart(&mut self) {
        self.sent = 0;
    }

    /// Takes in what the executor reports as durable.
    pub fn learn(&mut self, watermark: GlobalExecIndex) -> Learned {
        let from = self.watermark;
        if watermark < from {
            self.reset(watermark);
            return Learned::Rewound { from };
        }
        let durable = usize::try_from(watermark.0 - from.0).unwrap_or(usize::MAX);
        if durable > self.entries.len() {
            self.reset(watermark);
            return Learned::Overtaken { from };
        }
        self.entries.drain(..durable);
        self.sent = self.sent.saturating_sub(durable);
        self.watermark = watermark;
        assert!(
            self.sent <= self.entries.len(),
            "{} entries count as written, the window holds {} after GEI {watermark}",
            self.sent,
            self.entries.len()
        );
        Learned::Trimmed(durable)
    }

    fn reset(&mut self, watermark: GlobalExecIndex) {
        self.entries.clear();
        self.sent = 0;
        self.watermark = watermark;
        self.resets += 1;
    }
}

/// Backpressure with hysteresis (contract §5): a full window pauses proposals, a half-empty one resumes them.
#[must_use]
pub const fn pauses_proposals(paused: bool, len: usize, capacity: usize) -> bool {
    if paused {
        len > capacity / 2
    } else {
        len >= capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn gei(n: u64) -> GlobalExecIndex {
        GlobalExecIndex(n)
    }

    #[derive(Clone, Debug)]
    enum Step {
        Load,
        Send,
        Reconnect,
        Learn(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Load),
            4 => Just(Step::Send),
            1 => Just(Step::Reconnect),
            2 => (0u64..40).prop_map(Step::Learn),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        /// Against the plainest model: the log is the numbers themselves.
        #[test]
        fn what_is_sent_is_the_log_in_order_above_the_watermark(capacity in 1usize..6, steps in steps()) {
            let mut window = Window::new(capacity, gei(0));
            let mut watermark = 0;
            let mut last_on_connection: Option<u64> = None;
            let mut resets = 0;
            for step in steps {
                match step {
                    Step::Load => {
                        let next = window.next_to_load();
                        let full = window.room() == 0;
                        prop_assert_eq!(window.push(next, next.0).is_err(), full);
                    }
                    Step::Send => {
                        let Some((next, entry)) = window.next_to_send().map(|(g, e)| (g, *e)) else { continue };
                        prop_assert_eq!(next.0, entry);
                        prop_assert!(next.0 > watermark);
                        if let Some(last) = last_on_connection {
                            prop_assert_eq!(next.0, last + 1);
                        }
                        window.mark_sent(next);
                        last_on_connection = Some(next.0);
                    }
                    Step::Reconnect => {
                        window.restart();
                        last_on_connection = None;
                        if let Some((next, _)) = window.next_to_send() {
                            prop_assert_eq!(next.0, watermark + 1);
                        }
                    }
                    Step::Learn(new) => {
                        let loaded = watermark + window.len() as u64;
                        match window.learn(gei(new)) {
                            Learned::Trimmed(n) => prop_assert_eq!(n as u64, new - watermark),
                            Learned::Rewound { from } => prop_assert!(new < from.0 && from.0 == watermark),
                            Learned::Overtaken { .. } => prop_assert!(new > loaded),
                        }
                        watermark = new;
                        // A watermark above what this connection carried moves it forward past the hole.
                        if window.resets() != resets || last_on_connection.is_some_and(|last| last < new) {
                            resets = window.resets();
                            last_on_connection = None;
                        }
                    }
                }
                prop_assert!(window.len() <= capacity);
                let waits = window.len() == capacity && window.next_to_send().is_none();
                prop_assert_eq!(window.is_starved(), waits);
                prop_assert_eq!(window.watermark(), gei(watermark));
            }
        }
    }

    #[test]
    fn an_entry_read_before_a_reset_is_not_taken() {
        let mut window = Window::new(4, gei(5));
        let stale = window.next_to_load();
        window.learn(gei(2));
        assert_eq!(window.push(stale, "six"), Err("six"));
        assert_eq!(window.next_to_load(), gei(3));
    }

    #[test]
    fn a_window_that_holds_the_end_of_the_epoch_is_starved_once_all_of_it_is_written() {
        let mut window = Window::new(4, gei(5));
        window.end_at(gei(7));
        assert!(!window.is_starved());
        for next in [gei(6), gei(7)] {
            assert_eq!(window.push(next, ()), Ok(()));
            window.mark_sent(next);
            assert_eq!(window.is_starved(), next == gei(7));
        }
        window.learn(gei(6));
        assert!(window.is_starved());
        window.learn(gei(7));
        assert!(!window.is_starved());
    }

    #[test]
    fn proposals_pause_at_full_and_resume_at_half() {
        let mut paused = false;
        let mut seen = vec![];
        for len in [0, 3, 4, 3, 2, 3, 4] {
            paused = pauses_proposals(paused, len, 4);
            seen.push(paused);
        }
        assert_eq!(seen, [false, false, true, true, false, false, true]);
        assert!(pauses_proposals(false, 1, 1) && !pauses_proposals(true, 0, 1));
    }
}
