//! Where an own block stands among all own blocks.

use super::{Epoch, Round};
use std::fmt;

/// The epoch and the round of a block of this node. An honest node signs at most one block for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnRound {
    pub epoch: Epoch,
    pub round: Round,
}

impl OwnRound {
    const EPOCH_BYTES: usize = 8;
    const ROUND_BYTES: usize = 4;

    /// Epoch and round, big-endian.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut bytes = self.epoch.0.to_be_bytes().to_vec();
        bytes.extend(self.round.0.to_be_bytes());
        bytes
    }

    /// The inverse of [`Self::encode`]; `None` for other bytes.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (epoch, rest) = bytes.split_first_chunk::<{ Self::EPOCH_BYTES }>()?;
        let round: &[u8; Self::ROUND_BYTES] = rest.try_into().ok()?;
        Some(Self {
            epoch: Epoch(u64::from_be_bytes(*epoch)),
            round: Round(u32::from_be_bytes(*round)),
        })
    }
}

impl fmt::Display for OwnRound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "round {} of epoch {}", self.round, self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded_and_nothing_shorter_or_longer(epoch: u64, round: u32) {
            let at = OwnRound { epoch: Epoch(epoch), round: Round(round) };
            let mut bytes = at.encode();
            prop_assert_eq!(OwnRound::decode(&bytes), Some(at));
            prop_assert_eq!(OwnRound::decode(&bytes[1..]), None);
            bytes.push(0);
            prop_assert_eq!(OwnRound::decode(&bytes), None);
        }
    }
}
