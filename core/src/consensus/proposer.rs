//! May this node propose now? A pure function of what the core knows.

use crate::types::Round;
use std::time::Duration;

/// What the decision depends on. Times are since the node started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProposalView {
    /// The round that the threshold clock allows.
    pub clock_round: Round,
    /// The highest round this authority is known to have signed.
    pub last_proposed_round: Round,
    /// Peers have said what they know of this authority's blocks (contract §6.5).
    pub last_proposed_round_known: bool,
    /// The executor is too far behind (contract §5).
    pub paused: bool,
    /// Nothing more is to be said in this epoch, or nothing by this node.
    pub is_over: bool,
    /// All leaders of the round before are here.
    pub leaders_present: bool,
    pub now: Duration,
    /// When the clock reached its round.
    pub round_entered: Duration,
    /// When the last own block was made, if this start made any.
    pub last_proposed: Option<Duration>,
    pub min_round_delay: Duration,
    pub leader_timeout: Duration,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposalDecision {
    /// Make a block of the clock's round.
    Propose,
    /// Nothing changes before this time, unless a block comes.
    WaitUntil(Duration),
    /// Nothing changes with time alone.
    Wait,
}

/// Decides whether to propose.
#[must_use]
pub fn decide(view: &ProposalView) -> ProposalDecision {
    let forbidden = !view.last_proposed_round_known || view.paused || view.is_over;
    if view.clock_round <= view.last_proposed_round || forbidden {
        return ProposalDecision::Wait;
    }
    let paced = view
        .last_proposed
        .map_or(Duration::ZERO, |last| last + view.min_round_delay);
    let led = if view.leaders_present {
        Duration::ZERO
    } else {
        view.round_entered + view.leader_timeout
    };
    let earliest = paced.max(led);
    if view.now >= earliest {
        ProposalDecision::Propose
    } else {
        ProposalDecision::WaitUntil(earliest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    const READY: ProposalView = ProposalView {
        clock_round: Round(5),
        last_proposed_round: Round(4),
        last_proposed_round_known: true,
        paused: false,
        is_over: false,
        leaders_present: true,
        now: ms(1000),
        round_entered: ms(990),
        last_proposed: Some(ms(900)),
        min_round_delay: ms(50),
        leader_timeout: ms(250),
    };

    #[test]
    fn a_block_is_due_when_nothing_speaks_against_it() {
        assert_eq!(decide(&READY), ProposalDecision::Propose);
    }

    #[test]
    fn a_round_is_never_signed_twice_nor_before_peers_were_asked_nor_under_pressure_nor_after_the_end()
     {
        for view in [
            ProposalView {
                last_proposed_round: Round(5),
                ..READY
            },
            ProposalView {
                last_proposed_round: Round(9),
                ..READY
            },
            ProposalView {
                last_proposed_round_known: false,
                ..READY
            },
            ProposalView {
                paused: true,
                ..READY
            },
            ProposalView {
                is_over: true,
                ..READY
            },
        ] {
            assert_eq!(decide(&view), ProposalDecision::Wait);
        }
    }

    #[test]
    fn a_missing_leader_is_waited_for_until_its_timeout_and_rounds_are_paced() {
        let leaderless = ProposalView {
            leaders_present: false,
            ..READY
        };
        assert_eq!(decide(&leaderless), ProposalDecision::WaitUntil(ms(1240)));
        assert_eq!(
            decide(&ProposalView {
                now: ms(1240),
                ..leaderless
            }),
            ProposalDecision::Propose
        );
        let early = ProposalView {
            last_proposed: Some(ms(980)),
            ..READY
        };
        assert_eq!(decide(&early), ProposalDecision::WaitUntil(ms(1030)));
    }
}
