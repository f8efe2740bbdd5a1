//! The executor's epochs: which one it is in, where each began (contract §7). The rules are pure; the caller stores
//! what they allow, synced, before it replies.

use crate::bug_switches;
use metanode_core::{executor::wire::AdvanceEpoch, types::GlobalExecIndex};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where an epoch began. Its number is its position in [`Epochs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    /// Timestamp of the boundary commit; of genesis in epoch 0. Milliseconds since the Unix epoch.
    pub timestamp_ms: u64,
    /// The last block of the epoch before.
    pub boundary: GlobalExecIndex,
}

/// All epochs up to the current one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Epochs {
    starts: Vec<EpochStart>,
    /// Later starts are rounded down to multiples of it.
    granularity_ms: u32,
}

/// The result of an allowed `AdvanceEpoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// The epoch begins.
    Enter(EpochStart),
    /// It has already begun with the same boundary and timestamp: the reply was lost.
    Repeated,
}

/// Why an epoch does not begin.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AdvanceRefused {
    #[error("epoch {asked} does not begin in epoch {current}: expected {current} or {}", current + 1)]
    NotNext { asked: u64, current: u64 },
    #[error(
        "epoch {epoch} began after block {} at {} ms, not after block {} at {} ms",
        known.boundary, known.timestamp_ms, asked.boundary, asked.timestamp_ms
    )]
    Different {
        epoch: u64,
        known: EpochStart,
        asked: EpochStart,
    },
    #[error("block {boundary} is the boundary, the last durable one is {watermark}")]
    NotAtBoundary {
        boundary: GlobalExecIndex,
        watermark: GlobalExecIndex,
    },
    #[error("epoch {epoch} has the start timestamp 0: expected that of its boundary commit")]
    NoStart { epoch: u64 },
}

impl Epochs {
    /// Epoch 0, and those that began after it.
    #[must_use]
    pub fn new(genesis_timestamp_ms: u64, later: Vec<EpochStart>, granularity_ms: u32) -> Self {
        let genesis = EpochStart {
            timestamp_ms: genesis_timestamp_ms,
            boundary: GlobalExecIndex(0),
        };
        let mut starts = vec![genesis];
        starts.extend(later);
        Self {
            starts,
            granularity_ms,
        }
    }

    #[must_use]
    pub const fn current(&self) -> u64 {
        self.starts.len() as u64 - 1
    }

    /// Where an epoch began, if it has.
    #[must_use]
    pub fn start_of(&self, epoch: u64) -> Option<EpochStart> {
        let epoch = usize::try_from(epoch).ok()?;
        self.starts.get(epoch).copied()
    }

    /// The epoch of a block that was executed.
    #[must_use]
    pub fn epoch_of(&self, block: GlobalExecIndex) -> u64 {
        let begun = self.starts.partition_point(|start| start.boundary < block);
        begun.saturating_sub(1) as u64
    }

    /// Whether the epoch may begin, with this watermark.
    ///
    /// # Errors
    /// If it is neither the current epoch as it began nor the next one, or blocks up to the boundary are missing.
    pub fn judge(
        &self,
        asked: &AdvanceEpoch,
        watermark: GlobalExecIndex,
    ) -> Result<Advance, AdvanceRefused> {
        let (current, epoch) = (self.current(), asked.new_epoch);
        let timestamp_ms = asked.epoch_start_timestamp_ms;
        let beyond_ms = timestamp_ms.checked_rem(self.granularity_ms.into());
        let asked = EpochStart {
            timestamp_ms: timestamp_ms - beyond_ms.unwrap_or(0),
            boundary: GlobalExecIndex(asked.boundary_block),
        };
        if epoch != current && epoch != current + 1 {
            return Err(AdvanceRefused::NotNext {
                asked: epoch,
                current,
            });
        }
        match self.start_of(epoch) {
            Some(known) if known == asked => Ok(Advance::Repeated),
            Some(known) => Err(AdvanceRefused::Different {
                epoch,
                known,
                asked,
            }),
            None if timestamp_ms == 0 => Err(AdvanceRefused::NoStart { epoch }),
            None if asked.boundary == bug_switches::at_boundary(watermark, asked.boundary) => {
                Ok(Advance::Enter(asked))
            }
            None => Err(AdvanceRefused::NotAtBoundary {
                boundary: asked.boundary,
                watermark,
            }),
        }
    }

    /// The next epoch has begun.
    pub fn enter(&mut self, start: EpochStart) {
        self.starts.push(start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn asked(new_epoch: u64, timestamp_ms: u64, boundary_block: u64) -> AdvanceEpoch {
        AdvanceEpoch {
            new_epoch,
            epoch_start_timestamp_ms: timestamp_ms,
            boundary_block,
        }
    }

    const fn start(timestamp_ms: u64, boundary: u64) -> EpochStart {
        EpochStart {
            timestamp_ms,
            boundary: GlobalExecIndex(boundary),
        }
    }

    #[test]
    fn only_the_next_epoch_begins_and_only_at_its_boundary() {
        let epochs = Epochs::new(5, vec![start(100, 7)], 1);
        let judge = |asked, watermark| epochs.judge(&asked, GlobalExecIndex(watermark));
        assert_eq!(
            judge(asked(2, 200, 9), 9),
            Ok(Advance::Enter(start(200, 9)))
        );
        for watermark in [8, 10] {
            assert!(matches!(
                judge(asked(2, 200, 9), watermark),
                Err(AdvanceRefused::NotAtBoundary { .. })
            ));
        }
        assert_eq!(
            judge(asked(2, 0, 9), 9),
            Err(AdvanceRefused::NoStart { epoch: 2 })
        );
        for epoch in [0, 3] {
            assert!(matches!(
                judge(asked(epoch, 200, 9), 9),
                Err(AdvanceRefused::NotNext { current: 1, .. })
            ));
        }
    }

    #[test]
    fn a_repeated_request_needs_the_same_boundary_and_timestamp() {
        let epochs = Epochs::new(5, vec![start(100, 7)], 1);
        let judge = |asked| epochs.judge(&asked, GlobalExecIndex(7));
        assert_eq!(judge(asked(1, 100, 7)), Ok(Advance::Repeated));
        for other in [asked(1, 101, 7), asked(1, 100, 6)] {
            assert!(matches!(
                judge(other),
                Err(AdvanceRefused::Different { .. })
            ));
        }
    }

    #[test]
    fn an_executor_that_keeps_seconds_forgets_the_rest() {
        let mut epochs = Epochs::new(5, vec![], 1_000);
        let judge = |epochs: &Epochs, ms| epochs.judge(&asked(1, ms, 7), GlobalExecIndex(7));
        let seventh = start(7_000, 7);
        assert_eq!(judge(&epochs, 7_999), Ok(Advance::Enter(seventh)));
        epochs.enter(seventh);
        assert_eq!(judge(&epochs, 7_000), Ok(Advance::Repeated));
        assert!(judge(&epochs, 8_000).is_err());
    }

    #[test]
    fn a_block_belongs_to_the_epoch_whose_boundary_it_follows() {
        let epochs = Epochs::new(5, vec![start(100, 7), start(200, 7), start(300, 9)], 1);
        let of = |block| epochs.epoch_of(GlobalExecIndex(block));
        assert_eq!([1, 7, 8, 9, 10].map(of), [0, 0, 2, 2, 3]);
        assert_eq!(epochs.current(), 3);
    }
}
