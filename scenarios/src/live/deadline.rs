//! Deadlines, and the time of day.
#![allow(
    clippy::disallowed_methods,
    reason = "real processes are talked to in real time, outside of every simulation"
)]
#![allow(clippy::disallowed_types, reason = "the same")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment by which something has to happen.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    pub fn after(duration: Duration) -> Self {
        Self(Instant::now() + duration)
    }

    /// The time that is left; `None` once it is over.
    pub fn left(self) -> Option<Duration> {
        let left = self.0.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

/// Waits a moment before something is asked again.
pub fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
