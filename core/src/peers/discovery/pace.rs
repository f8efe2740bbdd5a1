//! How fast a node comes closer to the best peer. Pure.

use crate::types::GlobalExecIndex;
use std::collections::VecDeque;

/// The rounds that an estimate is made from: long enough to even out a single one.
const ROUNDS: usize = 6;

/// The last rounds of questions in which the node was behind.
#[derive(Debug, Default)]
pub(super) struct Pace(VecDeque<Round>);

#[derive(Clone, Copy, Debug)]
struct Round {
    at_ms: u64,
    own: GlobalExecIndex,
    best: GlobalExecIndex,
}

impl Round {
    const fn remaining(self) -> u64 {
        self.best.0.saturating_sub(self.own.0)
    }
}

/// How far a node has to catch up, and how fast it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Estimate {
    pub remaining_blocks: u64,
    /// What the own executor has executed and made durable.
    pub blocks_per_second: u64,
    /// `None` if the node does not come closer.
    pub remaining_ms: Option<u64>,
}

impl Pace {
    /// The node is not behind.
    pub fn stop(&mut self) {
        self.0.clear();
    }

    /// The node is behind at `at_ms`, by any clock that does not go back. Returns an estimate from the second time on.
    pub fn behind(
        &mut self,
        at_ms: u64,
        own: GlobalExecIndex,
        best: GlobalExecIndex,
    ) -> Option<Estimate> {
        let now = Round { at_ms, own, best };
        // An executor whose disk was restored begins anew.
        if self.0.back().is_some_and(|last| last.own > own) {
            self.0.clear();
        }
        self.0.push_back(now);
        if self.0.len() > ROUNDS {
            self.0.pop_front();
        }
        let first = *self.0.front()?;
        let in_ms = at_ms.checked_sub(first.at_ms).filter(|ms| *ms > 0)?;
        let per_second = |blocks: u64| blocks.saturating_mul(1_000) / in_ms;
        let remaining_blocks = now.remaining();
        let closer = first.remaining().saturating_sub(remaining_blocks);
        Some(Estimate {
            remaining_blocks,
            blocks_per_second: per_second(own.0 - first.own.0),
            remaining_ms: remaining_blocks.saturating_mul(in_ms).checked_div(closer),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(pace: &mut Pace, at_s: u64, own: u64, best: u64) -> Option<Estimate> {
        pace.behind(at_s * 1_000, GlobalExecIndex(own), GlobalExecIndex(best))
    }

    #[test]
    fn the_time_left_is_that_in_which_the_gap_closes() {
        let mut pace = Pace::default();
        assert_eq!(behind(&mut pace, 0, 0, 1_000), None);
        // 60 blocks a second, while the chain makes 10.
        let expected = Estimate {
            remaining_blocks: 500,
            blocks_per_second: 60,
            remaining_ms: Some(10_000),
        };
        assert_eq!(behind(&mut pace, 10, 600, 1_100), Some(expected));
        pace.stop();
        assert_eq!(behind(&mut pace, 20, 700, 1_200), None);
    }

    #[test]
    fn who_does_not_come_closer_has_no_time_left() {
        let mut pace = Pace::default();
        behind(&mut pace, 0, 0, 100);
        let slow = behind(&mut pace, 10, 50, 300).unwrap();
        assert_eq!((slow.blocks_per_second, slow.remaining_ms), (5, None));
        let restored = behind(&mut pace, 20, 0, 400);
        assert_eq!(restored, None);
    }

    #[test]
    fn no_number_is_too_large() {
        let mut pace = Pace::default();
        pace.behind(0, GlobalExecIndex(0), GlobalExecIndex(u64::MAX));
        let far = GlobalExecIndex(u64::MAX / 2);
        let estimate = pace.behind(u64::MAX, far, GlobalExecIndex(u64::MAX));
        assert!(estimate.is_some());
    }
}
