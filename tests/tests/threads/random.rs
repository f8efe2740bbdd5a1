//! Where other threads overtake, and how much arrives at once. Schedules of real threads cannot be repeated, so the draws
//! need not be either.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

/// Draws for all threads of a test.
#[derive(Default)]
pub struct Random(AtomicU64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// SplitMix64.
    fn next(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut drawn = self.0.fetch_add(STEP, Ordering::Relaxed);
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^ (drawn >> 31)
    }

    pub fn from(&self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end - range.start)
    }

    /// Whether one of so many cases has occurred.
    pub fn one_in(&self, cases: u64) -> bool {
        self.from(0..cases) == 0
    }

    /// Lets other threads overtake this one, sometimes by far, as if the operating system had something else to do.
    pub fn be_overtaken(&self) {
        match self.from(0..128) {
            0 => thread::park_timeout(Duration::from_micros(self.from(50..2_000))),
            1..16 => thread::yield_now(),
            _ => {}
        }
    }

    /// Lets other tasks overtake this one.
    pub async fn be_overtaken_by_tasks(&self) {
        self.be_overtaken();
        for _ in 0..self.from(0..4) {
            tokio::task::yield_now().await;
        }
    }
}
