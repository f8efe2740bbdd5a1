//! Wall clocks: simulated time since the start, from one origin, with an offset per host.

use madsim::time::TimeHandle;
use metanode_core::{env::WallClock, types::TimestampMs};

/// When every simulation begins, in milliseconds since the Unix epoch (2026-01-01).
pub const ORIGIN_MS: u64 = 1_767_225_600_000;

/// One host's wall clock.
pub struct HostClock {
    time: TimeHandle,
    skew_ms: i64,
}

impl HostClock {
    /// A clock that runs `skew_ms` ahead of the origin.
    #[must_use]
    pub const fn new(time: TimeHandle, skew_ms: i64) -> Self {
        Self { time, skew_ms }
    }
}

impl WallClock for HostClock {
    fn now(&self) -> TimestampMs {
        let elapsed_ms = u64::try_from(self.time.elapsed().as_millis()).unwrap_or(u64::MAX);
        TimestampMs(
            ORIGIN_MS
                .saturating_add(elapsed_ms)
                .saturating_add_signed(self.skew_ms),
        )
    }
}
