//! From the answers of peers to the best one and the standing of the own executor. Pure.
//!
//! With *n* configured peers, *f = ⌊n/3⌋* of them may be lying. A position has support if f+1 peers are there or further, of
//! which one is honest, or if this node has stored the commits up to there itself. The best peer has the furthest position
//! with support: neither the first to answer nor the one that claims most. A single configured peer supports itself.
//!
//! To be *in sync* takes answers of n-f peers: f+1 of them know that somebody is there, not that nobody is further.
//!
//! Executors carry no stake that a node could check over their RPC, so each configured peer counts as one.

use super::bug_switches;
use crate::types::{BestPeer, ChainPosition, Gap, Standing, Support, UnknownBecause};

/// In the same epoch an executor may be so many blocks below the best peer and is in sync.
const NEAR_BLOCKS: u64 = 5;

/// The answer of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its place in the configuration, from 0.
    pub peer: u16,
    pub position: ChainPosition,
}

/// What a comparison is made of.
pub(super) struct Compared<'a> {
    /// How many peers are configured.
    pub peers: u16,
    /// In the order in which they came. Their order decides nothing.
    pub answers: &'a [Answer],
    /// Of the own executor; `None` if it has not answered yet.
    pub own: Option<ChainPosition>,
    /// Of the last commit that this node has stored itself.
    pub stored: Option<ChainPosition>,
}

/// How many peers have to be somewhere, so that one of them is honest.
pub(super) const fn needed(peers: u16) -> u16 {
    peers / 3 + 1
}

impl Compared<'_> {
    /// The best peer; `None` if none has answered.
    pub fn best(&self) -> Option<BestPeer> {
        let ranked = |answer: &Answer| {
            let support = self.support(answer.position);
            let is_supported = !matches!(support, Support::Missing { .. });
            let first = std::cmp::Reverse(answer.peer);
            ((is_supported, answer.position, first), support)
        };
        let ranked = self.answers.iter().map(ranked);
        let best = ranked.max_by_key(|(rank, _)| *rank);
        let best = best.map(
            |((_, position, std::cmp::Reverse(peer)), support)| BestPeer {
                peer,
                position,
                support,
            },
        );
        bug_switches::best(best, self)
    }

    /// Where the own executor stands beside the best peer.
    pub fn standing(&self, best: Option<&BestPeer>) -> Standing {
        let standing = match (best, self.own) {
            (None, _) => Standing::Unknown(UnknownBecause::NoAnswer),
            (
                Some(BestPeer {
                    support: Support::Missing { .. },
                    ..
                }),
                _,
            ) => Standing::Unknown(UnknownBecause::NoSupport),
            (Some(_), None) => Standing::Unknown(UnknownBecause::OwnUnknown),
            (Some(best), Some(own)) => match beside(own, best.position) {
                Standing::InSync if !self.have_most_answered() => {
                    Standing::Unknown(UnknownBecause::FewAnswers)
                }
                standing => standing,
            },
        };
        bug_switches::standing(standing, best, self.own)
    }

    /// Whether at least n-f peers have answered. That somebody is at least somewhere, few can say; that nobody is further,
    /// only all who do not lie.
    const fn have_most_answered(&self) -> bool {
        self.answers.len() + needed(self.peers) as usize > self.peers as usize
    }

    fn support(&self, position: ChainPosition) -> Support {
        let there = self.answers.iter().filter(|it| it.position >= position);
        let peers = u16::try_from(there.count()).unwrap_or(u16::MAX);
        let needed = needed(self.peers);
        match () {
            () if self.peers == 1 => Support::OnlyPeer,
            () if peers >= needed => Support::Peers { peers },
            () if self.stored >= Some(position) => Support::OwnCommits,
            () => Support::Missing { peers, needed },
        }
    }
}

/// Where an executor stands beside one at `best`. Blocks are compared within an epoch only.
fn beside(own: ChainPosition, best: ChainPosition) -> Standing {
    let blocks = best.block.0.saturating_sub(own.block.0);
    if best.epoch > own.epoch {
        Standing::Behind(Gap::Epochs(best.epoch.0 - own.epoch.0))
    } else if best.epoch == own.epoch && blocks > NEAR_BLOCKS {
        Standing::Behind(Gap::Blocks(blocks))
    } else {
        Standing::InSync
    }
}

