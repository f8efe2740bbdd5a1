//! When a watermark that stands still is told to the operator (contract §4.5). Pure.

use crate::{config::WatermarkSource, reminder::Reminder, types::GlobalExecIndex};

/// The answers of an executor to which everything is written that may be.
#[derive(Debug)]
pub(super) struct Standstill {
    /// The last answer, if progress was awaited.
    last: Option<GlobalExecIndex>,
    reminder: Reminder,
}

impl Standstill {
    /// Told after `limit_ms`, and again whenever that has doubled.
    pub const fn new(limit_ms: u64) -> Self {
        Self {
            last: None,
            reminder: Reminder::new(limit_ms, 0),
        }
    }

    /// An answer at `now_ms`, by any clock that does not go back. `is_awaited`: nothing but a higher watermark allows
    /// progress. Returns for how long the watermark has stood still, if that is to be told now.
    pub fn answered(
        &mut self,
        now_ms: u64,
        watermark: GlobalExecIndex,
        is_awaited: bool,
    ) -> Option<u64> {
        let now = is_awaited.then_some(watermark);
        if std::mem::replace(&mut self.last, now) != now {
            self.reminder.over();
        }
        now.and_then(|_| self.reminder.lasts(now_ms))
    }
}

/// What an operator can do about it.
pub(super) const fn advice(source: WatermarkSource) -> &'static str {
    match source {
        WatermarkSource::LastBlockNumber => {
            "if this executor counts blocks and GEIs apart, set rpc.watermark_source = \"last-global-exec-index\"; \
             otherwise its log says why it does not execute or store them"
        }
        WatermarkSource::LastGlobalExecIndex => {
            "if this executor does not report last_global_exec_index, set rpc.watermark_source = \"last-block-number\"; \
             otherwise its log says why it does not execute or store them"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const W: GlobalExecIndex = GlobalExecIndex(7);

    #[test]
    fn a_standstill_is_told_after_its_limit_and_at_each_doubling() {
        let mut standstill = Standstill::new(30);
        let told = (0..500).filter_map(|now| standstill.answered(now, W, true));
        assert_eq!(told.collect::<Vec<_>>(), [30, 60, 120, 240, 480]);
    }

    #[test]
    fn progress_begins_again() {
        let mut standstill = Standstill::new(30);
        assert_eq!(standstill.answered(0, W, true), None);
        assert_eq!(standstill.answered(29, W.next(), true), None);
        assert_eq!(standstill.answered(58, W.next(), true), None);
        assert_eq!(standstill.answered(59, W.next(), true), Some(30));
        assert_eq!(standstill.answered(60, W, true), None, "it fell");
        assert_eq!(standstill.answered(90, W, true), Some(30));
    }

    #[test]
    fn an_executor_that_nothing_waits_for_may_stand_still() {
        let mut standstill = Standstill::new(30);
        assert_eq!(standstill.answered(0, W, true), None);
        assert_eq!(standstill.answered(99, W, false), None);
        assert_eq!(standstill.answered(100, W, true), None);
        assert_eq!(standstill.answered(129, W, true), None);
        assert_eq!(standstill.answered(130, W, true), Some(30));
    }
}
