//! The indexes of contract §4, each a distinct type so that they cannot be mixed.

use serde::{Deserialize, Serialize};
use std::fmt;
use thiserror::Error;

macro_rules! index {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl $name {
            /// The next index. Panics on overflow, which no real chain reaches.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }

            /// The previous index; 0 stays 0.
            #[must_use]
            pub const fn prev(self) -> Self {
                Self(self.0.saturating_sub(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

index! {
    /// A period with one committee, from 0. Never decreases.
    Epoch(u64)
}
index! {
    /// A DAG round inside an epoch. Genesis blocks are round 0.
    Round(u32)
}
index! {
    /// Position of a commit within its epoch. The first commit of **every** epoch is 1; 0 means no commit yet.
    CommitIndex(u32)
}
index! {
    /// Position of a commit over the whole chain: `epoch_base(E) + CommitIndex`. Never restarts, has no gap.
    /// The executor's block number. 0 means before the first commit.
    GlobalExecIndex(u64)
}
index! {
    /// Milliseconds since the Unix epoch.
    TimestampMs(u64)
}

impl TimestampMs {
    /// Milliseconds from `earlier` to `self`, 0 if `earlier` is later.
    #[must_use]
    pub const fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The earliest multiple of a granularity that is not before this one.
    #[must_use]
    pub const fn rounded_up(self, granularity_ms: u32) -> Self {
        let multiple = match granularity_ms {
            0 => None,
            granularity_ms => self.0.checked_next_multiple_of(granularity_ms as u64),
        };
        match multiple {
            Some(multiple) => Self(multiple),
            None => self,
        }
    }
}

/// Weight of authorities in votes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Stake(pub u64);

impl std::ops::Add for Stake {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl std::ops::AddAssign for Stake {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl std::iter::Sum for Stake {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self(0), |a, b| a + b)
    }
}

impl fmt::Display for Stake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Position of an authority in its committee, which is sorted by authority key bytes (contract §7.4).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct AuthorityIndex(pub u16);

impl AuthorityIndex {
    /// Index into a per-authority vector.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for AuthorityIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// An epoch with its base. The only conversion between [`CommitIndex`] and [`GlobalExecIndex`] (contract §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochBase {
    /// The epoch.
    pub epoch: Epoch,
    /// GEI of the last commit of the previous epoch, 0 in epoch 0.
    pub base: GlobalExecIndex,
}

/// A GEI that has no commit index in the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IndexError {
    /// The GEI is below the base, so it belongs to an earlier epoch.
    #[error("GEI {gei} is not in epoch {epoch}, whose commits start after GEI {base}")]
    BeforeEpoch {
        gei: GlobalExecIndex,
        epoch: Epoch,
        base: GlobalExecIndex,
    },
    /// The distance to the base exceeds a commit index.
    #[error(
        "GEI {gei} is more than {} commits after the base {base} of epoch {epoch}",
        u32::MAX
    )]
    TooFar {
        gei: GlobalExecIndex,
        epoch: Epoch,
        base: GlobalExecIndex,
    },
}

impl EpochBase {
    /// Epoch 0, base 0.
    pub const GENESIS: Self = Self {
        epoch: Epoch(0),
        base: GlobalExecIndex(0),
    };

    /// The GEI of a commit of this epoch. `CommitIndex(0)` gives the base itself.
    #[must_use]
    pub const fn gei(self, commit: CommitIndex) -> GlobalExecIndex {
        GlobalExecIndex(self.base.0 + commit.0 as u64)
    }

    /// The commit index at `gei`; `gei == base` gives `CommitIndex(0)`.
    ///
    /// # Errors
    /// If `gei` is below the base, or more than [`CommitIndex`] can count above it.
    pub fn commit_index(self, gei: GlobalExecIndex) -> Result<CommitIndex, IndexError> {
        let Self { epoch, base } = self;
        let distance =
            gei.0
                .checked_sub(base.0)
                .ok_or(IndexError::BeforeEpoch { gei, epoch, base })?;
        u32::try_from(distance)
            .map(CommitIndex)
            .map_err(|_| IndexError::TooFar { gei, epoch, base })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_converts_commit_index_and_gei_both_ways() {
        let base = EpochBase {
            epoch: Epoch(3),
            base: GlobalExecIndex(u64::from(u32::MAX) + 5),
        };
        let gei = base.gei(CommitIndex(7));
        assert_eq!(gei, GlobalExecIndex(u64::from(u32::MAX) + 12));
        assert_eq!(base.commit_index(gei), Ok(CommitIndex(7)));
        assert_eq!(base.commit_index(base.base), Ok(CommitIndex(0)));
    }

    #[test]
    fn a_gei_below_the_base_or_too_far_above_it_is_an_error() {
        let base = EpochBase {
            epoch: Epoch(1),
            base: GlobalExecIndex(10),
        };
        assert!(matches!(
            base.commit_index(GlobalExecIndex(9)),
            Err(IndexError::BeforeEpoch { .. })
        ));
        assert!(matches!(
            base.commit_index(GlobalExecIndex(11 + u64::from(u32::MAX))),
            Err(IndexError::TooFar { .. })
        ));
    }
}
