//! The admissible rounds of received blocks, which bound the memory that a peer can make the node use.

use crate::types::Round;
use thiserror::Error;

/// Why a valid block is not accepted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum NotAdmitted {
    #[error(
        "block of round {round} is not above the garbage collection round {gc_round}: no commit can contain it"
    )]
    TooOld { round: Round, gc_round: Round },
    #[error(
        "block of round {round} is above round {limit}: fetch the rounds between first, then request it again"
    )]
    TooFarAhead { round: Round, limit: Round },
}

/// Admits the rounds above `gc_round`, up to `max_rounds_ahead` above the round of the threshold clock.
///
/// # Errors
/// If the round is below or above that range.
pub(crate) const fn admission(
    round: Round,
    gc_round: Round,
    clock_round: Round,
    max_rounds_ahead: u32,
) -> Result<(), NotAdmitted> {
    let limit = Round(clock_round.0.saturating_add(max_rounds_ahead));
    if round.0 <= gc_round.0 {
        Err(NotAdmitted::TooOld { round, gc_round })
    } else if round.0 > limit.0 {
        Err(NotAdmitted::TooFarAhead { round, limit })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_gc_round_is_excluded_and_the_limit_included() {
        let admit = |round| admission(Round(round), Round(10), Round(20), 5);
        assert!(matches!(admit(10), Err(NotAdmitted::TooOld { .. })));
        assert_eq!(admit(11), Ok(()));
        assert_eq!(admit(25), Ok(()));
        assert_eq!(
            admit(26),
            Err(NotAdmitted::TooFarAhead {
                round: Round(26),
                limit: Round(25)
            })
        );
    }

    proptest! {
        #[test]
        fn exactly_the_rounds_between_are_admitted(
            round: u32, gc_round: u32, ahead_of_gc in 0..1000u32, max_rounds_ahead: u32,
        ) {
            let clock_round = gc_round.saturating_add(ahead_of_gc);
            let admitted =
                admission(Round(round), Round(gc_round), Round(clock_round), max_rounds_ahead).is_ok();
            let within = u64::from(round) <= u64::from(clock_round) + u64::from(max_rounds_ahead);
            prop_assert_eq!(admitted, round > gc_round && within);
        }
    }
}
