//! What the answers about W say together. Pure.

use crate::clauses::Violation;
use metanode_core::types::GlobalExecIndex;

/// The answers so far.
#[derive(Debug, Default)]
pub(super) struct Watermarks {
    /// The last one since the executor started.
    last: Option<GlobalExecIndex>,
    /// The highest block that was delivered with all before it, or that was there from the beginning.
    delivered: GlobalExecIndex,
    has_delivered: bool,
    pub fell: Option<Violation>,
    pub beyond: Option<Violation>,
}

impl Watermarks {
    /// All blocks up to this one were written, or are in the executor already.
    pub fn delivered(&mut self, up_to: GlobalExecIndex) {
        self.delivered = self.delivered.max(up_to);
        self.has_delivered = true;
    }

    pub const fn has_delivered(&self) -> bool {
        self.has_delivered
    }

    /// An answer, in the frame `reply`.
    pub fn answered(&mut self, watermark: GlobalExecIndex, reply: &[u8]) {
        if self.last.is_none() && self.delivered == GlobalExecIndex(0) {
            self.delivered = watermark;
        }
        if let Some(last) = self.last.filter(|last| watermark < *last) {
            let expected = format!("W of at least {last}");
            self.fell.get_or_insert_with(|| {
                Violation::safety(expected, format!("W = {watermark}")).shown_by(reply)
            });
        }
        if watermark > self.delivered {
            let expected = format!("W of at most {}", self.delivered);
            self.beyond.get_or_insert_with(|| {
                let found = format!("W = {watermark}, which was never delivered in order");
                Violation::safety(expected, found).shown_by(reply)
            });
            // Said once; what comes next is judged from here on.
            self.delivered = watermark;
        }
        self.last = Some(watermark);
    }

    /// The executor was killed: its next W may be lower than the last one, which another clause judges.
    pub const fn restarted(&mut self) {
        self.last = None;
    }

    /// The last answer since the executor started.
    pub const fn last(&self) -> Option<GlobalExecIndex> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(answers: &[u64], delivered: u64) -> Watermarks {
        let mut watermarks = Watermarks::default();
        for (position, answer) in answers.iter().enumerate() {
            watermarks.answered(GlobalExecIndex(*answer), &[]);
            if position == 0 {
                watermarks.delivered(GlobalExecIndex(delivered));
            }
        }
        watermarks
    }

    #[test]
    fn w_may_rise_up_to_what_was_delivered_and_never_fall() {
        let good = after(&[7, 7, 9, 10], 10);
        assert_eq!((&good.fell, &good.beyond), (&None, &None));
        assert!(after(&[7, 9, 8], 10).fell.is_some());
        assert!(after(&[7, 11], 10).beyond.is_some());
    }

    #[test]
    fn a_kill_may_lower_w() {
        let mut watermarks = after(&[7, 9], 10);
        watermarks.restarted();
        watermarks.answered(GlobalExecIndex(8), &[]);
        assert_eq!(watermarks.fell, None);
        assert_eq!(watermarks.last(), Some(GlobalExecIndex(8)));
    }
}
