//! Whether an epoch has lasted as long as it should (contract §7). Pure.

use crate::types::TimestampMs;

/// Whether an authority may mark its blocks with *end of epoch*, by its own clock. A clock that is behind the start says
/// no: the epoch has just begun.
#[must_use]
pub const fn epoch_has_elapsed(start: TimestampMs, now: TimestampMs, duration_ms: u64) -> bool {
    now.since_ms(start) >= duration_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_the_start_ends_nothing() {
        let elapsed = |now| epoch_has_elapsed(TimestampMs(1000), TimestampMs(now), 50);
        assert_eq!([900, 1049, 1050].map(elapsed), [false, false, true]);
    }
}
