//! Wall-clock time, which may be skewed and may jump. Durations are measured with tokio's timers instead.

use crate::types::TimestampMs;

/// The wall clock of the host.
pub trait WallClock: Send + Sync {
    /// Milliseconds since the Unix epoch by this host's clock.
    fn now(&self) -> TimestampMs;
}
