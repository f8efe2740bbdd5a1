//! The window over the commit log: blocks in memory that are not durable in the executor, written to the socket or not.
//!
//! Pure. The loader appends, the sender reads in order, the watermark trims. Must not know sockets or stores.

use crate::types::GlobalExecIndex;
use std::collections::VecDeque;

/// At most `capacity` consecutive entries above the executor's watermark.
#[derive(Debug)]
pub(super) struct Window<T> {
    capacity: usize,
    /// The executor's last known watermark; the first entry is the next GEI.
    watermark: GlobalExecIndex,
    entries: VecDeque<T>,
    /// Number of entries from the front that were written to the current connection.
    sent: usize,
    /// The last entry of the epoch, if known.
    last: Option<GlobalExecIndex>,
    /// Number of resets, see [`Self::resets`].
    resets: u64,
}

/// The effect of a watermark on the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Learned {
    /// This many entries became durable and were removed (0 if the watermark did not change).
    Trimmed(usize),
    /// The executor lost its tail: the window is empty and continues above the lower watermark.
    Rewound { from: GlobalExecIndex },
    /// The watermark is above all entries: the window is empty and continues above it.
    Overtaken { from: GlobalExecIndex },
}

impl<T> Window<T> {
    /// An empty window above `watermark`. A capacity of 0 is replaced by 1, because nothing could be delivered with it.
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

    /// Number of entries that can be appended.
    #[must_use]
    pub fn free_capacity(&self) -> usize {
        self.capacity.saturating_sub(self.entries.len())
    }

    #[must_use]
    pub const fn watermark(&self) -> GlobalExecIndex {
        self.watermark
    }

    /// Number of times the window was emptied because of the watermark, after which a connection must be replaced.
    #[must_use]
    pub const fn resets(&self) -> u64 {
        self.resets
    }

    /// The GEI that [`Self::push`] accepts next.
    #[must_use]
    pub fn next_to_load(&self) -> GlobalExecIndex {
        GlobalExecIndex(self.watermark.0 + self.entries.len() as u64).next()
    }

    /// Appends the entry of [`Self::next_to_load`]. Returns it if the window is full or `gei` is another one, which
    /// happens if the window was reset while the entry was read from the store.
    pub fn push(&mut self, gei: GlobalExecIndex, entry: T) -> Result<(), T> {
        if self.free_capacity() == 0 || gei != self.next_to_load() {
            return Err(entry);
        }
        self.entries.push_back(entry);
        Ok(())
    }

    /// The first entry that was not written to the current connection.
    #[must_use]
    pub fn next_to_send(&self) -> Option<(GlobalExecIndex, &T)> {
        let gei = GlobalExecIndex(self.watermark.0 + self.sent as u64).next();
        self.entries.get(self.sent).map(|entry| (gei, entry))
    }

    /// Sets the last entry: `gei` is the epoch's boundary.
    pub fn end_at(&mut self, gei: GlobalExecIndex) {
        self.last = Some(gei);
    }

    /// All entries are written and no more can be loaded, so that only a new watermark allows progress.
    #[must_use]
    pub fn is_starved(&self) -> bool {
        let is_complete = self.last.is_some_and(|last| self.next_to_load() > last);
        !self.is_empty()
            && (self.free_capacity() == 0 || is_complete)
            && self.sent == self.entries.len()
    }

    /// Notes that the entry at `gei` was written in full. Ignored if the window has moved past it.
    pub fn mark_sent(&mut self, gei: GlobalExecIndex) {
        if self.next_to_send().is_some_and(|(next, _)| next == gei) {
            self.sent += 1;
        }
        assert!(
            self.sent <= self.entries.len(),
            "{} entries are marked as written, the window has {}",
            self.sent,
            self.entries.len()
        );
    }

    /// Notes that there is a new connection, to which nothing was written.
    pub fn restart(&mut self) {
        self.sent = 0;
    }

    /// Updates the window with a watermark from the executor.
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
            "{} entries are marked as written, the window has {} after GEI {watermark}",
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

/// Backpressure with hysteresis (contract §5.3): a full window pauses proposals, a half-full one resumes them.
#[must_use]
pub(super) const fn pauses_proposals(paused: bool, len: usize, capacity: usize) -> bool {
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
        /// Compares with a model in which each entry is its GEI.
        #[test]
        fn entries_are_sent_in_order_from_above_the_watermark(capacity in 1usize..6, steps in steps()) {
            let mut window = Window::new(capacity, gei(0));
            let mut watermark = 0;
            let mut last_on_connection: Option<u64> = None;
            let mut resets = 0;
            for step in steps {
                match step {
                    Step::Load => {
                        let next = window.next_to_load();
                        let full = window.free_capacity() == 0;
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
                        // A watermark above all that was sent on this connection moves it forward.
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
    fn an_entry_read_before_a_reset_is_rejected() {
        let mut window = Window::new(4, gei(5));
        let stale = window.next_to_load();
        window.learn(gei(2));
        assert_eq!(window.push(stale, "six"), Err("six"));
        assert_eq!(window.next_to_load(), gei(3));
    }

    #[test]
    fn a_window_that_ends_at_the_boundary_is_starved_once_all_entries_are_written() {
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
