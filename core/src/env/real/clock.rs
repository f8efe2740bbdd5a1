//! The wall clock of the operating system.

use crate::{env::WallClock, types::TimestampMs};

/// The operating system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsClock;

impl WallClock for OsClock {
    /// A time before 1970 is returned as 1970.
    // The only call of `SystemTime::now`: all other code uses the trait.
    #[allow(clippy::disallowed_methods, clippy::disallowed_types)]
    fn now(&self) -> TimestampMs {
        let since_1970 = std::time::SystemTime::now()
            .duration_since(std::time::SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        TimestampMs(u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX))
    }
}
