//! What happens to a received block: a pure decision.
//!
//! Real executors differ here, and a lenient guard hides errors of the sender. So the guard is configurable.

use metanode_core::types::GlobalExecIndex;
use serde::{Deserialize, Serialize};

/// What to do with a block that is not the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// Skip repetitions that the contract allows, report all others, end the stream at a gap.
    #[default]
    Strict,
    /// Skip every repetition silently, end the stream at a gap.
    SkipLow,
    /// Execute every block.
    Naive,
}

/// The state of the executor and of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// One above the last block that was executed, durable or not.
    pub expected: GlobalExecIndex,
    /// The highest watermark that had been reported when the stream was accepted. The sender may repeat blocks above it
    /// (contract §5): the actual watermark may have moved since the sender asked.
    pub reported: GlobalExecIndex,
    /// The previous block on the same stream.
    pub previous: Option<GlobalExecIndex>,
}

/// What happens to the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Execute,
    /// It was executed before, and the sender could not know.
    Skip,
    /// It was executed before, and the sender should have known: report it, continue.
    Refuse,
    /// Blocks before it are missing: report it, end the stream, so that the sender asks for the watermark.
    Close,
}

impl Guard {
    /// Decides about the block `incoming`.
    #[must_use]
    pub fn judge(self, position: Position, incoming: GlobalExecIndex) -> Verdict {
        let Position {
            expected,
            reported,
            previous,
        } = position;
        if self == Self::Naive || incoming == expected {
            return Verdict::Execute;
        }
        if incoming > expected {
            return Verdict::Close;
        }
        let allowed = incoming > reported && previous.is_none_or(|previous| incoming > previous);
        if self == Self::SkipLow || allowed {
            Verdict::Skip
        } else {
            Verdict::Refuse
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Expects 8; 4 was reported.
    fn judge(guard: Guard, previous: u64, incoming: u64) -> Verdict {
        let position = Position {
            expected: GlobalExecIndex(8),
            reported: GlobalExecIndex(4),
            previous: (previous > 0).then_some(GlobalExecIndex(previous)),
        };
        guard.judge(position, GlobalExecIndex(incoming))
    }

    #[test]
    fn strict_refuses_repetitions_that_the_contract_does_not_allow() {
        assert_eq!(judge(Guard::Strict, 0, 8), Verdict::Execute);
        assert_eq!(
            judge(Guard::Strict, 0, 5),
            Verdict::Skip,
            "above the reported watermark"
        );
        assert_eq!(
            judge(Guard::Strict, 0, 4),
            Verdict::Refuse,
            "reported as durable"
        );
        assert_eq!(judge(Guard::Strict, 5, 6), Verdict::Skip);
        assert_eq!(
            judge(Guard::Strict, 6, 6),
            Verdict::Refuse,
            "twice on one stream"
        );
        assert_eq!(judge(Guard::Strict, 0, 9), Verdict::Close);
    }

    #[test]
    fn skip_low_skips_silently_and_naive_executes_everything() {
        assert_eq!(judge(Guard::SkipLow, 6, 1), Verdict::Skip);
        assert_eq!(judge(Guard::SkipLow, 0, 9), Verdict::Close);
        for incoming in [1, 5, 9] {
            assert_eq!(judge(Guard::Naive, 6, incoming), Verdict::Execute);
        }
    }

    proptest! {
        #[test]
        fn only_naive_executes_anything_but_the_next(
            expected in 1u64.., reported: u64, previous: Option<u64>, incoming: u64,
        ) {
            let position = Position {
                expected: GlobalExecIndex(expected),
                reported: GlobalExecIndex(reported),
                previous: previous.map(GlobalExecIndex),
            };
            for guard in [Guard::Strict, Guard::SkipLow] {
                let executes = guard.judge(position, GlobalExecIndex(incoming)) == Verdict::Execute;
                prop_assert_eq!(executes, incoming == expected);
            }
        }
    }
}
