//! Wall-clock time, which may be skewed and may jump. Durations come from tokio's timers instead.

use crate::types::TimestampMs;

/// The host's idea of the time of day.
pub trait WallClock: Send + Sync {
    /// Milliseconds since the Unix epoch, as this host believes.
    fn now(&self) -> TimestampMs;
}
