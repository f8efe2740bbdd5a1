//! Whether this node may propose now: a pure function of the state of the core.

use crate::types::Round;
use std::time::Duration;

/// The state on which the decision depends. Times are relative to the start of consensus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProposalView {
    /// The round of the threshold clock.
    pub clock_round: Round,
    /// The highest round this authority is known to have signed.
    pub last_proposed_round: Round,
    /// Whether peers have returned this authority's newest block (contract §6.5).
    pub last_proposed_round_known: bool,
    /// Whether backpressure pauses proposals (contract §5.3).
    pub paused: bool,
    /// Whether the epoch has ended for this node, or it is a follower.
    pub is_over: bool,
    /// Whether the DAG contains blocks of all leaders of the previous round.
    pub leaders_present: bool,
    pub now: Duration,
    /// When the threshold clock reached its round.
    pub round_entered: Duration,
    /// When the last own block was made since the start.
    pub last_proposed: Option<Duration>,
    pub min_round_delay: Duration,
    pub leader_timeout: Duration,
}

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProposalDecision {
    /// Propose a block of the clock's round.
    Propose,
    /// Decide again at this time, or when a block is accepted.
    WaitUntil(Duration),
    /// Decide again when the state has changed; the decision does not depend on time.
    Wait,
}

/// Decides whether to propose.
#[must_use]
pub(super) fn decide(view: &ProposalView) -> ProposalDecision {
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
    fn a_block_is_due_when_all_conditions_are_met() {
        assert_eq!(decide(&READY), ProposalDecision::Propose);
    }

    #[test]
    fn no_block_is_due_while_one_of_the_conditions_is_not_met() {
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
    fn a_proposal_waits_for_leaders_until_their_timeout_and_for_the_minimum_delay() {
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
