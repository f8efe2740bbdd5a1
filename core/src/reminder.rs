//! When something that lasts is told to the operator: after a time, and again whenever that time has doubled. Pure.

/// What may last.
#[derive(Debug)]
pub(crate) struct Reminder {
    first_ms: u64,
    again_ms: u64,
    since_ms: Option<u64>,
    /// The duration at which it is told next.
    next_ms: u64,
}

impl Reminder {
    /// Told after `first_ms`, and the second time after `again_ms` at the soonest.
    pub const fn new(first_ms: u64, again_ms: u64) -> Self {
        Self {
            first_ms,
            again_ms,
            since_ms: None,
            next_ms: first_ms,
        }
    }

    /// It lasts at `now_ms`, by any clock that does not go back, since the first of these calls. Returns for how long, if that
    /// is to be told now.
    pub fn lasts(&mut self, now_ms: u64) -> Option<u64> {
        let since_ms = *self.since_ms.get_or_insert(now_ms);
        let for_ms = now_ms.saturating_sub(since_ms);
        if for_ms < self.next_ms {
            return None;
        }
        self.next_ms = for_ms.saturating_mul(2).max(self.again_ms);
        Some(for_ms)
    }

    /// It is over.
    pub const fn over(&mut self) {
        *self = Self::new(self.first_ms, self.again_ms);
    }

    /// Whether it was told since it lasts.
    pub const fn is_told(&self) -> bool {
        self.next_ms > self.first_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(mut reminder: Reminder) -> Vec<u64> {
        (7..100_000)
            .filter_map(|now_ms| reminder.lasts(now_ms))
            .collect()
    }

    #[test]
    fn it_is_told_after_a_time_and_at_each_doubling() {
        let expected = [10_000, 20_000, 40_000, 80_000];
        assert_eq!(told(Reminder::new(10_000, 0)), expected);
        assert_eq!(
            told(Reminder::new(0, 10_000)),
            [&[0], &expected[..]].concat()
        );
    }

    #[test]
    fn what_is_over_begins_again() {
        let mut reminder = Reminder::new(30, 0);
        assert_eq!(reminder.lasts(0), None);
        assert!(!reminder.is_told());
        assert_eq!(reminder.lasts(30), Some(30));
        assert!(reminder.is_told());
        reminder.over();
        assert!(!reminder.is_told());
        assert_eq!(reminder.lasts(60), None);
        assert_eq!(reminder.lasts(90), Some(30));
    }
}
