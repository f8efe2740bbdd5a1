//! How many bytes a peer may take per second. Pure: a token bucket that may go into debt, because the size of an answer is
//! known only when it was made.

use std::time::Duration;

/// A token bucket that holds what passes within a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    bytes_per_second: u64,
    /// When the bucket is full again, if nothing more is taken.
    full_at: Duration,
}

const SECOND: Duration = Duration::from_secs(1);

impl Rate {
    pub const fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second,
            full_at: Duration::ZERO,
        }
    }

    /// The time until something may be taken again; zero if it may now.
    pub fn pause(&self, now: Duration) -> Duration {
        self.full_at.saturating_sub(now + SECOND)
    }

    /// Whether nothing is left of what was taken before.
    pub fn is_full(&self, now: Duration) -> bool {
        self.full_at <= now
    }

    /// This many bytes are taken.
    pub fn take(&mut self, bytes: usize, now: Duration) {
        let nanos =
            u128::from(bytes as u64) * SECOND.as_nanos() / u128::from(self.bytes_per_second);
        let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
        let taken = Duration::from_nanos(nanos);
        self.full_at = self.full_at.max(now).saturating_add(taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_large_answer_delays_the_next_one() {
        let mut rate = Rate::new(1_000);
        rate.take(3_000, Duration::ZERO);
        assert_eq!(rate.pause(Duration::ZERO), Duration::from_secs(2));
        assert_eq!(rate.pause(Duration::from_secs(2)), Duration::ZERO);
    }

    proptest! {
        /// Over any time no more passes than the rate, a bucket, and the last answer.
        #[test]
        fn the_rate_holds(answers in prop::collection::vec((1usize..5_000, 0u64..3_000), 1..50)) {
            let mut rate = Rate::new(1_000);
            let (mut now, mut passed) = (Duration::ZERO, 0);
            for (bytes, idle_ms) in answers {
                now += Duration::from_millis(idle_ms);
                now += rate.pause(now);
                prop_assert!(passed <= 1_000 + 1_000 * now.as_nanos() as usize / 1_000_000_000 + 1);
                rate.take(bytes, now);
                passed += bytes;
            }
        }
    }
}
