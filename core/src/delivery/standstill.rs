//! When a watermark that stands still is told to the operator (contract §4.5). Pure.

use crate::{config::WatermarkSource, types::GlobalExecIndex};

/// The answers of an executor to which everything is written that may be.
#[derive(Debug)]
pub(super) struct Standstill {
    /// Told after this time, and again whenever it has doubled.
    limit_ms: u64,
    /// The last answer, and the time of the first one that was the same.
    since: Option<(GlobalExecIndex, u64)>,
    /// The duration at which it is told next.
    next_ms: u64,
}

impl Standstill {
    pub const fn new(limit_ms: u64) -> Self {
        Self {
            limit_ms,
            since: None,
            next_ms: limit_ms,
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
        let stands = self.since.filter(|(before, _)| *before == watermark);
        let Some((_, since_ms)) = stands.filter(|_| is_awaited) else {
            self.since = is_awaited.then_some((watermark, now_ms));
            self.next_ms = self.limit_ms;
            return None;
        };
        let for_ms = now_ms.saturating_sub(since_ms);
        if for_ms < self.next_ms {
            return None;
        }
        self.next_ms = for_ms.saturating_mul(2);
        Some(for_ms)
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
