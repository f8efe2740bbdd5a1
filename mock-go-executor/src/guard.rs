//! Whether a block that came is let in: a pure decision.
//!
//! Real executors differ here, and a lenient one hides mistakes of the sender. So the guard is a choice.

use metanode_core::types::GlobalExecIndex;
use serde::{Deserialize, Serialize};

/// What to do with a block that is not the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// Skip repetitions that the contract allows, report all others, end the stream at a hole.
    #[default]
    Strict,
    /// Skip every repetition without a word, end the stream at a hole.
    SkipLow,
    /// Execute whatever comes.
    Naive,
}

/// Where the executor and the stream stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// One above the last block that was executed, durable or not.
    pub expected: GlobalExecIndex,
    /// The highest watermark that anyone had been told when the stream was accepted. The sender may repeat what lies
    /// above it (contract §5): the executor's real watermark may have moved since the sender asked.
    pub told: GlobalExecIndex,
    /// The block before on the same stream.
    pub previous: Option<GlobalExecIndex>,
}

/// What happens to the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Execute,
    /// It was executed before, and the sender could not know better.
    Skip,
    /// It was executed before, and the sender should have known: report it, go on.
    Refuse,
    /// Blocks before it are missing: report it, end the stream, so that the sender asks where to start.
    Close,
}

impl Guard {
    /// Decides about the block `incoming`.
    #[must_use]
    pub fn judge(self, position: Position, incoming: GlobalExecIndex) -> Verdict {
        let Position {
            expected,
            told,
            previous,
        } = position;
        if self == Self::Naive || incoming == expected {
            return Verdict::Execute;
        }
        if incoming > expected {
            return Verdict::Close;
        }
        let allowed = incoming > told && previous.is_none_or(|previous| incoming > previous);
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

    /// Expects 8; 4 had been told.
    fn judge(guard: Guard, previous: u64, incoming: u64) -> Verdict {
        let position = Position {
            expected: GlobalExecIndex(8),
            told: GlobalExecIndex(4),
            previous: (previous > 0).then_some(GlobalExecIndex(previous)),
        };
        guard.judge(position, GlobalExecIndex(incoming))
    }

    #[test]
    fn strict_tells_an_allowed_repetition_from_one_that_is_not() {
        assert_eq!(judge(Guard::Strict, 0, 8), Verdict::Execute);
        assert_eq!(
            judge(Guard::Strict, 0, 5),
            Verdict::Skip,
            "above what was told"
        );
        assert_eq!(
            judge(Guard::Strict, 0, 4),
            Verdict::Refuse,
            "told to be durable"
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
    fn skip_low_differs_in_silence_and_naive_in_everything() {
        assert_eq!(judge(Guard::SkipLow, 6, 1), Verdict::Skip);
        assert_eq!(judge(Guard::SkipLow, 0, 9), Verdict::Close);
        for incoming in [1, 5, 9] {
            assert_eq!(judge(Guard::Naive, 6, incoming), Verdict::Execute);
        }
    }

    proptest! {
        #[test]
        fn only_naive_executes_anything_but_the_next(
            expected in 1u64.., told: u64, previous: Option<u64>, incoming: u64,
        ) {
            let position = Position {
                expected: GlobalExecIndex(expected),
                told: GlobalExecIndex(told),
                previous: previous.map(GlobalExecIndex),
            };
            for guard in [Guard::Strict, Guard::SkipLow] {
                let executes = guard.judge(position, GlobalExecIndex(incoming)) == Verdict::Execute;
                prop_assert_eq!(executes, incoming == expected);
            }
        }
    }
}
