//! The time of day of the operating system.

use crate::{env::WallClock, types::TimestampMs};

/// The operating system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsClock;

impl WallClock for OsClock {
    /// A clock that stands before 1970 counts as 1970.
    // The one place where the time of day comes in: everybody else gets it through this trait.
    #[allow(clippy::disallowed_methods, clippy::disallowed_types)]
    fn now(&self) -> TimestampMs {
        let since_1970 = std::time::SystemTime::now()
            .duration_since(std::time::SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        TimestampMs(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
    }
}
