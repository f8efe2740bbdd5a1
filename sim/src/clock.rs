//! Simulated time, and wall clocks with an offset, a drift and jumps per host.

use madsim::time::TimeHandle;
use metanode_core::{env::WallClock, types::TimestampMs};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// Simulated time since the run began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SimTime {
    pub ns: u64,
}

impl SimTime {
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self { ns: ms * 1_000_000 }
    }

    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.ns / 1_000_000
    }

    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            ns: self.ns.saturating_sub(earlier.ns),
        }
    }
}

impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.as_ms();
        write!(f, "{:>4}.{:03}s", ms / 1000, ms % 1000)
    }
}

/// The wall-clock time at which every simulation begins, in milliseconds since the Unix epoch (2026-01-01).
pub const ORIGIN_MS: u64 = 1_767_225_600_000;

/// One host's wall clock. Clones are the same clock.
#[derive(Clone)]
pub struct HostClock {
    time: TimeHandle,
    offset_ms: Arc<AtomicI64>,
    drift_ppm: i32,
}

impl HostClock {
    /// A clock that begins `skew_ms` ahead of the origin and gains `drift_ppm` microseconds per second.
    #[must_use]
    pub fn new(time: TimeHandle, skew_ms: i64, drift_ppm: i32) -> Self {
        Self {
            time,
            offset_ms: Arc::new(AtomicI64::new(skew_ms)),
            drift_ppm,
        }
    }

    /// Moves the clock forward, or back.
    pub fn jump(&self, by_ms: i64) {
        self.offset_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl WallClock for HostClock {
    fn now(&self) -> TimestampMs {
        let elapsed_ms = u64::try_from(self.time.elapsed().as_millis()).unwrap_or(u64::MAX);
        let offset_ms = self.offset_ms.load(Ordering::Relaxed);
        reading(elapsed_ms, offset_ms, self.drift_ppm)
    }
}

/// The reading of a clock after this much simulated time.
#[must_use]
pub fn reading(elapsed_ms: u64, offset_ms: i64, drift_ppm: i32) -> TimestampMs {
    let elapsed_ms = i64::try_from(elapsed_ms).unwrap_or(i64::MAX);
    let gained_ms = elapsed_ms.saturating_mul(i64::from(drift_ppm)) / 1_000_000;
    let since_origin_ms = elapsed_ms
        .saturating_add(gained_ms)
        .saturating_add(offset_ms);
    TimestampMs(ORIGIN_MS.saturating_add_signed(since_origin_ms))
}
