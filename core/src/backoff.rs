//! The pauses between attempts that fail.

use std::time::Duration;

/// Pauses that double from a minimum up to a maximum.
#[derive(Clone, Debug)]
pub struct Backoff {
    min_ms: u64,
    max_ms: u64,
    next_ms: u64,
}

impl Backoff {
    /// In milliseconds.
    #[must_use]
    pub const fn new(min_ms: u64, max_ms: u64) -> Self {
        Self {
            min_ms,
            max_ms,
            next_ms: min_ms,
        }
    }

    /// An attempt succeeded: the next pause is the shortest.
    pub const fn reset(&mut self) {
        self.next_ms = self.min_ms;
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let pause_ms = self.next_ms;
        // A minimum above the maximum holds for the first pause.
        self.next_ms = pause_ms.saturating_mul(2).min(self.max_ms);
        Duration::from_millis(pause_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_maximum_until_an_attempt_succeeds() {
        let mut backoff = Backoff::new(100, 350);
        let pauses = [(); 4].map(|()| backoff.pause().as_millis());
        assert_eq!(pauses, [100, 200, 350, 350]);
        backoff.reset();
        assert_eq!(backoff.pause().as_millis(), 100);
    }
}