/// Where an executor stands if epochs count for nothing.
pub(super) fn by_blocks(own: ChainPosition, best: ChainPosition) -> Standing {
    let epoch = own.epoch;
    beside(own, ChainPosition { epoch, ..best })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Epoch, GlobalExecIndex};

    fn at(epoch: u64, block: u64) -> ChainPosition {
        ChainPosition {
            epoch: Epoch(epoch),
            block: GlobalExecIndex(block),
        }
    }

    /// Peers answer with these positions, in the order of the configuration.
    fn compare(
        peers: u16,
        answers: &[ChainPosition],
        own: Option<ChainPosition>,
        stored: Option<ChainPosition>,
    ) -> (Option<BestPeer>, Standing) {
        let answer = |(peer, position): (u16, &ChainPosition)| Answer {
            peer,
            position: *position,
        };
        let mut answers: Vec<_> = (0..).zip(answers).map(answer).collect();
        let of = |answers: &[Answer]| {
            let compared = Compared {
                peers,
                answers,
                own,
                stored,
            };
            let best = compared.best();
            (best, compared.standing(best.as_ref()))
        };
        let found = of(&answers);
        answers.reverse();
        assert_eq!(of(&answers), found, "the order of answers decides nothing");
        found
    }

    fn position(best: Option<BestPeer>) -> ChainPosition {
        best.expect("a best peer").position
    }

    #[test]
    fn the_best_peer_is_the_furthest_with_support_whatever_one_claims() {
        let answers = [at(9, 1), at(1, 40), at(1, 43)];
        let (best, standing) = compare(3, &answers, Some(at(1, 40)), None);
        let expected = BestPeer {
            peer: 2,
            position: at(1, 43),
            support: Support::Peers { peers: 2 },
        };
        assert_eq!((best, standing), (Some(expected), Standing::InSync));
        let far = [at(9, 1), at(9, 1), at(1, 43)];
        let (best, standing) = compare(3, &far, Some(at(1, 40)), None);
        assert_eq!(position(best), at(9, 1));
        assert_eq!(standing, Standing::Behind(Gap::Epochs(8)));
    }

    #[test]
    fn behind_is_a_lower_epoch_or_more_than_five_blocks() {
        for (own, expected) in [
            (at(1, 38), Standing::InSync),
            (at(1, 37), Standing::Behind(Gap::Blocks(6))),
            (at(0, 43), Standing::Behind(Gap::Epochs(1))),
            (at(1, 99), Standing::InSync),
            (at(2, 0), Standing::InSync),
        ] {
            let (_, standing) = compare(1, &[at(1, 43)], Some(own), None);
            assert_eq!(standing, expected, "{own}");
        }
    }

    #[test]
    fn a_single_configured_peer_is_the_candidate() {
        let (best, _) = compare(1, &[at(1, 43)], Some(at(1, 43)), None);
        assert_eq!(best.map(|best| best.support), Some(Support::OnlyPeer));
    }

    #[test]
    fn without_an_answer_or_support_the_standing_is_unknown() {
        let unknown = Standing::Unknown;
        let own = Some(at(1, 40));
        assert_eq!(
            compare(3, &[], own, own),
            (None, unknown(UnknownBecause::NoAnswer))
        );
        let (best, standing) = compare(3, &[at(1, 43)], own, None);
        let support = Support::Missing {
            peers: 1,
            needed: 2,
        };
        assert_eq!(best.map(|best| best.support), Some(support));
        assert_eq!(standing, unknown(UnknownBecause::NoSupport));
        let (_, standing) = compare(1, &[at(1, 43)], None, None);
        assert_eq!(standing, unknown(UnknownBecause::OwnUnknown));
    }

    #[test]
    fn an_old_answer_is_no_proof_that_nobody_is_further() {
        let (own, few) = (
            Some(at(9, 50)),
            Standing::Unknown(UnknownBecause::FewAnswers),
        );
        assert_eq!(compare(3, &[at(0, 0)], own, own).1, few);
        assert_eq!(compare(4, &[at(9, 50), at(0, 0)], own, own).1, few);
        let most = [at(9, 50), at(0, 0), at(9, 51)];
        assert_eq!(compare(4, &most, own, own).1, Standing::InSync);
    }

    #[test]
    fn own_commits_support_what_one_peer_says() {
        let (best, standing) = compare(3, &[at(1, 43)], Some(at(1, 30)), Some(at(1, 44)));
        assert_eq!(best.map(|best| best.support), Some(Support::OwnCommits));
        assert_eq!(standing, Standing::Behind(Gap::Blocks(13)));
    }

    #[test]
    fn the_largest_claims_do_not_overflow() {
        let most = at(u64::MAX, u64::MAX);
        let (_, standing) = compare(3, &[most, most, at(0, 0)], Some(at(0, 0)), None);
        assert_eq!(standing, Standing::Behind(Gap::Epochs(u64::MAX)));
    }
}
