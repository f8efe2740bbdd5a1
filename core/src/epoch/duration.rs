//! Whether the duration of an epoch has elapsed (contract §7). Pure.

use crate::types::TimestampMs;

/// Whether an authority marks its blocks with *end of epoch*, by its own clock. If the clock is before the start of the
/// epoch, no time has elapsed.
#[must_use]
pub const fn epoch_has_elapsed(start: TimestampMs, now: TimestampMs, duration_ms: u64) -> bool {
    now.since_ms(start) >= duration_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_a_clock_before_the_start_the_epoch_has_not_elapsed() {
        let elapsed = |now| epoch_has_elapsed(TimestampMs(1000), TimestampMs(now), 50);
        assert_eq!([900, 1049, 1050].map(elapsed), [false, false, true]);
    }
}
